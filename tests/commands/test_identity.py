"""What decides a stage's result is in its identity, and nothing else is."""

import json
import shutil
from dataclasses import fields
from pathlib import Path

import pandas as pd
import pytest
from hosts import make_host

from powerbert_cli.cli import dispatch
from powerbert_cli.pipeline import tested
from powerbert_cli.pipeline.finetune import FinetuneRecord
from powerbert_cli.pipeline.record import MeasuredRecord, Record
from powerbert_cli.pipeline.retrain import RetrainRecord
from powerbert_cli.pipeline.single_search import SearchRecord
from powerbert_cli.pipeline.teacher import TeacherRecord
from powerbert_cli.store import environment
from powerbert_cli.store.model_dir import fingerprint, save_model_dir
from powerbert_cli.store.stages import identity_of
from powerbert_cli.tasks.tokenizing import build_tokenizer

RECORDS = [Record, MeasuredRecord, FinetuneRecord, SearchRecord, RetrainRecord, TeacherRecord, tested.TestedRecord]
SMALL = ["experiment=smoke", "task.synthetic.train=64", "task.synthetic.dev=32", "model.config.num_hidden_layers=2"]


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return tmp_path


def stages(name):
    return set(Path("outputs/stages").glob(f"{name}-*"))


def newest(verb: str) -> Path:
    return max(Path("outputs", verb).glob("*/*"))


def ran(*args):
    assert dispatch(list(args)) == 0


@pytest.mark.parametrize(
    "change",
    [
        ["task.label_names=[bad,good]"],
        ["task.max_dev=32"],
        ["task.max_train=999"],
        ["training.padding=max"],
        ["runtime.workers=1"],
        ["task.name=other"],
        ["batch_size=32"],
    ],
)
def test_what_does_not_decide(folder, change):
    ran("finetune", *SMALL)
    ran("finetune", *SMALL, *change)
    assert len(stages("finetune")) == 1


@pytest.mark.parametrize(
    "change",
    [
        ["variant=ibm", "task.metric=f1"],
        ["task.max_dev=16"],
        ["task.max_train=32"],
        ["model.vocab_size=60"],
        ["seed=1"],
        ["batch_size=16"],
    ],
)
def test_what_decides(folder, change):
    ran("finetune", "variant=ibm", *SMALL)
    ran("finetune", "variant=ibm", *SMALL, *change)
    assert len(stages("finetune")) == 2
    if "task.metric=f1" in change:
        assert json.loads((newest("finetune") / "metrics.json").read_text())["metric"] == "f1"


def test_padding_decides_where_its_queries_count(folder):
    own = [*SMALL, "variant.pad_queries=true", "retention.lengths=[20,9]"]
    ran("retrain", *own)
    ran("retrain", *own, "training.padding=max")
    assert len(stages("retrain")) == 2 and len(stages("finetune")) == 1


def test_names_of_classes_are_those_of_the_run(folder):
    ran("finetune", *SMALL)
    ran("finetune", *SMALL, "task.label_names=[bad,good]")
    config = json.loads((newest("finetune") / "model/config.json").read_text())
    assert config["id2label"] == {"0": "bad", "1": "good"} and config["label2id"] == {"bad": 0, "good": 1}
    (stage,) = stages("finetune")
    assert json.loads((stage / "model/config.json").read_text())["id2label"]["0"] == "negative"
    assert fingerprint(stage / "model") == fingerprint(newest("finetune") / "model")


@pytest.mark.parametrize("package", ["torch", "transformers", "powerbert"])
def test_versions_decide(folder, monkeypatch, package):
    ran("finetune", *SMALL)
    real = environment.version
    monkeypatch.setattr(environment, "version", lambda name: "99.0" if name == package else real(name))
    ran("finetune", *SMALL)
    assert len(stages("finetune")) == 2


def test_the_tokenizer_beside_a_model_decides(folder):
    rows = [{"text": f"a b c {i % 3}", "label": i % 2} for i in range(16)]
    Path("data").mkdir()
    for name in ("train", "dev"):
        pd.DataFrame(rows).to_csv(f"data/{name}.csv", index=False)
    host = make_host("bert")
    for name, texts in (("one", ["a b c"]), ("other", ["c b a 0 1 2 d e f"])):
        save_model_dir(Path(name), host, build_tokenizer(texts, 90))
    own = ["task=custom", "task.data_dir=data", "epochs=1", "batch_size=8", "seq_len=16", "model.name_or_path=one"]
    ran("finetune", *own)
    ran("finetune", *own, "model.tokenizer=other")
    assert len(stages("finetune")) == 2


def test_a_search_belongs_to_the_content_of_its_parent(folder):
    """A fine-tuned model that was made anew with other weights has no searches yet; one with the same weights has."""
    ran("search", *SMALL)
    ran("finetune", *SMALL, "fresh=true")
    ran("search", *SMALL)
    assert len(stages("search")) == 1  # on a CPU the same weights came out
    (stage,) = stages("finetune")
    shutil.rmtree(stage)
    ran("finetune", *SMALL, "seed=3")
    (other,) = stages("finetune")
    other.rename(stage)  # other weights under the same settings, as another machine may give
    ran("search", *SMALL)
    assert len(stages("search")) == 2


def test_environment_is_that_of_the_process_that_made_the_stage(folder, monkeypatch):
    ran("finetune", *SMALL)
    first = json.loads((newest("finetune") / "environment.json").read_text())
    monkeypatch.setattr(environment, "processor", lambda: "another one")
    ran("finetune", *SMALL)
    assert json.loads((newest("finetune") / "environment.json").read_text()) == first
    (stage,) = stages("finetune")
    assert json.loads((stage / "environment.json").read_text()) == first


@pytest.mark.parametrize("kind", RECORDS)
def test_every_field_of_a_record_is_hashed(kind):
    """So that a field that is added decides, without anyone thinking of it."""
    given = {field.name: f"{field.name} of one" for field in fields(kind)}
    one = identity_of(kind(**given).decides())
    assert identity_of(kind(**given).decides()) == one
    for name in given:
        assert identity_of(kind(**{**given, name: "another"}).decides()) != one, name
