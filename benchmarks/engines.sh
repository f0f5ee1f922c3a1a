#!/usr/bin/env bash
# Every engine on the real lengths of CoLA, RTE and IMDB: engines.sh MODEL DATA
# CoLA and RTE at BERT-base size with the published configurations and random weights, MODEL's tokenizer; IMDB with the
# 6-layer MODEL and the configuration that a search found for it (minilm_imdb.sh, λ=1e-4).
set -euo pipefail
bench="powerbert bench batch_size=32 bench.engines=[eager,onnx,openvino] bench.precisions=[fp32,int8]
  bench.models=[plain,shortened] bench.examples=128 bench.rounds=3"
base="model=bert-base-random model.tokenizer=$1"
$bench $base task=cola task.data_dir="$2/glue/cola" retention=paper/cola
$bench $base task=rte task.data_dir="$2/glue/rte" retention=paper/rte "bench.paddings=[longest,sorted]"
$bench task=imdb task.data_dir="$2/imdb" model.name_or_path="$1" seq_len=256 \
  "retention.lengths=[218,201,135,51,20,1]" "bench.paddings=[longest,sorted]"
