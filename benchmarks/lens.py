"""How a search judges a tagger's configurations, with and without the maps of `search.lens`; and F1 as it is.

python benchmarks/lens.py TAGGER DATA    # a model directory of 6 layers; train and dev as jsonl.gz, tokens and ner_tags
"""

import sys
from itertools import islice
from pathlib import Path

import datasets

from powerbert_cli.encoder.shortened import ShortenedModel
from powerbert_cli.kinds.token_classification import TokenClassification
from powerbert_cli.method.elimination import from_keys
from powerbert_cli.models.model_dir import load_plain
from powerbert_cli.models.tokenizers import own_tokenizer
from powerbert_cli.search.judges import LogitsJudge
from powerbert_cli.tasks.batches import answers, make_batches
from powerbert_cli.tasks.metrics import METRICS
from powerbert_cli.tasks.reading import rows_of
from powerbert_cli.tasks.tokenizing import tokenize

SEQ_LEN, JUDGED, OTHERS, DEV = 128, 256, 512, 500
SHARES = ([0.56] * 6, [0.8] * 6, [1, 1, 1, 0.2, 0.2, 0.2], [1, 1, 1, 1, 0.01, 0.01], [1, 1, 0.6, 0.4, 0.3, 0.3])


def main(folder: str, data: Path) -> None:
    host, tokenizer = load_plain(folder), own_tokenizer(folder, "")
    names = [host.config.id2label[i] for i in range(host.config.num_labels)]
    kind = TokenClassification(names, "span_f1")
    pad = kind.collator(tokenizer, padding="longest")

    def tokens(split: str, count: int) -> datasets.Dataset:
        rows = [row for _, row in islice(rows_of(data / f"{split}.jsonl.gz", "jsonl", ["tokens", "ner_tags"]), count)]
        labels = [[names.index(tag) for tag in row["ner_tags"]] for row in rows]
        given = {"words": [row["tokens"] for row in rows], "label": labels}
        return tokenize(datasets.Dataset.from_dict(given), kind, tokenizer, SEQ_LEN)

    train, dev = list(tokens("train", JUDGED + OTHERS)), tokens("dev", DEV)
    judged, others = (make_batches(own, "sorted", 32, pad, "cpu", SEQ_LEN) for own in (train[:JUDGED], train[JUDGED:]))
    whole = ShortenedModel(host, from_keys({"seq_len": SEQ_LEN, "kind": "relative", "fractions": (1.0,) * 6}, 6)).eval()
    as_it_is, through = LogitsJudge(whole, judged, "fp32"), LogitsJudge(whole, judged, "fp32", others)
    print("| shares kept | FLOPs | harm without the maps | harm with them | F1, untrained |")
    print("| --- | --- | --- | --- | --- |")
    for shares in SHARES:
        keys = {"seq_len": SEQ_LEN, "kind": "relative", "fractions": tuple(shares), "strategy": "attention"}
        elimination = from_keys(keys, 6)
        logits = answers(ShortenedModel(host, elimination).eval(), dev, pad, 32).logits
        score = METRICS["span_f1"](kind.labels(dev), kind.predictions(logits, dev))
        harms = f"{as_it_is(elimination):.3f} | {through(elimination):.3f}"
        said = ", ".join(f"{share:g}" for share in shares)
        print(f"| {said} | {sum(shares) / 6:.2f} | {harms} | {score:.3f} |", flush=True)


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]))
