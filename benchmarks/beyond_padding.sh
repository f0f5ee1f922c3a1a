#!/usr/bin/env bash
# Elimination beyond padding on short and middle inputs: beyond_padding.sh cola|rte MODEL DATA [SHARE ...]
# Relative against absolute retention over three seeds, on CoLA also with distillation. The plain model is trained as
# long. Speed-ups against it in length-sorted batches.
set -euo pipefail
task=$1 model=$2 data=$3
shift 3
case "$task" in
  cola) batch=32 shares=("${@:-0.6}") distill=0,0.9 ;;
  rte) batch=16 shares=("${@:-0.33}") distill=0 ;;
  *) echo "cola or rte, not $task" >&2; exit 2 ;;
esac
for share in "${shares[@]}"; do
  powerbert sweep grid=none task="$task" task.data_dir="$data/glue/$task" model.name_or_path="$model" lr=5e-5 \
    batch_size=$batch finetune.epochs=3 retrain.epochs=2 training.precision=bf16 training.attention_dropout=0 runtime.threads=1 \
    searcher=calibrate target.flops="$share" retention.kind=relative,absolute retrain.distill=$distill seed=0,1,2 \
    precision=fp32 "bench.paddings=[sorted]" bench.examples=256 bench.rounds=7 bench.max_seconds=20
done
