"""Arrangements that make inference faster and must not change what is answered."""

import copy

import pytest
import torch
from hosts import FAMILIES, described, make_host

from powerbert_cli.encoder.searching import SoftExtractModel
from powerbert_cli.encoder.shortened import ShortenedModel
from powerbert_cli.method.elimination import draw_random_order

LENGTHS = (8, 5, 2)


@pytest.mark.parametrize("strategy", ["attention", "head", "random", "threshold"])
@pytest.mark.parametrize("family", FAMILIES)
def test_last_layer_for_cls_only_is_exact(family, strategy, batch):
    """Logits and gradients equal those of a model whose last layer answers for all that it keeps."""
    order = draw_random_order(16, 0) if strategy == "random" else None
    elimination = described(LENGTHS, 16, strategy, (0.5, 0.8, 0.8), random_order=order)
    model = ShortenedModel(make_host(family), elimination).eval()
    assert model.ends_in_first
    logits = {}
    gradients = {}
    for ends_in_first in (True, False):
        model.ends_in_first = ends_in_first
        model.zero_grad()
        logits[ends_in_first] = model(**batch).logits
        logits[ends_in_first].sum().backward()
        gradients[ends_in_first] = [p.grad.clone() for p in model.parameters() if p.grad is not None]
    assert torch.allclose(logits[True], logits[False], atol=1e-5)
    for one, other in zip(gradients[True], gradients[False], strict=True):
        assert torch.allclose(one, other, atol=1e-4)


def test_soft_extract_ends_in_cls_only_if_cls_is_shielded(host, batch):
    """Without the shield r of the last layer scales [CLS] too."""
    shielded, open_ = (SoftExtractModel(host, described(None, 16), shield).eval() for shield in (True, False))
    assert shielded.ends_in_first and not open_.ends_in_first
    with torch.no_grad():
        shielded.retention_parameters[-1, 1:] = 0.25
        before = shielded(**batch).logits
        shielded.ends_in_first = False
        assert torch.allclose(shielded(**batch).logits, before, atol=1e-6)


def test_heads_that_read_more_than_cls_keep_the_last_layer(batch):
    for host in (
        make_host("modernbert", classifier_pooling="mean"),
        make_host("electra", choice=True, summary_type="mean"),
    ):
        assert not ShortenedModel(host, described(LENGTHS, 16)).ends_in_first


def test_model_can_be_copied_and_moved_after_it_has_answered(host, batch):
    model = ShortenedModel(host, described(LENGTHS, 16)).eval()
    one = {name: part[:1] for name, part in batch.items()}
    with torch.inference_mode():
        expected = model(**one).logits
        assert torch.equal(copy.deepcopy(model)(**one).logits, expected)
        assert torch.allclose(model.to(torch.bfloat16)(**one).logits.float(), expected, atol=0.04)


def test_autocast_answers_with_few_rows(host, batch):
    """As an evaluation in bf16 training does."""
    model = ShortenedModel(host, described(LENGTHS, 16)).eval()
    with torch.inference_mode():
        expected = model(**batch).logits
        with torch.autocast("cpu", dtype=torch.bfloat16):
            assert torch.allclose(model(**batch).logits.float(), expected, atol=0.08)


@pytest.mark.parametrize(
    ("strategy", "padded"),
    [("attention", True), *(pytest.param(*one, marks=pytest.mark.slow) for one in (("head", False), ("merge", True)))],
)
def test_compiles_as_one_graph_for_each_shape(strategy, padded, batch):
    """fullgraph raises where a graph breaks; a second batch of the same shape compiles nothing."""
    model = ShortenedModel(make_host(), described(LENGTHS, 16, strategy)).eval()
    torch._dynamo.reset()
    graphs = []

    def backend(graph, inputs):
        graphs.append(graph)
        return graph.forward

    compiled = torch.compile(model, dynamic=False, fullgraph=True, backend=backend)
    if not padded:
        del batch["attention_mask"]
    with torch.no_grad():
        for _ in range(2):
            assert torch.allclose(compiled(**batch).logits, model(**batch).logits, atol=1e-5)
        assert len(graphs) == 1
        compiled(batch["input_ids"][:2])
    assert len(graphs) == 2


@pytest.mark.parametrize("fused", [False, True])
def test_what_an_optimiser_changed_is_answered_at_once(fused, batch):
    """A fused step does not count the versions of the weights up, which the arranged copies are known by."""
    model = ShortenedModel(make_host(), described(LENGTHS, 16)).eval()
    optimiser = torch.optim.AdamW(model.parameters(), lr=0.1, fused=fused)
    for _ in range(2):
        model(**batch).logits.sum().backward()
        with torch.inference_mode():
            model(**batch)
        optimiser.step()
        with torch.inference_mode():
            found = model(**batch).logits
        assert torch.allclose(found, copy.deepcopy(model)(**batch).logits, atol=1e-5)


def test_writes_that_leave_no_trace_are_answered_after_a_refresh(batch):
    """Through `.data` and NumPy, as averaging, adapters and hand-written quantisers write."""
    model = ShortenedModel(make_host(), described(LENGTHS, 16)).eval()
    layer = model.host.bert.encoder.layer[0]
    writes = [
        lambda: layer.attention.self.query.weight.data.mul_(0.5),
        lambda: layer.output.dense.weight.detach().numpy().__imul__(0.5),
    ]
    with torch.no_grad():
        for write in writes:
            before = model(**batch).logits
            write()
            model.refresh()
            after = model(**batch).logits
            assert not torch.allclose(before, after, atol=1e-4)
            assert torch.allclose(after, copy.deepcopy(model)(**batch).logits, atol=1e-5)


def test_writes_in_training_mode_are_answered_in_evaluation(batch):
    """Without a refresh."""
    model = ShortenedModel(make_host(), described(LENGTHS, 16)).eval()
    with torch.no_grad():
        before = model(**batch).logits
        model.train()
        model.host.bert.encoder.layer[0].intermediate.dense.weight.data.mul_(0.5)
        after = model.eval()(**batch).logits
        assert not torch.allclose(before, after, atol=1e-4)
        assert torch.allclose(after, copy.deepcopy(model)(**batch).logits, atol=1e-5)


@pytest.mark.parametrize("family", ["bert", "distilbert", "mpnet", "modernbert", "albert"])
def test_hooks_on_linear_layers_fire_in_inference(family, batch):
    """Registered after the first answer too, and no more once they are gone."""
    host = make_host(family)
    model = ShortenedModel(host, described(LENGTHS, 16)).eval()
    linear = [one for one in host.base_model.modules() if isinstance(one, torch.nn.Linear)]
    seen: list[str] = []
    with torch.no_grad():
        before = model(**batch).logits
        handles = [one.register_forward_hook(lambda *_: seen.append("after")) for one in linear[:6]]
        handles += [one.register_forward_pre_hook(lambda *_: seen.append("before")) for one in linear[:6]]
        hooked = model(**batch).logits
        assert torch.allclose(before, hooked, atol=1e-5)
        assert seen.count("after") == seen.count("before") >= 4
        for handle in handles:
            handle.remove()
        seen.clear()
        assert torch.equal(model(**batch).logits, before) and not seen
