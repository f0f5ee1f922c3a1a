"""Retention relative to an input's own length, in whole models."""

import pytest
import torch
from hosts import FAMILIES, described, make_host

from powerbert_cli.encoder.searching import SoftExtractModel
from powerbert_cli.encoder.shortened import ShortenedModel
from powerbert_cli.method.elimination import draw_random_order

FRACTIONS = (0.6, 0.35, 0.1)


def relative(strategy="attention", fractions=FRACTIONS):
    order = draw_random_order(16, 0) if strategy == "random" else None
    return described(None, 16, strategy, random_order=order, kind="relative", fractions=fractions)


def each_alone(batch):
    return [batch["input_ids"][b : b + 1, :n] for b, n in enumerate(batch["attention_mask"].sum(1).tolist())]


@pytest.mark.parametrize("training", [False, True])
@pytest.mark.parametrize("strategy", ["attention", "head", "random", "merge"])
@pytest.mark.parametrize("family", FAMILIES)
def test_what_an_input_loses_does_not_depend_on_the_others(family, strategy, training, batch):
    """In a batch, padded further, and alone: the same word-vectors and the same logits."""
    model = ShortenedModel(make_host(family, hidden_dropout_prob=0.0, dropout=0.0), relative(strategy)).train(training)
    for part in model.modules():
        if isinstance(part, torch.nn.Dropout):
            part.p = 0.0
    model.attention_dropout = 0.0
    with torch.set_grad_enabled(training):
        together, kept = model(**batch).logits, model.kept_positions(**batch)
        assert [k.shape[1] for k in kept] == [10, 6, 2]  # quotas of the longest: 16 word-vectors
        for b, alone in enumerate(each_alone(batch)):
            assert torch.allclose(model(alone).logits[0], together[b], atol=1e-4)
            for j, (one, many) in enumerate(zip(model.kept_positions(alone), kept, strict=True)):
                assert one[0].tolist() == [p for p in many[b].tolist() if p >= 0]
                assert one.shape[1] == model.elimination.kept(alone.shape[1])[j]


def test_tensors_are_as_long_as_the_largest_quota_whatever_the_padding(host, batch):
    short = {name: part[1:3] for name, part in batch.items()}  # 9 and 3 word-vectors, padded to 16
    kept = ShortenedModel(host, relative()).eval().kept_positions(**short)
    assert [k.shape[1] for k in kept] == [6, 4, 1]


@pytest.mark.parametrize("family", FAMILIES)
def test_full_fractions_equal_plain_transformers(family, batch):
    host = make_host(family)
    with torch.no_grad():
        plain = host(**batch).logits
        hard = ShortenedModel(host, relative(fractions=(1.0,) * 3)).eval()(**batch).logits
        open_ = described(None, 16, kind="relative")
        soft = SoftExtractModel(host, open_, bins=5).eval()(**batch).logits
    assert torch.allclose(hard, plain, atol=1e-4) and torch.allclose(soft, plain, atol=1e-4)


def test_soft_extract_serves_all_lengths_with_the_same_parameters(host, batch):
    soft = SoftExtractModel(host, described(None, 16, kind="relative"), bins=2).eval()
    with torch.no_grad():
        soft.retention_parameters[:, 1] = 0.0
    assert torch.allclose(soft.masses(), torch.full((3,), 8.0))
    scaled = soft(batch["input_ids"][:1]).logits
    assert not torch.allclose(scaled, host(batch["input_ids"][:1]).logits, atol=1e-3)
    loss = soft(**batch, labels=torch.tensor([0, 1, 0, 1])).loss
    loss.backward()
    assert soft.retention_parameters.grad[:2, 1].abs().min() > 0  # the last layer scales [CLS] alone, which is shielded


def test_a_configuration_can_be_changed_for_a_while(host, batch):
    model = ShortenedModel(host, relative()).eval()
    with torch.no_grad():
        before = model(**batch).logits
        with model.eliminating(relative(fractions=(1.0,) * 3)):
            assert torch.allclose(model(**batch).logits, host(**batch).logits, atol=1e-4)
        assert torch.equal(model(**batch).logits, before)


def test_the_last_cls_vector_is_what_the_head_reads(host, batch):
    model = ShortenedModel(host, relative()).eval()
    with torch.no_grad():
        output = model(**batch, output_hidden_states=True)
        first = output.hidden_states[-1]
        assert first.shape == (4, 1, 32)
        assert torch.allclose(host.classifier(host.bert.pooler(first)), output.logits, atol=1e-5)
    assert model(**batch).hidden_states is None
