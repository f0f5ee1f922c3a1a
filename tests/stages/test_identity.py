"""What decides a stage's result is in its identity, and nothing else is; to know it, nothing is trained."""

from dataclasses import fields, replace
from inspect import isabstract
from pathlib import Path

import pandas as pd
import pytest
from hosts import make_host

from powerbert_cli import api
from powerbert_cli.models.model_dir import fingerprint, name_classes, save_model_dir
from powerbert_cli.stages import compress, finetune, retrain, search_bisected, teacher, tested
from powerbert_cli.stages.inputs import Given, Inputs
from powerbert_cli.stages.run import Run
from powerbert_cli.store import environment
from powerbert_cli.tasks.tokenizing import build_tokenizer

SMALL = ["experiment=smoke", "task.synthetic.train=64", "task.synthetic.dev=32", "model.config.num_hidden_layers=2"]
MODULES = (compress, finetune, retrain, search_bisected, teacher, tested)  # so that all kinds of stages are defined


def kinds(cls=Inputs):
    """The classes of all stages that can be made, of the package itself."""
    for below in cls.__subclasses__():
        if below.__module__.startswith("powerbert_cli") and not isabstract(below):
            yield below
        yield from kinds(below)


@pytest.fixture
def graph(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return lambda verb, *given: Run(api.settings(verb, *SMALL, *given)).graph


@pytest.mark.parametrize("kind", kinds(), ids=lambda kind: kind.__name__)
def test_every_field_of_a_stage_is_hashed(kind):
    """So that a field that is added decides, without anyone thinking of it."""
    given = {field.name: f"{field.name} of one" for field in fields(kind)}
    one = kind(**given).identity
    assert kind(**given).identity == one
    for name in given:
        assert kind(**{**given, name: "another"}).identity != one, name


def test_all_kinds_of_stages_are_looked_at():
    assert {kind.STAGE for kind in kinds()} == {*("finetune", "compress", "search", "retrain", "teacher", "tested")}


@pytest.mark.parametrize(
    "change",
    [
        "task.label_names=[bad,good]",
        "task.max_dev=32",
        "task.max_train=999",
        "training.padding=max",
        "runtime.workers=1",
        "task.name=other",
        "batch_size=32",
        "tracking=null",
    ],
)
def test_what_does_not_decide(graph, change):
    assert graph("finetune", change).finetuned.identity == graph("finetune").finetuned.identity


@pytest.mark.parametrize(
    "change",
    [
        "task.metric=f1",
        "task.max_dev=16",
        "task.max_train=32",
        "model.vocab_size=60",
        "seed=1",
        "batch_size=16",
        "lr=0.1",
        "seq_len=32",
        "training.class_weights=balanced",
    ],
)
def test_what_decides(graph, change):
    own = ["variant=ibm"]
    assert graph("finetune", *own, change).finetuned.identity != graph("finetune", *own).finetuned.identity


@pytest.mark.parametrize(
    ("given", "change", "decides"),
    [
        ([], "lambda=0.5", True),
        ([], "strategy=head", True),
        ([], "calibrate.examples=7", False),
        (["target.flops=0.5"], "target.flops=0.4", True),
        (["target.flops=0.5", "searcher=calibrate"], "calibrate.examples=7", True),
        (["target.flops=0.5", "searcher=calibrate"], "lambda=0.5", False),
        (["target.max_drop=0.1"], "retrain.epochs=3", True),
        ([], "retrain.epochs=3", False),
        ([], "compress.layers=1", True),
        ([], "compress.take=first", False),
    ],
)
def test_what_decides_a_search(graph, given, change, decides):
    one, other = (graph("search", *given, *more).searched.identity for more in ([], [change]))
    assert (one != other) == decides


def test_padding_decides_where_its_queries_count(graph):
    given = ["research.variant.pad_queries=true", "retention.lengths=[20,9]"]
    one, other = graph("retrain", *given), graph("retrain", *given, "training.padding=max")
    assert one.retrained.identity != other.retrained.identity
    assert one.finetuned.identity == other.finetuned.identity


def test_a_stage_names_those_before_it(graph):
    plan = graph("retrain", "compress.layers=1", "retrain.distill=0.5", "lambda=1e-2")
    found = plan.retrained
    assert found.start is plan.compressed and found.retention is plan.searched
    assert [one.STAGE for one in found.before] == ["compress", "search", "teacher"]
    assert plan.searched.before[0] is plan.compressed and plan.compressed.before == [plan.finetuned]
    assert found.decides()["start"] == plan.compressed.identity


def test_another_fine_tune_gives_another_re_training(graph):
    one, other = (graph("retrain", f"seed={seed}").retrained for seed in (0, 1))
    assert replace(one, seed=1).identity != other.identity  # though nothing else of it is another


def test_the_baselines_of_a_model_that_is_given_are_measured_first(graph, tmp_path):
    save_model_dir(tmp_path / "given", make_host("bert"), build_tokenizer(["a b c"], 90))
    as_it_is, longer = graph("retrain", f"model_dir={tmp_path / 'given'}", "task=synthetic", "seq_len=16").baselines
    assert as_it_is.stage.epochs == 0 and longer.stage.epochs == 1
    assert as_it_is.start == longer.start == Given(tmp_path / "given")
    assert graph("retrain").baselines[0].STAGE == "finetune"


@pytest.mark.parametrize("package", ["torch", "transformers", "powerbert"])
def test_versions_decide(graph, monkeypatch, package):
    before = graph("finetune").finetuned.identity
    real = environment.version
    monkeypatch.setattr(environment, "version", lambda name: "99.0" if name == package else real(name))
    assert graph("finetune").finetuned.identity != before


def test_the_tokenizer_beside_a_model_decides(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    rows = [{"text": f"a b c {i % 3}", "label": i % 2} for i in range(16)]
    Path("data").mkdir()
    for name in ("train", "dev"):
        pd.DataFrame(rows).to_csv(f"data/{name}.csv", index=False)
    host = make_host("bert")
    for name, texts in (("one", ["a b c"]), ("other", ["c b a 0 1 2 d e f"])):
        save_model_dir(Path(name), host, build_tokenizer(texts, 90))
    own = ["task=custom", "task.data_dir=data", "epochs=1", "batch_size=8", "seq_len=16", "model.name_or_path=one"]
    one, other = (
        Run(api.settings("finetune", *own, *more)).graph.finetuned.identity for more in ([], ["model.tokenizer=other"])
    )
    assert one != other


def test_names_of_classes_are_no_content(tmp_path):
    save_model_dir(tmp_path, make_host("bert"), build_tokenizer(["a b c"], 90))
    before = fingerprint(tmp_path)
    name_classes(tmp_path, ["bad", "good"])
    assert fingerprint(tmp_path) == before
