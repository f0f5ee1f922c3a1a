"""powerbert export: what an engine loads, as whole commands."""

import json
import re
from pathlib import Path

import pytest
from small import QUICK, SMALL, TASK

from powerbert_cli.cli import dispatch

KINDS = [("onnx", "fp32"), ("onnx", "int8"), ("openvino", "fp32"), ("openvino", "int8")]


def runs(folder, monkeypatch):
    """Has the code of a folder's card answer three texts."""
    monkeypatch.chdir(folder)
    (snippet,) = re.findall(r"```python\n(.*?)```", Path("README.md").read_text(), re.DOTALL)
    found: dict[str, object] = {"texts": ["a b c", "d e f g h", "i"]}
    exec(snippet, found)
    assert tuple(found["logits"].shape) == (3, 2)


@pytest.mark.parametrize(("engine", "precision"), KINDS)
def test_the_directory_is_whole_and_its_card_runs(engine, precision, few_bits, tmp_path, monkeypatch, capfd):
    pytest.importorskip({"onnx": "onnxruntime"}.get(engine, "nncf" if precision == "int8" else engine))
    monkeypatch.chdir(tmp_path)
    own = [f"model_dir={few_bits}", f"engine={engine}", f"precision={precision}"]
    assert dispatch(["export", *TASK, *own]) == 0
    assert "of the answers differ" in capfd.readouterr().out
    folder = next(Path("outputs/export").glob("*/*")) / "model"
    about = json.loads((folder / "export.json").read_text())
    assert about["labels"] == ["negative", "positive"] and about["metric"] == "accuracy"
    assert (about["logits_differ"] < 1e-4) == (precision == "fp32")
    assert {"config.json", "tokenizer.json", "retention.json", "README.md"} <= {path.name for path in folder.iterdir()}
    if engine == "onnx":
        _check_names(folder / "model.onnx")
    if precision == "fp32":
        runs(folder.absolute(), monkeypatch)


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
