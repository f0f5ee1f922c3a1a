#!/usr/bin/env bash
# On a machine with a CUDA GPU: the kernels' tests, the published configurations, the kernel's share.
set -euo pipefail
python -m pytest -m gpu
bench="powerbert bench model=bert-base-random device=cuda precision=bf16 bench.engines=[eager,compile] bench.paddings=[max]
  bench.batch_sizes=[1,128] bench.examples=128 bench.rounds=30"
$bench retention=paper/cola
$bench retention=paper/rte
python "$(dirname "$0")/significance_gpu.py"
python "$(dirname "$0")/training_speed.py" --batch-size 128 --precision bf16
