"""powerbert predict, as whole commands."""

import errno
import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from powerbert_cli import api
from powerbert_cli.cli import dispatch

SMALL = ["experiment=smoke", "model.config.num_hidden_layers=2", "seq_len=24"]


def command(*args, given="", cwd=None):
    return subprocess.run(
        [sys.executable, "-m", "powerbert_cli", "predict", *map(str, args)],
        input=given, capture_output=True, text=True, cwd=cwd, env={**os.environ, "HF_HUB_OFFLINE": "1"},
    )  # fmt: skip


@pytest.fixture
def here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """A folder with data/, and of it a plain and a shortened run: plain, short."""
    folder = tmp_path_factory.mktemp("predict")
    before = os.getcwd()
    os.chdir(folder)
    try:
        words = "abcdefghijklmnop"
        Path("data").mkdir()
        for split, count in (("train", 96), ("dev", 60)):
            texts = [" ".join(words[(i * 7 + k) % 16] for k in range(2 + i % 30)) for i in range(count)]
            rows = [f"{text}\t{int('a' in text)}" for text in texts]
            Path(f"data/{split}.tsv").write_text("sentence\tlabel\n" + "\n".join(rows) + "\n")
        own = [
            "task=custom",
            "task.data_dir=data",
            "task.label_names=[bad,good]",
            "task.text_columns=[sentence]",
            "model=tiny",
            "epochs=2",
            *SMALL[1:],
        ]
        assert dispatch(["finetune", *own, "hydra.run.dir=plain"]) == 0
        assert dispatch(["retrain", *own, "retention.lengths=[12,5]", "hydra.run.dir=short"]) == 0
    finally:
        os.chdir(before)
    return folder


@pytest.mark.parametrize("kind", ["plain", "short"])
def test_answers_on_dev_are_those_of_the_run(kind, trained, here, capfd):
    given = [] if kind == "short" else ["seq_len=24"]
    own = [f"model_dir={trained}/{kind}/model", f"input={trained}/data/dev.tsv", "output=a.csv", *given]
    assert dispatch(["predict", *own, "predict.together=16", "batch_size=8"]) == 0
    said = capfd.readouterr()
    assert "60 rows in" in said.err and "rows a second" in said.err and not said.out
    assert [path.name for path in here.iterdir()] == ["a.csv"]
    found = pd.read_csv("a.csv")
    known = pd.read_csv(trained / kind / "predictions.csv")
    assert list(found["label"]) == [("bad", "good")[int(i)] for i in known["prediction"]]
    share = 1 / (1 + np.exp(known["logit_0"] - known["logit_1"]))
    assert (found["probability_good"] - share).abs().max() < 1e-4
    metrics = json.loads((trained / kind / "metrics.json").read_text())
    labels = pd.read_csv(trained / "data/dev.tsv", sep="\t")["label"]
    assert float((found["label"] == labels.map({0: "bad", 1: "good"})).mean()) == pytest.approx(metrics["value"])


def test_standard_input_to_standard_output(trained):
    done = command(f"model_dir={trained}/short/model", given="a b c\nd\n\n")
    rows = [line.split("\t") for line in done.stdout.splitlines()]
    assert done.returncode == 0 and len(rows) == 3 and all(row[0] in ("bad", "good") for row in rows)
    assert all(float(row[1]) + float(row[2]) == pytest.approx(1, abs=1e-4) for row in rows)


def test_a_closed_pipe_is_no_error(trained):
    own = f"model_dir={trained}/short/model predict.together=500"
    script = f"seq 20000 | {sys.executable} -m powerbert_cli predict {own} | head -1"
    done = subprocess.run(
        ["bash", "-c", script], capture_output=True, text=True, env={**os.environ, "HF_HUB_OFFLINE": "1"}
    )
    assert len(done.stdout.splitlines()) == 1 and "Traceback" not in done.stderr and "rror" not in done.stderr


def test_words_with_the_last_layer_that_they_reached(trained, here):
    Path("in.txt").write_text("a b c d e f g h i j k l m n o p a b c d\n")
    own = [f"model_dir={trained}/short/model", "input=in.txt", "output=a.jsonl", "predict.survivors=true"]
    assert dispatch(["predict", *own]) == 0
    words = json.loads(Path("a.jsonl").read_text())["words"]
    assert "".join(one["word"] for one in words) == "abcdefghijklmnopabcd"
    layers = [one["layer"] for one in words]
    # [CLS] is among the 12 and the 5, and no word; the separator may be
    assert sum(layer >= 1 for layer in layers) in (10, 11) and sum(layer == 2 for layer in layers) in (3, 4)


