"""The one reader of people's files, which training and `predict` share."""

import bz2
import gzip
import json
import lzma
import os
import sys
from types import SimpleNamespace

import pandas as pd
import pytest

from powerbert_cli.errors import PowerbertError
from powerbert_cli.kinds.values import RowError, text_of
from powerbert_cli.tasks.columns import chosen, guessed
from powerbert_cli.tasks.reading import opened
from powerbert_cli.tasks.rows import Read

PACKS = {"": lambda content: content, "gz": gzip.compress, "bz2": bz2.compress, "xz": lzma.compress}


def read(path, kind, columns=()):
    with opened(path, kind) as table:
        return list(table.reads(list(columns)))


@pytest.mark.parametrize(
    ("kind", "text", "expected"),
    [
        ("lines", "\ufeffa b\r\n\n", [("line 1", {"text": "a b"}), ("line 2", {"text": ""})]),
        ("lines", "one\rhalf\ntwo\r\n", [("line 1", {"text": "one\rhalf"}), ("line 2", {"text": "two"})]),
        (
            "tsv", 'a\tlabel\nx "b\t1\n\nc\t0\n',
            [("row 1 (line 2)", {"a": 'x "b', "label": "1"}), ("row 2 (line 4)", {"a": "c", "label": "0"})],
        ),
        (
            "csv", 'label,a\n1,"a,\nb"\n0,c\n',
            [("row 1 (line 2)", {"label": "1", "a": "a,\nb"}), ("row 2 (line 4)", {"label": "0", "a": "c"})],
        ),
        ("csv", "only\na\n\n", [("row 1 (line 2)", {"only": "a"}), ("row 2 (line 3)", {"only": ""})]),
        ("csv", ',a\n0,"x\ry"\n', [("row 1 (line 2)", {"a": "x\ry"})]),
        ("jsonl", '{"a": "x"}\n\n{"a": 7}\n', [("row 1 (line 1)", {"a": "x"}), ("row 2 (line 3)", {"a": 7})]),
        ("json", '[{"a": "x"},\n {"a": 7}]', [("row 1", {"a": "x"}), ("row 2", {"a": 7})]),
        ("jsonl", '{"a": "x"}', [("row 1 (line 1)", {"a": "x"})]),
        ("jsonl", "\n\n", []),
        ("lines", "", []),
    ],
)  # fmt: skip
@pytest.mark.parametrize("packed", PACKS)
def test_formats(kind, text, expected, packed, tmp_path):
    (tmp_path / "rows").write_bytes(PACKS[packed](text.encode()))
    assert read(tmp_path / "rows", kind) == [Read(place, row) for place, row in expected]


@pytest.mark.parametrize("kind", ["lines", "csv", "jsonl", "parquet"])
def test_a_stream_is_read_as_a_file_is(kind, tmp_path, monkeypatch):
    table = pd.DataFrame({"text": ["a b", "c"], "id": ["7", "8"]})
    content = {
        "lines": b"a b\nc\n",
        "csv": table.to_csv(index=False).encode(),
        "jsonl": table.to_json(orient="records", lines=True).encode(),
        "parquet": table.to_parquet(),
    }[kind]
    (tmp_path / "rows").write_bytes(content)
    with (tmp_path / "rows").open("rb") as stream:
        monkeypatch.setattr(sys, "stdin", SimpleNamespace(fileno=stream.fileno))
        found = read("-", kind, ["text", "id"])
    assert found == read(tmp_path / "rows", kind, ["text", "id"]) and [one.row["text"] for one in found] == ["a b", "c"]


