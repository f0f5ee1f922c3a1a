#!/usr/bin/env bash
# Published configurations at BERT-base size, padded to ℓ, batch 1, 32 and 128: bert_base.sh [THREADS ...]
set -euo pipefail
threads=$(IFS=,; echo "${*:-1,2}")
bench="powerbert bench model=bert-base-random bench.batch_sizes=[1,32,128] bench.threads=[$threads] bench.paddings=[max]
  bench.examples=32 bench.rounds=7 bench.max_seconds=60"
$bench retention=paper/cola precision=fp32
$bench retention=paper/cola precision=fp32 bench.engines=[compile]
$bench retention=paper/cola precision=bf16
$bench retention=paper/rte precision=fp32
$bench retention=paper/rte precision=bf16
