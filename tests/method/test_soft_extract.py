import torch

from powerbert_cli.method import soft_extract


def test_scales_by_rank_by_hand():
    order = torch.tensor([[0, 2, 1]])  # position 2 has rank 1, position 1 has rank 2
    r = torch.tensor([1.0, 0.5, 0.25], requires_grad=True)
    factors = soft_extract.factors_by_rank(r, order)
    assert factors.tolist() == [[1.0, 0.25, 0.5]]
    factors.sum().backward()
    assert r.grad.tolist() == [1.0, 1.0, 1.0]


def test_regularizer_by_hand():
    """Masses 3 and 1.5: 1 · 3 + 2 · 1.5 = 6, with gradient j for each parameter of layer j."""
    r = torch.tensor([[1.0, 1.0, 1.0], [1.0, 0.5, 0.0]], requires_grad=True)
    masses = soft_extract.masses(r)
    assert masses.tolist() == [3.0, 1.5]
    value = soft_extract.regularizer(masses, soft_extract.index_weights(masses))
    value.backward()
    assert value.item() == 6.0
    assert r.grad.tolist() == [[1.0] * 3, [2.0] * 3]


def test_clip():
    r = torch.tensor([[0.2, 1.4, -0.3, 0.5]])
    soft_extract.clip_(r)
    assert r.tolist() == [[1.0, 1.0, 0.0, 0.5]]


def test_shrink_takes_each_layers_amount():
    r = torch.ones(2, 3)
    soft_extract.shrink_(r, 0.25 * soft_extract.index_weights(torch.zeros(2)))
    assert r.tolist() == [[0.75] * 3, [0.5] * 3]


def test_learning_rate_for_reach():
    lr = soft_extract.learning_rate_for_reach(3.0, 200, 0.1)
    assert abs(soft_extract.reach(soft_extract.learning_rates(200, 0.1, lr)) - 3.0) < 1e-9


def test_learning_rate_for_a_search_of_one_step():
    """Warm-up begins at 0, so it moves nothing."""
    assert soft_extract.reach(soft_extract.learning_rates(1, 0.1, 0.02)) == 0
    assert soft_extract.learning_rate_for_reach(3.0, 1, 0.1) == 3.0


def test_reach_is_the_sum_of_learning_rates():
    assert abs(soft_extract.reach(torch.tensor([0.1, 0.2, 0.1])) - 0.4) < 1e-6
