"""Which speed counts, and when times are not to be trusted: of timing tables made by hand."""

import numpy as np
import pandas as pd
import pytest
from datasets import Dataset

from powerbert_cli.bench.choice import answers_count, as_result, choices, doubt_of, headline, overloaded
from powerbert_cli.bench.table import by_padding, compared
from powerbert_cli.kinds import KINDS


def row(model, seconds, best, batch_size=32, precision="fp32", within=None, **more):
    ratio = best / seconds
    return {
        "contender": f"{model}/sorted/eager/{precision}", "model": model, "shortened": model == "shortened",
        "engine": "eager", "precision": precision, "padding": "sorted", "batch_size": batch_size, "seq_len": 64,
        "threads": 2, "median_s": seconds, "examples_per_s": batch_size / seconds, "speedup": ratio,
        "speedup_low": 0.9 * ratio, "speedup_high": 1.1 * ratio, "speedup_vs_best": ratio,
        "speedup_vs_best_low": 0.9 * ratio, "speedup_vs_best_high": 1.1 * ratio, "elimination": ratio,
        "elimination_low": ratio, "elimination_high": ratio, "flops_ratio": ratio, "within_max_drop": within, **more,
    }  # fmt: skip


def saved(rows, path):
    """As a page reads it."""
    pd.DataFrame(rows).to_csv(path / "timing.csv", index=False)
    return pd.read_csv(path / "timing.csv")


BEYOND = [
    row("plain", 0.2, 0.2),
    row("shortened", 0.1, 0.2),
    row("plain", 0.05, 0.2, precision="int8", within=False),
    row("shortened", 0.04, 0.2, precision="int8", within=False),
]


def test_a_speed_whose_answers_do_not_count_is_no_choice(tmp_path):
    for timing in (pd.DataFrame(BEYOND), saved(BEYOND, tmp_path)):
        found = headline(timing)
        assert found.speedup == pytest.approx(2.0) and found.interval == pytest.approx((1.8, 2.2))
        assert found.shortened["precision"] == found.plain["precision"] == "fp32"


def test_one_that_counts_is_taken_whatever_its_precision():
    rows = [*BEYOND[:2], row("plain", 0.2, 0.2, precision="int8", within=True),
            row("shortened", 0.08, 0.2, precision="int8", within=True)]  # fmt: skip
    assert headline(pd.DataFrame(rows)).shortened["precision"] == "int8"


def test_of_several_points_the_one_measured_first_is_the_headline():
    """Not the one whose ratio happens to be the largest."""
    rows = [row("plain", 0.2, 0.2), row("shortened", 0.1, 0.2)]
    rows += [row("plain", 0.02, 0.02, batch_size=1), row("shortened", 0.004, 0.02, batch_size=1)]
    timing = pd.DataFrame(rows)
    assert [choice.speedup for choice in choices(timing)] == pytest.approx([2.0, 5.0])
    assert headline(timing).point == "batch 32, ℓ=64, 2 threads"
    found = as_result(timing)
    assert found["speed"] == pytest.approx(2.0) and found["speed_low"] == pytest.approx(1.8)
    assert found["fastest"] == "shortened/sorted/eager/fp32" and found["doubt"] is None


def test_nothing_that_counts():
    none = pd.DataFrame([row("shortened", 0.1, 0.2) | {"speedup_vs_best": None}])
    assert headline(none) is None and as_result(none)["speed"] is None


def test_a_table_from_before_there_were_intervals():
    old = pd.DataFrame(BEYOND[:2]).drop(columns=["speedup_vs_best_low", "speedup_vs_best_high", "within_max_drop"])
    assert headline(old).speedup == pytest.approx(2.0) and headline(old).interval is None
    assert doubt_of(old) is None


def test_paddings_that_do_not_count_are_listed_as_such():
    found = by_padding(pd.DataFrame(BEYOND[2:]))
    assert found["speedup_sorted"] == pytest.approx(5.0) and found["not_counted"] == ["sorted"]
    found = by_padding(pd.DataFrame(BEYOND[:2]))
    assert found["not_counted"] == [] and found["speedup_sorted_low"] == pytest.approx(1.8)
    assert found["speedup_max"] is None and found["flops_ratio"] == pytest.approx(2.0)


def test_rounds_that_disagree_and_a_busy_machine_are_named():
    wide = [BEYOND[0], row("shortened", 0.1, 0.2, speedup_low=1.93, speedup_high=95.7)]
    assert "the rounds disagree (a speed-up has the 95% interval 1.93 to 95.7" in doubt_of(pd.DataFrame(wide))
    busy = pd.DataFrame(BEYOND[:2]).assign(load_average=7.0, cores=4)
    assert doubt_of(busy) == (
        "do not trust these times: the load average was 7.0 on 4 cores, so that other programs ran beside it"
    )
    assert doubt_of(pd.DataFrame(BEYOND[:2]).assign(load_average=np.nan, cores=4)) is None


def test_its_own_threads_are_no_load():
    assert overloaded(4.3, cores=4, threads=4) is None and overloaded(6.1, cores=4, threads=6) is None
    assert overloaded(7.0, cores=4, threads=6) and overloaded(5.0, cores=4, threads=1)


def answers_of(n, right):
    labels = np.ones(n, dtype=int)
    logits = np.zeros((n, 2))
    logits[np.arange(n), (np.arange(n) < right).astype(int)] = 1
    return labels, logits


def test_a_loss_of_just_the_limit_counts():
    """7 of 100 right, then 6: 0.07 - 0.06 is a little more than 0.01 in floating point, and so is the lower end."""
    (labels, exact), (_, logits) = answers_of(100, 7), answers_of(100, 6)
    said = compared(logits, exact, Dataset.from_dict({"labels": labels}), KINDS["classification"](None, "accuracy"))
    assert said["drop"] > 0.01 and answers_count(said, 0.01)
    assert answers_count({"drop_low": said["drop"]}, 0.01) and not answers_count({"drop_low": 0.011}, 0.01)


def test_answers_count_unless_more_is_lost_than_chance_gives():
    """4 of 277 are within what 277 rows tell; 30 are not."""
    for n, lost, counts in ((277, 4, True), (277, 30, False)):
        (labels, exact), (_, logits) = answers_of(n, n - 10), answers_of(n, n - 10 - lost)
        said = compared(logits, exact, Dataset.from_dict({"labels": labels}), KINDS["classification"](None, "accuracy"))
        assert said["drop"] == pytest.approx(lost / n) and said["drop_low"] <= said["drop"] <= said["drop_high"]
        assert answers_count(said, 0.01) is counts
    assert answers_count({}, 0.01) is None
    said = compared(
        np.full_like(logits, np.nan),
        exact,
        Dataset.from_dict({"labels": labels}),
        KINDS["classification"](None, "accuracy"),
    )
    assert answers_count({**said, "drop_low": 0.0}, 0.01) is False  # no numbers are no answers
