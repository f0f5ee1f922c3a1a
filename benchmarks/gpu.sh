#!/usr/bin/env bash
# On a machine with a CUDA GPU: the tests that need one, the published configurations on real lengths, the kernel's share,
# training: gpu.sh DATA (a folder with glue/cola and glue/rte)
set -euo pipefail
python -m pytest -m gpu
bench="powerbert bench model=bert-base-random device=cuda precision=bf16 bench.engines=[eager] bench.rounds=20
  bench.paddings=[max,longest,sorted,packed]"
$bench task=cola task.data_dir="$1/glue/cola" retention=paper/cola batch_size=128 bench.examples=512
$bench task=cola task.data_dir="$1/glue/cola" retention=paper/cola batch_size=1 bench.examples=12
$bench task=rte task.data_dir="$1/glue/rte" retention=paper/rte batch_size=128 bench.examples=256
python "$(dirname "$0")/significance_gpu.py"
python "$(dirname "$0")/training_speed.py" --batch-size 128 --precision bf16
