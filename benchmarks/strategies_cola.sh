#!/usr/bin/env bash
# Word-vector selection at one configuration, re-trained and not, three seeds: strategies_cola.sh MODEL DATA
set -euo pipefail
cola="task=cola task.data_dir=$2/glue/cola model.name_or_path=$1 lr=5e-5 finetune.epochs=3 runtime.threads=1
  retention.lengths=[11,9,6,2,2,1] seed=0,1,2 output_dir=outputs/strategies"
powerbert retrain -m $cola strategy=attention,head,random,merge,none retrain.epochs=0
powerbert retrain -m $cola strategy=attention,head,random,none retrain.epochs=2
python "$(dirname "$0")/runs.py" outputs/strategies/retrain strategy retrain.epochs --picture strategies-cola.png
