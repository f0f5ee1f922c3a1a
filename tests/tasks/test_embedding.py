"""Vectors of texts: parity with sentence-transformers, pairs, search, files and whole commands."""

import json
import random
from pathlib import Path

import datasets
import numpy as np
import pandas as pd
import pytest
import torch
from custom import task
from hosts import described
from sentence_transformers import SentenceTransformer
from sentence_transformers.models import Normalize, Pooling, Transformer
from small import QUICK, newest, run_card
from transformers import BertConfig, BertModel

from powerbert_cli import PowerBertForEmbedding, load_shortened
from powerbert_cli.cli import dispatch
from powerbert_cli.encoder.pooling import Pooling as Pooled
from powerbert_cli.encoder.shortened import ShortenedModel
from powerbert_cli.kinds.embedding import Embedding
from powerbert_cli.kinds.kind import objects
from powerbert_cli.method.elimination import plain
from powerbert_cli.models.model_dir import load_plain, save_model_dir
from powerbert_cli.models.tokenizers import own_tokenizer
from powerbert_cli.models.weights import ModelError
from powerbert_cli.sentence import load_embedder
from powerbert_cli.store.retention_file import RetentionFile
from powerbert_cli.tasks.metrics import METRICS
from powerbert_cli.tasks.rows import DataError
from powerbert_cli.tasks.sources import load_task
from powerbert_cli.tasks.tokenizing import build_tokenizer, tokenize

TEXTS = ["sun", "rain and wind today", "the fog of the old town is thick and grey"]
TOKENIZER = build_tokenizer(["sun rain and wind today the fog of old town is thick grey snow"], 100)
SHORT = described((8, 5, 2), 16)


def embedder(folder, pooling="mean", normalize=True):
    """As sentence-transformers saves it, with random weights."""
    config = BertConfig(
        vocab_size=len(TOKENIZER), hidden_size=32, num_hidden_layers=3, num_attention_heads=4, intermediate_size=64,
        max_position_embeddings=64, pad_token_id=TOKENIZER.pad_token_id,
    )  # fmt: skip
    torch.manual_seed(0)
    BertModel(config).save_pretrained(folder / "bert")
    TOKENIZER.save_pretrained(folder / "bert")
    modules = [Transformer(str(folder / "bert")), Pooling(32, pooling_mode=pooling)]
    SentenceTransformer(modules=[*modules, *([Normalize()] if normalize else [])]).save(str(folder / "st"))
    return folder / "st"


@pytest.mark.parametrize(("pooling", "normalize"), [("mean", True), ("mean", False), ("cls", True)])
def test_where_nothing_is_dropped_vectors_are_those_of_sentence_transformers(pooling, normalize, tmp_path):
    """Plain, packed, alone, and through the native engine; saved, it loads there again."""
    folder = embedder(tmp_path, pooling, normalize)
    expected = SentenceTransformer(str(folder)).encode(TEXTS)
    host, tokenizer = load_plain(folder), own_tokenizer(str(folder), "")
    given = tokenizer(TEXTS, padding=True, return_tensors="pt")
    model = ShortenedModel(host, plain(64, 3)).eval()
    with torch.no_grad():
        assert np.allclose(host(**given).logits, expected, atol=1e-5)
        assert np.allclose(model(**given).logits, expected, atol=1e-5)
        for text, vector in zip(TEXTS, expected, strict=True):
            assert np.allclose(model(**tokenizer(text, return_tensors="pt")).logits[0], vector, atol=1e-5)
    save_model_dir(tmp_path / "plain", host, tokenizer)
    assert np.allclose(SentenceTransformer(str(tmp_path / "plain")).encode(TEXTS), expected, atol=1e-5)
    save_model_dir(tmp_path / "full", host, tokenizer, RetentionFile(plain(64, 3)))
    assert np.allclose(load_shortened(tmp_path / "full", engine="native")(**given).logits, expected, atol=1e-5)


def test_a_shortened_embedder_is_loaded_by_sentence_transformers(tmp_path):
    folder = embedder(tmp_path)
    save_model_dir(tmp_path / "short", load_plain(folder), own_tokenizer(str(folder), ""), RetentionFile(SHORT))
    model = PowerBertForEmbedding.from_pretrained(tmp_path / "short")
    given = TOKENIZER(TEXTS, padding=True, return_tensors="pt")
    with torch.no_grad():
        expected = ShortenedModel.forward(model, **given).logits.numpy()
    for loaded in (
        SentenceTransformer(str(tmp_path / "short"), trust_remote_code=True),
        load_embedder(tmp_path / "short"),
    ):
        assert np.allclose(loaded.encode(TEXTS), expected, atol=1e-5) and loaded.max_seq_length == 16
    loaded.save(str(tmp_path / "again"))
    assert np.allclose(load_embedder(tmp_path / "again").encode(TEXTS), expected, atol=1e-5)


