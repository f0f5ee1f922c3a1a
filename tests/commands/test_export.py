"""powerbert export: what an engine loads, as whole commands."""

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest

from powerbert_cli.cli import dispatch

SMALL = ["experiment=smoke", "task.synthetic.train=96", "task.synthetic.dev=48", "model.config.num_hidden_layers=2"]
KINDS = [("onnx", "fp32"), ("onnx", "int8"), ("openvino", "fp32"), ("openvino", "int8")]


@pytest.mark.parametrize(("engine", "precision"), KINDS)
def test_the_directory_is_whole_and_its_card_runs(engine, precision, tmp_path, monkeypatch, capfd):
    pytest.importorskip({"onnx": "onnxruntime"}.get(engine, "nncf" if precision == "int8" else engine))
    monkeypatch.chdir(tmp_path)
    own = ["retention.lengths=[12,5]", f"engine={engine}", f"precision={precision}"]
    assert dispatch(["export", *SMALL, *own]) == 0
    assert "of the answers differ" in capfd.readouterr().out
    folder = next(Path("outputs/export").glob("*/*")) / "model"
    about = json.loads((folder / "export.json").read_text())
    assert about["labels"] == ["negative", "positive"] and about["metric"] == "accuracy"
    assert (about["logits_differ"] < 1e-4) == (precision == "fp32")
    assert {"config.json", "tokenizer.json", "retention.json", "README.md"} <= {path.name for path in folder.iterdir()}
    (snippet,) = re.findall(r"```python\n(.*?)```", (folder / "README.md").read_text(), re.DOTALL)
    script = f'texts = ["a b c", "d e f g h", "i"]\n{snippet}\nprint(logits.shape)'
    done = subprocess.run([sys.executable, "-c", script], cwd=folder, capture_output=True, text=True)
    assert (done.returncode, done.stdout.strip()) == (0, "(3, 2)"), done.stderr


def test_inputs_have_names(tmp_path, monkeypatch):
    onnx = pytest.importorskip("onnx")
    pytest.importorskip("onnxruntime")
    monkeypatch.chdir(tmp_path)
    assert dispatch(["export", *SMALL, "retention=full"]) == 0
    graph = onnx.load(next(Path("outputs/export").glob("*/*")) / "model/model.onnx").graph
    sizes = {
        value.name: [dim.dim_param or dim.dim_value for dim in value.type.tensor_type.shape.dim]
        for value in (*graph.input, *graph.output)
    }
    inputs = {name: ["batch", "sequence"] for name in ("input_ids", "attention_mask", "token_type_ids")}
    assert sizes == {**inputs, "logits": ["batch", 2]}
