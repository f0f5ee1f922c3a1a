"""powerbert export: what an engine loads, as whole commands."""

import json
from pathlib import Path

import pandas as pd
import pytest
from safetensors import safe_open
from safetensors.torch import save_file
from small import QUICK, SMALL, TASK, run_card

from powerbert_cli import load_shortened
from powerbert_cli.bench import engines, openvino, place
from powerbert_cli.cli import dispatch
from powerbert_cli.native import library
from powerbert_cli.native.saved import NativeFileError

KINDS = [
    ("native", "fp32"),
    ("native", "int8"),
    ("onnx", "fp32"),
    ("onnx", "int8"),
    ("openvino", "fp32"),
    ("openvino", "int8"),
]
MAKERS = [(place, "export_onnx"), (openvino, "static_int8"), (engines, "quantize_onnx"), (engines, "calibrated")]
TEXTS = "a b c\nd e f g h\ni\n"


def runs(folder, monkeypatch):
    """Has the code of a folder's card answer three texts."""
    assert tuple(run_card(folder, monkeypatch, texts=["a b c", "d e f g h", "i"])["logits"].shape) == (3, 2)


def needs(engine, precision):
    if engine != "native":
        pytest.importorskip({"onnx": "onnxruntime"}.get(engine, "nncf" if precision == "int8" else engine))
        return
    try:
        library.library()
    except library.NoLibrary as error:
        pytest.skip(str(error))


def predicted(*own):
    assert dispatch(["predict", "input=texts.txt", "output=found.csv", *own]) == 0
    return Path("found.csv").read_text()


def refuse(*args, **kwargs):
    raise AssertionError("nothing is exported or calibrated anew")


@pytest.mark.parametrize(("engine", "precision"), KINDS)
def test_the_directory_is_whole_and_its_card_runs(engine, precision, few_bits, shortened, tmp_path, monkeypatch, capfd):
    needs(engine, precision)
    given = shortened if engine == "native" else few_bits  # it runs no quantised inputs
    monkeypatch.chdir(tmp_path)
    own = [f"model_dir={given}", f"engine={engine}", f"precision={precision}"]
    assert dispatch(["export", *TASK, *own]) == 0
    assert "of the answers differ" in capfd.readouterr().out
    folder = next(Path("outputs/export").glob("*/*")) / "model"
    about = json.loads((folder / "export.json").read_text())
    assert about["labels"] == ["negative", "positive"] and about["metric"] == "accuracy"
    assert (about["logits_differ"] < 1e-5) == (precision == "fp32")
    assert {"config.json", "tokenizer.json", "retention.json", "README.md"} <= {path.name for path in folder.iterdir()}
    if engine == "onnx":
        _check_names(folder / "model.onnx")
    if precision == "fp32":
        runs(folder.absolute(), monkeypatch)
    monkeypatch.chdir(tmp_path)
    Path("texts.txt").write_text(TEXTS)
    exact = predicted(f"model_dir={given}", "engine=eager")
    with monkeypatch.context() as patch:
        for module, name in MAKERS:
            patch.setattr(module, name, refuse)
        found = predicted(f"model_dir={folder}")  # its engine and precision, without task or texts to calibrate on
    pairs = list(zip(numbers(exact), numbers(found), strict=True))
    assert len(pairs) == 6 and all(abs(a - b) < (1e-4 if precision == "fp32" else 0.02) for a, b in pairs)
    if engine == "native":  # it has the weights, so that any engine runs it
        assert predicted(f"model_dir={folder}", "engine=eager") == exact


def numbers(csv):
    return [float(value) for line in csv.splitlines()[1:] for value in line.split(",")[1:]]


def test_a_file_for_an_engine_is_that_and_no_more(few_bits, tmp_path, monkeypatch, capfd):
    needs("onnx", "fp32")
    monkeypatch.chdir(tmp_path)
    assert dispatch(["export", *TASK, f"model_dir={few_bits}", "engine=onnx", "hydra.run.dir=run"]) == 0
    Path("texts.txt").write_text(TEXTS)
    capfd.readouterr()
    for own, message in (
        (["engine=native"], "was exported for onnx in fp32, and holds nothing else; leave engine and precision out"),
        (["precision=int8"], "engine=onnx precision=int8: model_dir=run/model was exported for onnx in fp32"),
        (["predict.survivors=true"], "predict.survivors=true needs the weights"),
    ):
        assert dispatch(["predict", "model_dir=run/model", "input=texts.txt", *own]) == 2
        assert message in capfd.readouterr().err
    own = [*TASK, *QUICK, "model_dir=run/model", "hydra.run.dir=timed", "bench.models=[shortened]"]
    assert dispatch(["bench", *own, "bench.engines=[eager,onnx]", "bench.precisions=[fp32]"]) == 0
    timing = pd.read_csv("timed/timing.csv")
    assert timing[timing["model"] == "shortened"]["engine"].tolist() == ["onnx"]
    assert "metric" not in timing.columns and "run/model was exported for onnx in fp32" in capfd.readouterr().out
    assert dispatch(["retrain", *SMALL, "model_dir=run/model"]) == 2
    assert "is an exported folder, which its engine loads" in capfd.readouterr().err
    graph, about = Path("run/model/model.onnx"), Path("run/model/export.json")
    whole = graph.read_bytes()
    graph.write_bytes(b"nothing")
    assert dispatch(["predict", "model_dir=run/model", "input=texts.txt"]) == 2
    assert "model.onnx: onnx does not load it: " in (said := capfd.readouterr().err) and "write it again with" in said
    graph.write_bytes(whole)
    Path("run/model/retention.json").rename("elsewhere.json")
    assert dispatch(["predict", "model_dir=run/model", "input=texts.txt"]) == 2
    assert "there is no retention.json beside it" in capfd.readouterr().err
    for content in ('{"engine": "onnx"}', "{", about.read_text().replace("model.onnx", "other.onnx")):
        about.write_text(content)
        assert dispatch(["predict", "model_dir=run/model", "input=texts.txt"]) == 2
        assert "export.json: is not as powerbert export writes it" in capfd.readouterr().err


