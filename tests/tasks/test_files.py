import gzip
import json
import os

import datasets
import pandas as pd
import pytest
from custom import task

from powerbert_cli.errors import PowerbertError
from powerbert_cli.tasks.files import find_files
from powerbert_cli.tasks.rows import DataError
from powerbert_cli.tasks.sources import load_task

ROWS = [('he said "no', 1), ("", 0), ("NA", 1), ("null, 007", 0)]


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
    data = load_task(task(tmp_path))
    for rows in (data.train.rows, data.dev.rows):
        assert rows["text"][:] == [text for text, _ in ROWS]
        assert rows["label"][:] == [label for _, label in ROWS]


def both(folder, text: bytes | str):
    for name in ("train.tsv", "dev.tsv"):
        (folder / name).write_bytes(text if isinstance(text, bytes) else text.encode())


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("", "train.tsv is empty"),
        (b"text\tlabel\na\xff\t1\n", r"line 2\) is not valid UTF-8"),
        (b"text\tlabel\na\x00\t1\n", r"line 2\) has a NUL byte"),
        (
            "txt\tlabel\na\t1\n",
            r"no column 'text' \(did you mean 'txt'\?\); its columns: txt, label; set task.text_columns",
        ),
        ("text\ty\na\t1\n", "no column 'label'; its columns: text, y; set task.label_column"),
        ("text\tlabel\na\t1\tx\n", r"line 2\) has 3 fields, the header has 2"),
        ("text\tlabel\na\t1\nb\n", r"line 3\) has 1 fields, the header has 2"),
        ("text\tlabel\na\t2\n", r"row 1 \(line 2\) has label '2'; it must be 0 to 1 or one of bad, good"),
        ("text\tlabel\na\tgood\nb\t\n", r"row 2 \(line 3\) has label ''"),
        ("text\tlabel\na\t0.5\n", r"row 1 \(line 2\) has label '0.5'"),
        ("text\tlabel\n", "train.tsv has no rows"),
    ],
)
def test_bad_files(tmp_path, content, message):
    both(tmp_path, content)
    with pytest.raises(DataError, match=message):
        load_task(task(tmp_path))


def test_truncated_gzip_and_false_parquet(tmp_path):
    (tmp_path / "train.tsv.gz").write_bytes(gzip.compress(b"text\tlabel\n" + b"a\t1\n" * 99)[:-12])
    (tmp_path / "dev.tsv").write_bytes(b"text\tlabel\na\t1\n")
    with pytest.raises(DataError, match=r"train.tsv.gz: cannot be read"):
        load_task(task(tmp_path))
    (tmp_path / "train.tsv.gz").write_bytes(gzip.compress(b"text\tlabel\na\t1\n"))
    (tmp_path / "dev.tsv").rename(tmp_path / "dev.parquet")
    with pytest.raises(DataError, match="dev.parquet: is no Parquet file"):
        load_task(task(tmp_path))


def test_missing_and_doubled_files(tmp_path):
    with pytest.raises(DataError, match=r"no train\.\* "):
        load_task(task(tmp_path))
    write(tmp_path, "dev", "tsv")
    write(tmp_path, "validation", "csv")
    with pytest.raises(DataError, match="several dev files: dev.tsv, validation.csv"):
        find_files(tmp_path, "dev")


def test_regression_and_pairs_and_label_names(tmp_path):
    table = "sentence1\tsentence2\tlabel\na\tb\t2.5\nc\td\t-1\ne\tf\t0\n"
    both(tmp_path, table)
    regression = {"kind": "regression", "label_names": None, "metric": "spearman"}
    pair = task(tmp_path, text_columns=["premise", "hypothesis"], hub_path="glue", **regression)
    assert load_task(pair).train.rows[0] == {"text": "a", "text_pair": "b", "label": 2.5}  # as local copies of GLUE say
    with pytest.raises(DataError, match="no column 'premise'"):  # of one's own task nothing is guessed
        load_task(task(tmp_path, text_columns=["premise", "hypothesis"], **regression))
    both(tmp_path, "text\tlabel\na\tgood\nb\tbad\n")
    assert load_task(task(tmp_path)).train.rows["label"][:] == [1, 0]
    for value in ("nan", "1,5", "True"):
        both(tmp_path, f"text\tlabel\na\t{value}\n")
        with pytest.raises(DataError, match="regression needs a finite number"):
            load_task(task(tmp_path, **regression))


