"""Passes that begin where their configuration differs: the same answers, in fewer layers."""

import random

import pytest
import torch
from hosts import described, make_host, make_signal_host, texts

from powerbert_cli.encoder.shortened import ShortenedModel
from powerbert_cli.method.elimination import draw_random_order
from powerbert_cli.search import passes as module
from powerbert_cli.search.passes import Passes

CONFIGURATIONS = [(16, 12, 8), (16, 12, 4), (16, 10, 4), (16, 12, 2), (9, 9, 8), (16, 12, 8), (16, 16, 16), (16, 12, 1)]


@pytest.mark.parametrize("strategy", ["attention", "merge", "random", "relative"])
@pytest.mark.parametrize("family", ["bert", "modernbert", "mpnet"])
def test_answers_are_those_of_whole_passes(family, strategy):
    def elimination(lengths):
        if strategy == "relative":
            return described(None, 16, kind="relative", fractions=[length / 16 for length in lengths])
        order = {"random_order": draw_random_order(16, 3)} if strategy == "random" else {}
        return described(lengths, 16, strategy, **order)

    check(ShortenedModel(make_host(family), elimination(CONFIGURATIONS[0])).eval(), texts(labels=False), elimination)


def test_answers_about_pictures():
    pictures = [{"pixel_values": torch.randn(3, 3, 16, 16, generator=torch.Generator().manual_seed(0))}]
    model = ShortenedModel(make_signal_host("vit"), described((17, 17, 17), 17)).eval()
    check(model, pictures, lambda lengths: described(lengths, 17))


@torch.no_grad()
def check(model, batches, elimination):
    found, draw, judged = Passes(model, batches), random.Random(0), 0
    for lengths in (*CONFIGURATIONS, *(draw.choice(CONFIGURATIONS) for _ in range(8))):
        judged += 1
        answers = found.logits(elimination(lengths))
        with model.eliminating(elimination(lengths)):
            for own, batch in zip(answers, batches, strict=True):
                assert torch.equal(own, model(**batch).logits)
    assert found.layers_run < 0.8 * judged * model.layers


def test_a_late_layer_alone_is_run_again():
    model = ShortenedModel(make_host(), described((16, 12, 8), 16)).eval()
    found = Passes(model, texts(labels=False))
    for lengths, layers in (((16, 12, 8), 3), ((16, 12, 4), 1), ((16, 9, 4), 2), ((16, 12, 2), 1), ((16, 12, 2), 1)):
        before = found.layers_run
        found.logits(described(lengths, 16))
        assert found.layers_run - before == layers, lengths


@torch.no_grad()
def test_what_takes_too_much_memory_is_not_kept(monkeypatch):
    monkeypatch.setattr(module, "_MOST", 1000)
    model = ShortenedModel(make_host(), described((16, 12, 8), 16)).eval()
    begun, start = [], model.start
    monkeypatch.setattr(model, "start", lambda *given: begun.append(1) or start(*given))
    found = Passes(model, texts(labels=False))
    for passes in range(2):
        assert len(begun) == 1 + 2 * passes  # the first batch was one too many; none is kept
        for own, batch in zip(found.logits(described((16, 12, 8), 16)), texts(labels=False), strict=True):
            begun.pop()
            assert torch.equal(own, model(**batch).logits)
    assert found.layers_run == 6
