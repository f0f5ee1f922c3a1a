"""Tags of words: spans, schemes, windows, files and whole commands."""

import json
import random
from pathlib import Path

import datasets
import numpy as np
import pandas as pd
import pytest
import torch
from hosts import make_host
from seqeval import metrics as seqeval
from small import QUICK, newest, run_card
from trainings import plan
from transformers import AutoModelForTokenClassification

from powerbert_cli.cli import dispatch
from powerbert_cli.encoder.answered import tag_loss
from powerbert_cli.encoder.shortened import ShortenedModel
from powerbert_cli.kinds.kind import objects
from powerbert_cli.kinds.labels import LabelError
from powerbert_cli.kinds.tags import Scheme, in_order, mark_spans, spans_of
from powerbert_cli.kinds.token_classification import TokenClassification
from powerbert_cli.method.elimination import plain
from powerbert_cli.tasks.batches import Material
from powerbert_cli.tasks.metrics import METRICS, interval
from powerbert_cli.tasks.predictions import prediction_table, read_predictions
from powerbert_cli.tasks.tokenizing import build_tokenizer, tokenize
from powerbert_cli.training.classifier import train_classifier

NAMES = ["O", "B-LOC", "I-LOC", "B-PER", "I-PER"]
KIND = TokenClassification(NAMES, "span_f1")
TOKENIZER = build_tokenizer(["anna smith lives in new york and bob"], 100)


def rows(*pairs):
    """Words and tags, as texts."""
    given = {
        "words": [words.split() for words, _ in pairs],
        "label": [[NAMES.index(tag) for tag in tags.split()] for _, tags in pairs],
    }
    return datasets.Dataset.from_dict(given)


@pytest.mark.parametrize(
    ("tags", "spans"),
    [
        ("B-PER I-PER O B-LOC", [("PER", 0, 2), ("LOC", 3, 4)]),
        ("B-PER B-PER I-LOC", [("PER", 0, 1), ("PER", 1, 2), ("LOC", 2, 3)]),
        ("I-PER I-PER O", [("PER", 0, 2)]),
        ("S-LOC B-PER I-PER E-PER S-PER", [("LOC", 0, 1), ("PER", 1, 4), ("PER", 4, 5)]),
        ("U-LOC B-PER L-PER O", [("LOC", 0, 1), ("PER", 1, 3)]),
        ("O O", []),
    ],
)
def test_spans_by_hand(tags, spans):
    assert spans_of(tags.split()) == tuple(spans)


def test_f1_is_that_of_seqeval():
    """On random tags, whole and in an interval; a row without spans counts nothing."""
    rng = np.random.default_rng(0)
    tags = [[[NAMES[c] for c in rng.integers(0, 5, n)] for n in (1, 5, 9, 30, 4) * 8] for _ in range(2)]
    true, guessed = (objects(spans_of(row) for row in split) for split in tags)
    for name, theirs in (
        ("f1", seqeval.f1_score),
        ("precision", seqeval.precision_score),
        ("recall", seqeval.recall_score),
    ):
        assert METRICS[f"span_{name}"](true, guessed) == pytest.approx(theirs(*tags), abs=1e-12)
    low, high = interval("span_f1", true, guessed)
    assert low < seqeval.f1_score(*tags) < high < 1
    words = [objects(tuple(row) for row in split) for split in tags]
    assert METRICS["accuracy"](*words) == pytest.approx(seqeval.accuracy_score(*tags), abs=1e-12)