@pytest.mark.parametrize(
    ("kind", "content", "place", "why"),
    [
        ("tsv", b"text\tlabel\na\t1\nb\n", "row 2 (line 3)", "has 1 fields, the header has 2"),
        ("csv", b'text,label\na,1\n"b,1\nc,0\n', "row 2 (lines 3 to 4)", "is a quote not closed"),
        ("csv", b'text,label\na,1\n"b "x" c",1\nd,0\n', "row 2 (line 3)", "is a quote not closed, or not doubled"),
        ("csv", b'text,label\na,1\n"b \\"x\\" c",1\n', "row 2 (line 3)", "or not doubled"),
        ("csv", b"text,label\na,1\ntext,label\nb,0\n", "row 2 (line 3)", "is the header once more; take it out"),
        ("csv", b"text,label\na,1\nb\rc,0\n", "row 2 (line 3)", "has a carriage return in a field without quotes"),
        ("tsv", b"text\tlabel\na\t1\nb\rc\t0\n", "row 2 (line 3)", "has a carriage return in a field without quotes"),
        ("jsonl", b'{"text": "a"}\n{"text": \n{"text": "c"}\n', "row 2 (line 2)", "is no JSON object"),
        ("jsonl", b'{"text": "a"}\n[1]\n', "row 2 (line 2)", "it is list"),
        ("jsonl", b'{"text": "a"}\n{"text": "b", "text": "c"}\n', "row 2 (line 2)", "its key 'text' stands there 2"),
        ("lines", b"a\n\xff\xfe\n", "line 2", "is not valid UTF-8"),
        ("csv", b"text\na\n\xff\nb\n", "row 2 (line 3)", "is not valid UTF-8"),
        ("csv", b"id,text\n1,a\n\xff,b\n", "row 2 (line 3)", "is not valid UTF-8"),
        ("csv", b"text\na\nb\0\nc\n", "row 2 (line 3)", "has a NUL byte"),
    ],
)
def test_a_bad_row_is_named_and_the_others_are_read(kind, content, place, why, tmp_path):
    (tmp_path / "rows").write_bytes(content)
    found = read(tmp_path / "rows", kind)
    (bad,) = [one for one in found if one.wrong]
    assert bad.place == place and why in bad.wrong and found[0].row["text"] == "a"


@pytest.mark.parametrize(
    ("kind", "content", "columns", "why"),
    [
        ("parquet", b"nothing", [], "is no Parquet file"),
        ("lines", b"\x1f\x8b\x08\x00nothing", [], "cannot be read"),
        ("csv", b"id;text;note\n1;a;b\n", [], "fields are separated by commas, not ';' .the columns then are id, text"),
        ("csv", b"id\ttext\n1\ta\n", [], "fields are separated by commas, not tabs"),
        ("csv", b"sep=;\nid;text\n1;a\n", [], "its first line is 'sep=;'"),
        ("csv", b"id|text\n1|a\n", [], "not '|'"),
        ("tsv", b"id,text\n1,a\n", [], "fields are separated by tabs, not ','"),
        ("csv", b"text,text\na,b\n", ["text"], "2 columns are called 'text'"),
        ("csv", b"", [], "is empty; it needs a header line"),
        ("csv", b"PK\x03\x04rest", [], "is a ZIP archive or an Excel workbook"),
        ("csv", b"\x28\xb5\x2f\xfdrest", [], "is packed with zstd"),
        ("lines", "a\nb\n".encode("utf-16"), [], "is UTF-16; save the file as UTF-8"),
        ("csv", b"\ntext,label\na,1\n", [], "its first line is blank"),
        ("csv", b"text\rlabel\ra\r1\r", [], "has a carriage return in a field without quotes"),
        ("json", b'{"text": {"0": "a"}, "label": {"0": 1}}', [], "one object with a column in each key"),
    ],
)
def test_what_no_row_can_be_read_of(kind, content, columns, why, tmp_path):
    (tmp_path / "rows").write_bytes(content)
    with pytest.raises(PowerbertError) as caught:
        read(tmp_path / "rows", kind, columns)
    assert why.replace("not ';' .the", "not ';' (the") in str(caught.value) and "\n" not in str(caught.value)


def test_columns_twice_in_parquet(tmp_path):
    import pyarrow
    import pyarrow.parquet

    table = pyarrow.Table.from_arrays([pyarrow.array(["a"]), pyarrow.array(["b"])], names=["text", "text"])
    pyarrow.parquet.write_table(table, tmp_path / "rows")
    with pytest.raises(PowerbertError, match="2 columns are called 'text'"):
        read(tmp_path / "rows", "parquet", ["text"])


