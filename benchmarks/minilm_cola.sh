#!/usr/bin/env bash
# CoLA at two step budgets: minilm_cola.sh MODEL DATA
set -euo pipefail
sweep="powerbert sweep task=cola task.data_dir=$2/glue/cola model.name_or_path=$1 lr=5e-5 finetune.epochs=3
  retrain.epochs=2 lr_soft=2e-2 lambda=3e-5,3e-4,3e-3 bench.examples=128 bench.rounds=5 runtime.threads=1"
$sweep search.epochs=1
$sweep search.epochs=2