@pytest.mark.parametrize(
    ("rows", "why"),
    [
        (["B-PER I-PER", "O I-LOC"], r"tags of IOB1 \(word 2: I-LOC after O\).* of IOB2 \(word 1: B-PER after O\)"),
        (["I-PER B-PER", "O B-LOC"], r"tags of IOB2 \(word 2: B-LOC after O\).* of IOB1"),
        (["B-PER I-LOC"], "of IOB1 .word 2: I-LOC after B-PER"),
        (["S-PER I-PER E-PER"], "has tag I-PER for word 2 after S-PER"),
        (["B-PER O E-LOC"], "has tag O for word 2 after B-PER"),
        (["E-LOC O B-PER"], "has tag E-LOC for word 1 after O"),
        (["S-LOC O B-PER"], "ends with tag B-PER"),
        (["U-LOC B-PER L-LOC"], "has tag L-LOC for word 3 after B-PER"),
    ],
)
def test_a_broken_scheme_is_said(rows, why):
    scheme = Scheme(sorted({tag for row in rows for tag in row.split()}))
    with pytest.raises(LabelError, match=why):
        for row in rows:
            scheme.check(row.split())


@pytest.mark.parametrize(
    "tags", ["B-PER I-PER O B-LOC B-LOC", "I-PER B-PER O I-LOC", "B-X I-X E-X S-X O", "U-X B-X L-X"]
)
def test_a_scheme_that_is_kept(tags):
    Scheme(tags.split()).check(tags.split())


def test_tags_have_an_order_and_say_the_metric():
    assert in_order(["I-PER", "B-LOC", "O", "B-PER", "I-LOC"]) == NAMES
    assert mark_spans(NAMES) and not mark_spans(["NN", "VB"]) and not mark_spans(["O"])
    assert TokenClassification.usual_metric(NAMES) == "span_f1"
    assert TokenClassification.usual_metric(["NOUN", "VERB-X"]) == "accuracy"


def test_the_first_word_piece_answers_for_its_word():
    """zed falls apart into characters."""
    tokens = tokenize(rows(("anna zed lives", "B-PER I-PER O")), KIND, TOKENIZER, 16)
    pieces = TOKENIZER.convert_ids_to_tokens(tokens[0]["input_ids"])
    assert pieces[1:-1] == ["anna", "[UNK]", "lives"] or pieces[2].startswith(("z", "[UNK]"))
    assert [pieces[place] for place in tokens[0]["places"]][::2] == ["anna", "lives"]
    assert [label for label in tokens[0]["labels"] if label != -100] == [3, 4, 0]


def logits_of(tokens, classes):
    """Logits that say a class for each word-piece: classes[window][place]."""
    found = np.zeros((len(tokens), max(tokens["length"]), len(NAMES)), dtype=np.float32)
    for window, own in enumerate(classes):
        found[window, np.arange(len(own)), own] = 1
    return found


def test_a_long_text_is_answered_in_windows_each_word_where_most_stands_around_it():
    """Nine words, windows of five with an overlap of two: of the words that two windows have, each answers one."""
    kind = TokenClassification(NAMES, "span_f1", stride=2)
    words = "anna smith lives in new york and bob lives"
    given = rows((words, "B-PER I-PER O O B-LOC I-LOC O B-PER O"), ("bob", "B-PER"))
    tokens = tokenize(given, kind, TOKENIZER, 7)
    assert tokens["row"][:] == [0, 0, 0, 1] and tokens["length"][:] == [7, 7, 5, 3]
    assert tokens["answers"][:] == [[0, 1, 2, 3], [4, 5, 6], [7, 8], [0]]
    assert tokens["places"][:] == [[1, 2, 3, 4], [2, 3, 4], [2, 3], [1]]
    true = kind.labels(tokens)
    assert true.tolist() == [(("PER", 0, 2), ("LOC", 4, 6), ("PER", 7, 8)), (("PER", 0, 1),)]
    said = [[max(0, label) for label in row] for row in tokens["labels"][:]]
    assert kind.predictions(logits_of(tokens, said), tokens).tolist() == true.tolist()
    said[1][2] = 0  # york's window says that new is outside: I-LOC begins a span
    found = kind.predictions(logits_of(tokens, said), tokens)
    assert found[0] == (("PER", 0, 2), ("LOC", 5, 6), ("PER", 7, 8))
    assert METRICS["span_f1"](true, found) == 0.75 and METRICS["span_precision"](true, found) == 0.75


