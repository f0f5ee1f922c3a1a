"""What stands in a file, as a class: the same in every format, never by place where it can be a name."""

import json
import unicodedata

import datasets
import pandas as pd
import pytest
from custom import task

from powerbert_cli.kinds.labels import Classes, LabelError, LabelSets
from powerbert_cli.settings import SettingsError
from powerbert_cli.tasks.files import DataError
from powerbert_cli.tasks.sources import load_task


@pytest.mark.parametrize(
    "names, values, classes",
    [
        (["no", "yes"], ["no", "yes", 0, 1, "0", "1", 1.0, "1.0"], [0, 1, 0, 1, 0, 1, 1, 1]),
        (["1", "2", "3"], [1, 2, 3, "1", "3", 2.0, "2.0"], [0, 1, 2, 0, 2, 1, 1]),
        (["1", "0"], [1, 0, "1.0", True, "False"], [0, 1, 0, 0, 1]),  # by name, not by place
        (["false", "true"], [True, False, "True", "FALSE", "true"], [1, 0, 1, 0, 1]),
        (["True", "False"], [True, "false"], [0, 1]),
        (["0", "1"], [True, False, "True"], [1, 0, 1]),
        (["-1", "1"], [-1, 1.0], [0, 1]),
    ],
)
def test_values_to_classes(names, values, classes):
    assert [Classes(names)(value) for value in values] == classes


@pytest.mark.parametrize(
    "names, value, message",
    [
        (["1", "2", "3"], 0, "has label 0; it must be one of 1, 2, 3"),
        (["1", "2", "other"], 4, "it must be one of 1, 2, other"),
        (["no", "yes"], True, "can mean the class called 'true' or the class number 1"),
        (["yes", "no"], "False", r"can mean the class called 'false' or the class number 0 \('yes'\)"),
        (["no", "yes"], 2, "it must be 0 to 1 or one of no, yes"),
        (["no", "yes"], 0.5, "has label 0.5"),
        (["no", "yes"], "yess", "did you mean 'yes'"),
        (["no", "yes"], "", "no label"),
        (["no", "yes"], None, "no label"),
        (["no", "yes"], {"a": "b" * 500}, r"^has label {'a': 'b+…; "),
        (["no", "yes"], float("nan"), "has label nan"),
    ],
)
def test_what_is_no_class_or_could_be_two(names, value, message):
    with pytest.raises(LabelError, match=message) as caught:
        Classes(names)(value)
    assert len(str(caught.value)) < 300


def test_names_in_the_file_are_followed():
    assert [Classes(["pos", "neg"], ["neg", "pos"])(n) for n in (0, 1, "neg")] == [1, 0, 1]
    with pytest.raises(
        LabelError, match=r"the file names its classes neg, pos, the task a, b; set task.label_names=\[neg,"
    ):
        Classes(["a", "b"], ["neg", "pos"])


@pytest.mark.parametrize(
    "values, sets",
    [
        ([[1, 0, 0], [0, 1, 0], [0, 0, 0], [True, False, True]], [[1, 0, 0], [0, 1, 0], [0, 0, 0], [1, 0, 1]]),
        (["1,0,0", "[0, 1, 1]"], [[1, 0, 0], [0, 1, 1]]),
        ([["a"], [], ["a", "c"], "b,c", None], [[1, 0, 0], [0, 0, 0], [1, 0, 1], [0, 1, 1], [0, 0, 0]]),
        ([[0, 2], [1]], [[1, 0, 1], [0, 1, 0]]),
    ],
)
def test_sets_of_classes(values, sets):
    read = LabelSets(["a", "b", "c"])
    assert [read(value) for value in values] == sets


def test_sets_that_could_be_read_in_two_ways():
    read = LabelSets(["a", "b", "c"])
    read([1, 0, 0])
    with pytest.raises(LabelError, match=r"and an earlier row \[1, 0, 0\]: one is multi-hot"):
        read([2])
    with pytest.raises(LabelError, match="which name a class twice"):
        LabelSets(["a", "b", "c"])(["a", "a"])
    with pytest.raises(LabelError, match="can be multi-hot or the names of classes"):
        LabelSets(["0", "1"])([0, 1])


