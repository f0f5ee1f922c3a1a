#!/usr/bin/env bash
# Elimination beyond padding on long inputs: 5,000 training and 5,000 test rows of IMDB at ℓ = 512, three seeds.
# beyond_padding_imdb.sh MODEL DATA [quality|speed]
# quality takes some five hours on two cores; finished stages are used again, so it can be stopped and called again.
set -euo pipefail
here="$(dirname "$0")" runs=outputs/beyond model=$1 data=$2
imdb() { # VERB SEED NAME [OVERRIDE ...]
  local verb=$1 seed=$2 name=$3
  shift 3
  [ -f "$runs/$name-$seed/metrics.json" ] || [ -f "$runs/$name-$seed/timing.csv" ] ||
    powerbert "$verb" task=imdb task.data_dir="$data/imdb" task.max_train=5000 task.max_dev=5000 seq_len=512 \
      model.name_or_path="$model" lr=5e-5 retrain.lr=2e-5 batch_size=16 epochs=2 seed="$seed" training.precision=bf16 \
      training.attention_dropout=0 hydra.run.dir="$runs/$name-$seed" "$@"
}
of() { echo "$1=$runs/$1-0,$runs/$1-1,$runs/$1-2"; }
if [ "${3:-quality}" = quality ]; then
  calibrated="searcher=calibrate target.flops" relative="retention.kind=relative"
  for seed in 0 1 2; do
    imdb retrain "$seed" plain0 retention=full retrain.epochs=0
    imdb retrain "$seed" plain2 retention=full
    imdb search "$seed" calibrated-0.4 $calibrated=0.4 $relative
    imdb retrain "$seed" distilled-0.4 $calibrated=0.4 $relative retrain.distill=0.9 retrain.lr=1e-5
    imdb retrain "$seed" smooth-0.4 "retention.fractions=[0.8,0.609,0.428,0.26,0.111,0.0001]" retrain.distill=0.9 retrain.lr=1e-5
    imdb retrain "$seed" absolute-0.4 $calibrated=0.4 retrain.distill=0.9 retrain.lr=1e-5
    imdb search "$seed" calibrated-0.36 $calibrated=0.36 $relative
    imdb retrain "$seed" distilled-0.36 $calibrated=0.36 $relative retrain.distill=0.9
    imdb retrain "$seed" labels-0.36 $calibrated=0.36 $relative
    imdb retrain "$seed" gradual-0.36 $calibrated=0.36 $relative retrain.distill=0.9 retrain.gradual=0.5
    imdb retrain "$seed" cls-0.4 $calibrated=0.4 $relative retrain.distill=0.9 retrain.distill_cls=1
  done
  short=()
  for name in calibrated-0.4 distilled-0.4 smooth-0.4 cls-0.4 absolute-0.4 calibrated-0.36 labels-0.36 distilled-0.36 gradual-0.36; do
    short+=("$(of $name)")
  done
  python "$here/drops.py" --plain $runs/plain*/ --short "${short[@]}"
else
  for name in distilled-0.4 distilled-0.36 absolute-0.4; do
    imdb bench 0 "bench-$name" shortened="$runs/$name-0/model" batch_size=32 "bench.precisions=[fp32,bf16]" \
      "bench.paddings=[sorted]" bench.examples=128 bench.rounds=7
  done
  python "$here/table.py" $runs/bench-*/timing.csv
  python "$here/front.py" $runs/front.png --plain $runs/plain*/ --short \
    "0.40, distilled=$runs/bench-distilled-0.4-0/timing.csv=$runs/distilled-0.4-0,$runs/distilled-0.4-1,$runs/distilled-0.4-2" \
    "0.36, distilled=$runs/bench-distilled-0.36-0/timing.csv=$runs/distilled-0.36-0,$runs/distilled-0.36-1,$runs/distilled-0.36-2"
fi
