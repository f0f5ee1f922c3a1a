"""Cross-validation: folds that share the rows out, and runs over all of them."""

import json
from collections import Counter

import pandas as pd
import pytest

from powerbert_cli import api
from powerbert_cli.cli import dispatch
from powerbert_cli.errors import PowerbertError
from powerbert_cli.tasks.metrics import spread
from powerbert_cli.tasks.sources import load_task
from powerbert_cli.verbs.folds import _epochs


@pytest.fixture
def rows(tmp_path, monkeypatch):
    """20 rows of class 0 and 10 of class 1 in train.tsv, and a dev.tsv that no fold reads."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "data").mkdir()
    lines = [f"text {i}\t{int(i % 3 == 0)}" for i in range(30)]
    (tmp_path / "data/train.tsv").write_text("\n".join(["sentence\tlabel", *lines, ""]))
    (tmp_path / "data/dev.tsv").write_text("sentence\tlabel\nunseen\t1\nunseen too\t0\n")
    small = ["model=tiny", "seq_len=16", "batch_size=8", "device=cpu"]
    return ["task=custom", "task.data_dir=data", "task.text_columns=[sentence]", *small]


def fold_of(rows, *more):
    data = load_task(api.settings("finetune", *rows, *more).task)
    return [row["text"] for row in data.train.rows], [(row["text"], row["label"]) for row in data.dev.rows], data


def test_each_row_is_dev_once_with_classes_in_like_shares(rows):
    found = [fold_of(rows, "task.folds=5", f"task.fold={fold}") for fold in range(5)]
    seen = [text for _, dev, _ in found for text, _ in dev]
    assert sorted(seen) == sorted(f"text {i}" for i in range(30))
    for train, dev, data in found:
        assert Counter(label for _, label in dev) == {0: 4, 1: 2}
        assert sorted([*train, *(text for text, _ in dev)]) == sorted(seen) and len(train) == 24
        assert data.test is None
    assert len({data.dev.content for *_, data in found}) == 5  # each fold is a stage of its own


def test_rows_too_few_for_the_folds_are_said(rows):
    with pytest.raises(PowerbertError, match=r"10 rows of its rarest class, fewer than task.folds=11; set fewer folds"):
        api.settings("finetune", *rows, "task.folds=11")


@pytest.mark.parametrize(
    ("verb", "given", "said"),
    [
        ("finetune", ["task.folds=1"], "task.folds=1 must be at least 2"),
        ("finetune", ["task.fold=0"], "task.fold=0 must be null without task.folds"),
        ("finetune", ["task.folds=3", "task.fold=3"], "task.fold=3 must be 0 … 2"),
        ("finetune", ["task.folds=3", "predict_test=true"], "task.folds trains several; give one"),
        ("search", ["task.folds=3"], "this verb takes one: set task.fold=0"),
    ],
)
def test_folds_that_cannot_be(verb, given, said, rows, capsys):
    assert dispatch([verb, *rows, *given]) == 2
    assert said in capsys.readouterr().err


def test_a_run_over_all_folds(rows, tmp_path, capsys):
    line = ["retrain", *rows, "retention.lengths=full", "hydra.run.dir=run", "finetune.epochs=1"]
    assert dispatch([*line, "task.folds=3", "retrain.epochs=1"]) == 0
    metrics = json.loads((tmp_path / "run/metrics.json").read_text())
    each = [json.loads((tmp_path / f"run/fold-{fold}/metrics.json").read_text()) for fold in range(3)]
    assert metrics["folds"] == [one["value"] for one in each] and metrics["n"] == 30
    over = spread(pd.Series(metrics["folds"]).to_numpy())
    assert (metrics["value"], metrics["interval"]) == (over.mean, [over.low, over.high])
    predictions = pd.read_csv(tmp_path / "run/predictions.csv")
    assert pd.read_csv(tmp_path / "run/classes.csv")["rows"].sum() == len(predictions)
    assert predictions["fold"].value_counts().to_dict() == {0: 10, 1: 10, 2: 10}
    assert all((tmp_path / f"run/fold-{fold}/model/model.safetensors").is_file() for fold in range(3))
    assert "mean of 3 folds: custom 3 folds accuracy" in capsys.readouterr().out
    assert "3 folds" in (tmp_path / "run/report.html").read_text()


def test_a_sweep_counts_folds_as_runs_of_one_setting(rows, tmp_path):
    line = ["sweep", *rows, "retention.lengths=full", "grid=none", "hydra.sweep.dir=sweep"]
    quick = ["finetune.epochs=1", "retrain.epochs=1", "bench.rounds=3", "bench.paddings=[sorted]", "bench.examples=10"]
    assert dispatch([*line, *quick, "task.folds=2", "task.fold=0,1"]) == 0
    (row,) = pd.read_csv(tmp_path / "sweep/seeds.csv").to_dict("records")
    values = pd.read_csv(tmp_path / "sweep/sweep.csv")
    assert row["seeds"] == 2 and row["value_mean"] == pytest.approx(values["value"].mean())
    assert sorted(values["fold"]) == [0, 1]


@pytest.mark.parametrize(("found", "said"), [([3, 3], 3), ([2, 4, 3], "2 to 4"), ([None, 2], "1 to 2"), ([None], None)])
def test_of_how_many_epochs_the_best_was_kept_over_folds(found, said):
    assert _epochs(found) == said
