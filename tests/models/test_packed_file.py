"""Weights as bits in one file: to the byte as large as promised, to the bit what they were."""

import json
import struct

import pytest
import torch
from hosts import FAMILIES, logits_of, make_host, ours

from powerbert_cli.compress.heads import keep_heads
from powerbert_cli.encoder.quantising import bake, linear_layers, quantise_weights
from powerbert_cli.encoder.removing import keep_neurons, open_blocks, sizes_of
from powerbert_cli.method.bit_packing import int8_rows
from powerbert_cli.models.model_dir import load_plain
from powerbert_cli.models.packed_file import NAME, write_packed
from powerbert_cli.models.weights import ModelError
from powerbert_cli.store.compression_file import Compression


def few_bits(family="bert", bits=4, sparse=True, scales="tensor"):
    host = make_host(family)
    quantise_weights(host, bits, sparse, scales == "channel")
    bake(host)
    host.compression = Compression(3, (0, 1, 2), (64, 64), 1.0, (1, 1), {}, bits={"bits": bits, "scales": scales})
    return host


def written(host, folder, embeddings=False):
    write_packed(host, folder / NAME, embeddings)
    host.config.save_pretrained(folder)
    if getattr(host, "compression", None) is not None:
        host.compression.write(folder)
    return load_plain(folder)


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("bits", [4, 8])
def test_what_is_loaded_is_the_same_to_the_bit(family, bits, tmp_path):
    host = few_bits(family, bits, scales="channel" if bits == 8 else "tensor")
    loaded = written(host, tmp_path)
    assert all(torch.equal(tensor, loaded.state_dict()[name]) for name, tensor in host.state_dict().items())
    assert torch.equal(logits_of(ours(loaded)), logits_of(ours(host)))


def test_embeddings_in_8_bits_are_those_of_a_model_with_quantised_ones(tmp_path):
    host = few_bits()
    loaded = written(host, tmp_path, embeddings=True)
    for module in host.modules():
        if isinstance(module, torch.nn.Embedding):
            codes, step = int8_rows(module.weight.detach())
            module.weight.data = codes * step
    assert torch.equal(logits_of(loaded), logits_of(host))


def test_a_model_without_bits_gets_8(tmp_path):
    host = make_host("bert")
    loaded = written(host, tmp_path)
    difference = (logits_of(loaded) - logits_of(host)).abs().max()
    assert 0 < difference < 0.2 * logits_of(host).abs().max()


def test_layers_that_differ(tmp_path):
    host = make_host("bert")
    for block, heads, count in zip(open_blocks(host), ((0, 2), (3,), (0, 1, 2, 3)), (64, 16, 32), strict=True):
        keep_heads(block, heads)
        keep_neurons(block, torch.arange(count))
    quantise_weights(host, 4, sparse=True)
    bake(host)
    host.compression = Compression(
        3, (0, 1, 2), (64, 64), 0.5, (2, 1), {"ffn": 0.5}, sizes_of(host), {"bits": 4, "scales": "tensor"}
    )
    loaded = written(host, tmp_path)
    assert sizes_of(loaded) == sizes_of(host) and torch.equal(logits_of(ours(loaded)), logits_of(ours(host)))


@pytest.mark.parametrize(("bits", "sparse", "each"), [(8, False, 8), (4, False, 4), (4, True, 3), (2, True, 2)])
def test_bits_of_a_weight(bits, sparse, each, tmp_path):
    host = few_bits(bits=bits, sparse=sparse)
    write_packed(host, tmp_path / NAME, embeddings=True)
    with (tmp_path / NAME).open("rb") as stream:
        (size,) = struct.unpack("<Q", stream.read(8))
        header = json.loads(stream.read(size))
    header.pop("__metadata__")
    taken = {name: one["data_offsets"][1] - one["data_offsets"][0] for name, one in header.items()}
    linear = {f"{name}.weight": layer.weight.numel() for name, layer in linear_layers(host).items()}
    for name, count in linear.items():
        own = {part: taken.get(name + part, 0) for part in (".codes", ".places", ".step")}
        assert 8 * (own[".codes"] + own[".places"]) == each * count and own[".step"] == 4
    rest = sum(p.numel() for n, p in host.named_parameters() if n not in linear and "embeddings.weight" not in n)
    tables = [m.weight for m in host.modules() if isinstance(m, torch.nn.Embedding)]
    expected = sum(each * count // 8 + 4 for count in linear.values()) + 4 * rest
    expected += sum(table.numel() + 4 * len(table) for table in tables)
    assert (tmp_path / NAME).stat().st_size == 8 + size + expected


def test_a_file_of_another_model_is_refused(tmp_path):
    written(few_bits(), tmp_path)
    config = json.loads((tmp_path / "config.json").read_text())
    (tmp_path / "config.json").write_text(json.dumps({**config, "intermediate_size": 32}))
    with pytest.raises(ModelError, match="is not of this model"):
        load_plain(tmp_path)
