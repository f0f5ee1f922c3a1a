#!/usr/bin/env bash
# Elimination beyond padding on long inputs, 5,000 training and 5,000 test rows of IMDB at ℓ = 512, three seeds:
# beyond_padding_imdb.sh MODEL DATA
# Ten hours on one core; finished stages are used again, so it can be stopped and called again.
set -euo pipefail
here="$(dirname "$0")" runs=outputs/beyond
imdb() { # VERB SEED NAME [OVERRIDE ...]
  local verb=$1 seed=$2 name=$3
  shift 3
  powerbert "$verb" task=imdb task.data_dir="$data/imdb" task.max_train=5000 task.max_dev=5000 seq_len=512 \
    model.name_or_path="$model" lr=5e-5 batch_size=16 epochs=2 seed="$seed" training.precision=bf16 \
    training.attention_dropout=0 hydra.run.dir="$runs/$name-$seed" "$@"
}
model=$1 data=$2
plain=() names=() declare -A short