ROWS = [("one", 1), ("two", 2), ("three", 3), ("one more", 1)]


@pytest.mark.parametrize("kind", ["csv", "tsv", "jsonl", "json", "parquet", "floats.csv"])
def test_numbers_that_are_names_in_every_format(tmp_path, kind):
    table = pd.DataFrame(ROWS, columns=["text", "label"])
    for name in ("train", "dev"):
        if kind in ("csv", "floats.csv"):
            table.astype({"label": float if kind != "csv" else int}).to_csv(tmp_path / f"{name}.csv", index=False)
        elif kind == "tsv":
            table.to_csv(tmp_path / f"{name}.tsv", sep="\t", index=False)
        elif kind == "parquet":
            table.to_parquet(tmp_path / f"{name}.parquet")
        else:
            table.to_json(tmp_path / f"{name}.{kind}", orient="records", lines=kind == "jsonl")
    data = load_task(task(tmp_path, label_names=["1", "2", "3"]))
    assert data.train.rows["label"][:] == [0, 1, 2, 0]


def test_classlabel_of_a_parquet_file(tmp_path):
    features = datasets.Features({"text": datasets.Value("string"), "label": datasets.ClassLabel(names=["neg", "pos"])})
    rows = datasets.Dataset.from_dict({"text": ["a", "b"], "label": [0, 1]}, features=features)
    for name in ("train", "dev"):
        rows.to_parquet(str(tmp_path / f"{name}.parquet"))
    assert load_task(task(tmp_path, label_names=["pos", "neg"])).train.rows["label"][:] == [1, 0]
    with pytest.raises(DataError, match=r"set task.label_names=\[neg,pos\]"):
        load_task(task(tmp_path, label_names=["bad", "good"]))


def test_a_column_for_each_class(tmp_path):
    for name in ("train", "dev"):
        (tmp_path / f"{name}.csv").write_text("text,a,b\nx,1,0\ny,True,1.0\n")
    multi = {"kind": "multi_label", "label_names": ["a", "b"], "metric": "f1"}
    assert load_task(task(tmp_path, **multi)).train.rows["label"][:] == [[1, 0], [1, 1]]
    (tmp_path / "train.csv").write_text("text,a,b\nx,1,2\n")
    with pytest.raises(DataError, match=r"row 1 \(line 2\) has '2' in the column of a class; it must be 0 or 1"):
        load_task(task(tmp_path, **multi))


def test_a_name_given_twice(tmp_path):
    with pytest.raises(SettingsError, match="names 'a' twice"):
        task(tmp_path, label_names=["a", "a"])


def test_names_that_are_one_number_are_two_names():
    """Versions, codes: a text is that text; a number that could be both is refused."""
    classes = Classes(["1.1", "1.10"])
    assert [classes("1.1"), classes("1.10")] == [0, 1]
    with pytest.raises(LabelError, match="has label 1.1, which can mean '1.1' and '1.10'; write it as one of them"):
        classes(1.1)
    assert [Classes(["2E11", "7A00"])(name) for name in ("2E11", "7A00")] == [0, 1]


def test_names_in_another_form_of_unicode():
    """é is one character or two."""
    composed, apart = unicodedata.normalize("NFC", "café"), unicodedata.normalize("NFD", "café")
    assert composed != apart and [Classes([composed, "bar"])(name) for name in (composed, apart)] == [0, 0]
    assert [Classes([composed, apart])(name) for name in (composed, apart)] == [0, 1]


def test_the_content_of_rows_knows_no_names(tmp_path):
    """The same texts and classes, whatever the classes are called and whatever the format."""
    contents = []
    for number, names in enumerate((["bad", "good"], ["no", "yes"], ["0", "1"])):
        folder = tmp_path / str(number)
        folder.mkdir()
        for name in ("train", "dev"):
            rows = [{"text": f"t{i}", "label": names[i % 2]} for i in range(6)]
            if number == 1:
                pd.DataFrame(rows).to_csv(folder / f"{name}.csv", index=False)
            else:
                (folder / f"{name}.jsonl").write_text("\n".join(map(json.dumps, rows)))
        contents.append(load_task(task(folder, label_names=names)).train.content)
    assert len(set(contents)) == 1
