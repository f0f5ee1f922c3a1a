"""Classification of pictures through whole commands, in this process, with a tiny ViT."""

import json
import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image
from small import QUICK, SEEN, VIT, newest, run_card
from transformers import pipeline

from powerbert_cli.cli import dispatch
from powerbert_cli.kinds.pictures import decoded
from powerbert_cli.tasks.synthetic_pictures import CLASSES, generate

SMALL = [*SEEN, *VIT, "epochs=1", "batch_size=8", "runtime.log_seconds=60"]
SHORT = ["retention.lengths=[12,5]"]


@pytest.fixture(scope="module")
def outputs(tmp_path_factory):
    """Finished stages of finetune and retrain."""
    folder = tmp_path_factory.mktemp("pictures")
    for verb, own in (("finetune", []), ("retrain", SHORT)):
        assert dispatch([verb, *SMALL, *own, f"output_dir={folder}", f"hydra.run.dir={folder}/{verb}"]) == 0
    return folder


@pytest.fixture
def here(tmp_path, monkeypatch, outputs):
    monkeypatch.chdir(tmp_path)
    shutil.copytree(outputs / "stages", tmp_path / "outputs/stages")
    return tmp_path


@pytest.fixture
def pictures(here):
    """A folder with two classes of pictures to train on and a folder of others."""
    for split, seed in (("train", 1), ("dev", 2), ("asked", 3)):
        for i, (content, label) in enumerate(generate(18, seed, 16)):
            place = here / split / ("" if split == "asked" else CLASSES[label])
            place.mkdir(parents=True, exist_ok=True)
            (place / f"{i:02d}.png").write_bytes(content)
    data = here / "data"
    data.mkdir()
    for split in ("train", "dev"):
        (here / split).rename(data / split)
    return here


def test_a_plain_model_is_one_for_transformers_pipeline(outputs):
    model = outputs / "finetune/model"
    about = json.loads((model / "config.json").read_text())
    assert about["architectures"] == ["ViTForImageClassification"] and about["id2label"]["2"] == "square"
    assert json.loads((model / "preprocessor_config.json").read_text())["size"] == {"height": 16, "width": 16}
    found = pipeline("image-classification", model=str(model))(Image.new("RGB", (40, 30), "red"))
    assert {one["label"] for one in found} == set(CLASSES)
    assert json.loads((model / "task.json").read_text())["seq_len"] == 17


def test_answers_are_those_of_the_pipeline(pictures, outputs):
    model = outputs / "finetune/model"
    assert dispatch(["predict", f"model_dir={model}", "input=asked", "output=answers.csv"]) == 0
    answers = pd.read_csv("answers.csv")
    assert list(answers["file"]) == [f"asked/{i:02d}.png" for i in range(18)]
    classify = pipeline("image-classification", model=str(model))
    for file, row in zip(answers["file"], answers.to_dict("records"), strict=True):
        wanted = {one["label"]: one["score"] for one in classify(decoded(Path(file).read_bytes(), 3))}
        assert row["label"] == max(wanted, key=wanted.get)
        assert all(abs(row[f"probability_{name}"] - score) < 1e-4 for name, score in wanted.items())


def test_every_form_of_input_gives_the_same_answers(pictures, outputs, capfd):
    model = outputs / "retrain/model"
    files = [f"asked/{i:02d}.png" for i in range(18)]
    Path("asked/list.csv").write_text("image,number\n" + "".join(f"{i:02d}.png,{i}\n" for i in range(18)))
    Path("list.txt").write_text("\n".join(files) + "\n")
    content = [{"bytes": Path(file).read_bytes(), "path": None} for file in files]
    pd.DataFrame({"image": content, "number": range(18)}).to_parquet("rows.parquet")
    found = []
    for given in ("asked", "asked/list.csv", "list.txt", "rows.parquet"):
        assert dispatch(["predict", f"model_dir={model}", f"input={given}", "output=out.csv"]) == 0
        found.append(pd.read_csv("out.csv"))
    assert list(found[2]["file"]) == files and list(found[3]["number"]) == [*range(18)] and "image" not in found[3]
    for one in found[1:]:
        pd.testing.assert_frame_equal(one.filter(like="probability"), found[0].filter(like="probability"))
    capfd.readouterr()
    assert dispatch(["predict", f"model_dir={model}", "input=asked/03.png"]) == 0
    assert capfd.readouterr().out.split("\t")[:2] == ["asked/03.png", found[0]["label"][3]]


def test_bad_pictures_stop_or_are_passed_over(pictures, outputs, capfd):
    model = outputs / "retrain/model"
    Path("asked/05.png").write_bytes(Path("asked/05.png").read_bytes()[:-60])
    asked = ["predict", f"model_dir={model}", "input=asked", "output=out.csv"]
    assert dispatch(asked) == 2
    err = capfd.readouterr().err
    assert "asked/05.png is a damaged picture" in err and "Traceback" not in err
    assert dispatch([*asked, "predict.on_error=skip"]) == 0
    assert len(pd.read_csv("out.csv")) == 17
    assert "asked/05.png\tis a damaged picture" in Path("out.csv.errors.tsv").read_text()


