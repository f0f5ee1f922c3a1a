import pytest
import torch
from hosts import described, make_host

from powerbert_cli.bench.cost import LayerShape
from powerbert_cli.encoder.shortened import ShortenedModel
from powerbert_cli.search.budget import FlopsBudget
from powerbert_cli.search.judges import LogitsJudge, SignificanceJudge
from powerbert_cli.search.space import Space
from powerbert_cli.search.untrained import calibrate, evolve
from powerbert_cli.training.controller import Controller

OPEN = described(None, 64, kind="relative")


class Fragile:
    """A judge for which only what layer 2 drops does harm."""

    calls = 0

    def __call__(self, elimination):
        self.calls += 1
        return (1 - elimination.retention.values[1]) ** 2


@pytest.fixture
def space():
    return Space(OPEN, FlopsBudget((LayerShape(8, 8, 32),) * 3, [40, 64], ends_in_first=False), 64)


def test_calibration_spares_the_layer_that_is_needed(space):
    """The second layer can keep no more than the first, so both stay and the last one goes."""
    judge = Fragile()
    shares, tried = calibrate(space, judge, 0.8)
    assert space.cost(shares) == pytest.approx(0.8, abs=0.01) and space.cost(shares) <= 0.8
    assert shares[1] == 1.0 and shares[2] < 0.2
    assert judge.calls >= len(tried) - 1


def test_calibration_says_what_cannot_be_reached(space):
    with pytest.raises(ValueError, match="cannot be reached"):
        calibrate(space, Fragile(), 0.001)


def test_evolution_finds_the_layer_that_is_needed(space):
    judge = Fragile()
    shares, tried = evolve(space, judge, 0.8, population=8, generations=10, seed=0)
    assert space.cost(shares) <= 0.8 and shares[1] > 0.9
    assert judge.calls == len(tried) and min(one.harm for one in tried) == judge(space.elimination(shares))
    assert evolve(space, Fragile(), 0.8, 8, 10, seed=0)[0] == shares


def test_a_last_layer_for_cls_alone_is_not_searched(space):
    ends = Space(OPEN, FlopsBudget((LayerShape(8, 8, 32),) * 3, [40, 64], ends_in_first=True), 64)
    for shares, tried in (calibrate(ends, Fragile(), 0.6), evolve(ends, Fragile(), 0.6, 8, 4, seed=0)):
        assert ends.cost(shares) <= 0.6
        assert {one.shares[-1] for one in tried} == {1e-4}


@pytest.mark.parametrize("cls", [LogitsJudge, SignificanceJudge])
def test_judges_find_more_harm_in_more_elimination(cls, batch):
    open_ = described(None, 16, kind="relative", fractions=(1.0,) * 3)
    model = ShortenedModel(make_host(), open_).eval()
    judge = cls(model, [batch], "fp32")
    harms = [judge(described(None, 16, kind="relative", fractions=(f,) * 3).checked(3)) for f in (1.0, 0.6, 0.3, 1e-4)]
    assert harms[0] == pytest.approx(0.0, abs=1e-6) and harms[-1] > harms[1] > harms[0]
    assert model.elimination == open_.keeping_all()


def test_dropped_significance_by_hand(batch):
    """Of the input alone: what the top half of each layer's column sums of the plain model leave out."""
    host = make_host("bert", "eager")
    one = {name: part[:1] for name, part in batch.items()}
    model = ShortenedModel(host, described((16, 16, 16), 16)).eval()
    harm = SignificanceJudge(model, [one], "fp32")(described((8, 8, 8), 16))
    with torch.no_grad():
        layers = host(**one, output_attentions=True).attentions
    expected = 0.0
    for attention in layers:
        columns = attention[0].sum(dim=(0, 1))
        kept = columns[0] + columns[1:].sort(descending=True).values[:7].sum()
        expected += float(1 - kept / columns.sum())
    assert harm == pytest.approx(expected, abs=1e-5)


def test_the_controller_brings_a_slow_system_to_its_target():
    """Masses that fall by λ's sign and size as Adam lets them: at most 0.01 in each of 300 steps."""
    masses = torch.ones(1)
    controller = Controller(lambda m: m[0], 1.0, 0.4, start=1e-3)
    weight, steps = 1e-3, 300
    for step in range(1, steps + 1):
        pressure = weight - 3e-4 / float(masses[0])  # the task defends what is left
        masses = (masses - 0.01 * max(-1.0, min(1.0, pressure / 1e-3))).clamp(0, 1)
        row = controller.update(masses, step, steps)
        weight = row["lambda"]
    assert float(masses[0]) == pytest.approx(0.4, abs=0.02)
    assert controller.goal(0) == 1.0 and controller.goal(1) == 0.4


def test_the_controller_does_not_wind_up_where_the_cost_cannot_be_what_is_wanted():
    """A cost that begins below 1 and does not fall at first, as of ranks that no input has, is met all the same."""
    masses = torch.full((1,), 1.5)  # what is above 1 costs nothing
    controller = Controller(lambda m: 0.8 * m[0].clamp(max=1), 0.8, 0.4, start=1e-3)
    weight, steps = 1e-3, 300
    assert controller.goal(0) == 0.8
    for step in range(1, steps + 1):
        pressure = weight - 3e-4 / float(masses[0])
        masses = (masses - 0.01 * max(-1.0, min(1.0, pressure / 1e-3))).clamp(0, 1.5)
        weight = controller.update(masses, step, steps)["lambda"]
        assert 1e-8 < weight < 100
    assert 0.8 * float(masses[0]) == pytest.approx(0.4, abs=0.03)