def test_the_mean_by_hand():
    states = torch.tensor([[[1.0, 0.0], [3.0, 4.0], [9.0, 9.0]]])
    mask = torch.tensor([[True, True, False]])
    assert Pooled(normalize=False)(states, mask).tolist() == [[2.0, 2.0]]
    assert Pooled(mode="cls", normalize=False)(states, None).tolist() == [[1.0, 0.0]]
    assert Pooled()(states[:, 1:2], None)[0].tolist() == pytest.approx([0.6, 0.8])
    assert (Pooled().reads, Pooled(mode="cls").reads) == ("all", "first")


def test_where_word_vectors_are_put_together_each_counts_for_as_many(tmp_path):
    """Merged in the last layer alone: the mean is that of the survivors with their counts, which add up to all."""
    host = load_plain(embedder(tmp_path, normalize=False))
    merging = described((16, 16, 4), 16, strategy="merge")
    model, given = ShortenedModel(host, merging).eval(), TOKENIZER(TEXTS[2], return_tensors="pt")
    seen = []
    with torch.no_grad():
        rows = model._encode(model.start(**given), seen.append)
        found = model(**given).logits
    counts = rows.weights
    assert counts.sum() == given["input_ids"].numel() and counts.max() > 1 and len(counts) == 4
    assert torch.allclose(found[0], (rows.vectors * counts[:, None]).sum(0) / counts.sum(), atol=1e-6)


@pytest.mark.parametrize(
    ("change", "why"),
    [
        (lambda folder: (folder / "modules.json").write_text('[{"type": "a.Dense"}]'), "has a module Dense"),
        (lambda folder: (folder / "modules.json").write_text("{}"), "is no list of modules"),
        (lambda folder: (folder / "1_Pooling/config.json").write_text('{"pooling_mode": "max"}'), "pools by max"),
        (lambda folder: (folder / "1_Pooling/config.json").unlink(), "cannot be read"),
    ],
)
def test_modules_that_it_does_not_do_are_named(change, why, tmp_path):
    folder = embedder(tmp_path)
    change(folder)
    with pytest.raises(ModelError, match=why):
        load_plain(folder)


def test_the_cosine_of_each_pair_by_hand():
    kind = Embedding(None, "spearman")
    rows = datasets.Dataset.from_dict({"text": ["sun", "fog"], "text_pair": ["rain", "wind"], "label": [1.0, 5.0]})
    tokens = tokenize(rows, kind, TOKENIZER, 8)
    assert tokens["row"][:] == [0, 0, 1, 1] and kind.labels(tokens).tolist() == [1.0, 5.0]
    vectors = np.array([[1.0, 0.0], [0.0, 2.0], [3.0, 4.0], [4.0, 3.0]])
    assert kind.predictions(vectors, tokens).tolist() == pytest.approx([0.0, 0.96])


def test_documents_are_ranked_for_queries_by_hand():
    """Two queries, three documents; the second query's only relevant document comes second."""
    kind = Embedding(None, "ndcg_10")
    rows = datasets.Dataset.from_dict(
        {
            "text": ["q", "r", "a", "b", "c"],
            "query": [0, 1, -1, -1, -1],
            "judged": [[0, 2], [1], [], [], []],
            "label": [[2.0, 1.0], [1.0], [], [], []],
        }
    )
    tokens = tokenize(rows, kind, TOKENIZER, 8)
    vectors = np.array([[1.0, 0.0], [0.0, 1.0], [1.0, 0.1], [0.5, 1.0], [0.1, 1.0]])
    found = kind.predictions(vectors, tokens)
    assert found.tolist() == [(0, 1, 2), (2, 1, 0)] and kind.labels(tokens)[0] == ((0, 2.0), (2, 1.0))
    first = (2 + 1 / np.log2(4)) / (2 + 1 / np.log2(3))
    assert METRICS["ndcg_10"](kind.labels(tokens), found) == pytest.approx((first + 1 / np.log2(3)) / 2)
    assert kind.differ(found, found) == 0 and kind.differ(objects([(0, 1), (5, 6)]), objects([(1, 0), (5, 7)])) == 0.25
    assert METRICS["mrr_10"](kind.labels(tokens), found) == pytest.approx(0.75)
    assert METRICS["map"](kind.labels(tokens), found) == pytest.approx(((1 + 2 / 3) / 2 + 0.5) / 2)


