#!/usr/bin/env bash
# Elimination beyond padding: beyond_padding.sh cola|rte MODEL DATA
# Relative against absolute retention, with distillation and without, three seeds; baselines are trained as long.
set -euo pipefail
case "$1" in
  cola) share=0.45 batch=32 ;;
  rte) share=0.33 batch=16 ;;
  *) echo "cola or rte, not $1" >&2; exit 2 ;;
esac
powerbert sweep grid=none task="$1" task.data_dir="$3/glue/$1" model.name_or_path="$2" lr=5e-5 batch_size=$batch \
  finetune.epochs=3 retrain.epochs=2 training.precision=bf16 precision=fp32 training.attention_dropout=0 runtime.threads=1 \
  searcher=calibrate target.flops=$share retention.kind=relative,absolute retrain.distill=0,0.9 seed=0,1,2 \
  "bench.paddings=[sorted]" bench.examples=256 bench.rounds=7 bench.max_seconds=20
