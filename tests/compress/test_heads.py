"""Attention heads and widths by layer: really removed, saved as zeros, stripped again."""

import json
import math

import pytest
import torch
from hosts import FAMILIES, logits_of, make_host, ours, texts
from transformers import AutoModelForSequenceClassification

from powerbert_cli.bench.cost import shape_of
from powerbert_cli.compress.heads import fewer_heads
from powerbert_cli.compress.neurons import How, fewer_neurons
from powerbert_cli.compress.sensitivity import by_loss
from powerbert_cli.encoder.removing import NotRemovable, fits_config, keep_heads, keep_neurons, open_blocks, sizes_of
from powerbert_cli.errors import PowerbertError
from powerbert_cli.method.elimination import Elimination, plain
from powerbert_cli.method.retention import Lengths, RetentionError
from powerbert_cli.models.kinds import load_shortened
from powerbert_cli.models.model_dir import load_plain, save_model_dir
from powerbert_cli.models.onnx_file import export_onnx
from powerbert_cli.store.compression_file import Compression
from powerbert_cli.store.retention_file import RetentionFile
from powerbert_cli.tasks.tokenizing import build_tokenizer

CLOSED = ("albert", "modernbert")
OPEN = [family for family in FAMILIES if family not in CLOSED]
LEFT = ((0, 2), (3,), (0, 1, 2, 3))  # of four heads in each of three layers


def pruned(family, left=LEFT, neurons=(64, 16, 32), **changes):
    """A host with heads and neurons removed by layer, and what says so."""
    host = make_host(family, **changes)
    for block, heads, count in zip(open_blocks(host), left, neurons, strict=True):
        keep_heads(block, heads)
        keep_neurons(block, torch.arange(count))
    host.compression = Compression(3, (0, 1, 2), (64, 64), 0.5, (2, 1), {}, sizes_of(host))
    return host


@pytest.mark.parametrize("left", [LEFT, ((0, 2), (), (3,))], ids=["some", "a layer without any"])
@pytest.mark.parametrize("family", OPEN)
def test_stripped_saved_and_zero_filled_models_agree(family, left, tmp_path):
    """Ours on what is left, plain transformers on the saved directory, and ours on what was loaded again.

    In float64: in float32 the sums of other sizes round apart by more than 1e-6 on a CPU without AVX-512.
    """
    host = pruned(family, left).double()
    wanted = logits_of(ours(host))
    save_model_dir(tmp_path, host, build_tokenizer(["a"], 50))
    dense, found = AutoModelForSequenceClassification.from_pretrained(tmp_path, output_loading_info=True)
    dense.double()
    assert not found["missing_keys"] and not found["mismatched_keys"] and not found["unexpected_keys"]
    assert torch.allclose(logits_of(dense), wanted, atol=1e-6)
    loaded = load_plain(tmp_path).double()
    assert sizes_of(loaded) == sizes_of(host) and loaded.num_parameters() == host.num_parameters()
    assert torch.allclose(logits_of(ours(loaded)), wanted, atol=1e-6)
    with torch.enable_grad():  # the path of training, without arranged weights
        assert torch.allclose(torch.cat([ours(loaded)(**b).logits for b in texts(False)]), wanted, atol=1e-5)
    written = json.loads((tmp_path / "compression.json").read_text())["per_layer_config"]
    assert written["0"] == {"num_attention_heads": 2, "kept_heads": [0, 2], "intermediate_size": 64}
    save_model_dir(tmp_path / "again", loaded, build_tokenizer(["a"], 50))
    assert sizes_of(load_plain(tmp_path / "again")) == sizes_of(host)


