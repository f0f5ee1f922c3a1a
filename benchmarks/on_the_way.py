"""Lengths by which a greedy search first came below a share of the FLOPs: python benchmarks/on_the_way.py SEARCH SHARE.

SEARCH is the run directory of `powerbert search searcher=calibrate` with a smaller target; the longest of its training
inputs has ℓ word-pieces. Prints the lengths as retention.lengths takes them.
"""

import csv
import json
import sys
from pathlib import Path

from powerbert_cli.method.retention import quota


def main() -> None:
    run, share = Path(sys.argv[1]), float(sys.argv[2])
    seq_len = json.loads((run / "retention.json").read_text(encoding="utf-8"))["seq_len"]
    with (run / "tried.csv").open(encoding="utf-8") as lines:
        shares = next((row["shares"] for row in csv.DictReader(lines) if float(row["cost"]) <= share), None)
    if shares is None:
        raise SystemExit(f"{run / 'tried.csv'}: no step costs {share:g} or less; search with a smaller target.flops")
    print(str([quota(float(one), seq_len) for one in shares.split(",")]).replace(" ", ""))


if __name__ == "__main__":
    main()
