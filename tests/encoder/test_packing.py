"""Packed rows: the padded model's answers, whatever the batch; no padding among the rows."""

import pytest
import torch
from hosts import FAMILIES, described, make_host
from hypothesis import given, settings
from hypothesis import strategies as st

from powerbert_cli.encoder.packing import packed
from powerbert_cli.encoder.shortened import ShortenedModel
from powerbert_cli.method.elimination import Kept, Sizes, draw_random_order

LENGTHS, FRACTIONS = (8, 5, 2), (0.6, 0.35, 0.1)
KINDS = [(strategy, kind) for strategy in ("attention", "head", "random", "merge") for kind in ("absolute", "relative")]


def short(strategy, kind, **keys):
    order = draw_random_order(16, 0) if strategy == "random" else None
    how = {"fractions": FRACTIONS, "lengths": None} if kind == "relative" else {"lengths": LENGTHS}
    return described(seq_len=16, strategy=strategy, random_order=order, kind=kind, protected_tokens=(7,), **how, **keys)


def left_of(kept, b):
    """The positions of an input that leave each layer."""
    return [[position for position in layer[b].tolist() if position >= 0] for layer in kept]


@pytest.fixture
def as_padded(monkeypatch):
    """Within it padding is rows too, as in a compiled graph."""

    def answer(work):
        with monkeypatch.context() as patch:
            patch.setattr(torch.compiler, "is_compiling", lambda: True)
            return work()

    return answer


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize(("strategy", "kind"), KINDS)
@pytest.mark.parametrize("family", FAMILIES)
def test_packed_equals_padded(family, strategy, kind, dtype, batch, as_padded):
    """What each layer keeps, the logits, and in float32 all gradients."""
    model = ShortenedModel(make_host(family).to(dtype), short(strategy, kind)).eval()
    with torch.no_grad():
        kept, logits = model.kept_positions(**batch), model(**batch).logits
        other_kept, other = as_padded(lambda: (model.kept_positions(**batch), model(**batch).logits))
    same = [b for b in range(4) if left_of(kept, b) == left_of(other_kept, b)]
    scale = max(1.0, float(other.abs().max()))
    if dtype == torch.bfloat16:  # sums in another order: a rank may change hands
        assert len(same) >= 2 and torch.allclose(logits[same], other[same], atol=0.1 * scale)
        return
    assert len(same) == 4 and torch.allclose(logits, other, atol=1e-5 * scale)

    def gradients():
        model.zero_grad()
        model(**batch, labels=torch.tensor([0, 1, 0, 1])).loss.backward()
        return {name: p.grad.clone() for name, p in model.named_parameters() if p.grad is not None}

    ours, theirs = gradients(), as_padded(gradients)
    assert ours.keys() == theirs.keys()
    for name, gradient in ours.items():
        scale = max(1.0, float(gradient.abs().max()))
        assert torch.allclose(gradient, theirs[name], atol=1e-5 * scale), name


@pytest.mark.parametrize(("strategy", "kind"), [*KINDS, ("threshold", "absolute")])
def test_the_order_of_a_batch_changes_nothing(strategy, kind, host, batch):
    how = described(None, 16, "threshold", (0.7, 0.8, 1.1)) if strategy == "threshold" else short(strategy, kind)
    model = ShortenedModel(host, how).eval()
    order = torch.tensor([2, 0, 3, 1])
    turned = {name: part[order] for name, part in batch.items()}
    with torch.no_grad():
        there, here = model(**turned, output_hidden_states=True), model(**batch, output_hidden_states=True)
        assert torch.allclose(there.logits, here.logits[order], atol=1e-5)
        for ours, theirs in zip(there.hidden_states, here.hidden_states, strict=True):
            assert torch.allclose(ours[:, 0], theirs[order, 0], atol=1e-5)
        for ours, theirs in zip(model.kept_positions(**turned), model.kept_positions(**batch), strict=True):
            assert ours.tolist() == theirs[order].tolist()


def test_no_row_is_padding(host, batch):
    model = ShortenedModel(host, short("attention", "relative")).eval()
    seen = []
    with torch.no_grad():
        model._encode(model.start(batch["input_ids"], batch["attention_mask"], None), lambda rows: seen.append(rows))
    sizes = batch["attention_mask"].sum(1).tolist()
    by_layer = [sum(model.elimination.kept(n)[j] for n in sizes) for j in range(2)]
    assert [len(rows.vectors) for rows in seen] == [*by_layer, 4]  # the last answers for [CLS]
    assert all(rows.packing.sizes.now.sum() == len(rows.vectors) for rows in seen)


