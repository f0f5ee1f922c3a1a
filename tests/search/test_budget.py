import pytest
import torch
from hosts import described

from powerbert_cli.bench.cost import LayerShape, encoder_flops
from powerbert_cli.search.budget import FlopsBudget, LatencyBudget, LatencyTable
from powerbert_cli.search.space import Space

SHAPE = (LayerShape(8, 8, 32),) * 3
LENGTHS = [4, 4, 10, 16]
OPEN = described(None, 16, kind="relative")


def budget():
    return FlopsBudget(SHAPE, LENGTHS, ends_in_first=False)


def test_share_of_flops_is_that_of_the_benchmark():
    lengths = (8, 5, 2)
    expected = sum(encoder_flops(SHAPE, n, lengths) for n in LENGTHS) / sum(encoder_flops(SHAPE, n) for n in LENGTHS)
    assert budget().share_of(described(lengths, 16)) == pytest.approx(expected)
    masses = torch.tensor([8.0, 5.0, 2.0])
    assert float(budget().share_of_masses(masses, described(None, 16))) == pytest.approx(expected)


def test_keeping_everything_costs_all_and_less_with_a_last_layer_for_cls():
    whole = described((16, 16, 16), 16)
    assert budget().share_of(whole) == pytest.approx(1.0)
    assert 0.6 < FlopsBudget(SHAPE, LENGTHS, ends_in_first=True).share_of(whole) < 0.9


def test_cost_has_a_gradient_in_every_layer():
    masses = torch.tensor([8.0, 5.0, 2.0], requires_grad=True)
    budget().share_of_masses(masses, OPEN).backward()
    assert (masses.grad > 0).all()


@pytest.mark.parametrize("open_", [OPEN, described(None, 16), described(None, 64)])
def test_prices_of_a_word_vector(open_):
    """About the same in each layer; one that keeps more than the layer before it has its price too."""
    wide = FlopsBudget((LayerShape(4096, 4096, 16384),) * 3, LENGTHS, ends_in_first=False)
    n = float(open_.seq_len)
    for masses in ([n, n, n], [n - 1, n, n], [n / 2, n, n]):
        prices = wide.prices(torch.tensor(masses), open_)
        assert float(prices.sum()) == pytest.approx(1)
        assert (prices[:2] > (0.3 if open_.relative else 0.2)).all() and prices[2] > 0.1  # the last one feeds no layer
    first_only = FlopsBudget(SHAPE, LENGTHS, ends_in_first=True).prices(torch.tensor([n, n, n]), open_)
    assert first_only[2] == 0 and (first_only[:2] > 0).all()


def test_latency_is_read_off_the_table_and_between_its_entries():
    """A layer of n that keeps k takes n + k here, a plain one 2n, one for [CLS] n."""
    grid = [2, 4, 8]
    seconds = torch.tensor([[float(a + b) for b in grid] for a in grid])
    plain, first = torch.tensor([4.0, 8.0, 16.0]), torch.tensor([2.0, 4.0, 8.0])
    table = LatencyTable(grid, seconds, plain, first)
    found = LatencyBudget([table] * 2, [3, 8])
    kept = torch.tensor([[2.0, 1.0], [3.0, 1.0]], dtype=torch.float64)
    # inputs of 3 and 8; plain: 2 · 6 + 2 · 16; shortened: 3 + 2 and for [CLS] 2, 8 + 3 and for [CLS] 3
    assert float(found.share(kept)) == pytest.approx((5 + 2 + 11 + 3) / 44)
    # beside a whole model of three layers, each twice as slow
    slow = LatencyTable(grid, 2 * seconds, 2 * plain, 2 * first)
    beside = LatencyBudget([table] * 2, [3, 8], whole=[slow] * 3)
    assert float(beside.share(kept)) == pytest.approx((5 + 2 + 11 + 3) / (3 * 2 * 22))


@pytest.mark.parametrize("open_", [OPEN, described(None, 16)])
@pytest.mark.parametrize("target", [0.2, 0.5, 0.9])
def test_fitting_meets_the_target_from_below_and_keeps_the_order(open_, target):
    long = FlopsBudget(SHAPE, range(100, 161), ends_in_first=False)
    open_ = described(None, 160, kind="relative" if open_.relative else "absolute")
    space = Space(open_, long, 160)
    shares = space.fitted((0.9, 0.5, 0.2), target)
    assert target - 0.02 < space.cost(shares) <= target
    assert list(shares) == sorted(shares, reverse=True)


def test_what_cannot_be_reached_says_what_can():
    with pytest.raises(
        ValueError,
        match=r"share of 0.01 of the plain model's cost cannot be reached: with nothing but \[CLS\] kept it is 0\.\d+",
    ):
        Space(OPEN, budget(), 16).fitted((0.5, 0.5, 0.5), 0.01)


def test_shares_and_configurations_belong_together():
    relative, absolute = Space(OPEN, budget(), 16), Space(described(None, 20), budget(), 16)
    assert relative.elimination((0.5, 0.7, 0.1)).retention.values == (0.5, 0.5, 0.1)
    assert absolute.elimination((1.0, 0.5, 0.1)).retention.values == (20, 8, 2)
    assert absolute.shares_of(absolute.elimination((1.0, 0.5, 0.125))) == (1.0, 0.5, 0.125)
