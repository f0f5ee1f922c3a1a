#!/usr/bin/env bash
# Published configurations at BERT-base size, padded to ℓ: bert_base.sh [THREADS]
set -euo pipefail
bench="powerbert bench model=bert-base-random batch_size=32 bench.paddings=[max] bench.examples=32
  runtime.threads=${1:-null}"
$bench retention=paper/cola precision=fp32 bench.rounds=15
$bench retention=paper/cola precision=bf16 bench.rounds=5
$bench retention=paper/rte precision=fp32 bench.rounds=5
$bench retention=paper/rte precision=bf16 bench.rounds=3
