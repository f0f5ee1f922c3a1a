"""Pictures and sound lose neurons, heads, layers and bits as texts do."""

import pytest
import torch
from hosts import SIGNALS, described, make_signal_host

from powerbert_cli.compress.heads import fewer_heads
from powerbert_cli.compress.neurons import How, fewer_neurons
from powerbert_cli.encoder.quantising import bake, calibrated_clips, linear_layers, quantise_inputs, quantise_weights
from powerbert_cli.encoder.removing import filled, keep_layers, sizes_of, strip
from powerbert_cli.encoder.shortened import ShortenedModel

N = 24


def batches(host, labels=False):
    generator = torch.Generator().manual_seed(5)
    found = []
    for _ in range(2):
        if host.config.model_type in ("vit", "deit"):
            given = {"pixel_values": torch.randn(4, 3, 16, 16, generator=generator)}
        else:
            ends = [300] * 4 if hasattr(host, "lm_head") else [300, 280, 200, 120]  # what padding spells is no answer
            mask = (torch.arange(300) < torch.tensor(ends)[:, None]).long()
            given = {"input_values": torch.randn(4, 300, generator=generator) * mask, "attention_mask": mask}
        if labels:
            given["labels"] = torch.tensor([[3, 4]] * 4) if hasattr(host, "lm_head") else torch.tensor([0, 1, 1, 0])
        found.append(given)
    return found


def answers(host):
    with torch.no_grad():
        return torch.cat([host(**given).logits.flatten() for given in batches(host)])


@pytest.mark.parametrize("name", SIGNALS)
def test_all_neurons_kept_and_tuned_change_nothing_and_fewer_change_little(name):
    host = make_signal_host(name)
    before = answers(host)
    fewer_neurons(host, batches(host), N, 64, How("variance", "refit"))
    assert torch.allclose(answers(host), before, atol=1e-3)
    far = {}
    for tune in ("none", "refit"):
        smaller = make_signal_host(name)
        fewer_neurons(smaller, batches(smaller), N, 40, How("variance", tune))
        assert {size.neurons for size in sizes_of(smaller)} == {40} and smaller.config.intermediate_size == 40
        far[tune] = float((answers(smaller) - before).norm())
    assert far["refit"] < far["none"]


@pytest.mark.parametrize("name", SIGNALS)
def test_a_head_that_writes_nothing_is_the_first_to_go(name):
    host = make_signal_host(name)
    blocks = ShortenedModel(host, described(None, N)).blocks()
    with torch.no_grad():
        for j, block in enumerate(blocks):  # head j of layer j gives nothing
            rows = slice(j * block.head_size, (j + 1) * block.head_size)
            block.value.weight[rows] = 0
            block.value.bias[rows] = 0
    before = answers(host)
    fewer_heads(host, batches(host, labels=True), N, keep=9)
    assert [size.heads for size in sizes_of(host)] == [(1, 2, 3), (0, 2, 3), (0, 1, 3)]
    model = ShortenedModel(host, described(None, N)).eval()
    with torch.no_grad():
        after = torch.cat([model(**given).logits.flatten() for given in batches(host)])
    assert torch.allclose(after, before, atol=1e-4)
    whole, again = make_signal_host(name), make_signal_host(name)
    whole.load_state_dict(filled(host))
    assert torch.allclose(answers(whole), before, atol=1e-4)
    again.load_state_dict(filled(host))
    strip(again, sizes_of(host))
    assert sizes_of(again) == sizes_of(host)


@pytest.mark.parametrize("name", SIGNALS)
def test_bits_and_sparsity_are_of_the_blocks_linear_layers_alone(name):
    host = make_signal_host(name)
    kept = {key: value.clone() for key, value in host.state_dict().items()}
    model = ShortenedModel(host, described(None, N)).eval()
    clips = calibrated_clips(host, 4, (model(**given) for given in batches(host)))
    layers = linear_layers(host)
    assert len(layers) == 3 * 6 and set(clips.of) == set(layers)
    quantise_weights(host, 4, sparse=True)
    quantise_inputs(host, clips)
    assert torch.isfinite(answers(host)).all()
    bake(host)
    for key, value in host.state_dict().items():
        if key.removesuffix(".weight") in layers:
            assert len(value.unique()) <= 15
            assert int((value.unflatten(1, (-1, 4)) != 0).sum(dim=-1).max()) <= 2
        elif "input_quantiser" not in key:
            assert torch.equal(value, kept[key])


@pytest.mark.parametrize("name", ["vit", "hubert, letters"])
def test_layers_go(name):
    host = make_signal_host(name)
    keep_layers(host, [0, 2])
    assert host.config.num_hidden_layers == 2
    model = ShortenedModel(host, described(None, N, layers=2)).eval()
    given = {name: one[:1] for name, one in batches(host)[0].items()}  # without padding
    with torch.no_grad():
        assert torch.allclose(model(**given).logits, host(**given).logits, atol=1e-5)