def test_a_word_of_which_the_tokenizer_leaves_nothing_is_outside():
    tokens = tokenize(rows(("anna \u200b lives", "B-PER O O")), KIND, TOKENIZER, 16)
    answered = tokens["answers"][0]
    assert 0 in answered and 2 in answered
    said = [[3] * length for length in tokens["length"]]
    spans = KIND.predictions(logits_of(tokens, said), tokens)[0]
    assert len(spans) == len(answered)


def test_predictions_are_read_back(tmp_path):
    true = objects([(("PER", 0, 2),), ()])
    prediction_table(true, true[::-1], np.zeros((3, 4, 5))).to_csv(tmp_path / "p.csv", index=False)
    labels, predictions = read_predictions(tmp_path / "p.csv")
    assert labels.tolist() == true.tolist() and predictions.tolist() == true[::-1].tolist()


def test_the_loss_is_a_mean_over_words_however_few():
    logits = torch.randn(2, 4, 5)
    labels = torch.tensor([[-100, 1, 2, -100], [-100, 3, -100, -100]])
    wanted = torch.nn.functional.cross_entropy(logits.flatten(0, 1), labels.flatten())
    assert tag_loss(logits, labels, None) == pytest.approx(float(wanted))
    assert tag_loss(logits, torch.full((2, 4), -100), None) == 0


def test_however_a_batch_is_cut_each_word_counts_alike(tmp_path):
    given = rows(*[("anna smith lives in new york", "B-PER I-PER O O B-LOC I-LOC"), ("bob", "B-PER")] * 8)
    tokens = tokenize(given, KIND, TOKENIZER, 16)
    material = Material(tokens, tokens, TOKENIZER, 16, KIND)
    no_dropout = {"hidden_dropout_prob": 0.0, "attention_probs_dropout_prob": 0.0}
    weights = []
    for accumulation in (1, 4):
        host = make_host(auto=AutoModelForTokenClassification, problem_type=None, num_labels=5, **no_dropout)
        how = plan(epochs=1, batch_size=8, training={"accumulation": accumulation})
        train_classifier(ShortenedModel(host, plain(16, 3)), material, how, tmp_path / str(accumulation))
        weights.append(host.classifier.weight.detach().clone())
    assert torch.allclose(*weights, atol=1e-5)