@settings(max_examples=60)
@given(st.lists(st.integers(1, 700), min_size=1, max_size=40), st.integers(1, 16), st.data())
def test_places_and_rows_belong_together(sizes, heads, data):
    """Padding and taking it out again gives the rows; what goes on after any choice is of the right inputs."""
    sizes = sorted(sizes, reverse=True)
    now = torch.tensor(sizes)
    packing = packed(Sizes(now, now), None, heads, torch.device("cpu"))
    owner = torch.arange(len(sizes)).repeat_interleave(now)
    rows = torch.stack((owner, torch.arange(len(owner))), dim=1)
    assert torch.equal(packing.unpad(packing.pad(rows)), rows)
    assert [i for group in packing.groups for i in range(len(sizes))[group.inputs]] == list(range(len(sizes)))
    for group in packing.groups:
        assert group.count == 1 or heads * group.length**2 * group.count <= 2**20
        table = group.table(packing.pad(rows))
        assert (table[:, :, 0] == torch.arange(len(sizes))[group.inputs].unsqueeze(1)).all()
    counts = torch.tensor([data.draw(st.integers(1, n)) for n in sizes])
    kept = []
    for group in packing.groups:
        own = counts[group.inputs]
        width = int(own.max())
        places = torch.arange(width).expand(group.count, width)  # the first ones of each
        kept.append(Kept(places, places < own.unsqueeze(1), own))
    after, taken = packing.after(kept, heads, torch.device("cpu"))
    going = packing.rows_of(kept) if taken is None else packing.rows_of(kept)[taken]
    order = torch.arange(len(sizes)) if after.order is None else after.order
    assert (after.sizes.now[1:] <= after.sizes.now[:-1]).all() and torch.equal(counts[order], after.sizes.now)
    assert torch.equal(owner[going], order.repeat_interleave(after.sizes.now))
    assert torch.equal(after.in_batch_order(after.sizes.now), counts)


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA GPU")
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16])
@pytest.mark.parametrize(("strategy", "kind"), [*KINDS, ("threshold", "absolute")])
@pytest.mark.parametrize("family", FAMILIES)
def test_a_gpu_answers_as_a_cpu_in_float32(family, strategy, kind, dtype, batch):
    """Also by attention of variable length, which bfloat16 and float16 take."""
    how = described(None, 16, "threshold", (0.7, 0.8, 1.1)) if strategy == "threshold" else short(strategy, kind)
    model = ShortenedModel(make_host(family).to(dtype).float(), how).eval()
    with torch.no_grad():
        expected_kept, expected = model.kept_positions(**batch), model(**batch).logits
        model, moved = model.to("cuda", dtype), {name: part.cuda() for name, part in batch.items()}
        kept, logits = model.kept_positions(**moved), model(**moved).logits.float().cpu()
    exact = dtype == torch.float32
    near = (logits - expected).abs().amax(dim=1) <= (1e-3 if exact else 0.1) * max(1.0, float(expected.abs().max()))
    same = [left_of(kept, b) == left_of(expected_kept, b) and bool(near[b]) for b in range(4)]
    assert sum(same) >= (4 if exact else 2)  # rounding: a rank, or what a word-vector merges into, may change hands


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA GPU")
@pytest.mark.parametrize("family", FAMILIES)
def test_gradients_on_a_gpu_in_mixed_precision(family, batch):
    """Of every parameter, near those of a CPU in float32; what is kept is given by position, so that it is the same."""
    model = ShortenedModel(make_host(family), short("head", "relative")).eval()

    def gradients(device, mixed):
        model.to(device).zero_grad()
        moved = {name: part.to(device) for name, part in batch.items()}
        with torch.autocast(device, torch.bfloat16, enabled=mixed):
            model(**moved, labels=torch.tensor([0, 1, 0, 1], device=device)).loss.backward()
        return {name: p.grad.float().cpu().clone() for name, p in model.named_parameters() if p.grad is not None}

    expected, found = gradients("cpu", False), gradients("cuda", True)
    assert expected.keys() == found.keys()
    scale = max(float(gradient.abs().max()) for gradient in expected.values())  # a key's bias has none but noise
    for name, gradient in found.items():
        assert torch.allclose(gradient, expected[name], atol=0.1 * scale), name
