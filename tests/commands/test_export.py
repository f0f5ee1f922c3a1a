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


def test_a_packed_model_is_small_and_answers_as_before(tmp_path, monkeypatch, capfd):
    monkeypatch.chdir(tmp_path)
    own = ["retention.lengths=[12,5]", "compress.bits=4", "compress.act_bits=8", "compress.sparsity='2:4'"]
    assert dispatch(["retrain", *SMALL, *own]) == 0
    whole = next(Path("outputs/retrain").glob("*/*")) / "model"
    for embeddings in ("fp32", "int8"):
        run = f"packed-{embeddings}"
        assert dispatch([
            "export", *SMALL, *own, "format=packed", f"embeddings={embeddings}", f"hydra.run.dir={run}"
        ]) == 0  # fmt: skip
        about = json.loads(Path(run, "model/export.json").read_text())
        assert (about["logits_differ"] == 0) == (embeddings == "fp32") and about["value"] == about["value_fp32"]
    assert (
        Path("packed-int8/model/model.packed.safetensors").stat().st_size * 5
        < (whole / "model.safetensors").stat().st_size
    )
    assert dispatch(["bench", *SMALL, "shortened=packed-int8/model", "bench.rounds=3", "bench.paddings=[max]"]) == 0
    (snippet,) = re.findall(r"```python\n(.*?)```", Path("packed-int8/model/README.md").read_text(), re.DOTALL)
    script = f'texts = ["a b c", "d e f g h", "i"]\n{snippet}\nprint(tuple(logits.shape))'
    done = subprocess.run([sys.executable, "-c", script], cwd="packed-int8/model", capture_output=True, text=True)
    assert (done.returncode, done.stdout.strip()) == (0, "(3, 2)"), done.stderr
    Path("packed-int8/model/model.packed.safetensors").write_bytes(b"nothing")
    assert dispatch(["bench", *SMALL, "shortened=packed-int8/model"]) == 2
    assert "is no packed model" in capfd.readouterr().err


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
