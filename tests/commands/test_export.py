"""powerbert export: what an engine loads, as whole commands."""

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest
from small import SMALL

from powerbert_cli.cli import dispatch

KINDS = [("onnx", "fp32"), ("onnx", "int8"), ("openvino", "fp32"), ("openvino", "int8")]


@pytest.fixture(scope="module")
def few_bits(tmp_path_factory):
    """A shortened model directory whose layers have few bits."""
    folder = tmp_path_factory.mktemp("export")
    own = ["retention.lengths=[12,5]", "compress.bits=4", "compress.act_bits=8", "compress.sparsity='2:4'"]
    assert dispatch(["retrain", *SMALL, *own, f"output_dir={folder}/outputs", f"hydra.run.dir={folder}/run"]) == 0
    return folder / "run/model"


def runs(folder):
    """Has the code of a folder's card answer three texts, in a process of its own."""
    (snippet,) = re.findall(r"```python\n(.*?)```", (folder / "README.md").read_text(), re.DOTALL)
    script = f'texts = ["a b c", "d e f g h", "i"]\n{snippet}\nprint(tuple(logits.shape))'
    done = subprocess.run([sys.executable, "-c", script], cwd=folder, capture_output=True, text=True)
    assert (done.returncode, done.stdout.strip()) == (0, "(3, 2)"), done.stderr


@pytest.mark.parametrize(("engine", "precision"), KINDS)
def test_the_directory_is_whole_and_its_card_runs(engine, precision, few_bits, tmp_path, monkeypatch, capfd):
    pytest.importorskip({"onnx": "onnxruntime"}.get(engine, "nncf" if precision == "int8" else engine))
    monkeypatch.chdir(tmp_path)
    own = [f"shortened={few_bits}", f"engine={engine}", f"precision={precision}"]
    assert dispatch(["export", *SMALL, *own]) == 0
    assert "of the answers differ" in capfd.readouterr().out
    folder = next(Path("outputs/export").glob("*/*")) / "model"
    about = json.loads((folder / "export.json").read_text())
    assert about["labels"] == ["negative", "positive"] and about["metric"] == "accuracy"
    assert (about["logits_differ"] < 1e-4) == (precision == "fp32")
    assert {"config.json", "tokenizer.json", "retention.json", "README.md"} <= {path.name for path in folder.iterdir()}
    if precision == "fp32":
        runs(folder)
    if engine == "onnx":
        _check_names(folder / "model.onnx")


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
        own = [f"shortened={few_bits}", "format=packed", f"embeddings={embeddings}", f"hydra.run.dir={embeddings}"]
        assert dispatch(["export", *SMALL, *own]) == 0
        about = json.loads(Path(embeddings, "model/export.json").read_text())
        assert (about["logits_differ"] == 0) == (embeddings == "fp32") and about["value"] == about["value_fp32"]
    packed = Path("int8/model/model.packed.safetensors")
    assert packed.stat().st_size * 5 < (few_bits / "model.safetensors").stat().st_size
    assert dispatch(["bench", *SMALL, "shortened=int8/model", "bench.rounds=3", "bench.paddings=[max]"]) == 0
    runs(packed.parent)
    packed.write_bytes(b"nothing")
    assert dispatch(["bench", *SMALL, "shortened=int8/model"]) == 2
    assert "is no packed model" in capfd.readouterr().err