@pytest.mark.parametrize(
    ("args", "said"),
    [
        (["predict.survivors=true", "output=o.jsonl"], "follows words, and pictures have none"),
        (["seq_len=9", "output=o.csv"], "seq_len=9: the model makes 17 word-vectors of each input"),
        (["input=empty", "output=o.csv"], "no pictures are in this folder"),
        (["predict.input_format=csv", "output=o.csv"], "a folder, which is read as pictures and not as csv"),
    ],
)
def test_what_predict_refuses(pictures, outputs, capfd, args, said):
    Path("empty").mkdir()
    assert dispatch(["predict", f"model_dir={outputs / 'retrain/model'}", "input=asked", *args]) != 0
    assert said in capfd.readouterr().err


def test_own_pictures_from_folders_of_classes(pictures):
    own = ["task=image", "task.data_dir=data", *VIT, "epochs=1", "batch_size=8"]
    assert dispatch(["finetune", *own]) == 0
    run = newest("finetune")
    assert list(pd.read_csv(run / "classes.csv")["class"]) == sorted(CLASSES)
    kind = ["task.kind=image_classification", *own[1:]]
    assert dispatch(["finetune", *kind]) == 0  # the same task
    assert len(list(Path("outputs/stages").glob("finetune-*/stage.json"))) == 2


def test_a_picture_that_is_none_ends_a_command(pictures, capfd):
    Path("data/train/square/bad.jpg").write_text("no picture")
    assert dispatch(["finetune", "task=image", "task.data_dir=data", *VIT]) == 2
    err = capfd.readouterr().err
    assert "data/train: square/bad.jpg is no picture that PIL knows" in err and "Traceback" not in err


@pytest.mark.parametrize(
    ("args", "said"),
    [
        ([*SEEN, *VIT, "seq_len=64"], "seq_len=64: the model makes 17 word-vectors of each input"),
        (SEEN, "a model of type bert takes no pictures; set model=vit-tiny"),
        (["task=synthetic", *VIT], "a model of type vit takes no texts"),
        (["task=image", *VIT], "needs task.data_dir=FOLDER with your train/CLASS and dev/CLASS"),
    ],
)
def test_what_does_not_go_together_is_refused(here, capfd, args, said):
    assert dispatch(["finetune", *args]) != 0
    err = capfd.readouterr().err
    assert said in err and "Traceback" not in err


def test_a_shortened_model_and_its_page(here, outputs):
    run = outputs / "retrain"
    found = json.loads((run / "model/retention.json").read_text())
    assert found["seq_len"] == 17 and found["lengths"] == [12, 5]
    assert (run / "patches.png").read_bytes().startswith(b"\x89PNG") and not (run / "words.json").exists()
    assert dispatch(["report", str(run)]) == 0
    page = (run / "report.html").read_text()
    assert "patches" in page and "image_classification" in page


@pytest.mark.parametrize("verb", ["finetune", "retrain"])
def test_the_code_of_a_model_card(here, outputs, monkeypatch, verb):
    model = outputs / verb / "model"
    card = (model / "README.md").read_text()
    assert "pipeline_tag: image-classification" in card and "17 word-vectors" in card
    Image.fromarray(np.zeros((9, 9, 3), np.uint8)).save(model / "PICTURE.png")
    found = run_card(model, monkeypatch)
    assert {one["label"] for one in found["classes"]} == set(CLASSES)


def test_an_exported_folder_answers_alike_and_its_card_runs(pictures, outputs, monkeypatch):
    pytest.importorskip("onnxruntime")
    model = outputs / "retrain/model"
    assert dispatch(["export", f"model_dir={model}", "engine=onnx", "hydra.run.dir=exported"]) == 0
    for given, to in ((model, "a.csv"), ("exported/model", "b.csv")):
        assert dispatch(["predict", f"model_dir={given}", "input=asked", f"output={to}"]) == 0
    columns = ["probability_lying", "probability_square"]
    assert np.allclose(pd.read_csv("a.csv")[columns], pd.read_csv("b.csv")[columns], atol=1e-4)
    card = Path("exported/model/README.md").read_text()
    assert "model that classifies pictures" in card and "word-pieces" not in card
    found = {"pictures": [Image.open("asked/00.png")]}
    with monkeypatch.context() as patched:
        patched.chdir("exported/model")
        exec(card.split("```python\n")[1].split("```")[0], found)
    assert found["logits"].shape == (1, 3)


def test_a_compressed_and_searched_model(here):
    assert dispatch(["compress", *SMALL, "compress.heads=0.5", "compress.ffn=0.5", "compress.score=variance"]) == 0
    search = ["searcher=calibrate", "retention.kind=relative", "target.flops=0.6"]
    assert dispatch(["sweep", *SMALL, "grid=none", *search, *QUICK, "bench.examples=8"]) == 0
    assert (newest("sweep") / "0/patches.png").is_file()
