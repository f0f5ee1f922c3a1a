"""Queries with candidates through whole commands, in this process."""

import json
import random
from pathlib import Path

import pandas as pd
import pytest
from hosts import make_host
from queries import TOKENIZER, WORDS, beir, cross_encoder, judge
from small import QUICK, newest, run_card
from transformers import AutoModel

from powerbert_cli.cli import dispatch


def example(draw):
    """The document that says the query's word is relevant."""
    word = draw.choice(WORDS[:6])
    others = [draw.choice([one for one in WORDS[:6] if one != word]) for _ in range(3)]
    documents = [f"{draw.choice(WORDS[6:])} {one}" for one in (word, *others)]
    order = draw.sample(range(4), 4)
    return {
        "query": word,
        "documents": [documents[i] for i in order],
        "relevance": [int(i == 0) for i in order],
    }


@pytest.fixture
def data(here):
    draw = random.Random(0)
    for name, count in (("train", 24), ("dev", 12), ("test", 4)):
        lines = [example(draw) for _ in range(count)]
        Path(f"{name}.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    return here


RANKS = ["task=custom", "task.kind=ranking", "task.data_dir=.", "seq_len=12"]
TINY = [*RANKS, "model=tiny", "model.config.num_hidden_layers=2", "batch_size=8", "lr=1e-3", "epochs=2"]
SHORTER = ["searcher=calibrate", "retention.kind=relative", "target.flops=0.6"]


def test_whole_commands(data, monkeypatch, capfd):
    """Trained with relevances; shortened by the scores of the plain model alone; timed, answered, checked."""
    assert dispatch(["finetune", *TINY, "predict_test=true"]) == 0
    run = newest("finetune")
    metrics = json.loads((run / "metrics.json").read_text())
    assert metrics["metric"] == "ndcg_10" and metrics["n"] == 12
    low, high = metrics["interval"]
    assert low < metrics["value"] < high and {"mrr_10", "map"} <= set(metrics)
    config = json.loads((run / "model/config.json").read_text())
    assert config["problem_type"] == "multi_label_classification" and config["id2label"] == {"0": "relevance"}
    orders = pd.read_csv(run / "test_predictions.tsv", sep="\t")["prediction"]
    assert [sorted(order.split()) for order in orders] == [["0", "1", "2", "3"]] * 4

    assert len(run_card(run / "model", monkeypatch)["ranking"]) == 2
    plain = f"model_dir={run / 'model'}"
    lines = [json.loads(line) for line in Path("train.jsonl").read_text().splitlines()]
    for line in lines:
        del line["relevance"]  # nothing but the scores is left to learn from
    Path("train.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    assert dispatch(["retrain", plain, *SHORTER, "retrain.epochs=1"]) == 0
    run = newest("retrain")
    assert json.loads((run / "model/modules.json").read_text())[0]["type"] == "powerbert_cli.sentence.Reranker"
    assert len(run_card(run / "model", monkeypatch)["ranking"]) == 2
    model = f"model_dir={run / 'model'}"
    timed = [*QUICK, "bench.examples=8", "bench.engines=[eager]"]
    assert dispatch(["bench", model, *timed, "bench.accuracy=true"]) == 0
    timing = pd.read_csv(newest("bench") / "timing.csv")
    assert timing["value"].between(0, 1).any() and set(timing["answers_differ"].dropna()) == {0.0}
    assert dispatch(["predict", model, "input=test.jsonl", "output=out.jsonl"]) == 0
    answers = [json.loads(line) for line in Path("out.jsonl").read_text().splitlines()]
    for one in answers:
        logits = [entry["logit"] for entry in one["ranking"]]
        assert logits == sorted(logits, reverse=True) and {entry["document"] for entry in one["ranking"]} == {
            0,
            1,
            2,
            3,
        }
        assert all(0 < entry["score"] < 1 for entry in one["ranking"])
    assert dispatch(["predict", model, "input=test.jsonl", "output=out.jsonl", "predict.survivors=true"]) != 0
    assert "set predict.survivors=false" in capfd.readouterr().err
    assert dispatch(["predict", model, "input=test.jsonl", "output=out.parquet"]) == 0
    assert pd.read_parquet("out.parquet")["ranking"][0][0]["document"] == answers[0]["ranking"][0]["document"]
    capfd.readouterr()
    assert dispatch(["check", plain, "check.steps=2"]) == 0
    assert "relevances 48, relevant 12" in " ".join(capfd.readouterr().out.split())
    assert dispatch(["retrain", plain, "retrain.epochs=1"]) != 0
    assert "searcher=soft trains with labels, task.kind=ranking has none here" in capfd.readouterr().err
    assert dispatch(["retrain", plain, *SHORTER, "compress.heads=0.5"]) != 0
    assert "compress.score=taylor read labels, task.kind=ranking has none to learn from here" in capfd.readouterr().err
    assert dispatch(["finetune", *TINY]) != 0
    assert "has no head of task.kind=ranking to learn from; give labels" in capfd.readouterr().err


def test_labels_are_left_out_where_a_teacher_says_all(data):
    assert dispatch(["retrain", *TINY, "epochs=1", *SHORTER, "retrain.distill=1", "compress.ffn=0.5"]) == 0
    assert json.loads((newest("retrain") / "metrics.json").read_text())["n"] == 12


def test_a_folder_in_beirs_form_is_trained_on(here):
    folder = beir(here / "beir")
    judge(folder, "train", [("q3", "d3", 1), ("q4", "d4", 1)])
    own = [one for one in TINY if not one.startswith("task.data_dir")]
    assert dispatch(["finetune", *own, f"task.data_dir={folder}", "task.candidates=3", "epochs=1"]) == 0
    assert json.loads((newest("finetune") / "metrics.json").read_text())["n"] == 2


@pytest.mark.parametrize(
    ("line", "why"),
    [
        ({"query": "a", "documents": []}, "train.jsonl: row 1 (line 1) has an empty list as 'documents'"),
        ({"query": "a", "documents": ["b", None]}, "row 1 (line 1) has no 'documents[1]'"),
        ({"query": "a", "documents": ["b"], "relevance": [1, 2]}, "train.jsonl: row 1 (line 1) has 1 documents and 2"),
        ({"query": "a", "documents": ["b"], "relevance": ["x"]}, "row 1 (line 1) has 'x' in 'relevance', number 1"),
        ({"query": "a", "texts": ["b"]}, "set task.text_columns"),
    ],
)
def test_what_is_wrong_is_said_with_its_row(line, why, data, capfd):
    Path("train.jsonl").write_text(json.dumps({"relevance": [1], **line}) + "\n")
    assert dispatch(["finetune", *TINY]) != 0
    assert why in " ".join(capfd.readouterr().err.split())


@pytest.mark.parametrize(
    ("given", "why"),
    [
        (["task.metric=spearman"], "task.metric=spearman is not for task.kind=ranking"),
        (["task.text_columns=[query]"], "must name two columns"),
        (["task.candidates=0"], "task.candidates"),
        (["research.variant.best_by=ibm"], "set research.variant.best_by=metric"),
        (["task.label_names=[a,b]"], "has no classes; set task.label_names=null"),
    ],
)
def test_what_does_not_go_together_is_said(given, why, data, capfd):
    assert dispatch(["finetune", *RANKS, *given]) != 0
    assert why in capfd.readouterr().err


def test_training_rows_without_labels_measure_nothing(data, capfd):
    Path("train.jsonl").write_text(json.dumps({"query": "a", "documents": ["b"]}) + "\n")
    Path("dev.jsonl").unlink()
    assert dispatch(["finetune", *TINY]) != 0
    assert "to measure task.metric=ndcg_10 by; give dev.* with labels" in capfd.readouterr().err


def test_a_cross_encoder_is_shortened_by_its_own_scores(data):
    folder, _ = cross_encoder(data)
    lines = [json.loads(line) for line in Path("train.jsonl").read_text().splitlines()]
    few = ({"query": one["query"], "documents": one["documents"]} for one in lines)
    Path("train.jsonl").write_text("".join(json.dumps(line) + "\n" for line in few))
    own = [f"model_dir={folder}", "task.kind=ranking", "task.data_dir=.", "seq_len=12", "batch_size=8"]
    assert dispatch(["retrain", *own, *SHORTER, "epochs=1"]) == 0
    assert json.loads((newest("retrain") / "model/task.json").read_text())["task"]["kind"] == "ranking"


def test_a_plain_encoder_gets_a_head(data):
    """An encoder without a head is one to train, with labels."""
    host = make_host(auto=AutoModel, num_labels=1, problem_type=None)
    host.save_pretrained("encoder")
    TOKENIZER.save_pretrained("encoder")
    own = ["model.name_or_path=encoder", "batch_size=8", "epochs=1", "lr=1e-3"]
    assert dispatch(["finetune", *RANKS, *own]) == 0
