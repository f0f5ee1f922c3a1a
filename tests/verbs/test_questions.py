"""Answers to questions through whole commands, in this process."""

import json
from pathlib import Path

import pandas as pd
import pytest
from small import QUICK, newest, run_card

from powerbert_cli.cli import dispatch

TINY = ["epochs=2", "batch_size=8", "model.config.num_hidden_layers=2", "seq_len=24", "runtime.log_seconds=60"]


def story(i):
    towns = ["York", "Leeds", "Bath", "Hull"]
    context = f"Anna lives in {towns[i % 4]}. Bob works in {towns[(i + 1) % 4]}, and it rains there all day long. "
    context += "The wind is cold."
    if i % 3 == 0:
        return {"question": "who is Carl", "context": context, "answers": {"text": [], "answer_start": []}}
    answers = {"text": [towns[i % 4]], "answer_start": [context.index(towns[i % 4])]}
    return {"question": "where does Anna live", "context": context, "answers": answers}


@pytest.fixture
def stories(here):
    Path("data").mkdir()
    for name, count in (("train", 24), ("dev", 9), ("test", 6)):
        rows = [story(i) for i in range(count)]
        if name == "test":
            rows = [{column: one[column] for column in ("question", "context")} for one in rows]
        Path(f"data/{name}.jsonl").write_text("".join(json.dumps(one) + "\n" for one in rows))
    return here


def test_from_rows_to_answers(stories, monkeypatch, capfd):
    own = ["task=squad_v2", "task.data_dir=data", "task.stride=6", *TINY]
    how = ["retention.lengths=[20,9]", "retrain.distill=0.5", "predict_test=true", "protect_first=true"]
    assert dispatch(["retrain", *own, *how, "compress.heads=0.75", "compress.score=taylor"]) == 0
    run = newest("retrain")
    metrics = json.loads((run / "metrics.json").read_text())
    assert metrics["metric"] == "answer_f1" and metrics["n"] == 9 and 0 <= metrics["exact_match"] <= metrics["value"]
    assert isinstance(json.loads((run / "retention.json").read_text())["protected_until"], int)
    assert "24 training texts in" in capfd.readouterr().out
    assert json.loads((run / "model/config.json").read_text())["architectures"] == ["BertForQuestionAnswering"]
    assert isinstance(run_card(run / "model", monkeypatch)["answer"], str)
    assert dispatch(["export", f"model_dir={run / 'model'}", "format=packed", "hydra.run.dir=packed"]) == 0
    asked = [("where does Anna live", "Anna lives in York.")] * 3
    starts_and_ends = run_card(Path("packed/model"), monkeypatch, texts=asked)["logits"]
    assert starts_and_ends.shape[0] == 3 and starts_and_ends.shape[2] == 2
    answers = pd.read_csv(run / "test_predictions.tsv", sep="\t", keep_default_na=False)
    contexts = [story(i)["context"] for i in range(6)]
    assert all(text in context for text, context in zip(answers["prediction"], contexts, strict=True))

    table = pd.DataFrame({"question": ["where"] * 6, "context": contexts, "score": range(6)})
    table.to_csv("in.csv", index=False)
    for output in ("out.jsonl", "out.parquet", "out.csv"):
        assert dispatch(["predict", f"model_dir={run / 'model'}", "input=in.csv", f"output={output}"]) == 0
    found = pd.read_json("out.jsonl", lines=True)
    assert list(found) == ["question", "context", "input_score", "answer", "score", "start", "end", "n_best"]
    for one in found.itertuples():
        assert one.answer == (one.context[one.start : one.end] if one.start >= 0 else "")
    assert pd.read_parquet("out.parquet")["answer"].tolist() == found["answer"].tolist()
    Path("lines.txt").write_text("where\n")
    assert dispatch(["predict", f"model_dir={run / 'model'}", "input=lines.txt", "output=o.csv"]) != 0
    assert "the model answers pairs (question, context)" in capfd.readouterr().err

    timed = [*QUICK, "bench.examples=8", "bench.engines=[eager]", f"model_dir={run / 'model'}"]
    assert dispatch(["bench", *timed, "bench.accuracy=true"]) == 0
    assert pd.read_csv(newest("bench") / "timing.csv")["value"].between(0, 1).any()


def test_a_target_is_reached_without_training(stories):
    own = ["task=squad_v2", "task.data_dir=data", *TINY, "epochs=1"]
    assert dispatch(["retrain", *own, "searcher=calibrate", "target.flops=0.8", "retrain.epochs=0"]) == 0
    assert json.loads((newest("retrain") / "metrics.json").read_text())["n"] == 9


def test_a_soft_search_and_a_task_of_ones_own(stories, capfd):
    own = ["task=custom", "task.kind=question_answering", "task.label_column=answers", "task.data_dir=data"]
    own += ["task.no_answer=0", *TINY, "epochs=1"]
    assert dispatch(["search", *own, "lambda=1e-2"]) == 0
    assert "task.text_columns=auto: question, context" in capfd.readouterr().out
    assert dispatch(["check", *own, "check.steps=2"]) == 0
    assert "answerable 16, unanswerable 8" in " ".join(capfd.readouterr().out.split())
