"""Which mean of an embedder's word-vectors is best where some were dropped, untrained: Spearman on pairs.

python benchmarks/means.py EMBEDDER PAIRS.tsv    # columns sentence1, sentence2, label; the first 700 rows
"""

import csv
import sys
from pathlib import Path
from typing import Any

import datasets

from powerbert_cli.encoder.shortened import ShortenedModel
from powerbert_cli.kinds.embedding import Embedding
from powerbert_cli.method.elimination import from_keys
from powerbert_cli.models.model_dir import load_plain
from powerbert_cli.models.tokenizers import own_tokenizer
from powerbert_cli.tasks.batches import answers
from powerbert_cli.tasks.metrics import METRICS
from powerbert_cli.tasks.tokenizing import tokenize

ROWS, SEQ_LEN = 700, 128
SHARES = ([1.0] * 6, [0.9] * 6, [1, 0.9, 0.8, 0.7, 0.7, 0.7], [0.8] * 6, [1, 1, 0.7, 0.5, 0.5, 0.5])


class Survivors(ShortenedModel):
    """The mean is over those that are left, each counted once."""

    def __init__(self, *given: Any) -> None:
        super().__init__(*given)
        self.reads = "mean"

    def _whole(self, rows: Any) -> Any:
        return rows.packing.whole(rows.vectors)


WAYS = {
    "restored": (ShortenedModel, "attention"),
    "survivors": (Survivors, "attention"),
    "merged, survivors": (Survivors, "merge"),
    "merged, counted": (ShortenedModel, "merge"),
}


def main(folder: str, pairs: Path) -> None:
    with pairs.open(encoding="utf-8", newline="") as stream:
        rows = list(csv.DictReader(stream, delimiter="\t", quoting=csv.QUOTE_NONE))[:ROWS]
    columns = {"text": "sentence1", "text_pair": "sentence2"}
    given: dict[str, list[Any]] = {to: [row[name] for row in rows] for to, name in columns.items()}
    given["label"] = [float(row["label"]) for row in rows]
    kind, tokenizer = Embedding(None, "spearman"), own_tokenizer(folder, "")
    tokens = tokenize(datasets.Dataset.from_dict(given), kind, tokenizer, SEQ_LEN)
    labels, pad = kind.labels(tokens), kind.collator(tokenizer, padding="longest")
    print(f"| shares kept | {' | '.join(WAYS)} |\n{'| --- ' * (len(WAYS) + 1)}|")
    for shares in SHARES:
        found = []
        for cls, strategy in WAYS.values():
            keys = {"seq_len": SEQ_LEN, "kind": "relative", "fractions": tuple(shares), "strategy": strategy}
            model = cls(load_plain(folder), from_keys(keys, len(shares))).eval()
            found.append(METRICS["spearman"](labels, kind.predictions(answers(model, tokens, pad, 32).logits, tokens)))
        print(
            f"| {', '.join(f'{share:g}' for share in shares)} | {' | '.join(f'{one:.4f}' for one in found)} |",
            flush=True,
        )


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]))