@pytest.mark.parametrize("family", OPEN)
def test_a_shortened_model_of_what_is_left_is_saved_and_loaded(family, tmp_path):
    """A removed head gives no significance, so the shortened model is one of the stripped model alone."""
    host, retention = pruned(family), Elimination(Lengths((9, 5, 2)), 16)
    save_model_dir(tmp_path, host, build_tokenizer(["a"], 50), RetentionFile(retention))
    shipped = load_shortened(tmp_path)
    assert torch.allclose(logits_of(shipped), logits_of(ours(host, (9, 5, 2))), atol=1e-6)
    shipped.save_pretrained(tmp_path / "again")
    again = load_shortened(tmp_path / "again")
    assert torch.allclose(logits_of(again), logits_of(shipped), atol=1e-6) and not fits_config(again.host)


def test_a_layer_without_heads_cannot_eliminate():
    host = pruned("bert", ((0, 2), (), (3,)))
    with pytest.raises(RetentionError, match="layer 2 has no heads.*compress.least_heads=1"):
        ours(host, (9, 5, 2))
    assert logits_of(ours(host, (9, 9, 2))).isfinite().all()


@pytest.mark.slow
@pytest.mark.parametrize("left", [((0, 2), ()), LEFT])
def test_the_file_for_other_engines_has_the_real_sizes(left, tmp_path):
    onnxruntime = pytest.importorskip("onnxruntime")
    sizes = {"num_hidden_layers": len(left), "type_vocab_size": 1}
    model = ours(pruned("bert", left, (64, 16, 32)[: len(left)], **sizes), (16,) * len(left))
    whole = make_host("bert", **sizes)
    export_onnx(model, tmp_path / "left.onnx")
    weights = pytest.importorskip("onnx").load(tmp_path / "left.onnx").graph.initializer
    assert sum(math.prod(one.dims) for one in weights) < 0.9 * sum(one.numel() for one in whole.parameters())
    batch = {**texts(False)[0]}
    session = onnxruntime.InferenceSession(tmp_path / "left.onnx")
    found = session.run(None, {name: tensor.numpy() for name, tensor in batch.items()})[0]
    with torch.no_grad():
        assert torch.allclose(torch.from_numpy(found), model(**batch).logits, atol=1e-5)


def test_costs_follow_what_is_left():
    whole, left = shape_of(make_host()), shape_of(pruned("bert"))
    assert [layer.attended for layer in left] == [16, 8, 32] and [layer.feed_forward for layer in left] == [64, 16, 32]
    assert [layer.heads_for_first for layer in left] == [2, 1, 4]
    assert {layer.attended for layer in whole} == {32}


@pytest.mark.parametrize("family", OPEN)
def test_scores_are_the_slope_of_the_loss(family):
    """One input at a time, as printed: |∂L/∂ξ| of a gate ξ on a head's output, here by differences."""
    host, batch = make_host(family).double(), {k: v[:1] for k, v in texts()[1].items()}
    found = by_loss(host, [batch], 16, "heads", as_printed=True)
    neurons = by_loss(host, [batch], 16, "neurons", as_printed=True)
    for j, h in ((0, 1), (1, 3), (2, 0)):
        assert float(found[j][h]) == pytest.approx(_slope(host, batch, j, "output", slice(8 * h, 8 * h + 8)), rel=5e-3)
    assert float(neurons[1][5]) == pytest.approx(_slope(host, batch, 1, "down", slice(5, 6)), rel=5e-3, abs=1e-4)


@torch.no_grad()
def _slope(host, batch, j, layer, columns):
    """By differences, of a gate on some inputs of a linear layer, which is a factor on its columns."""
    weight, losses = getattr(open_blocks(host)[j], layer).weight, []
    before, step = weight.clone(), 1e-2
    for gate in (1 + step, 1 - step):
        weight[:, columns] = before[:, columns] * gate
        losses.append(float(ours(host)(**batch).loss))
        weight.copy_(before)
    return abs(losses[0] - losses[1]) / (2 * step)


