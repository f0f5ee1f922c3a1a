"""The engines answer as the models do."""

import copy
import re
import shutil
import subprocess
import sys

import pytest
import torch
from contending import contenders_of, pad, table_of
from hosts import FAMILIES, described, logits_of, make_host, ours, texts

from powerbert_cli.bench import engines
from powerbert_cli.bench.contenders import models_of
from powerbert_cli.bench.int8 import dynamic_int8
from powerbert_cli.bench.openvino import _core, openvino_file
from powerbert_cli.bench.place import Place, Unavailable
from powerbert_cli.encoder.shortened import ShortenedModel
from powerbert_cli.tasks.batches import make_batches


@pytest.fixture
def host():
    """Of two layers: to write a file takes seconds for each."""
    return make_host(num_hidden_layers=2)


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    """Where the engines' files of one model are written once; its weights are those of `make_host`."""
    return tmp_path_factory.mktemp("engines")


def answers_as_eager(engine, host, rows, folder, models=("plain", "shortened"), batches=2, paddings=("sorted",)):
    how = described((8, 5), 16, protected_tokens=(7,))
    model = ShortenedModel(host, how).eval()
    place = Place("cpu", 1, folder)
    contenders, skipped = contenders_of(model, rows, place, (engine,), paddings=paddings, models=models)
    assert not skipped and len(contenders) == len(models) * len(paddings)
    models = models_of(model)
    with torch.inference_mode():
        for contender in contenders:
            for batch in contender.batches[:batches]:
                answer = contender.run(**batch)
                logits = torch.as_tensor(answer.logits if hasattr(answer, "logits") else answer)
                assert torch.allclose(logits, models[contender.model](**batch).logits, atol=1e-3)


@pytest.mark.parametrize("engine", ["onnx", "openvino"])
def test_engines_answer_as_eager_does(engine, host, rows, files):
    """Plain and shortened; rows sorted by length, so that batches differ in it, and one has no padding."""
    pytest.importorskip({"onnx": "onnxruntime"}.get(engine, engine))
    paddings = ("sorted", "buckets") if engine == "openvino" else ("sorted",)
    answers_as_eager(engine, host, rows, files, paddings=paddings)


@pytest.mark.slow
@pytest.mark.skipif(not shutil.which("g++"), reason="torch.compile needs g++")
def test_a_compiled_model_answers_as_eager_does(rows, files):
    """The C++ of one graph takes most of the time: two layers, of which the first drops word-vectors, and one batch."""
    torch._dynamo.reset()
    answers_as_eager("compile", make_host(num_hidden_layers=2), rows, files, models=("shortened",), batches=1)


@pytest.mark.slow
def test_compiled_models_answer_as_eager_does(host, rows, files):
    torch._dynamo.reset()
    answers_as_eager("compile", host, rows, files)


@pytest.mark.extras
def test_signals_reach_the_process_after_openvino(host, files):
    """In a process of its own, as a mistake here is a crash."""
    pytest.importorskip("openvino")
    openvino_file("plain", host, "fp32", Place("cpu", 1, files))
    script = """
import signal, sys
from pathlib import Path
from powerbert_cli.bench.openvino import run_openvino
from transformers import BertConfig
runners = [run_openvino(Path(sys.argv[1]), BertConfig(), "fp32", 1) for _ in range(2)]
while runners:
    runners.pop(0)
signal.signal(signal.SIGTERM, lambda *_: print("heard"))
signal.raise_signal(signal.SIGTERM)
"""
    done = subprocess.run([sys.executable, "-c", script, files / "plain.onnx"], capture_output=True, text=True)
    assert (done.returncode, done.stdout.strip()) == (0, "heard"), done.stderr


INT8 = ("eager", "onnx", "openvino", "ctranslate2")
# Twice the largest difference that was measured of a logit, over all families; with every output projection scaled by
# 0.7, logits differ by 0.9 or more.
NEAR = 0.8


def after_softmax(path) -> set[str]:
    """What reads attention weights in an OpenVINO file, beyond changes of shape."""
    operations = _core(pytest.importorskip("openvino")).read_model(path).get_ops()
    found, open_nodes = set(), [node for node in operations if "Softmax" in node.get_type_name()]
    while open_nodes:
        for read in open_nodes.pop().output(0).get_target_inputs():
            node = read.get_node()
            if node.get_type_name() == "Reshape":
                open_nodes.append(node)
            else:
                found.add(node.get_type_name())
    return found


@pytest.mark.parametrize("engine", INT8)
def test_int8_is_near_float32(engine, host, rows, files):
    if engine != "eager":
        pytest.importorskip({"onnx": "onnxruntime", "openvino": "nncf"}.get(engine, engine))
    model = ShortenedModel(host, described((8, 5), 16, protected_tokens=(7,))).eval()
    place = Place("cpu", 1, files, make_batches(rows, "longest", 1, pad, "cpu", 16))
    contenders, skipped = contenders_of(
        model, rows, place, (engine,), ("int8",), ("sorted",), models=("plain", "shortened")
    )
    if engine == "ctranslate2":
        assert [skip.reason for skip in skipped] == ["ctranslate2 runs transformers' own models, with all word-vectors"]
    assert len(contenders) == 2 - len(skipped)
    for contender in contenders:
        exact = models_of(model)[contender.model](**contender.batches[0]).logits.detach()
        answer = contender.run(**contender.batches[0])
        difference = (torch.as_tensor(getattr(answer, "logits", answer)) - exact).abs().max()
        assert 0 < difference < NEAR
    if engine == "openvino":
        assert "FakeQuantize" not in after_softmax(place.folder / "shortened.int8.xml")
    assert table_of(contenders)["roofline_ratio"].isna().all()