def beir(folder):
    (folder / "qrels").mkdir(parents=True)
    draw, words = random.Random(0), ["sun", "rain", "wind", "today", "fog", "old", "town", "thick", "grey", "snow"]
    texts = [" ".join(draw.choices(words, k=draw.randint(3, 12))) for _ in range(30)]
    lines = [{"_id": f"d{i}", "title": "", "text": text} for i, text in enumerate(texts)]
    (folder / "corpus.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    lines = [{"_id": f"q{i}", "text": texts[i]} for i in range(6)]
    (folder / "queries.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    judged = "".join(f"q{i}\td{i}\t1\n" for i in range(5))
    (folder / "qrels/test.tsv").write_text("query-id\tcorpus-id\tscore\n" + judged)
    return folder


def searching(folder, **changes):
    own = {"kind": "embedding", "metric": "ndcg_10", "label_names": None, "text_columns": ["text"], **changes}
    return task(folder, **own)


@pytest.mark.parametrize(
    ("file", "text", "why"),
    [
        ("qrels/test.tsv", "query-id\tcorpus-id\tscore\nq9\td1\t1\n", "names 'q9', which queries.jsonl has not"),
        ("qrels/test.tsv", "query-id\tcorpus-id\tscore\nq1\tx\t1\n", "names 'x', which corpus.jsonl has not"),
        (
            "qrels/test.tsv",
            "q1\td1\t1\nq1\td2\t1\n",
            "has no column query-id, corpus-id, score; its first line has to name",
        ),
        ("qrels/test.tsv", "query-id\tcorpus-id\tscore\nq1\td1\thigh\n", "row 1 .* has score 'high'"),
        ("qrels/test.tsv", None, "has no qrels/dev.tsv or qrels/test.tsv"),
        ("queries.jsonl", None, "has no queries.jsonl"),
        ("corpus.jsonl", '{"_id": "d1", "text": "a"}\n{"_id": "d1", "text": "b"}\n', "stands there twice"),
    ],
)
def test_a_folder_of_beir_that_breaks_a_rule(file, text, why, tmp_path):
    folder = beir(tmp_path / "beir")
    (folder / file).unlink()
    if text is not None:
        (folder / file).write_text(text)
    with pytest.raises(DataError, match=why):
        load_task(searching(folder))


KIND = ["task=custom", "task.kind=embedding", "runtime.log_seconds=60"]


def test_whole_commands(here, monkeypatch, capfd):
    """Shortened by its own vectors, on texts without labels; measured on pairs and on a search, timed, answered."""
    folder = embedder(here)
    Path("data").mkdir()
    draw, words = random.Random(1), ["sun", "rain", "wind", "today", "fog", "old", "town", "thick", "grey", "snow"]
    texts = [" ".join(draw.choices(words, k=draw.randint(3, 12))) for _ in range(48)]
    Path("data/train.jsonl").write_text("".join(json.dumps({"text": text}) + "\n" for text in texts))
    pairs = [{"text": texts[i], "text_pair": texts[i + 1], "label": i % 5} for i in range(16)]
    Path("data/dev.jsonl").write_text("".join(json.dumps(pair) + "\n" for pair in pairs))
    own = [*KIND, "task.data_dir=data", "task.text_columns=[text,text_pair]", f"model.name_or_path={folder}"]
    how = ["searcher=calibrate", "retention.kind=relative", "target.flops=0.6", "epochs=3", "lr=1e-3", "seq_len=16"]
    assert dispatch(["sweep", *own, *how, "batch_size=8", "grid=none", "compress.ffn=0.75", *QUICK]) == 0
    run = newest("sweep") / "0"
    metrics = json.loads((run / "metrics.json").read_text())
    assert metrics["metric"] == "spearman" and metrics["n"] == 16
    assert "finetune: st is measured on dev, not trained" in capfd.readouterr().out
    model = f"model_dir={run / 'model'}"
    timed = ["task.metric=ndcg_10", f"task.data_dir={beir(here / 'beir')}", "task.text_columns=[text]", "seq_len=16"]
    assert dispatch(["bench", model, *KIND, *timed, "bench.engines=[eager,native]", "bench.accuracy=true", *QUICK]) == 0
    timing = pd.read_csv(newest("bench") / "timing.csv").dropna(subset="value")
    assert set(timing["metric"]) == {"ndcg_10"} and timing["logits_differ"].max() < 1e-4
    Path("in.txt").write_text("sun and rain\nfog\n")
    assert dispatch(["predict", model, "input=in.txt", "output=out.parquet"]) == 0
    vectors = np.stack(pd.read_parquet("out.parquet")["embedding"])
    assert run_card(run / "model", monkeypatch)["vectors"].shape == (2, 32)
    expected = load_embedder(run / "model").encode(["sun and rain", "fog"])
    assert np.allclose(vectors, expected, atol=1e-5)
    assert dispatch(["predict", model, "input=in.txt", "output=out.npy"]) == 0
    assert np.allclose(np.load("out.npy"), expected, atol=1e-5) and np.load("out.npy").dtype == np.float32


@pytest.mark.parametrize(
    ("given", "why"),
    [
        (["searcher=soft", "lambda=1e-3"], "task.kind=embedding has none here"),
        (
            ["searcher=calibrate", "target.flops=0.6", "compress.ffn=0.5", "compress.score=taylor"],
            "has none to learn from",
        ),
    ],
)
def test_what_needs_labels_is_refused(given, why, here, capfd):
    folder = embedder(here)
    own = [*KIND, "task.data_dir=.", "task.text_columns=[text,text_pair]", f"model.name_or_path={folder}", "seq_len=16"]
    Path("train.jsonl").write_text('{"text": "a"}\n')
    Path("dev.jsonl").write_text("".join(f'{{"text": "a", "text_pair": "b", "label": {i}}}\n' for i in range(3)))
    assert dispatch(["retrain", *own, *given]) != 0
    assert why in capfd.readouterr().err
