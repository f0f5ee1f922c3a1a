"""What a command line means: names as they are written, the task of a model or a folder."""

import json
import shutil

import pytest
from hydra import compose, initialize_config_dir
from hydra.core.override_parser.overrides_parser import OverridesParser

from powerbert_cli import overrides
from powerbert_cli.cli import conf_dir
from powerbert_cli.errors import PowerbertError
from powerbert_cli.settings import TaskSettings
from powerbert_cli.settings.typed import typed
from powerbert_cli.store.task_file import LOCAL, NAME, TaskFile, TaskFileError, of_settings, read_task
from powerbert_cli.verbs import settings_of


def meant(verb, *args):
    return overrides.meant(verb, list(args), conf_dir(), [])


def value_of(override):
    return OverridesParser.create().parse_overrides([override])[0].value()


@pytest.mark.parametrize(
    ("given", "value"),
    [
        ("task.label_names=[2E11,7A00]", ["2E11", "7A00"]),
        ("task.label_names=[1_1,1_2]", ["1_1", "1_2"]),
        ("task.label_names=[1.10,1.1]", ["1.10", "1.1"]),
        ("task.label_names=[007,0x10,-1,+5,.5,1e5,inf]", ["007", "0x10", "-1", "+5", ".5", "1e5", "inf"]),
        ("task.label_names=[good,bad]", ["good", "bad"]),
        ("task.name=2026", "2026"),
        ("output_dir=2e11", "2e11"),
        ('task.label_names=["1.10","a b"]', ["1.10", "a b"]),
        ("task.label_names=null", None),
        ("task.label_names=[a, b c,1.10]", ["a", "b c", "1.10"]),
        ("task.label_names=[2E11,\"a, b\",'c']", ["2E11", "a, b", "c"]),
        ("input=Mü b.csv", "Mü b.csv"),
        ("seed=1_0", 10),
        ("task.max_train=1e2", 100.0),
    ],
)
def test_names_stay_as_they_are_written(given, value):
    [found] = overrides.as_written("predict" if given.startswith("input") else "finetune", [given])
    assert value_of(found) == value


def test_names_in_another_form_of_unicode_reach_the_settings_as_they_are():
    for name in ("caf\u00e9", "cafe\u0301"):
        [found] = overrides.as_written("finetune", [f"task.label_names=[{name},bar]"])
        assert value_of(found) == [name, "bar"]


@pytest.mark.parametrize(
    "text", ["a", 'q"u"o', "back\\", 'mix\\"', "${seed}", "a,b", "[x]", "x=y", " ", "é", "null", "10:30"]
)
def test_quoted_texts_are_read_back(text):
    assert value_of(f"task.name={overrides.quoted(text)}").replace("\\$", "$") == text


@pytest.mark.parametrize(
    ("content", "named"),
    [
        ("label_names: [10:30, 9:15]", "label_names: YAML reads 10:30 as a number, 630; put it into quotes: '10:30'"),
        ("label_names:\n- 2E11\n- b", "YAML reads 2E11 as a number, 200000000000.0"),
        ("label_names: [1.10, 1.2]", "YAML reads 1.10 as a number, 1.1"),
        ("label_column: 007", "label_column: YAML reads 007"),
        ("task: {label_names: [1_1, a]}", "YAML reads 1_1"),
        ("label_names: ['10:30', \"1.10\", 0, 1, 2.5, abc, a_1]", None),
        ("published: {lr: 1.10}", None),
    ],
)
def test_names_in_yaml_that_would_be_others(tmp_path, content, named):
    (tmp_path / "task").mkdir()
    (tmp_path / "task" / "own.yaml").write_text(content)
    if named is None:
        overrides.check_names([str(tmp_path)], "finetune")
        return
    with pytest.raises(PowerbertError) as caught:
        overrides.check_names([str(tmp_path)], "finetune")
    assert named in str(caught.value) and "own.yaml" in str(caught.value)


def own_task(tmp_path, **changes):
    with initialize_config_dir(str(conf_dir()), version_base="1.3"):
        settings, _ = typed(
            compose("finetune", overrides=["task=custom", f"task.data_dir={tmp_path}"]), settings_of("finetune")
        )
    values = {**vars(settings.task), "label_names": ['a "b"', "1.10"], "text_columns": ["title"], **changes}
    return TaskSettings(**values)


