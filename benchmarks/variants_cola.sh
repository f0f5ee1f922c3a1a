#!/usr/bin/env bash
# The switches of significance between paper and authors' code, three seeds: variants_cola.sh MODEL DATA
set -euo pipefail
cola="task=cola task.data_dir=$2/glue/cola lr=5e-5 runtime.threads=1 output_dir=outputs/variants"
for seed in 0 1 2; do
  start=outputs/variants/start-$seed
  powerbert finetune $cola model.name_or_path=$1 epochs=3 seed=$seed hydra.run.dir=$start
  shorten="$cola retention.lengths=[11,9,6,2,2,1] model_dir=$start/model seed=$seed retrain.epochs=0"
  powerbert retrain -m $shorten research.variant.diagonal=true,false
  powerbert retrain -m $shorten research.variant.pad_queries=true training.padding=max,longest
done
python "$(dirname "$0")/runs.py" outputs/variants/retrain research.variant.diagonal research.variant.pad_queries training.padding
