#!/usr/bin/env bash
# Twelve layers on long inputs: IMDB at ℓ = 512, word-vectors, neurons and layers removed, one seed.
# imdb_twelve.sh MODEL DATA [quality|speed] [ROWS]
# ROWS training rows (1200), one epoch of each training; hours on a CPU. Finished runs and stages are used again.
set -euo pipefail
model=$1 data=$2 part=${3:-quality} rows=${4:-1200}
here=$(cd "$(dirname "$0")" && pwd) runs=outputs/imdb-twelve/$rows
imdb() { # VERB NAME [OVERRIDE ...]
  local verb=$1 name=$2
  shift 2
  [ -f "$runs/$name/metrics.json" ] || [ -f "$runs/$name/timing.csv" ] ||
    powerbert "$verb" task=imdb task.data_dir="$data/imdb" task.max_train="$rows" task.max_dev=1000 seq_len=512 \
      model.name_or_path="$model" lr=3e-5 batch_size=16 epochs=1 retrain.epochs=1 training.attention_dropout=0 \
      calibrate.examples=16 hydra.run.dir="$runs/$name" "$@"
}
on_the_way() { # SHARE: the lengths by which a search came below that share of the FLOPs
  python "$here/on_the_way.py" "$runs/searched" "$1"
}
names=(words-0.5 words-0.35 first-6 first-6-words neurons-words)
if [ "$part" = quality ]; then
  imdb retrain fine-tuned retention=full retrain.epochs=0
  imdb search searched searcher=calibrate target.flops=0.35
  half=$(on_the_way 0.5) # apart: a failure within an argument would not end this script
  imdb retrain words-0.5 "retention.lengths=$half"
  imdb retrain words-0.35 searcher=calibrate target.flops=0.35
  imdb retrain first-6 method=first compress.layers=6
  imdb retrain first-6-words method=first compress.layers=6 "retention.lengths=[512,384,256,128,64,1]" # by hand
  imdb retrain neurons-words compress.ffn=0.62 compress.tune=refit compress.examples=256 "retention.lengths=$half"
  imdb retrain plain retention=full
  python "$here/drops.py" --plain "$runs/fine-tuned" "$runs/plain" --short $(for name in "${names[@]}"; do echo "$name=$runs/$name"; done)
else
  how=(batch_size=8 "bench.models=[plain,shortened]" bench.rounds=3 bench.accuracy=false runtime.threads=1 "bench.paddings=[sorted]")
  short=()
  for name in "${names[@]}"; do
    imdb bench "bench-$name" model_dir="$runs/$name/model" "${how[@]}" "bench.engines=[eager]" bench.examples=8 bench.max_seconds=100
    short+=("$name=$runs/bench-$name/timing.csv=$runs/$name")
  done
  for name in words-0.5 neurons-words; do
    imdb bench "bench-int8-$name" model_dir="$runs/$name/model" "${how[@]}" "bench.engines=[native,openvino]" \
      "bench.precisions=[int8]" bench.examples=16 bench.max_seconds=300
  done
  python "$here/table.py" "$runs"/bench-*/timing.csv
  python "$here/front.py" "$runs/front.png" --plain "$runs/fine-tuned" "$runs/plain" --short "${short[@]}"
fi
