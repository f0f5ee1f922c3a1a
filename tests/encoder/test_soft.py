"""Soft-extract layers, and soft thresholds, that learn what to keep."""

from dataclasses import replace

import pytest
import torch
from hosts import FAMILIES, described, make_host

from powerbert_cli.encoder.searching import SoftExtractModel, SoftThresholdModel
from powerbert_cli.encoder.shortened import ShortenedModel
from powerbert_cli.method.retention import Thresholds


def test_soft_extract_shields_cls_unless_told(host):
    with_shield, without = (SoftExtractModel(host, described(None, 16), shield=s) for s in (True, False))
    for model in (with_shield, without):
        model.shrink_(torch.full((3,), 2.0))
        model.clip_()
    assert with_shield.retention_parameters[:, 0].tolist() == [1.0] * 3
    assert without.retention_parameters[:, 0].tolist() == [0.0] * 3


def test_soft_extract_with_zeros_differs_and_r_gets_a_gradient(host, batch):
    model = SoftExtractModel(host, described(None, 16)).eval()
    with torch.no_grad():
        model.retention_parameters[:, 3:] = 0
    out = model(**batch, labels=torch.tensor([0, 1, 0, 1]))
    assert not torch.allclose(out.logits, host(**batch).logits, atol=1e-3)
    out.loss.backward()
    assert model.retention_parameters.grad.abs().sum() > 0


@pytest.mark.parametrize("protected", [(), (7, 11)])
@pytest.mark.parametrize("family", FAMILIES)
def test_steep_soft_thresholds_are_the_hard_ones(family, protected, batch):
    """Survivors compete with survivors only: the counts of each layer, and the logits."""
    thresholds = (0.7, 0.9, 1.0)
    elimination = described(None, 16, "threshold", protected_tokens=protected)
    soft = SoftThresholdModel(make_host(family), elimination, temperature=1e-6).eval()
    hard = ShortenedModel(make_host(family), replace(elimination, retention=Thresholds(thresholds))).eval()
    with torch.no_grad():
        soft.retention_parameters.copy_(-torch.tensor(thresholds)[:, None])
        logits = soft(**batch).logits
        kept = [(positions >= 0).sum(-1).float().mean().item() for positions in hard.kept_positions(**batch)]
        assert torch.stack(soft.counts).tolist() == pytest.approx(kept, abs=1e-4)
        assert torch.allclose(logits, hard(**batch).logits, atol=1e-4)
    assert 10 > kept[0] > kept[1] > kept[2] > 1  # each layer drops some, of what is left


def test_masses_of_thresholds_are_a_running_mean_over_training_inputs(batch):
    """Two batches of one input and of three weigh 1 to 3; what is evaluated between them does not count.

    All word-vectors survive, so the mean is that of the lengths.
    """
    model = SoftThresholdModel(make_host(), described(None, 16, "threshold")).train()
    model({name: part[:1] for name, part in batch.items()}["input_ids"])  # 16 word-pieces
    assert model.masses().tolist() == [16.0] * 3
    model.eval()(**batch)
    model.train()(**{name: part[1:] for name, part in batch.items()})  # 9, 3 and 12
    assert model.masses().tolist() == pytest.approx([(16 + 9 + 3 + 12) / 4] * 3)
