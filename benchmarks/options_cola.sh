#!/usr/bin/env bash
# Each option of search and re-training by itself on CoLA, at one budget and over three seeds: options_cola.sh MODEL DATA
# Stages that two sweeps share are made once.
set -euo pipefail
sweep() {
  powerbert sweep grid=none task=cola task.data_dir="$data/glue/cola" model.name_or_path="$model" lr=5e-5 batch_size=32 \
    finetune.epochs=3 search.epochs=3 retrain.epochs=2 training.precision=bf16 training.attention_dropout=0 \
    runtime.threads=1 target.flops=0.5 retention.kind=relative seed=0,1,2 \
    "bench.paddings=[sorted]" bench.examples=64 bench.rounds=3 bench.max_seconds=5 "$@"
}
model=$1 data=$2
calibrated="searcher=calibrate"
sweep $calibrated calibrate.by=logits,significance retrain.epochs=0
sweep $calibrated calibrate.by=logits,significance
sweep $calibrated retrain.distill=0,0.5,0.9
sweep $calibrated retrain.distill=0.9 retrain.distill_cls=0,1
sweep $calibrated retrain.gradual=0,0.5
sweep $calibrated retrain.train_once=false,true
sweep searcher=evolutionary,calibrate retrain.epochs=0
sweep searcher=soft word_vector_cost=index,flops,latency
