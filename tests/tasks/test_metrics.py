import tracemalloc

import numpy as np
import pytest
from scipy import stats
from sklearn import metrics as sk

from powerbert_cli.kinds import KINDS
from powerbert_cli.tasks import metrics
from powerbert_cli.tasks.metrics import (
    METRICS,
    all_scores,
    interval,
    paired_drop,
    range_of,
    score_of_authors_code,
    spread,
)

LABELS = np.array([1, 1, 1, 0, 0, 0, 1, 0])
GUESSES = np.array([1, 1, 0, 0, 0, 1, 1, 0])


def kind(name):
    return KINDS[name](None, "")


@pytest.fixture(autouse=True)
def all_resamples(monkeypatch):
    """As a command draws them; other tests have fewer."""
    monkeypatch.setattr(metrics, "_RESAMPLES", 1000)


def test_values_by_hand():
    """TP 3, TN 3, FP 1, FN 1: accuracy 6/8, F1 6/8, Matthews (9 - 1) / 16."""
    assert METRICS["accuracy"](LABELS, GUESSES) == 0.75
    assert METRICS["f1"](LABELS, GUESSES) == 0.75
    assert abs(METRICS["matthews"](LABELS, GUESSES) - 0.5) < 1e-12


def test_a_constant_has_no_correlation():
    for name in ("matthews", "pearson", "spearman"):
        assert METRICS[name](LABELS, np.ones(8)) == 0.0


def test_companions_and_predictions():
    assert list(all_scores("f1", LABELS, GUESSES)) == ["f1", "accuracy"]
    assert kind("classification").predictions(np.array([[0.1, 0.9], [2.0, 1.0]])).tolist() == [1, 0]
    assert kind("regression").predictions(np.array([[1.5], [2.0]])).tolist() == [1.5, 2.0]


def test_intervals():
    low, high = interval("accuracy", np.tile(LABELS, 50), np.tile(GUESSES, 50))
    assert low < 0.75 < high and high - low < 0.12
    labels = np.tile(LABELS, 50)
    none = paired_drop("accuracy", labels, labels, labels, 0.0)
    assert (none.low, none.high, none.confidence) == (0.0, 0.0, 1.0)
    for metric in ("accuracy", "f1"):
        lost = paired_drop(metric, labels, labels, np.tile(GUESSES, 50), 0.25)
        assert 0 < lost.low < 0.25 < lost.high and 0.3 < lost.confidence < 0.7


@pytest.mark.parametrize("metric", ["accuracy", "f1", "matthews"])
def test_intervals_are_those_of_drawing_one_example_after_the_other(metric):
    """By scipy's bootstrap on the examples themselves."""
    labels, guesses = np.tile(LABELS, 9), np.tile(GUESSES, 9)
    slow = stats.bootstrap(
        (labels, guesses), METRICS[metric], paired=True, vectorized=False, n_resamples=1000, method="percentile", rng=1
    ).confidence_interval
    assert np.allclose((slow.low, slow.high), interval(metric, labels, guesses), atol=0.03)


def test_intervals_of_many_examples_need_little_memory():
    """Of 400,000 answers; a table of 1,000 resamples of them would be 3.2 GB."""
    labels, guesses = np.tile(LABELS, 50_000), np.tile(GUESSES, 50_000)
    tracemalloc.start()
    low, high = interval("matthews", labels, guesses)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert 0.49 < low < 0.5 < high < 0.51 and peak < 100e6


def test_several_labels_for_each_example():
    labels = np.array([[1, 0], [1, 1]])
    guesses = kind("multi_label").predictions(np.array([[2.0, -1.0], [0.5, -0.5]]))
    assert guesses.tolist() == [[1, 0], [1, 0]]
    assert METRICS["accuracy"](labels, guesses) == 0.5  # every label of an example right
    assert abs(METRICS["f1"](labels, guesses) - 0.8) < 1e-12  # micro: TP 2, FN 1, FP 0
    assert interval("accuracy", np.tile(labels, (50, 1)), np.tile(guesses, (50, 1)))[0] > 0.35


def test_authors_selection_metric_averages_pearson_over_batches():
    labels, values = np.array([1.0, 2.0, 3.0, 1.0, 2.0, 3.0]), np.array([1.0, 2.0, 3.0, 3.0, 2.0, 1.0])
    assert abs(score_of_authors_code(labels, values, True, 3)) < 1e-12
    assert score_of_authors_code(LABELS, GUESSES, False, 3) == 0.75


def test_spread_over_seeds_by_hand():
    """t(0.975, 2) = 4.303; standard deviation 1 over 3 seeds."""
    found = spread(np.array([1.0, 2.0, 3.0]))
    assert (found.mean, found.std) == (2.0, 1.0)
    assert abs(found.high - 2.0 - 4.303 / 3**0.5) < 1e-3
    two = spread(np.array([0.2, 0.4]), range_of("ndcg_10"))  # t(0.975, 1) = 12.7
    assert (two.low, two.high) == (0.0, 1.0) and two.mean == pytest.approx(0.3)


def test_metrics_of_classes_are_those_of_scikit_learn():
    rng = np.random.default_rng(0)
    theirs = {"accuracy": sk.accuracy_score, "f1": sk.f1_score, "matthews": sk.matthews_corrcoef}
    for n, classes in ((2, 2), (7, 2), (200, 2), (60, 4)):
        labels, predictions = rng.integers(0, classes, (2, n))
        weights = rng.integers(1, 5, n)
        several = rng.integers(0, 2, (2, n, 3))
        assert METRICS["accuracy"](*several) == sk.accuracy_score(*several)
        assert METRICS["f1"](*several) == pytest.approx(sk.f1_score(*several, average="micro"), abs=1e-12)
        for name in theirs:
            options = {"zero_division": 0} if name == "f1" else {}
            if name == "f1" and classes > 2:
                continue
            assert METRICS[name](labels, predictions) == pytest.approx(
                theirs[name](labels, predictions, **options), abs=1e-12
            )
            weighted = theirs[name](labels, predictions, sample_weight=weights, **options)
            of = METRICS[name]
            assert of.value(weights @ of.parts(labels, predictions)) == pytest.approx(weighted, abs=1e-12)
