"""Answers written as they come, beside columns of the input."""

import io
import json

import pandas as pd
import pyarrow.parquet
import pytest

from powerbert_cli.errors import PowerbertError
from powerbert_cli.kinds import KINDS
from powerbert_cli.tasks.answer_rows import answer_fields, writing_rows

ROWS = [
    {"label": "yes", "probability": {"no": 0.25, "yes": 0.75}},
    {"label": "no", "probability": {"no": 1.0, "yes": 0.0}},
]
FIELDS = answer_fields(KINDS["classification"](["no", "yes"], ""), words=False)


def test_parquet_to_standard_output_leaves_it_open(capfdbinary):
    with writing_rows("-", "parquet", FIELDS) as write:
        write(ROWS)
    print("and more")
    written = capfdbinary.readouterr().out
    assert written.endswith(b"and more\n")
    assert pd.read_parquet(io.BytesIO(written.removesuffix(b"and more\n"))).to_dict("records") == ROWS


@pytest.mark.parametrize("kind", ["tsv", "csv", "jsonl", "parquet", "csv.gz", "jsonl.xz", "tsv.bz2"])
def test_answers_are_written_and_read_back(kind, tmp_path):
    path, base = tmp_path / f"answers.{kind}", kind.partition(".")[0]
    with writing_rows(str(path), base, FIELDS) as write:
        write(ROWS[:1])
        write([])
        write(ROWS[1:])
        assert not path.exists()
    if base == "jsonl":
        table = pd.read_json(path, lines=True)
        assert table.to_dict("records") == ROWS
    elif base == "parquet":
        assert pd.read_parquet(path).to_dict("records") == ROWS
    else:
        table = pd.read_csv(path, sep="\t" if base == "tsv" else ",")
        assert list(table) == ["label", "probability_no", "probability_yes"] and list(table["label"]) == ["yes", "no"]


@pytest.mark.parametrize("kind", ["tsv", "csv", "jsonl", "parquet"])
def test_no_rows_are_a_file_all_the_same(kind, tmp_path):
    path = tmp_path / f"answers.{kind}"
    with writing_rows(str(path), kind, {"id": None, **FIELDS}):
        pass
    if kind == "jsonl":
        assert path.read_text() == ""
    elif kind == "parquet":
        table = pyarrow.parquet.read_table(path)
        assert table.num_rows == 0 and table.schema.field("probability").type.num_fields == 2
    else:
        assert path.read_text().split() and len(path.read_text().splitlines()) == 1


def test_the_labels_of_parquet_are_lists_whatever_the_first_rows_have(tmp_path):
    fields = answer_fields(KINDS["multi_label"](["a", "b"], ""), words=False)
    probability = {"a": 0.1, "b": 0.2}
    with writing_rows(str(tmp_path / "a.parquet"), "parquet", fields) as write:
        write([{"label": [], "probability": probability}] * 2)
        write([{"label": ["a"], "probability": probability}])
    table = pyarrow.parquet.read_table(tmp_path / "a.parquet")
    assert table["label"].to_pylist() == [[], [], ["a"]] and str(table.schema.field("label").type).startswith("list")


@pytest.mark.parametrize("kind", ["csv", "parquet", "jsonl"])
def test_columns_of_the_input_stand_before_the_answers(kind, tmp_path):
    path = tmp_path / f"a.{kind}"
    rows = [{"id": "007", "tags": ["x"], **ROWS[0]}, {"id": "8", "tags": None, **ROWS[1]}]
    with writing_rows(str(path), kind, {"id": None, "tags": None, **FIELDS}) as write:
        write(rows)
    if kind == "csv":
        table = pd.read_csv(path, dtype=str, keep_default_na=False)
        assert list(table)[:3] == ["id", "tags", "label"] and list(table["id"]) == ["007", "8"]
        assert list(table["tags"]) == ['["x"]', ""]
    elif kind == "jsonl":
        assert [json.loads(line) for line in path.read_text().splitlines()] == rows
    else:
        assert pyarrow.parquet.read_table(path).to_pylist() == rows


def test_values_of_several_types_are_named(tmp_path):
    with (
        pytest.raises(PowerbertError, match=r"column 'n' of the input has values of several types.*predict.keep"),
        writing_rows(str(tmp_path / "a.parquet"), "parquet", {"n": None, **FIELDS}) as write,
    ):
        write([{"n": 1, **ROWS[0]}])
        write([{"n": "one", **ROWS[0]}])
    assert pyarrow.parquet.read_table(tmp_path / "a.parquet.part").num_rows == 1


def test_what_stops_leaves_the_rows_that_were_written(tmp_path):
    with pytest.raises(ValueError, match="stop"), writing_rows(str(tmp_path / "a.jsonl"), "jsonl", FIELDS) as write:
        write(ROWS[:1])
        raise ValueError("stop")
    assert len((tmp_path / "a.jsonl.part").read_text().splitlines()) == 1 and not (tmp_path / "a.jsonl").exists()
