#!/usr/bin/env bash
# Configurations from unlabelled examples alone, on 5,000 training and 5,000 test rows of IMDB at ℓ = 512:
# calibrate_imdb.sh MODEL DATA
set -euo pipefail
here="$(dirname "$0")" runs=outputs/calibrate
imdb="task=imdb task.data_dir=$2/imdb task.max_train=5000 task.max_dev=5000 seq_len=512 model.name_or_path=$1 lr=5e-5
  batch_size=16 epochs=2 training.precision=bf16 training.attention_dropout=0"
powerbert finetune $imdb hydra.run.dir=$runs/finetuned
powerbert retrain $imdb retention=full hydra.run.dir=$runs/longer
short=()
for share in 0.4 0.33 0.3; do
  target="searcher=calibrate retention.kind=relative target.flops=$share"
  powerbert search $imdb $target hydra.run.dir=$runs/$share
  powerbert bench $imdb shortened=$runs/$share/model batch_size=32 "bench.precisions=[fp32,bf16]" \
    "bench.paddings=[sorted]" bench.examples=128 bench.rounds=5 hydra.run.dir=$runs/bench-$share
  short+=("calibrated to $share=$runs/$share")
done
powerbert retrain $imdb searcher=calibrate retention.kind=relative target.flops=0.33 retrain.distill=0.9 hydra.run.dir=$runs/distilled
python "$here/drops.py" --plain $runs/finetuned $runs/longer --short "${short[@]}" "0.33, re-trained with distillation=$runs/distilled"
python "$here/table.py" $runs/bench-*/timing.csv
