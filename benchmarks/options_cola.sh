#!/usr/bin/env bash
# Each option of search and re-training by itself on CoLA, at one budget: options_cola.sh MODEL DATA [SEEDS [OPTION ...]]
# SEEDS are 0,1,2 unless told, OPTIONs all. Stages that two sweeps share are made once.
set -euo pipefail
model=$1 data=$2 seeds=${3:-0,1,2}
options=("${@:4}")
[ ${#options[@]} -gt 0 ] || options=(train_once gradual distill_cls word_vector_cost calibrate_by calibrate_examples evolutionary regularizer)
sweep() {
  powerbert sweep grid=none task=cola task.data_dir="$data/glue/cola" model.name_or_path="$model" lr=5e-5 batch_size=32 \
    finetune.epochs=3 search.epochs=3 retrain.epochs=2 training.precision=bf16 precision=fp32 \
    training.attention_dropout=0 runtime.threads=1 target.flops=0.5 retention.kind=relative seed="$seeds" \
    "bench.paddings=[sorted]" bench.examples=64 bench.rounds=3 bench.max_seconds=5 "$@"
}
for option in "${options[@]}"; do
  case "$option" in
    train_once) sweep searcher=calibrate research.retrain.train_once=false,true ;;
    gradual) sweep searcher=calibrate research.retrain.gradual=0,0.5 ;;
    distill_cls) sweep searcher=calibrate retrain.distill=0.9 research.retrain.distill_cls=0,1 ;;
    word_vector_cost) sweep searcher=soft lr_soft=auto research.word_vector_cost=index,flops ;;
    calibrate_by) sweep searcher=calibrate retrain.epochs=0 research.calibrate.by=logits,significance ;;
    calibrate_examples) sweep searcher=calibrate retrain.epochs=0 calibrate.examples=64,512 ;;
    regularizer) sweep searcher=soft lr_soft=auto research.regularizer=loss,decoupled ;;
    evolutionary) sweep searcher=evolutionary,calibrate retrain.epochs=0 ;;
    *) echo "no option $option" >&2; exit 2 ;;
  esac
done