@pytest.fixture
def data(here):
    """Names and towns, which a word says by itself; some texts are longer than ℓ."""
    draw = random.Random(0)
    kinds = {"B-PER": ["anna", "bob", "carla"], "B-LOC": ["york", "rome", "oslo"], "O": ["in", "the", "old", "city"]}
    for name, count in (("train", 48), ("dev", 16), ("test", 4)):
        tags = [draw.choices(list(kinds), k=draw.randint(2, 16)) for _ in range(count)]
        lines = [{"tokens": [draw.choice(kinds[tag]) for tag in row], "tags": row} for row in tags]
        Path(f"{name}.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    return here


TAGS = ["task=custom", "task.kind=token_classification", "task.data_dir=.", "task.label_column=tags", "seq_len=12"]
TINY = [*TAGS, "model=tiny", "model.config.num_hidden_layers=2", "batch_size=8", "lr=1e-3", "epochs=4"]


def test_whole_commands(data, monkeypatch, capfd):
    """Searched, compressed, re-trained with a teacher, timed, answered; each row and word has its answer."""
    how = ["searcher=calibrate", "retention.kind=relative", "target.flops=0.55", "retrain.distill=0.5"]
    assert dispatch(["sweep", *TINY, *how, "grid=none", "compress.ffn=0.5", "compress.score=taylor", *QUICK]) == 0
    run = newest("sweep") / "0"
    metrics = json.loads((run / "metrics.json").read_text())
    assert metrics["metric"] == "span_f1" and metrics["n"] == 16 and metrics["span_precision"] > 0.8
    assert json.loads((run / "result.json").read_text())["metric"] == "span_f1"
    assert list(pd.read_csv(run / "classes.csv")["class"]) == ["LOC", "PER"]
    config = json.loads((run / "model/config.json").read_text())
    assert isinstance(run_card(run / "model", monkeypatch)["tags"], list)
    assert dispatch(["export", f"model_dir={run / 'model'}", "format=packed", "hydra.run.dir=packed"]) == 0
    answered = run_card(Path("packed/model"), monkeypatch, texts=["anna in york", "bob"])
    assert answered["logits"].shape == (2, 5, 3)  # [CLS] and [SEP] too
    assert config["architectures"] == ["BertForTokenClassification"] and config["id2label"]["0"] == "O"
    capfd.readouterr()
    model = f"model_dir={run / 'model'}"
    assert dispatch(["bench", model, "bench.engines=[eager,native]", "bench.accuracy=true", *QUICK]) == 0
    timing = pd.read_csv(newest("bench") / "timing.csv")
    assert set(timing["answers_differ"].dropna()) == {0.0} and timing["logits_differ"].max() < 1e-4
    Path("in.tsv").write_text("tokens\nanna in the old york\n" + " ".join(["rome", "in"] * 10) + "\n")
    assert dispatch(["predict", model, "input=in.tsv", "output=out.jsonl", "predict.survivors=true"]) == 0
    answers = [json.loads(line) for line in Path("out.jsonl").read_text().splitlines()]
    assert [one["word"] for one in answers[0]["tags"]] == ["anna", "in", "the", "old", "york"]
    assert len(answers[1]["tags"]) == 20 and all(0 < one["probability"] <= 1 for one in answers[1]["tags"])
    assert answers[0]["entities"][0] == {"type": "PER", "text": "anna", "start": 0, "end": 1}
    assert {word["word"] for word in answers[0]["words"]} == {"anna", "in", "the", "old", "york"}


def test_a_test_split_is_measured_and_answered(data, capfd):
    assert dispatch(["finetune", *TINY, "predict_test=true"]) == 0
    run = newest("finetune")
    asked = ["bench", f"model_dir={run / 'model'}", "task.kind=question_answering"]
    assert dispatch(asked) == 2
    assert "is for task.kind=token_classification, not task.kind=question_answering" in capfd.readouterr().err
    answers = pd.read_csv(run / "test_predictions.tsv", sep="\t")["prediction"]
    lengths = [len(json.loads(line)["tokens"]) for line in Path("test.jsonl").read_text().splitlines()]
    assert [len(answer.split()) for answer in answers] == lengths
    assert dispatch(["check", *TINY, "check.steps=2"]) == 0
    assert json.loads((newest("check") / "check.json").read_text())["cut"] == 0


@pytest.mark.parametrize(
    ("given", "why"),
    [
        (["task.metric=f1"], "task.metric=f1 is not for task.kind=token_classification"),
        (["task.text_columns=[tokens,tags]"], "must name one column"),
        (["task.data_dir=odd"], "most tags mark spans, as B-PER does, and 'B-' not"),
        (["task.label_names=[NN,VB]", "task.metric=span_f1"], "are no tags of spans such as O, B-PER"),
        (["training.class_weights=balanced"], "training.class_weights"),
        (["research.variant.best_by=ibm"], "set research.variant.best_by=metric"),
        (["strategy=merge"], "set strategy=attention"),
        (
            ["model_dir=plain"],
            "architecture is BertForSequenceClassification, task.kind=token_classification needs one",
        ),
    ],
)
def test_what_does_not_go_together_is_said(given, why, data, capfd):
    if given == ["task.data_dir=odd"]:
        Path("odd").mkdir()
        rows = [{"tokens": ["anna", "in", "york"], "tags": ["B-PER", "O", tag]} for tag in ("B-LOC", "I-PER", "B-")]
        for name in ("train", "dev"):
            Path(f"odd/{name}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    if given == ["model_dir=plain"]:
        host = make_host()
        host.save_pretrained("plain")
        TOKENIZER.save_pretrained("plain")
    verb = {"model_dir=plain": "bench", "strategy=merge": "search"}.get(given[0], "finetune")
    assert dispatch([verb, *TAGS, *given]) != 0
    assert why in capfd.readouterr().err
