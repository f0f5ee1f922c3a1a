"""What tests of queries with candidates share: words, a folder in BEIR's form, a CrossEncoder."""

import json
from pathlib import Path
from typing import Any

import pytest
from hosts import make_host

from powerbert_cli.tasks.tokenizing import build_tokenizer

WORDS = ["red", "blue", "apple", "pear", "tree", "car", "sky", "sea", "old", "new"]
TOKENIZER = build_tokenizer([" ".join(WORDS)], 100)
CORPUS = {"d1": "red apple", "d2": "blue sky", "d3": "old car", "d4": "green pear", "d5": "apple pear tree"}
QUERIES = {"q1": "apple", "q2": "sky", "q3": "car", "q4": "pear"}


def beir(own: Path) -> Path:
    """Writes the corpus, the queries and a test split."""
    (own / "qrels").mkdir(parents=True)
    for name, texts in {"corpus": CORPUS, "queries": QUERIES}.items():
        lines = [json.dumps({"_id": key, "text": text}) for key, text in texts.items()]
        (own / f"{name}.jsonl").write_text("\n".join(lines) + "\n")
    judge(own, "test", [("q1", "d5", 2), ("q2", "d3", 1)])
    return own


def judge(
    folder: Path, split: str, judgements: Any, kind: str = "qrels", header: str = "query-id\tcorpus-id\tscore"
) -> None:
    """Writes the judgements of a split."""
    (folder / kind).mkdir(exist_ok=True)
    lines = ["\t".join(map(str, one)) for one in judgements]
    (folder / kind / f"{split}.tsv").write_text("\n".join([header, *lines]) + "\n")


def cross_encoder(folder: Path) -> tuple[Path, Any]:
    """A folder of a CrossEncoder's, of modules, and the CrossEncoder."""
    library = pytest.importorskip("sentence_transformers")
    make_host(num_labels=1, problem_type=None).save_pretrained(folder / "plain")
    TOKENIZER.save_pretrained(folder / "plain")
    made = library.CrossEncoder(str(folder / "plain"), device="cpu", max_length=32)
    made.save_pretrained(str(folder / "cross"))
    return folder / "cross", made
