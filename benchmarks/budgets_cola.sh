#!/usr/bin/env bash
# One model for many budgets on CoLA: budgets_cola.sh MODEL DATA [SEEDS]
# A model re-trained at one configuration and one of research.retrain.train_once=true (as in options_cola.sh, whose stages serve here too),
# each shortened to several shares of FLOPs by searcher=evolutionary, without further training.
set -euo pipefail
model=$1 data=$2 seeds=${3:-0,1,2}
runs=outputs/budgets
cola() { # VERB NAME [OVERRIDE ...]
  [ -f "$runs/$2/metrics.json" ] ||
    powerbert "$1" task=cola task.data_dir="$data/glue/cola" batch_size=32 training.precision=bf16 training.attention_dropout=0 \
      runtime.threads=1 retention.kind=relative hydra.run.dir="$runs/$2" "${@:3}"
}
for seed in ${seeds//,/ }; do
  for once in false true; do
    cola retrain "once-$once/$seed" seed="$seed" model.name_or_path="$model" lr=5e-5 finetune.epochs=3 search.epochs=3 \
      retrain.epochs=2 searcher=calibrate target.flops=0.5 research.retrain.train_once=$once
    for share in 0.35 0.5 0.7; do
      cola search "once-$once/$share-$seed" seed="$seed" model_dir="$runs/once-$once/$seed/model" searcher=evolutionary \
        target.flops=$share
    done
  done
done
for once in false true; do
  echo "research.retrain.train_once=$once"
  python "$(dirname "$0")/runs.py" $runs/once-$once searcher target.flops
done
