#!/usr/bin/env bash
# predict on 100,000 rows in PyTorch and in the native engine, and how many answers differ: predict_rows.sh MODEL_DIR TEXTS.tsv
# The rows of TEXTS.tsv, which has a header, are repeated.
set -euo pipefail
awk 'NR == 1 { print; next } { rows[n++] = $0 } END { for (i = 0; i < 100000; i++) print rows[i % n] }' "$2" >rows.tsv
for engine in eager native; do
  powerbert predict model_dir="$1" input=rows.tsv output="$engine.csv" engine=$engine
done
powerbert predict model_dir="$1" input=rows.tsv output=int8.csv engine=native precision=int8
python -c '
import pandas as pd
answers = {name: pd.read_csv(f"{name}.csv")["label"] for name in ("eager", "native", "int8")}
for name, found in answers.items():
    print(name, (found != answers["eager"]).sum(), "of", len(found), "answers differ from those of PyTorch")
'
