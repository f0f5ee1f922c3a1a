#!/usr/bin/env bash
# Published configurations at BERT-base size: bert_base.sh [THREADS]
set -euo pipefail
threads=${1:-null}
bench="powerbert bench model=bert-base-random batch_size=32 bench.examples=32 bench.rounds=5 runtime.threads=$threads"
$bench retention=paper/cola precision=fp32
$bench retention=paper/cola precision=bf16
$bench retention=paper/rte precision=fp32 "bench.paddings=[max]"
$bench retention=paper/rte precision=bf16 "bench.paddings=[max]" bench.rounds=3
