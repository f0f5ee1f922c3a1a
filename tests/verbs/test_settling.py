"""Text columns and class names that nobody gave."""

import pandas as pd
import pytest
from datasets import ClassLabel, Dataset
from hydra import compose, initialize_config_dir

from powerbert_cli.cli import conf_dir
from powerbert_cli.errors import PowerbertError
from powerbert_cli.settings.typed import typed
from powerbert_cli.verbs import settings_of
from powerbert_cli.verbs.settling import settle_task


def settled(folder, *overrides, verb="search"):
    with initialize_config_dir(str(conf_dir()), version_base="1.3"):
        cfg = compose(verb, overrides=["task=custom", f"task.data_dir={folder}", *overrides])
    settings, auto = typed(cfg, settings_of(verb))
    settle_task(cfg, settings, [name for name in auto if name.startswith("task.")])
    return cfg.task.text_columns, cfg.task.label_names


def rows(folder, labels, name="train.csv", column="review"):
    table = pd.DataFrame({"id": range(len(labels)), column: "t", "label": labels})
    table.to_csv(folder / name, index=False) if name.endswith("csv") else table.to_parquet(folder / name)


@pytest.mark.parametrize(
    ("labels", "name", "expected"),
    [
        (["pos", "neg", "neg"], "train.csv", ["neg", "pos"]),
        ([1, 0, 1], "train.csv", ["0", "1"]),
        ([10, 9, 2, 10], "train.parquet", ["2", "9", "10"]),
        ([1.0, 0.0], "train.parquet", ["0", "1"]),
        ([True, False], "train.parquet", ["false", "true"]),
        (["10:30", "9:15"], "train.csv", ["10:30", "9:15"]),
        (["2E11", "7A00"], "train.csv", ["2E11", "7A00"]),
        (["b", None, "a"], "train.csv", ["a", "b"]),
    ],
)
def test_labels_are_read_from_the_rows(tmp_path, labels, name, expected, caplog):
    rows(tmp_path, labels, name)
    with caplog.at_level("INFO"):
        assert settled(tmp_path) == (["review"], expected)
    assert ", ".join(expected) in caplog.text and "task.label_names=[" in caplog.text


def test_the_names_of_a_parquet_file_stay_in_its_order(tmp_path):
    data = Dataset.from_dict({"text": ["a", "b"], "label": [1, 0]})
    data.cast_column("label", ClassLabel(names=["yes", "no"])).to_parquet(tmp_path / "train.parquet")
    assert settled(tmp_path) == (["text"], ["yes", "no"])


@pytest.mark.parametrize(
    ("labels", "more", "message"),
    [
        (["a", "a"], [], "has one label only, 'a'"),
        (["pos", " pos", "neg"], [], "which may be one class; write it in one way"),
        (["caf\u00e9", "cafe\u0301", "bar"], [], "which may be one class; write it in one way"),
        ([0.25, 0.5], [], "set task.kind=regression task.metric=spearman"),
        (["1.10", "1.1"], [], "for classes name them in task.label_names"),
        ([f"row {i}" for i in range(30)], [], "has 30 different values among 30"),
        (["a", "b"], ["task.label_column=y"], r"no column 'y'.*set task.label_column"),
        (["a", "b"], ["task.kind=multi_label"], "is not for task.kind=multi_label; name them"),
    ],
)
def test_what_the_rows_do_not_say(tmp_path, labels, more, message):
    rows(tmp_path, labels)
    with pytest.raises(PowerbertError, match=message):
        settled(tmp_path, *more)


def test_a_regression_has_none(tmp_path):
    rows(tmp_path, [0.25, 0.5])
    assert settled(tmp_path, "task.kind=regression", "task.metric=spearman") == (["review"], None)


def test_the_names_of_a_classifier_go_before(tmp_path):
    from transformers import BertConfig

    rows(tmp_path, ["pos", "neg"])
    for folder, names in (("own", ["pos", "neg"]), ("counted", ["LABEL_0", "LABEL_1"]), ("other", ["x", "y", "z"])):
        config = BertConfig(id2label=dict(enumerate(names)), architectures=["BertForSequenceClassification"])
        config.save_pretrained(tmp_path / folder)
    assert settled(tmp_path, f"model.name_or_path={tmp_path / 'own'}")[1] == ["pos", "neg"]
    assert settled(tmp_path, f"model_dir={tmp_path / 'own'}")[1] == ["pos", "neg"]
    assert settled(tmp_path, f"model_dir={tmp_path / 'counted'}")[1] == ["neg", "pos"]
    assert settled(tmp_path, f"model.name_or_path={tmp_path / 'other'}")[1] == ["neg", "pos"]
    rows(tmp_path, [0, 1])
    assert settled(tmp_path, f"model_dir={tmp_path / 'own'}")[1] == ["pos", "neg"]  # numbers are places
