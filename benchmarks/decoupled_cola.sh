#!/usr/bin/env bash
# The decoupled regulariser: does λ order, and does it keep its meaning as steps double? decoupled_cola.sh MODEL DATA
set -euo pipefail
cola="task=cola task.data_dir=$2/glue/cola model.name_or_path=$1 lr=5e-5 finetune.epochs=3 runtime.threads=1
  research.regularizer=decoupled lr_soft=auto"
powerbert search -m $cola search.epochs=1 lambda=0.03,0.06,0.1,0.2
powerbert search -m $cola search.epochs=2 lambda=0.03,0.06,0.1
