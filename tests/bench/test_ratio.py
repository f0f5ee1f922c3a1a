"""A speed-up's interval: it covers what it says, however few rounds there are."""

import numpy as np
import pytest

from powerbert_cli.bench.ratio import mean_of_ratios, speedup


@pytest.mark.parametrize("rounds", [3, 5, 7, 15])
@pytest.mark.parametrize("spikes", [False, True])
def test_the_interval_covers_the_truth(rounds, spikes):
    """5% of noise for each, and a drift of 20% that a round shares; or single rounds that take twice as long."""
    rng = np.random.default_rng(rounds)
    covered, trials = 0, 1000
    for _ in range(trials):
        drift = np.exp(0.2 * rng.standard_normal(rounds))
        one, other = (s * drift * np.exp(0.05 * rng.standard_normal(rounds)) for s in (2.0, 1.0))
        if spikes:
            one, other = (times * np.where(rng.random(rounds) < 0.05, 2, 1) for times in (one, other))
        ratio, low, high = speedup(one.tolist(), other.tolist())
        assert low < ratio < high
        covered += low <= 2 <= high
    assert covered / trials >= 0.93


def test_what_slows_a_round_for_both_is_no_noise():
    drift = np.array([1.0, 3.0, 0.5, 2.0, 1.5])
    ratio, low, high = speedup((2.02 * drift).tolist(), (drift * [1.0, 1.01, 1.0, 1.02, 1.01]).tolist())
    assert 1.9 < low < ratio < high < 2.1


def test_equal_times_and_a_single_round():
    assert speedup([1.0, 2.0], [1.0, 2.0]) == (1.0, 1.0, 1.0)
    ratio, *ends = speedup([3.0], [2.0])
    assert ratio == pytest.approx(1.5) and np.isnan(ends).all()


def test_ratios_of_seeds():
    mean, low, high = mean_of_ratios([2.0, 8.0])
    assert mean == pytest.approx(4.0) and low < 4 < high