def test_a_plain_model_for_ctranslate2(finetuned, few_bits, tmp_path, monkeypatch, capfd):
    pytest.importorskip("ctranslate2")
    monkeypatch.chdir(tmp_path)
    Path("texts.txt").write_text(TEXTS)
    own = ["engine=ctranslate2", "precision=int8", "hydra.run.dir=run"]
    assert dispatch(["export", *TASK, f"model_dir={finetuned}/model", *own]) == 0
    with monkeypatch.context() as patch:
        patch.setattr("powerbert_cli.bench.ctranslate._convert", refuse)
        found = numbers(predicted("model_dir=run/model"))
    exact = numbers(predicted(f"model_dir={finetuned}/model"))
    assert all(abs(a - b) < 0.02 for a, b in zip(exact, found, strict=True)) and found != exact
    assert dispatch(["export", *TASK, f"model_dir={few_bits}", *own]) == 2
    assert "ctranslate2 runs transformers' own models, with all word-vectors" in capfd.readouterr().err


def test_a_damaged_native_file_is_named(shortened, few_bits, tmp_path, monkeypatch, capfd):
    needs("native", "int8")
    monkeypatch.chdir(tmp_path)
    own = ["engine=native", "precision=int8", "hydra.run.dir=run"]
    assert dispatch(["export", *TASK, f"model_dir={few_bits}", *own]) == 2
    assert "engine=native precision=int8: inputs of its layers are quantised" in capfd.readouterr().err
    assert dispatch(["export", *TASK, f"model_dir={shortened}", *own]) == 0
    file = Path("run/model/native.safetensors")
    with safe_open(file, "pt") as opened:
        whole, smooth = opened.metadata(), {name: opened.get_tensor(name) for name in opened.keys()}  # noqa: SIM118
    scales = json.loads(whole["scales"])
    assert smooth and set(scales) == {"0.qkv"} | {f"{j}.{n}" for j in (0, 1) for n in ("output", "up", "down")}
    (name, tensor), *_ = smooth.items()
    for changed, tensors in (
        ({"precision": "int7"}, smooth),
        ({"format": "other"}, smooth),
        ({"scales": "[1]"}, {}),
        ({"precision": "fp32"}, smooth),
        ({}, {**smooth, "0.other": tensor.clone()}),
        ({}, {**smooth, name: tensor[1:].clone()}),
        ({}, {**smooth, name: -tensor}),
        ({}, {**smooth, name: tensor / 0}),
        *(
            ({"scales": json.dumps({**scales, **wrong})}, smooth)
            for wrong in (
                {"2.qkv": [0.1, 0]},
                {"0.other": [0.1, 0]},
                {"0.qkv": [0.0, 0]},
                {"0.qkv": [0.1, 256]},
                {"0.qkv": 3},
                {"0.qkv": None},
                {"0.down": [0.1, 0]},
            )
        ),
    ):
        save_file(tensors, file, {**whole, **changed})
        with pytest.raises(NativeFileError, match="is not as powerbert writes it for this model"):
            load_shortened("run/model", engine="native")
    save_file({}, file, {**whole, "precision": "fp32", "scales": "{}"})
    Path("texts.txt").write_text(TEXTS)
    assert dispatch(["predict", "model_dir=run/model", "input=texts.txt"]) == 2  # not in another precision
    assert "it is in fp32, and export.json says int8" in capfd.readouterr().err
    file.write_bytes(b"nothing")
    with pytest.raises(NativeFileError, match="is not as powerbert writes it for this model"):
        load_shortened("run/model", engine="native")
    file.unlink()
    assert dispatch(["predict", "model_dir=run/model"]) == 2
    assert "there is no native.safetensors beside it" in capfd.readouterr().err


def _check_names(path):
    graph = pytest.importorskip("onnx").load(path).graph
    sizes = {
        value.name: [dim.dim_param or dim.dim_value for dim in value.type.tensor_type.shape.dim]
        for value in (*graph.input, *graph.output)
    }
    inputs = {name: ["batch", "sequence"] for name in ("input_ids", "attention_mask", "token_type_ids")}
    assert sizes == {**inputs, "logits": ["batch", 2]}


def test_a_packed_model_is_small_and_answers_as_before(few_bits, tmp_path, monkeypatch, capfd):
    monkeypatch.chdir(tmp_path)
    for embeddings in ("fp32", "int8"):
        own = [f"model_dir={few_bits}", "format=packed", f"embeddings={embeddings}", f"hydra.run.dir={embeddings}"]
        assert dispatch(["export", *TASK, *own]) == 0
        about = json.loads(Path(embeddings, "model/export.json").read_text())
        assert (about["logits_differ"] == 0) == (embeddings == "fp32") and about["value"] == about["value_fp32"]
    packed = Path("int8/model/model.packed.safetensors")
    assert packed.stat().st_size * 5 < (few_bits / "model.safetensors").stat().st_size
    assert dispatch(["bench", *SMALL, "model_dir=int8/model", *QUICK]) == 0
    with monkeypatch.context() as patch:
        runs(packed.parent.absolute(), patch)
    packed.write_bytes(b"nothing")
    assert dispatch(["bench", *SMALL, "model_dir=int8/model"]) == 2
    assert "is no packed model" in capfd.readouterr().err
