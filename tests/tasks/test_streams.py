"""Rows read once and answers written as they come."""

import gzip
import io
import json

import pandas as pd
import pytest

from powerbert_cli.errors import PowerbertError
from powerbert_cli.tasks.streams import Read, read_rows, writing_rows

ROWS = [
    {"label": "yes", "probability": {"no": 0.25, "yes": 0.75}},
    {"label": "no", "probability": {"no": 1.0, "yes": 0.0}},
]


def read(path, kind, columns=None):
    return list(read_rows(str(path), kind, columns))


@pytest.mark.parametrize(
    ("kind", "text", "expected"),
    [
        ("lines", "\ufeffa b\r\n\nc", [("line 1", ("a b",)), ("line 2", ("",)), ("line 3", ("c",))]),
        ("tsv", 'sentence\tlabel\na "b\t1\n\nc\t0\n', [("line 2", ('a "b',)), ("line 4", ("c",))]),
        ("csv", 'label,text\n1,"a,\nb"\n0,c\n', [("line 2", ("a,\nb",)), ("line 4", ("c",))]),
        ("csv", "only\na\n\n", [("line 2", ("a",)), ("line 3", ("",))]),
        ("jsonl", '{"text": "a", "n": 1}\n\n{"text": 7}\n', [("line 1", ("a",)), ("line 3", ("7",))]),
        ("csv", "sentence1,sentence2,label\na,b,1\n", [("line 2", ("a", "b"))]),
    ],
)
@pytest.mark.parametrize("zipped", [False, True])
def test_formats(kind, text, expected, zipped, tmp_path):
    path, content = tmp_path / "rows", text.encode()
    path.write_bytes(gzip.compress(content) if zipped else content)
    assert read(path, kind) == [Read(place, texts) for place, texts in expected]


def test_parquet(tmp_path):
    table = pd.DataFrame({"a": ["x", None, "z"], "b": [1, 2, 3]})
    table.to_parquet(tmp_path / "rows.parquet")
    found = read(tmp_path / "rows.parquet", "parquet", ["a"])
    assert [one.texts for one in found] == [("x",), (), ("z",)] and "has no 'a'" in found[1].wrong
    (tmp_path / "rows.gz").write_bytes(gzip.compress((tmp_path / "rows.parquet").read_bytes()))
    assert read(tmp_path / "rows.gz", "parquet", ["b"])[0].texts == ("1",)


@pytest.mark.parametrize(
    ("kind", "content", "place", "why"),
    [
        ("tsv", b"text\tlabel\na\t1\nb\n", "line 3", "has 1 fields, the header has 2"),
        ("jsonl", b'{"text": "a"}\n{"text": \n{"text": "c"}\n', "line 2", "is no JSON object"),
        ("jsonl", b'{"text": "a"}\n[1]\n', "line 2", "it is list"),
        ("jsonl", b'{"text": "a"}\n{"other": 1}\n', "line 2", "has no 'text'"),
        ("jsonl", b'{"text": "a"}\n{"text": ["b"]}\n', "line 2", "must be a text"),
        ("lines", b"a\n\xff\xfe\n", "line 2", "is not valid UTF-8"),
        ("csv", b"text\na\n\xff\nb\n", "line 3", "is not valid UTF-8"),
    ],
)
def test_a_bad_row_is_named_and_the_others_are_read(kind, content, place, why, tmp_path):
    (tmp_path / "rows").write_bytes(content)
    found = read(tmp_path / "rows", kind)
    (bad,) = [one for one in found if one.wrong]
    assert bad.place == place and why in bad.wrong and found[0].texts == ("a",)


@pytest.mark.parametrize(
    ("kind", "content", "columns", "why"),
    [
        ("tsv", b"a\tb\n1\t2\n", None, "its columns are a, b; say which have the texts: text_columns"),
        ("tsv", b"a\tb\n1\t2\n", ["c"], "has no column 'c'; its columns: a, b"),
        ("parquet", b"nothing", None, "is no Parquet file"),
        ("lines", b"\x1f\x8b\x08\x00nothing", None, "cannot be read"),
    ],
)
def test_what_no_row_can_be_read_of(kind, content, columns, why, tmp_path):
    (tmp_path / "rows").write_bytes(content)
    with pytest.raises(PowerbertError, match=why):
        read(tmp_path / "rows", kind, columns)


def test_parquet_to_standard_output_leaves_it_open(capfdbinary):
    with writing_rows("-", "parquet") as write:
        write(ROWS)
    print("and more")
    written = capfdbinary.readouterr().out
    assert written.endswith(b"and more\n")
    assert pd.read_parquet(io.BytesIO(written.removesuffix(b"and more\n"))).to_dict("records") == ROWS


@pytest.mark.parametrize("kind", ["tsv", "csv", "jsonl", "parquet"])
def test_answers_are_written_and_read_back(kind, tmp_path):
    path = tmp_path / f"answers.{kind}"
    with writing_rows(str(path), kind) as write:
        write(ROWS[:1])
        write([])
        write(ROWS[1:])
        assert not path.exists()
    if kind == "jsonl":
        assert [json.loads(line) for line in path.read_text().splitlines()] == ROWS
    elif kind == "parquet":
        assert pd.read_parquet(path).to_dict("records") == ROWS
    else:
        table = pd.read_csv(path, sep="\t" if kind == "tsv" else ",")
        assert list(table) == ["label", "probability_no", "probability_yes"] and list(table["label"]) == ["yes", "no"]


def test_what_stops_leaves_the_rows_that_were_written(tmp_path):
    with pytest.raises(ValueError, match="stop"), writing_rows(str(tmp_path / "a.jsonl"), "jsonl") as write:
        write(ROWS[:1])
        raise ValueError("stop")
    assert len((tmp_path / "a.jsonl.part").read_text().splitlines()) == 1 and not (tmp_path / "a.jsonl").exists()