OUTPUT = r"(output\.dense|attention\.dense|ffn_output|out_lin|lin2|attn\.o|Wo)$"  # of attention and feed-forward


@pytest.mark.parametrize("family", FAMILIES)
def test_eager_int8_of_every_family(family):
    host = make_host(family)

    def in_int8(model):
        return any("quantized" in type(one).__module__ for one in model.modules())

    for model in (host, ours(host, (12, 8, 4))):
        close = dynamic_int8(model)
        assert in_int8(close) and not in_int8(host)
        exact, found = logits_of(model), logits_of(close)
        assert 0 < (found - exact).abs().max() < NEAR
    scaled = copy.deepcopy(host)
    for name, layer in scaled.named_modules():
        if re.search(OUTPUT, name) and isinstance(layer, torch.nn.Linear):
            layer.weight.data *= 0.7
    assert (logits_of(dynamic_int8(scaled)) - logits_of(host)).abs().max() > NEAR  # so that an error is seen


@pytest.mark.parametrize("family", ["bert", "distilbert", "roberta", "xlm-roberta"])
def test_ctranslate2_answers_as_transformers_does(family, tmp_path):
    pytest.importorskip("ctranslate2")
    host = make_host(family)
    run = engines.runner("ctranslate2", "plain", host, "fp32", Place("cpu", 1, tmp_path))
    found = torch.cat([run(**batch) for batch in texts(labels=False)])
    assert torch.allclose(found, logits_of(host), atol=1e-4)
    assert not hasattr(host.config, "position_embedding_type")


def test_ctranslate2_knows_segments_and_compressed_models(tmp_path):
    pytest.importorskip("ctranslate2")
    host, place = make_host("bert"), Place("cpu", 1, tmp_path)
    batch = texts(labels=False)[0]
    batch["token_type_ids"] = (torch.arange(12) > 4).long() * batch["attention_mask"]
    with torch.no_grad():
        expected = host(**batch).logits
    whole = ours(host)
    assert torch.allclose(
        engines.runner("ctranslate2", "shortened", whole, "fp32", place)(**batch), expected, atol=1e-4
    )
    for name, model, why in (
        ("full", whole, "with all word-vectors"),
        ("shortened", ours(host, (12, 8, 4)), "with all word-vectors"),
        ("plain", make_host("mpnet"), "does not convert mpnet models"),
    ):
        with pytest.raises(Unavailable, match=why):
            engines.runner("ctranslate2", name, model, "fp32", Place("cpu", 1, tmp_path))


def test_ctranslate2_packs_by_itself(host, rows, place):
    pytest.importorskip("ctranslate2")
    model = ShortenedModel(host, described((8, 5), 16)).eval()
    contenders, _ = contenders_of(
        model, rows, place, ("eager", "ctranslate2"), ("fp32",), ("sorted", "packed"), models=("plain",)
    )
    found = {(c.engine, c.padding): c.flops for c in contenders}
    assert set(found) == {("eager", "sorted"), ("ctranslate2", "sorted"), ("ctranslate2", "packed")}
    assert found["ctranslate2", "sorted"] == found["ctranslate2", "packed"] < found["eager", "sorted"]


def test_natives_plain_model_is_this_encoder_with_everything_kept(host, rows, place):
    """It packs rows, and its last layer answers for [CLS] alone: so it costs what full does."""
    model = ShortenedModel(host, described((8, 5), 16)).eval()
    found, skipped = contenders_of(
        model, rows, place, ("native",), ("fp32",), ("sorted", "packed"), models=("plain", "full", "shortened")
    )
    if skipped:
        pytest.skip(skipped[0].reason)
    flops = {(c.model, c.padding): c.flops for c in found}
    assert len(found) == 6 and flops["plain", "sorted"] == flops["full", "sorted"] == flops["full", "packed"]
    assert flops["shortened", "packed"] < flops["plain", "packed"]


def test_what_cannot_run_is_skipped_with_the_reason(host, rows, place, files, monkeypatch):
    pytest.importorskip("onnxruntime")
    if (files / "plain.onnx").is_file():  # of the same weights
        shutil.copy(files / "plain.onnx", place.folder)
    model = ShortenedModel(host, described(None, 16, "threshold", (0.5, 0.5), layers=2))
    monkeypatch.setattr(engines.shutil, "which", lambda name: name)
    monkeypatch.setitem(sys.modules, "openvino", None)
    contenders, skipped = contenders_of(
        model,
        rows,
        place,
        ("compile", "onnx", "openvino"),
        ("fp32", "bf16"),
        ("max",),
        models=("plain", "shortened"),
    )
    reasons = {(skip.model, skip.engine, skip.precision): skip.reason for skip in skipped}
    assert "openvino is not installed" in reasons["plain", "openvino", "fp32"]
    assert ".[openvino]" in reasons["plain", "openvino", "fp32"]
    assert "engine onnx has fp32 and int8, not bf16" in reasons["plain", "onnx", "bf16"]
    assert "not one graph" in reasons["shortened", "compile", "fp32"]
    assert "cannot be written as ONNX" in reasons["shortened", "onnx", "fp32"]
    assert {(c.model, c.engine) for c in contenders} == {("plain", "compile"), ("plain", "onnx")}


def test_gpu_only_and_cpu_only_engines(host, tmp_path):
    on_gpu, on_cpu = Place("cuda", 1, tmp_path), Place("cpu", 1, tmp_path)
    for engine in ("onnx", "openvino"):
        with pytest.raises(Unavailable, match="on the CPU only"):
            engines.runner(engine, "plain", host, "fp32", on_gpu)
    with pytest.raises(Unavailable, match="fp16 needs a GPU"):
        engines.runner("eager", "plain", host, "fp16", on_cpu)
