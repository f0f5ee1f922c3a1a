"""Scores of heads and neurons, and what is done to those that stay. Expected values are computed by hand."""

import math

import pytest
import torch

from powerbert_cli.method.pruning import (
    Moments,
    by_magnitude,
    by_r2d2,
    by_variance,
    kept,
    of_all_layers,
    r2,
    refitted,
    scales,
    sensitivity,
    width_for,
)

TWO = torch.tensor([[0.0], [math.sqrt(math.log(2))]])  # K = [[1, 1/2], [1/2, 1]]


@pytest.mark.parametrize(("steps", "diagonal"), [(1, 0.577350), (2, 0.653103), (3, 0.718608)])
def test_r2_of_two_points(steps, diagonal):
    torch.testing.assert_close(r2(TWO, steps).tolist(), [diagonal] * 2, atol=1e-5, rtol=0)


def test_r2_of_two_equal_points_and_one_far_away_has_no_nan():
    points = torch.tensor([[0.0], [0.0], [100.0]])
    for steps, near, far in ((1, 0.408248, 0.577350), (2, 0.451801, 0.759836), (3, 0.475290, 0.871686)):
        torch.testing.assert_close(r2(points, steps).tolist(), [near, near, far], atol=1e-5, rtol=0)
    torch.testing.assert_close(r2(points, 60).tolist(), [0.5, 0.5, 1.0], atol=1e-4, rtol=0)
    assert r2(torch.zeros(2, 3), 5).tolist() == [0.5, 0.5]


def test_r2_in_one_step_is_closed_and_knows_no_order_nor_place():
    w2 = torch.randn(7, 3, generator=torch.Generator().manual_seed(0))
    kernel = torch.exp(-((w2[:, None] - w2[None]) ** 2).sum(-1)).double()
    torch.testing.assert_close(r2(w2), 1 / (7 * kernel.sum(1)).sqrt(), atol=1e-6, rtol=0)
    c = torch.full_like(kernel, 1 / 7)
    torch.testing.assert_close(r2(w2), (c * (kernel / (kernel @ c)).sqrt()).diagonal(), atol=1e-6, rtol=0)
    order = torch.randperm(7, generator=torch.Generator().manual_seed(1))
    torch.testing.assert_close(r2(w2[order], 4), r2(w2, 4)[order])
    torch.testing.assert_close(r2(w2 + 2.5, 4), r2(w2, 4), atol=1e-6, rtol=1e-5)


def test_stop_rules_of_r2():
    """The printed rule holds after one step; that of the size goes on."""
    w2 = 0.4 * torch.randn(40, 6, generator=torch.Generator().manual_seed(0))
    assert torch.equal(r2(w2, stop="signed"), r2(w2, 1))
    taken = [torch.allclose(r2(w2, steps), r2(w2, stop="magnitude")) for steps in range(1, 40)]
    assert taken.index(True) > 0


def moments_of(*batches):
    moments = Moments.none(len(batches[0][0]))
    for batch in batches:
        moments.add(torch.tensor(batch))
    return moments


def test_moments_and_scores():
    moments = moments_of([[1.0, -1.0], [3.0, -1.0]], [[2.0, 2.0]])
    assert moments.mean.tolist() == [2.0, 0.0]
    assert moments.rms.tolist() == pytest.approx([math.sqrt(14 / 3), math.sqrt(2)])
    assert moments.variance.tolist() == pytest.approx([2 / 3, 2.0])
    w2 = torch.tensor([[3.0, 4.0], [0.0, 1.0]])
    assert by_magnitude(w2).tolist() == [5.0, 1.0]
    assert by_variance(w2, moments).tolist() == pytest.approx([50 / 3, 2.0])
    d2 = torch.tensor([14 / 3, 2.0]).sqrt() / math.sqrt(14 / 3 + 2)
    torch.testing.assert_close(by_r2d2(w2, moments), (r2(w2) * d2.double()), atol=1e-6, rtol=0)


def test_kept_ones_are_ascending_and_of_equal_ones_the_earlier():
    assert kept(torch.tensor([1.0, 3.0, 3.0, 3.0, 2.0]), 2).tolist() == [1, 2]


