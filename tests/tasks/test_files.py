import gzip
import json

import pandas as pd
import pytest

from powerbert_cli.settings import TaskSettings
from powerbert_cli.tasks.files import DataError, find_file
from powerbert_cli.tasks.sources import check_source, load_task

ROWS = [('he said "no', 1), ("", 0), ("NA", 1), ("null, 007", 0)]


def task(folder, **changes) -> TaskSettings:
    values = {
        "name": "custom",
        "kind": "classification",
        "test_split": "test",
        "options_column": None,
        "submission": None,
        "hub_path": None,
        "hub_name": None,
        "dev_split": "validation",
        "data_dir": str(folder),
        "text_columns": ["text"],
        "label_column": "label",
        "label_names": ["bad", "good"],
        "metric": "accuracy",
        "max_train": None,
        "max_dev": None,
        "synthetic": None,
        "published": {},
    }
    return TaskSettings(**{**values, **changes})


def write(folder, name, kind):
    table = pd.DataFrame(ROWS, columns=["text", "label"])
    path = folder / f"{name}.{kind}"
    lines = [f"{text}\t{label}" for text, label in ROWS]
    content = {
        "tsv": "\n".join(["text\tlabel", *lines]) + "\n",
        "csv": table.to_csv(index=False),
        "jsonl": "\n".join(json.dumps({"text": t, "label": y}) for t, y in ROWS),
    }
    base = kind.removesuffix(".gz")
    if base == "parquet":
        table.to_parquet(path)
    elif kind.endswith(".gz"):
        path.write_bytes(gzip.compress(content[base].encode()))
    else:
        path.write_text(content[base], encoding="utf-8")


@pytest.mark.parametrize("kind", ["tsv", "csv", "jsonl", "parquet", "tsv.gz", "csv.gz", "jsonl.gz"])
def test_formats_give_the_same_rows(tmp_path, kind):
    """Quotes, empty texts, 'NA' and numbers stay what they are."""
    write(tmp_path, "train", kind)
    write(tmp_path, "validation", kind)
    check_source(task(tmp_path))
    data = load_task(task(tmp_path))
    for rows in (data.train, data.dev):
        assert rows["text"][:] == [text for text, _ in ROWS]
        assert rows["label"][:] == [label for _, label in ROWS]


def both(folder, text: bytes | str):
    for name in ("train.tsv", "dev.tsv"):
        (folder / name).write_bytes(text if isinstance(text, bytes) else text.encode())


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("", "train.tsv is empty"),
        (b"text\tlabel\na\xff\t1\n", "line 2 is not valid UTF-8"),
        (b"text\tlabel\na\x00\t1\n", "line 2 has a NUL byte"),
        (
            "txt\tlabel\na\t1\n",
            r"no column 'text' \(did you mean 'txt'\?\); its columns: txt, label; set task.text_columns",
        ),
        ("text\ty\na\t1\n", "no column 'label'; its columns: text, y; set task.label_column"),
        ("text\tlabel\na\t1\tx\n", "line 2 has 3 fields, the header has 2"),
        ("text\tlabel\na\t1\nb\n", "line 3 has 1 fields, the header has 2"),
        ("text\tlabel\na\t2\n", r"row 1 has label '2'; it must be 0 to 1 or one of bad, good"),
        ("text\tlabel\na\tgood\nb\t\n", "row 2 has label ''"),
        ("text\tlabel\na\t0.5\n", "row 1 has label '0.5'"),
        ("text\tlabel\n", "train.tsv has no rows"),
    ],
)
def test_bad_files(tmp_path, content, message):
    both(tmp_path, content)
    with pytest.raises(DataError, match=message):
        check_source(task(tmp_path))
        load_task(task(tmp_path))


def test_truncated_gzip_and_false_parquet(tmp_path):
    (tmp_path / "train.tsv.gz").write_bytes(gzip.compress(b"text\tlabel\na\t1\n" * 99)[:-12])
    (tmp_path / "dev.parquet").write_bytes(b"no parquet")
    with pytest.raises(DataError, match=r"train.tsv.gz: cannot be read"):
        check_source(task(tmp_path))
    (tmp_path / "train.tsv.gz").write_bytes(gzip.compress(b"text\tlabel\na\t1\n"))
    with pytest.raises(DataError, match="dev.parquet: is no Parquet file"):
        check_source(task(tmp_path))


def test_missing_and_doubled_files(tmp_path):
    with pytest.raises(DataError, match=r"no train\.\* "):
        check_source(task(tmp_path))
    write(tmp_path, "dev", "tsv")
    write(tmp_path, "validation", "csv")
    with pytest.raises(DataError, match="several dev files: dev.tsv, validation.csv"):
        find_file(tmp_path, "dev")


def test_regression_and_pairs_and_label_names(tmp_path):
    both(tmp_path, "sentence1\tsentence2\tlabel\na\tb\t2.5\nc\td\t-1\n")
    pair = task(
        tmp_path, text_columns=["premise", "hypothesis"], kind="regression", label_names=None, metric="spearman"
    )
    data = load_task(pair)  # the uniform column names of local GLUE copies serve any pair task
    assert data.train[0] == {"text": "a", "text_pair": "b", "label": 2.5}
    both(tmp_path, "text\tlabel\na\tgood\nb\tbad\n")
    assert load_task(task(tmp_path)).train["label"][:] == [1, 0]
    both(tmp_path, "text\tlabel\na\tnan\n")
    with pytest.raises(DataError, match="regression needs a finite number"):
        load_task(task(tmp_path, kind="regression", label_names=None, metric="spearman"))


def test_subset_is_the_same_every_time_and_part_of_the_fingerprint(tmp_path):
    both(tmp_path, "text\tlabel\n" + "".join(f"t{i}\t{i % 2}\n" for i in range(50)))
    one, two = load_task(task(tmp_path, max_train=10)), load_task(task(tmp_path, max_train=10))
    assert one.train["text"][:] == two.train["text"][:] and len(one.train) == 10 and len(one.dev) == 50
    assert one.fingerprint == two.fingerprint != load_task(task(tmp_path)).fingerprint


def test_real_cola(real_data):
    data = load_task(task(real_data / "glue" / "cola", text_columns=["sentence"], metric="matthews"))
    assert (len(data.train), len(data.dev)) == (8551, 1043)
    assert sum(data.dev["label"]) == 721
