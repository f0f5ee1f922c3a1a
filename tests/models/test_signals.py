"""Models of pictures and sound: saved, packed, loaded, called by transformers' names, and as ONNX files."""

import inspect

import pytest
import torch
from hosts import SIGNALS, described, make_signal_host

from powerbert_cli.encoder.families import usable_positions
from powerbert_cli.encoder.quantising import bake, quantise_weights
from powerbert_cli.encoder.removing import keep_heads, keep_neurons, open_blocks, set_width, sizes_of
from powerbert_cli.encoder.shortened import ShortenedModel
from powerbert_cli.models.kinds import (
    PowerBertForAudioClassification,
    PowerBertForCTC,
    PowerBertForImageClassification,
    load_shortened,
)
from powerbert_cli.models.model_dir import load_host, save_host
from powerbert_cli.models.onnx_file import compare_onnx, export_onnx, quantize_onnx
from powerbert_cli.models.packed_file import load_packed, write_packed
from powerbert_cli.models.weights import ModelError
from powerbert_cli.store.compression_file import Compression
from powerbert_cli.store.retention_file import RetentionFile

N = 24


def saved_like(name):
    host = make_signal_host(name)
    host.config.architectures = [type(host).__name__]
    return host


def given(host):
    generator = torch.Generator().manual_seed(1)
    if host.config.model_type in ("vit", "deit"):
        return {"pixel_values": torch.randn(4, 3, 16, 16, generator=generator)}
    return {"input_values": torch.randn(4, 300, generator=generator)}


def short(host):
    return described((12, 8, 3), min(N, usable_positions(host.config)))


@torch.no_grad()
def answers(model):
    return model.eval()(**given(model)).logits


@pytest.mark.parametrize("name", SIGNALS)
def test_layers_of_several_sizes_are_saved_and_loaded(name, tmp_path):
    host = saved_like(name)
    with torch.no_grad():
        for j, block in enumerate(open_blocks(host)):
            keep_neurons(block, torch.arange(40 + j))
            keep_heads(block, [1, 2])
    set_width(host)
    host.compression = Compression(3, (0, 1, 2), (64, 42), 1.0, (1, 1), {}, sizes=sizes_of(host))
    save_host(host, tmp_path)
    again, plain = load_host(str(tmp_path)), type(host).from_pretrained(tmp_path)
    assert sizes_of(again) == sizes_of(host)
    whole = answers(ShortenedModel(host, described(None, N)))
    assert torch.equal(answers(ShortenedModel(again, described(None, N))), whole)
    assert torch.allclose(answers(plain), whole, atol=1e-5)


@pytest.mark.parametrize("name", SIGNALS)
def test_a_packed_file_gives_the_same_answers(name, tmp_path):
    host = saved_like(name)
    quantise_weights(host, 4, sparse=True)
    bake(host)
    host.compression = Compression(1, (0,), (1, 1), 1.0, (1, 1), {}, bits={"bits": 4, "scales": "tensor"})
    write_packed(host, tmp_path / "packed", embeddings=False)
    assert torch.equal(answers(load_packed(tmp_path / "packed", host.config, host.compression)), answers(host))


@pytest.mark.parametrize(
    ("name", "cls"),
    [
        ("vit", PowerBertForImageClassification),
        ("deit", PowerBertForImageClassification),
        ("wav2vec2", PowerBertForAudioClassification),
        ("hubert, letters", PowerBertForCTC),
    ],
)
def test_users_load_them_by_what_they_are_for(name, cls, tmp_path):
    host = saved_like(name)
    save_host(host, tmp_path)
    RetentionFile(short(host)).write(tmp_path / "retention.json")
    model = cls.from_pretrained(tmp_path)
    expected = answers(ShortenedModel(host, short(host)))
    assert torch.allclose(answers(model), expected, atol=1e-4)
    assert torch.allclose(answers(load_shortened(tmp_path)), expected, atol=1e-4)
    assert next(iter(given(host))) == model.main_input_name
    assert model.main_input_name in inspect.signature(model.forward).parameters  # what a Trainer hands on
    other = PowerBertForCTC if cls is not PowerBertForCTC else PowerBertForImageClassification
    with pytest.raises(ModelError, match=f"load it with {cls.__name__}"):
        other.from_pretrained(tmp_path)


@pytest.mark.parametrize("name", ["vit", pytest.param("wav2vec2, letters", marks=pytest.mark.extras)])
def test_as_a_file_they_answer_alike(name, tmp_path):
    model = ShortenedModel(make_signal_host(name), described((12, 8, 3), N)).eval()
    export_onnx(model, tmp_path / "model.onnx")
    assert compare_onnx(tmp_path / "model.onnx", model) < 1e-4
    quantize_onnx(tmp_path / "model.onnx", tmp_path / "int8.onnx")
    assert compare_onnx(tmp_path / "int8.onnx", model, exact=False) > 0  # a frame more or less goes on