def test_subset_is_the_same_every_time_and_part_of_the_content(tmp_path):
    both(tmp_path, "text\tlabel\n" + "".join(f"t{i}\t{i % 2}\n" for i in range(50)))
    one, two = load_task(task(tmp_path, max_train=10)), load_task(task(tmp_path, max_train=10))
    assert one.train.rows["text"][:] == two.train.rows["text"][:] and len(one.train) == 10 and len(one.dev) == 50
    whole = load_task(task(tmp_path))
    assert one.train.content == two.train.content != whole.train.content
    assert load_task(task(tmp_path, max_train=50, max_dev=99)).train.content == whole.train.content


AS_PEOPLE_HAVE_THEM = {
    "index of pandas.csv": ",text,label\n0,a,0\n1,b,1\n",
    "trailing commas.csv": "text,label,\na,0,\nb,1,,,\n",
    "byte order mark.csv": "\ufefftext,label\na,0\nb,1\n",
    "mark before an unused column.csv": "\ufeffid,text,label\n7,a,0\n8,b,1\n",
    "blank lines.csv": "text,label\n\na,0\n\nb,1\n\n",
    "doubled, but not used.csv": "text,x,x,label\na,1,2,0\nb,1,2,1\n",
    "mark.jsonl": '\ufeff{"text": "a", "label": 0}\n{"text": "b", "label": 1}\n',
    "blank lines.jsonl": '\n{"text": "a", "label": 0}\n\n{"text": "b", "label": 1}\n\n',
    "list over lines.json": '[\n  {"text": "a",\n "label": 0},\n  {"text": "b", "label": 1}\n]\n',
    "list on a line.jsonl": '[{"text": "a", "label": 0}, {"text": "b", "label": 1}]',
    "under a key.json": '{"version": 1, "data": [{"text": "a", "label": 0}, {"text": "b", "label": 1}]}',
    "over lines under a key.json": '{\n"data": [\n{"text": "a", "label": 0}, {"text": "b", "label": 1}]\n}',
    "windows.csv": "text,label\r\na,0\r\nb,1\r\n",
}


@pytest.mark.parametrize("name", AS_PEOPLE_HAVE_THEM)
@pytest.mark.parametrize("gz", ["", ".gz"])
def test_files_as_people_have_them(tmp_path, name, gz):
    content = AS_PEOPLE_HAVE_THEM[name].encode()
    for split in ("train", "dev"):
        path = tmp_path / f"{split}.{name.rpartition('.')[2]}{gz}"
        path.write_bytes(gzip.compress(content) if gz else content)
    rows = load_task(task(tmp_path)).train.rows
    assert (rows["text"][:], rows["label"][:]) == (["a", "b"], [0, 1])


