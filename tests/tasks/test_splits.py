"""Which files are which split, and what is held back where there is none."""

import bz2
import gzip
import lzma

import datasets
import pandas as pd
import pytest
from custom import task

from powerbert_cli.tasks.files import split_of
from powerbert_cli.tasks.rows import DataError
from powerbert_cli.tasks.sources import load_task


@pytest.mark.parametrize(
    "changes, labels, message",
    [
        ({"metric": "matthews"}, [1] * 20, "all 20 rows are of one class"),
        ({"metric": "f1"}, [0] * 5, "none of 5 rows has the class that it counts"),
        (
            {"metric": "spearman", "kind": "regression", "label_names": None},
            [1.5, 2.5],
            "2 rows have a correlation of 1",
        ),
        ({"metric": "pearson", "kind": "regression", "label_names": None}, [2] * 9, "all 9 rows have the same value"),
    ],
)
def test_a_dev_split_on_which_the_metric_means_nothing(tmp_path, changes, labels, message):
    (tmp_path / "train.tsv").write_text("text\tlabel\na\t1\nb\t0\n")
    (tmp_path / "dev.tsv").write_text("text\tlabel\n" + "".join(f"t\t{label}\n" for label in labels))
    with pytest.raises(DataError, match=f"dev.tsv: task.metric={changes['metric']} is not defined there: {message}"):
        load_task(task(tmp_path, **changes))


def test_rows_are_held_back_where_there_is_no_dev(tmp_path):
    """A fifth, the same ones every time, none of them in training; the test split is measured on if it has labels."""
    (tmp_path / "train.tsv").write_text("text\tlabel\n" + "".join(f"t{i}\t{i % 2}\n" for i in range(50)))
    one, two = load_task(task(tmp_path)), load_task(task(tmp_path))
    train, dev = one.train.rows["text"][:], one.dev.rows["text"][:]
    assert (len(train), len(dev)) == (40, 10) and set(train) | set(dev) == {f"t{i}" for i in range(50)}
    assert dev == two.dev.rows["text"][:] and dev != [f"t{i}" for i in range(10)]
    assert one.held_back and not one.tests and one.train.content != one.dev.content
    (tmp_path / "test.tsv").write_text("text\tlabel\nx\t1\ny\t0\n")
    assert load_task(task(tmp_path)).tests and load_task(task(tmp_path)).test.labels.tolist() == [1, 0]
    (tmp_path / "test.tsv").write_text("text\tlabel\nx\t-1\ny\t-1\n")  # kept secret, as the hub marks it
    assert load_task(task(tmp_path)).test is None
    own = task(tmp_path, label_names=["-1", "1"])
    (tmp_path / "train.tsv").write_text("text\tlabel\n" + "".join(f"t{i}\t{i % 2 * 2 - 1}\n" for i in range(50)))
    assert load_task(own).test.labels.tolist() == [0, 0]  # a class of that name is no mark
    (tmp_path / "dev.tsv").write_text("text\tlabel\nx\t1\ny\t-1\n")
    (tmp_path / "test.tsv").write_text("")
    assert not load_task(own).held_back  # and a test file that nobody asked for is not looked at


ROWS_OF_CSV = "text,label\na,1\nb,0\n"


@pytest.mark.parametrize(
    "name", ["dev.csv", "validation.csv", "val.csv", "valid.csv", "eval.csv", "Dev.CSV", "VAL.csv"]
)
def test_a_dev_split_by_any_of_its_names(tmp_path, name):
    (tmp_path / "Train.csv").write_text(ROWS_OF_CSV)
    (tmp_path / name).write_text("text,label\nx,1\ny,0\nz,0\n")
    data = load_task(task(tmp_path))
    assert not data.held_back and data.dev.rows["text"][:] == ["x", "y", "z"]


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("dev.zip", "dev.zip, which is none of tsv"),
        ("dev.xlsx", "dev.xlsx, which is none of tsv"),
        ("train.tar.gz", "train.tar.gz, which is none of tsv"),
        ("holdout.csv", r"holdout.csv, which is no dev.\* or validation.\*; rename it to dev.csv"),
        ("dev_matched.tsv", r"dev_matched.tsv, which is no dev.\*"),
        ("my-validation-set.parquet", r"rename it to dev.parquet"),
    ],
)
def test_a_file_that_is_meant_is_never_replaced_by_held_back_rows(tmp_path, name, message):
    (tmp_path / "train.csv").write_text("text,label\n" + "a,1\nb,0\n" * 10)
    (tmp_path / name).write_text(ROWS_OF_CSV)
    with pytest.raises(DataError, match=message):
        load_task(task(tmp_path))


