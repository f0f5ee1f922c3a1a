"""Few bits and 2:4: the same in transformers' loop and in ours, in training, baked, saved, loaded and exported."""

import json

import pytest
import torch
from hosts import FAMILIES, logits_of, make_host, ours, texts
from torch.nn.utils import parametrize
from transformers import AutoModelForSequenceClassification

from powerbert_cli.bench.int8 import dynamic_int8
from powerbert_cli.encoder.quantising import (
    bake,
    calibrated_clips,
    clip_parameters,
    clips_of,
    linear_layers,
    quantise_inputs,
    quantise_weights,
)
from powerbert_cli.errors import PowerbertError
from powerbert_cli.method.quantisation import levels_of
from powerbert_cli.models.model_dir import load_plain, save_model_dir
from powerbert_cli.models.onnx_file import export_onnx
from powerbert_cli.store.compression_file import Compression
from powerbert_cli.tasks.tokenizing import build_tokenizer


def few_bits(family="bert", bits=4, act_bits=4, sparse=True, by_row=False):
    """A host with fewer bits in both, and this encoder around it with everything kept."""
    host = make_host(family)
    model = ours(host)
    quantise_weights(host, bits, sparse, by_row)
    if act_bits:
        clips = calibrated_clips(host, act_bits, (model(**batch) for batch in texts(labels=False)))
        quantise_inputs(host, clips)
        host.compression = Compression.nothing(host)
        host.compression = Compression(*list(vars(host.compression).values())[:7], {"bits": bits}, clips)
    return host, model


@pytest.mark.parametrize("family", FAMILIES)
def test_both_loops_agree_and_baking_changes_nothing(family):
    host, model = few_bits(family)
    before = logits_of(model)
    assert torch.allclose(before, logits_of(host), atol=1e-5)
    assert not torch.allclose(before, logits_of(make_host(family)), atol=1e-3)
    bake(host)
    assert torch.equal(before, logits_of(model))
    assert not any(map(parametrize.is_parametrized, host.modules()))


@pytest.mark.parametrize("by_row", [False, True])
def test_trained_weights_have_few_levels_and_two_of_four(by_row):
    host, model = few_bits(by_row=by_row)
    masks = {n: layer.parametrizations.weight[0].mask.clone() for n, layer in linear_layers(host).items()}
    clips = clips_of(host)
    optimiser = torch.optim.AdamW(model.parameters(), lr=1e-2, weight_decay=0.1)
    for batch in texts() * 3:
        optimiser.zero_grad()
        model.train()(**batch).loss.backward()
        optimiser.step()
        for name, layer in linear_layers(host).items():
            assert not (layer.weight.detach() != 0)[~masks[name]].any()
    assert clips_of(host) != clips
    bake(host)
    for layer in linear_layers(host).values():
        weight = layer.weight.detach()
        assert int((weight.unflatten(1, (-1, 4)) != 0).sum(-1).max()) <= 2
        for row in weight if by_row else [weight]:
            assert len(row.unique()) <= 2 * levels_of(4) + 1


def test_what_is_left_out_keeps_its_bits():
    host, _ = few_bits()
    names = set(linear_layers(host))
    others = {n for n, one in host.named_modules() if isinstance(one, torch.nn.Linear)} - names
    assert len(names) == 3 * 6 and others == {"bert.pooler.dense", "classifier"}


@pytest.mark.parametrize("family", ["bert", "distilbert", "modernbert", "albert"])
def test_saved_and_loaded(family, tmp_path):
    host, model = few_bits(family)
    for clip in clip_parameters(host):
        clip.data *= 0.9  # as if they were trained
    bake(host)
    expected = logits_of(model)
    save_model_dir(tmp_path, host, build_tokenizer(["a b"], 40))
    loaded = load_plain(tmp_path)
    assert torch.allclose(logits_of(ours(loaded)), expected, atol=1e-6)
    assert clips_of(loaded) == clips_of(host)
    plain, found = AutoModelForSequenceClassification.from_pretrained(tmp_path, output_loading_info=True)
    assert not any(found[name] for name in ("unexpected_keys", "missing_keys", "mismatched_keys"))
    assert torch.equal(
        linear_layers(plain)[min(linear_layers(plain))].weight, linear_layers(host)[min(linear_layers(host))].weight
    )


def test_clips_of_another_model_are_refused(tmp_path):
    host, _ = few_bits()
    bake(host)
    save_model_dir(tmp_path, host, build_tokenizer(["a b"], 40))
    path = tmp_path / "compression.json"
    content = json.loads(path.read_text())
    content["clips"]["of"]["other"] = [0, 1]
    path.write_text(json.dumps(content))
    with pytest.raises(PowerbertError, match="inputs of other layers than the model has: other"):
        load_plain(tmp_path)


@pytest.mark.slow  # in every run `powerbert export` compares such a file, see commands/test_export.py
def test_onnx_answers_alike(tmp_path):
    runtime = pytest.importorskip("onnxruntime")
    host, model = few_bits()
    bake(host)
    export_onnx(model, tmp_path / "model.onnx")
    session = runtime.InferenceSession(str(tmp_path / "model.onnx"), providers=["CPUExecutionProvider"])
    batch = texts(labels=False)[0]
    inputs = {name: tensor.numpy() for name, tensor in batch.items()}
    inputs |= {"token_type_ids": 0 * inputs["input_ids"]}
    found = session.run(None, inputs)[0]
    with torch.no_grad():
        assert torch.allclose(torch.from_numpy(found), model(**batch).logits, atol=1e-5)


def test_eager_int8_leaves_layers_that_quantise_by_themselves():
    host, model = few_bits()
    bake(host)
    assert torch.allclose(logits_of(dynamic_int8(model)), logits_of(model), atol=0.35)
    assert not any("quantized" in type(one).__module__ for one in dynamic_int8(model).host.bert.encoder.modules())
