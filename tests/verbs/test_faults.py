"""What is damaged, foreign or of another size is named in one line; it stays as it is, nothing half made remains."""

import json
import shutil

import pytest
from hosts import described, make_host

from powerbert_cli.cli import dispatch
from powerbert_cli.models.model_dir import save_model_dir
from powerbert_cli.store.artifacts import digests
from powerbert_cli.store.retention_file import RetentionFile
from powerbert_cli.tasks.tokenizing import build_tokenizer


def config(**changes):
    def change(folder):
        path = folder / "config.json"
        path.write_text(json.dumps({**json.loads(path.read_text()), **changes}))

    return change


def content(name, change):
    return lambda folder: (folder / name).write_bytes(change((folder / name).read_bytes()))


def renamed(name, other):
    return lambda folder: (folder / name).rename(folder / other)


def removed(name):
    return lambda folder: (folder / name).unlink()


DAMAGED_MODELS = {
    "weights cut short": (content("model.safetensors", lambda data: data[:5000]), "the model cannot be loaded"),
    "no weights": (removed("model.safetensors"), "no file named model.safetensors"),
    "weights as pickle": (renamed("model.safetensors", "pytorch_model.bin"), "no file named model.safetensors"),
    "config no JSON": (content("config.json", lambda data: data[:20]), "is not a valid JSON file"),
    "no config": (removed("config.json"), "is no model directory"),
    "wider": (config(hidden_size=64), "weights are of other sizes than its config.json says: bert.embeddings"),
    "more layers": (config(num_hidden_layers=4), "weights are missing"),
    "fewer layers": (config(num_hidden_layers=2), "weights are of layers that its config.json does not have"),
    "other classes": (config(id2label={"0": "a", "1": "b", "2": "c"}), "of 3 classes, the task has 2"),
    "no tokenizer": (removed("tokenizer.json"), "has no tokenizer"),
    "short positions": (config(max_position_embeddings=8), "seq_len=16 exceeds the 8 positions"),
    "another family": (config(model_type="gpt2"), "gpt2"),
}


@pytest.fixture
def model(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    save_model_dir(tmp_path / "model", make_host(), build_tokenizer(["good bad not"], 100))
    return tmp_path / "model"


def fails(capfd, folder, *args):
    """The one line; the folder is as before, and no stage came of it."""
    before = digests(folder)
    assert dispatch([*args, "task=synthetic", "experiment=smoke", "seq_len=16"]) == 2
    assert digests(folder) == before
    assert not [path for path in folder.parent.glob("outputs/stages/*") if not path.name.startswith((".", "finetune"))]
    lines = [line for line in capfd.readouterr().err.splitlines() if line]
    assert len(lines) == 1 and lines[0].startswith("powerbert: ")
    return lines[0]


@pytest.mark.parametrize("damage", DAMAGED_MODELS)
def test_damaged_model_directory(model, capfd, damage):
    change, message = DAMAGED_MODELS[damage]
    change(model)
    args = ["retrain", f"model_dir={model}", "retention.lengths=full", "retrain.epochs=0"]
    assert message in fails(capfd, model, *args)


def test_a_tokenizer_of_another_model(model, capfd):
    build_tokenizer([" ".join(chr(97 + i % 26) + str(i) for i in range(300))], 300).save_pretrained(model)
    args = ["retrain", f"model_dir={model}", "retention.lengths=full", "retrain.epochs=0"]
    assert "word-pieces, the model 100; they do not belong together" in fails(capfd, model, *args)


FOREIGN_RETENTION = {
    "no JSON": (lambda given: "[", "is no JSON"),
    "binary": (lambda given: "\x00\x01", "is no JSON"),
    "another program's": (lambda given: json.dumps({"lengths": [8, 5, 2]}), "is no retention configuration"),
    "a later version": (lambda given: json.dumps({**given, "version": 2}), "version 2 is not 1; update powerbert"),
    "a deeper model's": (lambda given: json.dumps({**given, "lengths": [9, 8, 5, 2]}), "4 lengths, the model has 3"),
    "a longer ℓ": (lambda given: json.dumps({**given, "seq_len": 64, "lengths": [60, 40, 2]}), "exceeds seq_len=16"),
    "cut short": (lambda given: json.dumps(given)[:-20], "is no JSON"),
}


@pytest.mark.parametrize("foreign", FOREIGN_RETENTION)
def test_foreign_retention_configuration(model, capfd, foreign):
    change, message = FOREIGN_RETENTION[foreign]
    path = model.parent / "retention.json"
    RetentionFile(described((8, 5, 2), 16)).write(path)
    path.write_text(change(json.loads(path.read_text())))
    given = ["retrain", f"model_dir={model}", f"retention.path={path}", "retrain.epochs=0"]
    assert message in fails(capfd, model, *given)


@pytest.mark.parametrize("verb", ["bench", "export"])
def test_shortened_model_with_the_configuration_of_another(model, capfd, verb):
    RetentionFile(described((8, 5), 16)).write(model / "retention.json")
    assert "2 lengths, the model has 3 layers" in fails(capfd, model, verb, f"model_dir={model}")


def test_a_file_where_the_output_folder_should_be(model, capfd):
    (model.parent / "taken").write_text("mine")
    assert "taken" in fails(capfd, model, "finetune", "output_dir=taken")
    assert (model.parent / "taken").read_text() == "mine"


@pytest.mark.slow
def test_a_stage_that_was_damaged_is_made_anew(tmp_path, monkeypatch, capfd):
    """Whatever of it is damaged; the result is the same."""
    monkeypatch.chdir(tmp_path)
    run = ["finetune", "experiment=smoke", "task.synthetic.train=64", "task.synthetic.dev=32"]
    assert dispatch(run) == 0
    [stage] = [path for path in tmp_path.glob("outputs/stages/*") if path.is_dir()]
    shutil.copytree(stage, tmp_path / "whole")
    damages = [
        content("model/model.safetensors", lambda data: data[:-7]),
        content("model/model.safetensors", lambda data: data[:-7] + b"1234567"),
        removed("metrics.json"),
        content("stage.json", lambda data: data[:30]),
        removed("stage.json"),
    ]
    for damage in damages:
        damage(stage)
        assert dispatch(run) == 0
        for name in ("model/model.safetensors", "metrics.json", "predictions.csv"):
            assert (stage / name).read_bytes() == (tmp_path / "whole" / name).read_bytes()
    assert capfd.readouterr().out.count("it is made anew") == len(damages)
