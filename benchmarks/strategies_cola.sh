#!/usr/bin/env bash
# Word-vector selection at one configuration, re-trained and not, three seeds, and the plain model beside it: strategies_cola.sh MODEL DATA
set -euo pipefail
cola="task=cola task.data_dir=$2/glue/cola model.name_or_path=$1 lr=5e-5 finetune.epochs=3 runtime.threads=1 seed=0,1,2"
chosen="retention.lengths=[11,9,6,2,2,1] output_dir=outputs/strategies"
powerbert retrain -m $cola $chosen strategy=attention,head,random,merge retrain.epochs=0
powerbert retrain -m $cola $chosen strategy=attention,head,random retrain.epochs=2
powerbert retrain -m $cola retention=full output_dir=outputs/strategies-none retrain.epochs=0,2
python "$(dirname "$0")/runs.py" outputs/strategies/retrain strategy retrain.epochs --picture strategies-cola.png
python "$(dirname "$0")/runs.py" outputs/strategies-none/retrain retrain.epochs
