#!/usr/bin/env bash
# The native engine beside the others on the real lengths of CoLA, RTE and IMDB: native.sh MODEL DATA
# MODEL has 6 layers; its weights are not trained for these configurations, so that the tables are of time alone.
set -euo pipefail
bench="powerbert bench model.name_or_path=$1 retention.kind=relative bench.engines=[eager,native,openvino]
  bench.precisions=[fp32,int8] bench.paddings=[sorted,packed] bench.examples=128 bench.rounds=7"
$bench task=cola task.data_dir="$2/glue/cola" batch_size=32 "retention.fractions=[0.9,0.7,0.5,0.4,0.3,0.1]"
$bench task=rte task.data_dir="$2/glue/rte" batch_size=16 "retention.fractions=[0.8,0.55,0.35,0.25,0.15,0.05]"
$bench task=imdb task.data_dir="$2/imdb" batch_size=16 "retention.fractions=[0.8,0.55,0.35,0.25,0.15,0.05]" \
  task.max_train=1000 task.max_dev=200 bench.examples=48 bench.paddings=[sorted] bench.max_seconds=600