def test_scale_and_refit_by_hand():
    """H = [[1, 0], [1, 1]], W2 = [[2], [1]]; the first neuron stays: A = 8, b = 10."""
    h, w2 = torch.tensor([[1.0, 0.0], [1.0, 1.0]]), torch.tensor([[2.0], [1.0]])
    target = h @ w2
    gram, cross = h[:, :1].T @ h[:, :1], h[:, :1].T @ target
    assert scales(gram, cross, w2[:1], damp=0.0).tolist() == pytest.approx([1.25])
    assert scales(gram, cross, w2[:1]).tolist() == pytest.approx([1 + 16 / 65])
    assert scales(h.T @ h, h.T @ target, w2).tolist() == pytest.approx([1.0, 1.0])
    assert scales(gram, 20 * cross, w2[:1], damp=0.0) is None  # beyond 10
    # min (2 w - 5)²-like: (2 + 0.02) w = 5 + 0.02 · 2
    assert refitted(gram, cross, w2[:1]).tolist() == [pytest.approx([5.04 / 2.02])]
    torch.testing.assert_close(refitted(h.T @ h, h.T @ target, w2), w2)


def test_a_neuron_that_stands_twice_can_go_after_a_refit_and_not_before():
    generator = torch.Generator().manual_seed(0)
    h, w2 = torch.randn(200, 3, generator=generator), torch.randn(4, 5, generator=generator)
    h = torch.cat([h, h[:, :1]], dim=1)  # the fourth is the first
    target, left = h @ w2, h[:, :3]
    found = refitted(left.T @ left, left.T @ target, w2[:3])
    before, after = ((left @ w2[:3] - target).square().mean(), (left @ found - target).square().mean())
    assert after < 1e-3 * before


def test_width_for_a_share_is_the_published_count():
    """BERT-base at 128 word-pieces, Kwon's multiply-accumulates: 60% of them leave 14,131 of 36,864 neurons."""
    heads, neuron = 12 * 12 * (3 * 128 * 768 * 64 + 2 * 128**2 * 64 + 128 * 64 * 768), 2 * 128 * 768

    def cost(neurons):
        return heads + neurons * neuron

    assert cost(36864) == 11_173_625_856
    assert width_for(0.6, cost, 36864, 1) == 14131
    assert width_for(0.7, cost, 36864, 1) / 36864 == pytest.approx(0.537, abs=5e-4)
    assert width_for(0.6, cost, 36864, 16) == 14131 // 16 * 16
    with pytest.raises(ValueError, match="still costs 0.352"):
        width_for(0.35, cost, 36864, 16)


def test_sensitivity_by_hand():
    """Two word-pieces of one input with x · ∂L/∂x of +1 and -1: 2 as the program, 0 as printed; a second head 3 · 1."""
    values = torch.tensor([[1.0, 0.0, 1.0, 2.0], [0.0, 1.0, 0.0, 0.0]])
    gradients = torch.tensor([[1.0, 5.0, 1.0, 1.0], [5.0, -1.0, 1.0, 1.0]])
    assert sensitivity(values, gradients, 2).tolist() == [2.0, 3.0]
    assert sensitivity(values, gradients, 2, torch.tensor([0, 0])).tolist() == [0.0, 3.0]
    assert sensitivity(values, gradients, 2, torch.tensor([0, 1])).tolist() == [2.0, 3.0]


def test_the_best_of_all_layers_by_hand():
    scores = [torch.tensor([5.0, 1.0, 4.0, 2.0]), torch.tensor([0.1, 0.3, 0.2, 0.2])]
    found = of_all_layers(scores, 4, least=1)
    assert [index.tolist() for index in found] == [[0, 2, 3], [1]]
    assert [index.tolist() for index in of_all_layers(scores, 3, least=0)] == [[0, 2, 3], []]
    # in blocks of two: (5, 4) before (2, 1) before (0.3, 0.2)
    assert [index.tolist() for index in of_all_layers(scores, 4, 0, 2)] == [[0, 1, 2, 3], []]
    assert [index.tolist() for index in of_all_layers(scores, 4, 2, 2)] == [[0, 2], [1, 2]]
    assert sum(map(len, of_all_layers(scores, 8, 0))) == 8