REFUSED = {
    "by columns.json": ('{"text": {"0": "a"}, "label": {"0": 1}}', "one object with a column in each key"),
    "by lists.json": ('{"text": ["a", "b"], "label": [0, 1]}', "one object with a column in each key"),
    "no object.jsonl": ('{"text": "a", "label": 0}\n[1]\n', r"line 2\) is no JSON object: it is list"),
    "no object in a list.json": ('[{"text": "a", "label": 0}, 3]', "row 2 is no JSON object: it is int"),
    "text is a list.jsonl": (
        '{"text": ["a"], "label": 0}\n{"text": "b", "label": 0}\n',
        r"row 1 \(line 1\) has \['a'\] as 'text', which is of type list; it must be a text",
    ),
    "text is an object.jsonl": ('{"text": {"en": "a"}, "label": 0}\n', "of type dict; it must be a text"),
    "text is missing.jsonl": ('{"text": "a", "label": 0}\n\n{"label": 0}\n', r"row 2 \(line 3\) has no 'text'"),
    "doubled.csv": ("text,text,label\na,b,0\n", "2 columns are called 'text'"),
    "header again.csv": ("text,label\na,0\ntext,label\n", r"line 3\) is the header once more"),
    "semicolons.csv": ("text;label\na;0\n", "fields are separated by commas, not ';'"),
    "open quote.csv": ('text,label\na,0\n"b,1\nc,0\n', r"lines 3 to 4\) .*is a quote not closed"),
    "long.csv": ("text,label\n" + "a,0\n" * 9 + f"b,{'x' * 5000}\n", r"row 10 \(line 11\) has label 'x+…;"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_cannot_be_read_is_said_in_a_line(tmp_path, name):
    content, message = REFUSED[name]
    for split in ("train", "dev"):
        (tmp_path / f"{split}.{name.rpartition('.')[2]}").write_text(content)
    with pytest.raises(DataError, match=message) as caught:
        load_task(task(tmp_path))
    assert len(str(caught.value)) < 600 and "\n" not in str(caught.value)


def test_texts_of_bytes_and_utf16(tmp_path):
    for name in ("train", "dev"):
        pd.DataFrame({"text": [b"a"], "label": [0]}).to_parquet(tmp_path / f"{name}.parquet")
    with pytest.raises(DataError, match=r"row 1 has b'a' as 'text', which is of type bytes"):
        load_task(task(tmp_path))
    (tmp_path / "train.parquet").unlink()
    (tmp_path / "train.csv").write_bytes("text,label\na,0\n".encode("utf-16"))
    with pytest.raises(DataError, match="is UTF-16; save the file as UTF-8"):
        load_task(task(tmp_path))


def test_parquet_that_is_gzipped(tmp_path):
    write(tmp_path, "train", "parquet")
    write(tmp_path, "dev", "tsv")
    path = tmp_path / "train.parquet"
    (tmp_path / "train.parquet.gz").write_bytes(gzip.compress(path.read_bytes()))
    path.unlink()
    assert load_task(task(tmp_path)).train.rows["text"][:] == [text for text, _ in ROWS]


def test_a_blank_line_is_a_text_where_there_is_one_column(tmp_path):
    """As many answers as lines, and none moves up."""
    both(tmp_path, "text\tlabel\na\t1\nb\t0\n")
    (tmp_path / "test.tsv").write_text("text\na\n\nb\n   \nc\n")
    test = load_task(task(tmp_path), predict_test=True).test
    assert test.rows["text"][:] == ["a", "", "b", "   ", "c"]


def test_the_row_that_a_message_names_is_the_files(tmp_path):
    """Also in a subset, after a row of several lines, and after blank ones."""
    rows = ['"a\nb",0', "", *(f"t{i},{i % 2}" for i in range(28)), "c,oops", *(f"u{i},0" for i in range(9))]
    for name in ("train", "dev"):
        (tmp_path / f"{name}.csv").write_text("\n".join(["text,label", *rows]) + "\n")
    with pytest.raises(DataError, match=r"row 30 \(line 33\) has label 'oops'"):
        load_task(task(tmp_path, max_train=3))


def test_same_name_and_time_but_other_content(tmp_path):
    def rows(text):
        both(tmp_path, f"text\tlabel\n{text}\t1\nb\t0\n")
        for name in ("train.tsv", "dev.tsv"):
            os.utime(tmp_path / name, (0, 0))
        return load_task(task(tmp_path)).train

    one, two = rows("a"), rows("c")
    assert one.rows["text"][0] == "a" and two.rows["text"][0] == "c" and one.content != two.content


@pytest.mark.parametrize("name", ["set[1]", "a::b", "s*t", "~x", "q?", "{a,b}"])
def test_the_files_of_that_very_folder(tmp_path, name):
    for folder, text in ((name, "right"), ("set1", "wrong"), ("st", "wrong"), ("a", "wrong")):
        (tmp_path / folder).mkdir(exist_ok=True)
        both(tmp_path / folder, f"text\tlabel\n{text}\t1\nb\t0\n")
    assert load_task(task(tmp_path / name)).train.rows["text"][0] == "right"


def test_a_cache_that_cannot_be_written_is_named(tmp_path, monkeypatch):
    both(tmp_path, "text\tlabel\na\t1\nb\t0\n")
    (tmp_path / "file").write_text("")
    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", str(tmp_path / "file"))
    with pytest.raises(
        PowerbertError, match="Not a directory; make room, or name another folder in .*HF_DATASETS_CACHE"
    ):
        load_task(task(tmp_path))


def test_real_cola(real_data):
    data = load_task(task(real_data / "glue" / "cola", text_columns=["sentence"], metric="matthews"))
    assert (len(data.train), len(data.dev)) == (8551, 1043)
    assert data.dev.labels.sum() == 721
