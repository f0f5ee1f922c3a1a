#!/usr/bin/env bash
# The native engine beside all others: native.sh DATA COLA RTE IMDB, data and folders of shortened models of 6 layers.
# Then a model of BERT-base's size with the published configurations; its weights are random, so that is of time alone.
set -euo pipefail
common="bench.engines=[eager,native,onnx,openvino,ctranslate2] bench.precisions=[fp32,int8] bench.paddings=[sorted,buckets,packed]"
trained="powerbert bench $common bench.rounds=7 bench.max_seconds=400"
$trained task=cola task.data_dir="$1/glue/cola" model_dir="$2" batch_size=32 bench.examples=128
$trained task=rte task.data_dir="$1/glue/rte" model_dir="$3" batch_size=16 bench.examples=64
$trained task=imdb task.data_dir="$1/imdb" model_dir="$4" batch_size=16 bench.examples=48 \
  task.max_train=800 task.max_dev=500 seq_len=256
base="powerbert bench $common model=bert-base-random bench.batch_sizes=[1,32] bench.examples=32 bench.rounds=5 bench.max_seconds=240"
$base task=cola task.data_dir="$1/glue/cola" retention=paper/cola
$base task=rte task.data_dir="$1/glue/rte" retention=paper/rte
