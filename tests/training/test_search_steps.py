"""Steps of a search: how r moves, is shrunk and clipped."""

import pytest
import torch
from accelerate import Accelerator
from hosts import described, make_host
from trainings import plan
from transformers import TrainerCallback

from powerbert_cli.encoder.searching import SoftExtractModel, SoftThresholdModel
from powerbert_cli.method.retention import lengths_from_masses
from powerbert_cli.method.soft_extract import learning_rates
from powerbert_cli.training.soft_search import search_retention, search_steps

OPEN = described(None, 16)
BY_THRESHOLD = described(None, 16, "threshold")


def test_a_search_moves_r_by_the_regulariser(material, tmp_path):
    """With a λ far above the task's gradient Adam moves each r down by the learning rate of the step."""
    model = SoftExtractModel(make_host(), OPEN)
    p = plan(training={"warmup_ratio": 0.0})
    found = search_retention(model, material, p, 1e3, 0.01, False, tmp_path)
    fall = learning_rates(search_steps(24, p), 0.0, 0.01).sum()
    expected = torch.full((3, 16), 1 - float(fall))
    expected[:, 0] = 1.0  # [CLS] is protected
    assert torch.allclose(found.retention_parameters, expected, atol=2e-3)
    assert found.masses == pytest.approx([1 + 15 * (1 - float(fall))] * 3, abs=0.03)
    masses = found.trained.history["mass_1"].dropna()
    assert len(masses) == 6 and (masses.diff().dropna() < 0).all()


def test_decoupled_shrink_is_lambda_times_the_learning_rates(material, tmp_path):
    """A rank beyond the longest input has no gradient: it falls by λ · j · Σ lr, whatever Adam does."""
    for epochs, lr_soft in ((1, 0.04), (2, 0.02)):  # twice the steps at half the rate: the same sum
        model = SoftExtractModel(make_host(), OPEN)
        p = plan(epochs=epochs, training={"warmup_ratio": 0.0})
        found = search_retention(model, material, p, 0.5, lr_soft, True, tmp_path / str(epochs))
        total = float(learning_rates(search_steps(24, p), 0.0, lr_soft).sum())
        for j in range(3):
            expected = max(0.0, 1 - 0.5 * (j + 1) * total)
            assert found.retention_parameters[j, 15].item() == pytest.approx(expected, abs=1e-5)


class Gradients(TrainerCallback):
    """r's gradient in each step."""

    def __init__(self):
        self.of_r = []

    def on_optimizer_step(self, args, state, control, model=None, **kwargs):
        self.of_r.append(model.retention_parameters.grad.clone())


@pytest.mark.parametrize("accumulation", [1, 2])
def test_clipping_leaves_lambda_alone(material, tmp_path, accumulation):
    """Clipped to next to nothing, the gradient of r_j is λ · j at all ranks."""
    found = Gradients()
    options = {"max_grad_norm": 1e-6, "accumulation": accumulation}
    model = SoftExtractModel(make_host(), OPEN)
    search_retention(model, material, plan(training=options), 0.05, 0.01, False, tmp_path, [found])
    expected = 0.05 * torch.arange(1.0, 4.0).unsqueeze(1).expand(3, 16)
    assert len(found.of_r) == 6
    assert all(torch.allclose(one, expected, atol=2e-6) for one in found.of_r)


@pytest.mark.parametrize("threshold", [False, True])
def test_a_clip_that_clips_nothing_changes_nothing(material, tmp_path, threshold):
    found = []
    for norm in (0.0, 1e9):
        model = SoftThresholdModel(make_host(), BY_THRESHOLD) if threshold else SoftExtractModel(make_host(), OPEN)
        p = plan(training={"max_grad_norm": norm})
        search_retention(model, material, p, 0.05, 0.1, False, tmp_path / str(norm))
        found.append(model.retention_parameters.detach())
    assert torch.allclose(*found, atol=1e-6)


def test_a_step_that_fp16_skips_shrinks_nothing(material, tmp_path, monkeypatch):
    """The scaler skips the first ones; those of ranks without a gradient then fall by the others' rates alone."""
    skipped = iter([True, True, False, False, False, False])
    now = []

    class Skips(TrainerCallback):
        def on_pre_optimizer_step(self, args, state, control, **kwargs):
            now[:] = [next(skipped)]

    # the scheduler of the Trainer stands still in a skipped step too, so four rates of the six are used
    monkeypatch.setattr(Accelerator, "optimizer_step_was_skipped", property(lambda self: bool(now and now[0])))
    p = plan(training={"warmup_ratio": 0.0})
    model = SoftExtractModel(make_host(), OPEN)
    search_retention(model, material, p, 0.5, 0.04, True, tmp_path, [Skips()])
    rates = learning_rates(search_steps(24, p), 0.0, 0.04)
    expected = 1 - 0.5 * float(rates[:4].sum())
    assert model.retention_parameters[0, 15].item() == pytest.approx(expected, abs=1e-5)


def test_a_search_of_thresholds_raises_them(material, tmp_path):
    model = SoftThresholdModel(make_host(), described(None, 16, "threshold"))
    found = search_retention(model, material, plan(), 10.0, 0.1, False, tmp_path)
    assert min(model.thresholds) > 0.1 and found.retention_parameters.shape == (3, 1)
    assert all(0 < mass < 16 for mass in found.masses)


def test_without_lambda_ranks_beyond_the_longest_input_stay(material, tmp_path):
    model = SoftExtractModel(make_host(), OPEN)
    found = search_retention(model, material, plan(), 0.0, 0.01, False, tmp_path)
    assert torch.equal(found.retention_parameters[:, 14:], torch.ones(3, 2))


def test_r_stays_in_its_range_and_lengths_never_grow(material, tmp_path):
    found = search_retention(SoftExtractModel(make_host(), OPEN), material, plan(), 0.05, 0.5, False, tmp_path)
    assert found.retention_parameters.min() >= 0 and found.retention_parameters.max() <= 1
    lengths = lengths_from_masses(found.masses, 16)
    assert list(lengths) == sorted(lengths, reverse=True) and lengths[-1] >= 1
