#!/usr/bin/env bash
# The switches between paper and authors' code, one at a time, three seeds: variants_cola.sh MODEL DATA
set -euo pipefail
cola="task=cola task.data_dir=$2/glue/cola model.name_or_path=$1 lr=5e-5 finetune.epochs=3 runtime.threads=1
  retention.lengths=[11,9,6,2,2,1] seed=0,1,2 output_dir=outputs/variants"
for epochs in 0 2; do
  powerbert retrain -m $cola retrain.epochs=$epochs variant.diagonal=true,false
done
powerbert retrain -m $cola retrain.epochs=0 variant.pad_queries=true training.padding=max,longest
python "$(dirname "$0")/runs.py" outputs/variants/retrain \
  variant.diagonal variant.pad_queries training.padding retrain.epochs
