"""Metrics class by class, and the file that a run leaves of them."""

import shutil

import numpy as np
import pandas as pd

from powerbert_cli.kinds.kind import objects
from powerbert_cli.tasks.classes import confusion, per_class
from powerbert_cli.tasks.metrics import METRICS, range_of
from powerbert_cli.verbs.classes_file import write_classes

LABELS, PREDICTIONS = np.array([0, 0, 1, 1, 1, 2]), np.array([0, 1, 1, 1, 0, 0])


def test_each_class_has_its_metrics_and_its_rows():
    table = per_class(LABELS, PREDICTIONS, ["a", "b", "c", "d"]).set_index("class")
    assert table["rows"].to_dict() == {"a": 2, "b": 3, "c": 1, "d": 0}
    assert np.allclose(table.loc["a", ["precision", "recall", "f1"]].astype(float), [1 / 3, 1 / 2, 0.4])
    assert np.isnan(table.loc["c", "precision"]) and table.loc["c", "recall"] == 0  # never predicted
    assert table.loc["d", ["precision", "recall"]].isna().all()  # nor any row of it
    assert confusion(LABELS, PREDICTIONS, 3).tolist() == [[1, 1, 0], [1, 2, 0], [1, 0, 0]]


def test_several_labels_of_a_row_are_counted_each():
    table = per_class(np.array([[1, 0], [1, 1]]), np.array([[1, 1], [0, 1]]), None)
    assert table["class"].tolist() == ["0", "1"] and table["rows"].tolist() == [2, 1]
    assert table["precision"].tolist() == [1.0, 0.5] and table["recall"].tolist() == [0.5, 1.0]


def test_a_run_has_the_classes_of_its_own_task_in_a_file(tmp_path):
    """Also from a stage of an earlier version, and of a run that calls the classes otherwise."""
    (tmp_path / "stage").mkdir()
    pd.DataFrame({"label": LABELS, "prediction": PREDICTIONS}).to_csv(tmp_path / "stage/predictions.csv", index=False)
    for kind, names in (("classification", ["x", "y", "z"]), ("regression", None)):
        shutil.copytree(tmp_path / "stage", tmp_path / kind)
        write_classes(tmp_path / kind, kind, names)
    assert pd.read_csv(tmp_path / "classification/classes.csv")["class"].tolist() == ["x", "y", "z"]
    assert not (tmp_path / "regression/classes.csv").exists()


def test_a_metric_stays_within_its_range():
    good = np.array([0.0, 1.0, 0.0, 1.0])
    bad = {name: (good, 1 - good) for name in METRICS}
    best = {name: (good, good) for name in METRICS}
    spans = [objects([(("A", 0, 1),), (("B", 2, 3),)]), objects([(), (("B", 2, 4),)])]
    ranked = [objects([((7, 1.0), (8, 0.0))]), objects([(7, 8)]), objects([(9, 8)])]
    best |= {name: (spans[0], spans[0]) for name in ("span_f1", "span_precision", "span_recall")}
    bad |= {name: tuple(spans) for name in ("span_f1", "span_precision", "span_recall")}
    best |= {name: (ranked[0], ranked[1]) for name in ("ndcg_10", "mrr_10", "map")}
    bad |= {name: (ranked[0], ranked[2]) for name in ("ndcg_10", "mrr_10", "map")}
    for name, metric in METRICS.items():
        if name.startswith(("span_", "answer_", "exact_", "word_", "character_", "wer", "cer")):
            continue  # of spans and texts, see their own tests
        low, high = range_of(name)
        assert abs(metric(*best[name]) - high) < 1e-9 and low <= metric(*bad[name]) + 1e-9 < high