@pytest.mark.parametrize(
    ("value", "why"),
    [
        (None, "has no 'text'"),
        (float("nan"), "has no 'text'"),
        (["a"], "of type list; it must be a text"),
        ("half \ud83d", "half of a character"),
        (b"a", "of type bytes"),
    ],
)
def test_what_is_no_text(value, why):
    with pytest.raises(RowError, match=why):
        text_of(value, "text")
    assert [text_of(one, "text") for one in ("whole \U0001f600", 7, True)] == ["whole \U0001f600", "7", "True"]


@pytest.mark.parametrize(
    ("columns", "expected"),
    [
        (["id", "text", "note"], ["text"]),
        (["sentence1", "sentence2", "label"], ["sentence1", "sentence2"]),
        (["text", "text_pair"], ["text", "text_pair"]),
        (["review", "label"], ["review"]),
        (["stars", "body"], None),
        (["text", "sentence"], None),
        (["I liked this film"], None),
        ([], None),
    ],
)
def test_columns_that_nobody_named(columns, expected):
    if expected is not None:
        assert guessed("file", columns, "text_columns") == expected
        return
    with pytest.raises(PowerbertError, match=r"set text_columns=\[NAME\]"):
        guessed("file", columns, "text_columns")


def test_json_of_a_stream_that_is_a_list(tmp_path):
    rows = [{"text": "a"}, {"text": "b"}]
    (tmp_path / "rows").write_text(json.dumps(rows, indent=1))
    assert [one.row for one in read(tmp_path / "rows", "jsonl")] == rows


def test_a_column_in_another_form_of_unicode_is_named():
    with pytest.raises(PowerbertError, match="looks the same, in another form of Unicode; copy the name"):
        chosen("file", ["cafe\u0301", "label"], ["caf\u00e9"], "text_columns", uniform=False)


@pytest.mark.parametrize(("column", "expected"), [("text_language_code", ["sentence"]), ("texts", None)])
def test_uniform_names_are_taken_unless_a_column_looks_like_what_was_meant(column, expected):
    """That a column begins alike is no reason to think that it was."""
    columns = ["sentence", "label", column]
    if expected is not None:
        assert chosen("file", columns, ["text"], "text_columns", uniform=True) == expected
        return
    with pytest.raises(PowerbertError, match=f"did you mean '{column}'"):
        chosen("file", columns, ["text"], "text_columns", uniform=True)


def test_the_only_object_of_jsonl_is_a_row(tmp_path):
    """Also where it holds a list of objects, which in a JSON file would be the rows."""
    row = {"text": "Great", "entities": [{"text": "Bob"}, {"text": "Al"}]}
    (tmp_path / "rows").write_text(json.dumps(row))
    assert [one.row for one in read(tmp_path / "rows", "jsonl")] == [row]
    assert [one.row for one in read(tmp_path / "rows", "json")] == row["entities"]


def test_the_first_row_of_a_stream_does_not_wait_for_the_second(monkeypatch):
    source, sink = os.pipe()
    monkeypatch.setattr(sys, "stdin", SimpleNamespace(fileno=lambda: source))
    try:
        os.write(sink, b'{"text": "a"}\n')
        with opened("-", "jsonl") as table:
            assert next(table.reads([])).row == {"text": "a"}  # the pipe is still open
    finally:
        os.close(sink)
        os.close(source)


@pytest.mark.parametrize("packed", ["bz2", "xz"])
def test_streams_one_after_the_other_are_read_to_their_end(packed, tmp_path):
    pack = PACKS[packed]
    (tmp_path / "rows").write_bytes(pack(b"a\n") + pack(b"b\n" * 99_999))
    assert len(read(tmp_path / "rows", "lines")) == 100_000
    for rest in (b"b\nc\n", pack(b"b\n" * 99)[:-9], b"\1" + pack(b"b\n")):
        (tmp_path / "rows").write_bytes(pack(b"a\n") + rest)
        with pytest.raises(PowerbertError, match="cannot be read"):
            read(tmp_path / "rows", "lines")


def test_an_error_of_whoever_writes_is_not_one_of_reading(tmp_path):
    (tmp_path / "rows").write_text("a\n")
    with pytest.raises(OSError, match="No space left"), opened(tmp_path / "rows", "lines"):
        raise OSError(28, "No space left on device")


def test_the_label_is_no_text():
    assert guessed("file", ["review", "text"], "text_columns", label="text") == ["review"]