def test_bad_rows_stop_it_or_are_listed(trained, here, capfd):
    Path("rows.jsonl").write_text('{"text": "a"}\n{"text": null}\n{"text": "b"}\nnothing\n')
    own = [f"model_dir={trained}/short/model", "input=rows.jsonl", "output=a.parquet"]
    assert dispatch(["predict", *own]) == 2
    said = capfd.readouterr().err
    assert "rows.jsonl: row 2 (line 2) has no 'text'" in said and "predict.on_error=skip" in said
    assert "1 answers are in a.parquet.part" in said and len(pd.read_parquet("a.parquet.part")) == 1
    assert dispatch(["predict", *own, "predict.on_error=skip"]) == 0
    assert "2 rows, 2 skipped" in capfd.readouterr().err and len(pd.read_parquet("a.parquet")) == 2
    assert Path("a.parquet.errors.tsv").read_text().splitlines()[1].startswith("row 2 (line 2)\thas no 'text'")


@pytest.mark.parametrize("own", [["engine=onnx", "precision=int8"], ["engine=eager", "precision=int8"]])
def test_other_engines_answer_too(own, trained, here):
    pytest.importorskip("onnxruntime")
    given = [f"model_dir={trained}/short/model", f"input={trained}/data/dev.tsv", "output=a.jsonl"]
    assert dispatch(["predict", *given, *own]) == 0
    found = [json.loads(line)["label"] for line in Path("a.jsonl").read_text().splitlines()]
    known = pd.read_csv(trained / "short/predictions.csv")["prediction"].map({0: "bad", 1: "good"})
    assert (pd.Series(found) == known).mean() > 0.8


def test_from_python(trained, tmp_path):
    answers = tmp_path / "a.jsonl"
    settings = api.settings(
        "predict", f"model_dir={trained}/short/model", f"input={trained}/data/dev.tsv", f"output={answers}"
    )
    assert api.predict(settings).rows == 60 and len(answers.read_text().splitlines()) == 60


@pytest.mark.parametrize(
    ("args", "message"),
    [
        ([], "model_dir is not given; give a finished model directory: model_dir=RUN/model"),
        (["model_dir=nowhere"], "model_dir=nowhere is no model directory"),
        (["model_dir=MODEL", "input=nowhere"], "input=nowhere is no file"),
        (["model_dir=MODEL", "engine=tensorrt"], "engine=tensorrt is none of eager"),
        (["model_dir=MODEL", "predict.on_error=skip"], "give output=FILE"),
        (["model_dir=MODEL", "out=x"], "unknown key 'out' (did you mean 'output'?)"),
    ],
)
def test_mistakes(args, message, trained, capfd):
    assert dispatch(["predict", *(arg.replace("MODEL", f"{trained}/short/model") for arg in args)]) == 2
    assert message in capfd.readouterr().err


@pytest.mark.parametrize("kind", ["plain", "short"])
def test_the_code_of_a_model_card_loads_the_model(trained, kind, monkeypatch):
    monkeypatch.chdir(trained / kind / "model")
    code = Path("README.md").read_text().split("```python\n")[1].split("```")[0]
    found: dict[str, object] = {}
    exec(code, found)
    assert found["model"](**found["tokenizer"]("a b c", return_tensors="pt")).logits.shape == (1, 2)


def test_it_leaves_no_page_where_it_is_run(trained, monkeypatch, tmp_path):
    (tmp_path / "config.yaml").write_text("not: ours")
    monkeypatch.chdir(tmp_path)
    Path("texts.txt").write_text("a b\n")
    assert dispatch(["predict", f"model_dir={trained}/plain/model", "input=texts.txt", "output=answers.tsv"]) == 0
    assert {path.name for path in tmp_path.iterdir()} == {"config.yaml", "texts.txt", "answers.tsv"}


def test_a_full_disk_names_the_output_and_the_way_out(trained, monkeypatch, tmp_path, capfd):
    from powerbert_cli.commands import predict

    def full(*_):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(predict, "predict", full)
    monkeypatch.chdir(tmp_path)
    Path("texts.txt").write_text("a b\n")
    assert dispatch(["predict", f"model_dir={trained}/plain/model", "input=texts.txt", "output=answers.tsv"]) == 2
    said = capfd.readouterr().err
    assert "output=answers.tsv: cannot write: No space left on device" in said and "set output=FILE" in said
