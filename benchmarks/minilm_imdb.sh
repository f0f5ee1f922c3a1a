#!/usr/bin/env bash
# 4,000 training rows of IMDB at ℓ = 256: minilm_imdb.sh MODEL DATA
set -euo pipefail
powerbert sweep task=imdb task.data_dir="$2/imdb" task.max_train=4000 task.max_dev=500 seq_len=256 \
  model.name_or_path="$1" lr=5e-5 batch_size=16 epochs=1 training.attention_dropout=0 lr_soft=4e-2 \
  lambda=1e-4,1e-3 bench.examples=32 "bench.paddings=[max,sorted]" bench.rounds=3 runtime.threads=1
