import numpy as np

from powerbert_cli.tasks.metrics import METRICS, all_scores, drop_interval, interval, predictions_of

LABELS = np.array([1, 1, 1, 0, 0, 0, 1, 0])
GUESSES = np.array([1, 1, 0, 0, 0, 1, 1, 0])


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
    assert predictions_of(np.array([[0.1, 0.9], [2.0, 1.0]]), "classification").tolist() == [1, 0]
    assert predictions_of(np.array([[1.5], [2.0]]), "regression").tolist() == [1.5, 2.0]


def test_intervals():
    low, high = interval("accuracy", np.tile(LABELS, 50), np.tile(GUESSES, 50))
    assert low < 0.75 < high and high - low < 0.12
    labels = np.tile(LABELS, 50)
    assert drop_interval("accuracy", labels, labels, labels) == (0.0, 0.0)
    low, high = drop_interval("accuracy", labels, labels, np.tile(GUESSES, 50))
    assert 0 < low < 0.25 < high