def model_dir(tmp_path, task=None, config=None):
    folder = tmp_path / "model"
    folder.mkdir()
    (folder / "config.json").write_text(json.dumps(config or {"architectures": ["BertForSequenceClassification"]}))
    if task is not None:
        of_settings(task, 24).write(folder)
    return folder


def composed(verb, *args):
    with initialize_config_dir(str(conf_dir()), version_base="1.3"):
        return typed(compose(verb, overrides=meant(verb, *args)), settings_of(verb))


@pytest.mark.parametrize("verb", ["search", "retrain", "bench", "export", "study", "check", "compress"])
def test_a_model_brings_its_task_to_every_verb(tmp_path, verb):
    task = own_task(tmp_path, metric="matthews", max_dev=7)
    folder = model_dir(tmp_path, task)
    own = ["compress.ffn=0.5"] if verb == "compress" else []
    settings, auto = composed(verb, f"model_dir={folder}", *own)
    assert settings.task == task and settings.seq_len == 24 and not auto
    settings, _ = composed(verb, f"model_dir={folder}", "task.max_dev=3", "seq_len=16", *own)
    assert settings.task.max_dev == 3 and settings.seq_len == 16  # what is given goes before what is implied
    settings, _ = composed(verb, f"model_dir={folder}", "task=synthetic", *own)
    assert settings.task.synthetic is not None


def test_a_shipped_task_is_named_and_what_differs_is_set(tmp_path):
    with initialize_config_dir(str(conf_dir()), version_base="1.3"):
        settings, _ = typed(compose("finetune", overrides=["task=rte", "task.max_train=5"]), settings_of("finetune"))
    found = meant("bench", f"model_dir={model_dir(tmp_path, settings.task)}")
    assert found[:2] == ["task=rte", "task.max_train=5"] and found[2] == "seq_len=24" and len(found) == 4


@pytest.mark.parametrize(
    ("args", "message"),
    [
        (["model_dir=MODEL"], "says nothing of its task; give the folder with your train.* and dev.* files"),
        (["model.name_or_path=somewhere"], "no task is given; set task=NAME, or task.data_dir=FOLDER"),
    ],
)
def test_no_verb_falls_back_to_the_generated_task(tmp_path, args, message):
    folder = model_dir(tmp_path)
    with pytest.raises(PowerbertError, match="MODEL|somewhere".replace("MODEL", str(folder))) as caught:
        meant("bench", *(arg.replace("MODEL", str(folder)) for arg in args))
    assert message in str(caught.value)


def test_a_folder_of_data_is_a_task_of_ones_own(tmp_path):
    assert meant("finetune", f"task.data_dir={tmp_path}") == ["task=custom", f"task.data_dir={tmp_path}"]
    assert meant("finetune", "task=rte", f"task.data_dir={tmp_path}")[0] == "task=rte"
    assert meant("finetune", "experiment=paper/rte", f"task.data_dir={tmp_path}")[0] == "experiment=paper/rte"
    assert meant("finetune", "experiment=smoke", f"task.data_dir={tmp_path}")[0] == "task=custom"
    assert meant("finetune") == []


@pytest.mark.parametrize(
    ("config", "expected"),
    [
        ({"problem_type": "regression"}, ["task.kind=regression", "task.label_names=null", "task.metric=spearman"]),
        ({"id2label": {"0": "LABEL_0"}}, ["task.kind=regression", "task.label_names=null", "task.metric=spearman"]),
        ({"problem_type": "multi_label_classification"}, ["task.kind=multi_label"]),
        ({"id2label": {"0": "a", "1": "b"}}, []),
    ],
)
def test_the_kind_of_a_classifier_of_others(tmp_path, config, expected):
    folder = model_dir(tmp_path, config=config)
    found = meant("retrain", f"model_dir={folder}", f"task.data_dir={tmp_path}")
    assert found[: 2 + len(expected)] == ["task=custom", *expected, "seq_len=auto"]