@pytest.mark.parametrize("as_printed", [False, True])
def test_scores_of_a_batch_are_the_sum_of_its_inputs(as_printed):
    """However the inputs are batched and padded, and in whatever order they are packed."""
    host, batches = make_host().double(), texts()
    shuffled = {name: tensor[[2, 0, 3, 1]] for name, tensor in batches[0].items()}
    alone = []
    for i in range(4):
        n = int(batches[0]["attention_mask"][i].sum())
        alone.append({"input_ids": batches[0]["input_ids"][i : i + 1, :n], "labels": batches[0]["labels"][i : i + 1]})
    for wanted in (by_loss(host, [shuffled], 16, "heads", as_printed), by_loss(host, alone, 16, "heads", as_printed)):
        for one, other in zip(by_loss(host, batches[:1], 16, "heads", as_printed), wanted, strict=True):
            assert torch.allclose(one, other, rtol=1e-6)


def test_a_head_that_gives_nothing_goes_first_and_changes_no_logit():
    host = make_host()
    with torch.no_grad():
        value = open_blocks(host)[1].value
        value.weight[8:16], value.bias[8:16] = 0.0, 0.0
    before = logits_of(host)
    fewer_heads(host, texts(), 16, keep=11)
    assert [size.heads for size in sizes_of(host)] == [(0, 1, 2, 3), (0, 2, 3), (0, 1, 2, 3)]
    assert torch.allclose(logits_of(ours(host)), before, atol=1e-6)


@pytest.mark.parametrize("rounds", [1, 3])
def test_so_many_heads_are_left(rounds):
    host = make_host()
    fewer_heads(host, texts(), 16, keep=4, least=1, rounds=rounds)
    left = [len(size.heads) for size in sizes_of(host)]
    assert sum(left) == 4 and min(left) == 1
    fewer_heads(host, texts(), 16, keep=0)
    assert logits_of(ours(host)).isfinite().all() and [size.heads for size in sizes_of(host)] == [()] * 3


@pytest.mark.parametrize("score", ["taylor", "variance"])
def test_widths_by_layer(score, tmp_path):
    """Together they have as many as equal widths; the config says the widest."""
    host = make_host()
    with torch.no_grad():
        open_blocks(host)[0].down.weight.mul_(0.01)  # this layer hardly writes anything
    fewer_neurons(host, texts(), 16, 96, How(score, "refit", by_layer=True, multiple=16))
    counts = [size.neurons for size in sizes_of(host)]
    assert sum(counts) == 96 and counts[0] == 16 and all(count % 16 == 0 for count in counts)
    assert host.config.intermediate_size == max(counts)
    host.compression = Compression(3, (0, 1, 2), (64, max(counts)), 0.5, (2, 1), {}, sizes_of(host))
    save_model_dir(tmp_path, host, build_tokenizer(["a"], 50))
    dense = AutoModelForSequenceClassification.from_pretrained(tmp_path)
    assert torch.allclose(logits_of(dense), logits_of(ours(host)), atol=1e-6)
    assert [size.neurons for size in sizes_of(load_plain(tmp_path))] == counts


def test_a_file_of_another_model_is_refused(tmp_path):
    host = pruned("bert")
    save_model_dir(tmp_path, host, build_tokenizer(["a"], 50))
    about = json.loads((tmp_path / "compression.json").read_text())
    for change, said in (
        ({"0": {**about["per_layer_config"]["0"], "kept_heads": [1]}}, "of layer 1 is not zero"),
        ({"1": {**about["per_layer_config"]["1"], "kept_heads": [7]}}, "the model less"),
        ({"1": {**about["per_layer_config"]["1"], "intermediate_size": "x"}}, "is no compression file"),
    ):
        changed = {**about, "per_layer_config": {**about["per_layer_config"], **change}}
        (tmp_path / "compression.json").write_text(json.dumps(changed))
        with pytest.raises(PowerbertError, match=said):
            load_plain(tmp_path)


@pytest.mark.parametrize("family", CLOSED)
def test_shared_and_fused_parts_are_refused(family):
    with pytest.raises(NotRemovable, match=f"of {family} are not removed"):
        fewer_heads(make_host(family), texts(), 16, 8)
    assert fits_config(make_host(family)) and plain(16, 3)
