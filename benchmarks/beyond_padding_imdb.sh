#!/usr/bin/env bash
# Elimination beyond padding on long inputs: IMDB at ℓ = 512, 5,000 test rows, three seeds.
# beyond_padding_imdb.sh MODEL DATA [quality|speed] [ROWS]
# ROWS training rows: 5000, two epochs of each training and all options; 10000, one epoch of each. The steps are as many.
# quality takes hours on two cores (5000 some five); finished stages are used again, so it can be stopped and called again.
set -euo pipefail
here="$(dirname "$0")" model=$1 data=$2 part=${3:-quality} rows=${4:-5000}
runs=outputs/beyond/$rows
case "$rows" in
  5000) epochs=2 ;;
  10000) epochs=1 ;;
  *) echo "5000 or 10000, not $rows" >&2; exit 2 ;;
esac
imdb() { # VERB SEED NAME [OVERRIDE ...]
  local verb=$1 seed=$2 name=$3
  shift 3
  [ -f "$runs/$name-$seed/metrics.json" ] || [ -f "$runs/$name-$seed/timing.csv" ] ||
    powerbert "$verb" task=imdb task.data_dir="$data/imdb" task.max_train="$rows" task.max_dev=5000 seq_len=512 \
      model.name_or_path="$model" lr=5e-5 retrain.lr=2e-5 batch_size=16 epochs=$epochs seed="$seed" training.precision=bf16 \
      training.attention_dropout=0 hydra.run.dir="$runs/$name-$seed" "$@"
}
seeds() { echo "$runs/$1-0,$runs/$1-1,$runs/$1-2"; }
calibrated="searcher=calibrate target.flops" relative="retention.kind=relative" distil="retrain.distill=0.9"
if [ "$part" = quality ]; then
  for seed in 0 1 2; do
    imdb retrain "$seed" fine-tuned retention=full retrain.epochs=0
    imdb retrain "$seed" plain retention=full
    if [ "$rows" = 10000 ]; then
      names=(absolute-0.4 absolute-0.36 absolute-0.36-256 absolute-0.33 relative-0.4 relative-0.33)
      for share in 0.4 0.36 0.33; do imdb retrain "$seed" "absolute-$share" $calibrated=$share $distil; done
      imdb retrain "$seed" absolute-0.36-256 $calibrated=0.36 $distil calibrate.examples=256
      imdb retrain "$seed" relative-0.4 $calibrated=0.4 $relative $distil
      imdb retrain "$seed" relative-0.33 $calibrated=0.33 $relative $distil calibrate.examples=256
    else
      names=(calibrated-0.4 relative-0.4 smooth-0.4 cls-0.4 absolute-0.4 calibrated-0.36 labels-0.36 relative-0.36 gradual-0.36)
      imdb search "$seed" calibrated-0.4 $calibrated=0.4 $relative
      imdb retrain "$seed" relative-0.4 $calibrated=0.4 $relative $distil retrain.lr=1e-5
      imdb retrain "$seed" smooth-0.4 "retention.fractions=[0.8,0.609,0.428,0.26,0.111,0.0001]" $distil retrain.lr=1e-5
      imdb retrain "$seed" cls-0.4 $calibrated=0.4 $relative $distil research.retrain.distill_cls=1
      imdb retrain "$seed" absolute-0.4 $calibrated=0.4 $distil retrain.lr=1e-5
      imdb search "$seed" calibrated-0.36 $calibrated=0.36 $relative
      imdb retrain "$seed" labels-0.36 $calibrated=0.36 $relative
      imdb retrain "$seed" relative-0.36 $calibrated=0.36 $relative $distil
      imdb retrain "$seed" gradual-0.36 $calibrated=0.36 $relative $distil research.retrain.gradual=0.5
    fi
  done
  short=()
  for name in "${names[@]}"; do short+=("$name=$(seeds "$name")"); done
  python "$here/drops.py" --plain $runs/fine-tuned-*/ $runs/plain-*/ --short "${short[@]}"
else
  [ "$rows" = 10000 ] && names=(absolute-0.4 absolute-0.36 absolute-0.36-256 absolute-0.33 relative-0.4 relative-0.33) || names=(relative-0.4 relative-0.36 absolute-0.4)
  front=()
  for name in "${names[@]}"; do
    imdb bench 0 "bench-$name" model_dir="$runs/$name-0/model" batch_size=32 "bench.precisions=[fp32,bf16]" \
      "bench.paddings=[sorted]" bench.examples=128 bench.rounds=5
    front+=("$name=$runs/bench-$name-0/timing.csv=$(seeds "$name")")
  done
  python "$here/table.py" $runs/bench-*/timing.csv
  python "$here/front.py" $runs/front.png --plain $runs/fine-tuned-*/ $runs/plain-*/ --short "${front[@]}"
fi