def test_task_files_are_read_back_and_name_no_home(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    task = own_task(tmp_path)
    folder = model_dir(tmp_path, task)
    assert read_task(folder) == TaskFile({**vars(task)}, 24)
    assert str(tmp_path) not in (folder / LOCAL).read_text() and "data_dir" not in (folder / NAME).read_text()
    (folder / LOCAL).unlink()
    assert read_task(folder).data_dir is None and read_task(folder).text_columns == ["title"]
    (folder / NAME).write_text("{}")
    with pytest.raises(TaskFileError, match=r"task.json: is not as powerbert writes it"):
        read_task(folder)


def test_compress_takes_a_method(tmp_path):
    assert meant("compress", "method=kcm", "target.flops=0.7") == [
        'compress.by="ffn"', 'compress.score="r2d2"', 'compress.tune="scale"', "target.flops=0.6", "target.flops=0.7",
    ]  # fmt: skip
    with pytest.raises(PowerbertError, match=r"method=kmc is none of .* \(did you mean 'kcm'\?\)"):
        meant("compress", "method=kmc")
    assert meant("retrain", "method=kcm") == ["method=kcm"]


def test_models_of_a_sweep_have_one_task(tmp_path):
    task = own_task(tmp_path)
    one = model_dir(tmp_path, task)
    two, other = tmp_path / "two", tmp_path / "other"
    shutil.copytree(one, two)
    shutil.copytree(one, other)
    of_settings(task, 16).write(other)
    assert meant("bench", f"model_dir={one},{two}") == [
        *meant("bench", f"model_dir={one}")[:-1],
        f"model_dir={one},{two}",
    ]
    with pytest.raises(PowerbertError, match="have different tasks; set task=NAME"):
        meant("bench", f"model_dir={one},{other}")


def test_an_experiment_goes_before_the_task_of_a_model(tmp_path):
    folder = model_dir(tmp_path, own_task(tmp_path, max_dev=7))
    own = tmp_path / "conf" / "experiment"
    own.mkdir(parents=True)
    (own / "rows.yaml").write_text("# @package _global_\ntask: {data_dir: /elsewhere, max_train: 3}\n")
    (own / "child.yaml").write_text("# @package _global_\ndefaults: [{override /task: sst2}]\n")
    (own / "parent.yaml").write_text("# @package _global_\ndefaults: [child]\n")
    conf = [str(tmp_path / "conf")]
    found = overrides.meant("bench", [f"model_dir={folder}", "experiment=rows"], conf_dir(), conf)
    assert not any(one.startswith(("task.data_dir=", "task.max_train=")) for one in found) and "task.max_dev=7" in found
    for name in ("child", "parent", '"child"', "child.yaml"):
        given = [f"model_dir={folder}", f"experiment={name}"]
        assert overrides.meant("bench", given, conf_dir(), conf) == given


@pytest.mark.parametrize(
    "content",
    [
        {"text_columns": "text"}, {"text_columns": []}, {"text_columns": [1]}, {"seq_len": -3}, {"seq_len": 1e999},
        {"seq_len": "8"},
    ],
)  # fmt: skip
def test_damaged_task_files_are_named(tmp_path, content):
    folder = model_dir(tmp_path, own_task(tmp_path))
    path = folder / NAME
    whole = json.loads(path.read_text())
    own = {name: value for name, value in content.items() if name == "seq_len"}
    task = {name: value for name, value in content.items() if name != "seq_len"}
    path.write_text(json.dumps({**whole, **own, "task": {**whole["task"], **task}}))
    with pytest.raises(TaskFileError, match="is not as powerbert writes it"):
        meant("bench", f"model_dir={folder}")


def test_strange_names_and_configs_end_in_no_traceback(tmp_path):
    folder = model_dir(tmp_path, own_task(tmp_path, name="../sst2"))
    assert meant("bench", f"model_dir={folder}")[0] == "task=custom"
    (folder / NAME).unlink()
    for config in ("[]", '{"id2label": 5}'):
        (folder / "config.json").write_text(config)
        assert meant("bench", f"model_dir={folder}", f"task.data_dir={tmp_path}")[0] == "task=custom"
    (tmp_path / "own.yaml").write_text("a: &a [*a]\n")
    overrides.check_names([str(tmp_path)], "finetune")