@pytest.mark.parametrize("packed", ["bz2", "xz"])
def test_packed_files(tmp_path, packed):
    pack = {"bz2": bz2.compress, "xz": lzma.compress}[packed]
    (tmp_path / f"train.csv.{packed}").write_bytes(pack(ROWS_OF_CSV.encode()))
    (tmp_path / "dev.csv").write_bytes(gzip.compress(ROWS_OF_CSV.encode()))  # whatever it is called
    data = load_task(task(tmp_path))
    assert data.train.rows["text"][:] == data.dev.rows["text"][:] == ["a", "b"]


def test_parts_as_the_hub_names_them(tmp_path):
    for part, text in enumerate("ab"):
        table = pd.DataFrame({"text": [text], "label": [part]})
        table.to_parquet(tmp_path / f"train-0000{part}-of-00002.parquet")
        table.to_parquet(tmp_path / f"validation-0000{part}-of-00002.parquet")
    assert load_task(task(tmp_path)).train.rows["text"][:] == ["a", "b"]
    (tmp_path / "train-00000-of-00002.parquet").unlink()
    with pytest.raises(DataError, match="parts of train are missing"):
        load_task(task(tmp_path))


def test_parts_that_do_not_belong_together(tmp_path):
    for part, names in enumerate((["neg", "pos"], ["pos", "neg"])):
        rows = datasets.Dataset.from_dict({"text": ["a", "b"], "label": [0, 1]})
        rows.cast_column("label", datasets.ClassLabel(names=names)).to_parquet(
            str(tmp_path / f"train-0000{part}-of-00002.parquet")
        )
    (tmp_path / "dev.csv").write_text(ROWS_OF_CSV)
    with pytest.raises(DataError, match="its classes are called"):
        load_task(task(tmp_path, label_names=["neg", "pos"]))
    other = tmp_path / "other"
    other.mkdir()
    for name in ("train-00000-of-00002.csv", "train-00000-of-00002.csv.gz"):
        (other / name).write_text(ROWS_OF_CSV)
    with pytest.raises(DataError, match="parts of train are missing, or of two sets"):
        load_task(task(other))


def test_rows_of_one_file_read_as_another_format_are_read_anew(tmp_path):
    (tmp_path / "dev.tsv").write_text("text\tlabel\na\t1\n")
    content = 'text\tlabel\n"a\t1\n'
    (tmp_path / "train.tsv").write_text(content)
    assert load_task(task(tmp_path)).train.rows["text"][:] == ['"a']
    (tmp_path / "train.tsv").rename(tmp_path / "train.csv")
    with pytest.raises(DataError, match="separated by commas, not tabs"):
        load_task(task(tmp_path))


def test_a_folder_of_save_to_disk(tmp_path):
    rows = datasets.Dataset.from_dict({"text": ["a", "b"], "label": [1, 0]})
    datasets.DatasetDict({"train": rows, "validation": rows}).save_to_disk(tmp_path / "saved")
    data = load_task(task(tmp_path / "saved"))
    assert data.train.rows["text"][:] == ["a", "b"] and not data.held_back
    rows.save_to_disk(tmp_path / "one")
    with pytest.raises(DataError, match="is one saved data set; save a DatasetDict"):
        load_task(task(tmp_path / "one"))
    (tmp_path / "outer").mkdir()
    (tmp_path / "saved").rename(tmp_path / "outer" / "data")
    with pytest.raises(DataError, match=r"no train\.\*"):
        load_task(task(tmp_path / "outer"))


def test_files_below_the_folder_are_named(tmp_path):
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "train.csv").write_text(ROWS_OF_CSV)
    with pytest.raises(DataError, match=f"task.data_dir={tmp_path / 'data'} has such files"):
        load_task(task(tmp_path))


def test_rows_of_one_class_are_a_warning(tmp_path, caplog):
    for name in ("train", "dev"):
        (tmp_path / f"{name}.tsv").write_text("text\tlabel\na\t1\nb\t1\n")
    load_task(task(tmp_path))
    assert "all 2 training rows are of one class" in caplog.text


@pytest.mark.parametrize(
    ("name", "split"),
    [
        ("train.v2.csv", None),
        ("Training.TSV.gz", "train"),
        ("dev.old.csv", None),
        (".train.csv", None),
        ("test.pq", "test"),
    ],
)
def test_names_of_splits(name, split):
    assert split_of(name) == split
