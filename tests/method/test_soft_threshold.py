import torch

from powerbert_cli.method.soft_threshold import GONE, TEMPERATURE, log_threshold_factors, protect


def test_no_threshold_scales_nothing_and_a_high_one_removes():
    scores = torch.tensor([[0.0, 0.5, 1.0, 1.5]])
    assert torch.allclose(log_threshold_factors(scores, torch.zeros(1)), torch.zeros(1, 4))
    factors = log_threshold_factors(scores, torch.ones(1))[0].exp()
    assert factors[1] < 1e-3 and factors[3] > 0.999 and abs(factors[2] - 0.5) < 1e-3


def test_a_steep_one_is_a_step():
    logs = log_threshold_factors(torch.tensor([[0.0, 0.9, 1.1]]), torch.ones(1), temperature=1e-6)
    assert logs.tolist() == [[GONE, GONE, 0.0]] and float(torch.tensor(GONE).exp()) == 0


def test_the_threshold_gets_a_gradient():
    theta = torch.tensor([1.0], requires_grad=True)
    log_threshold_factors(torch.tensor([[1.0]]), theta).exp().sum().backward()
    assert abs(theta.grad.item() + 0.25 / TEMPERATURE) < 1e-3  # slope of the sigmoid at its middle


def test_protected_ones_are_not_scaled():
    factors = protect(torch.full((1, 4), GONE), 1, torch.tensor([[False, False, True, False]]))
    assert factors.tolist() == [[0.0, GONE, 0.0, GONE]]
