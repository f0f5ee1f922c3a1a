"""Words and their tags, as they are read."""

import json

import datasets
import pytest
from custom import task

from powerbert_cli.tasks.reading import opened
from powerbert_cli.tasks.rows import DataError
from powerbert_cli.tasks.sources import load_task

NAMES = ["O", "B-LOC", "I-LOC", "B-PER", "I-PER"]


@pytest.mark.parametrize(
    ("row", "why"),
    [
        (
            {"tokens": ["a", "b"], "tags": ["O"]},
            r"row 2 \(line 2\) has 2 words and 1 tags \(tags\); give each word one",
        ),
        ({"tokens": [], "tags": []}, r"row 2 .*has no words in 'tokens'"),
        ({"tokens": ["a", " "], "tags": ["O", "O"]}, "has an empty word in 'tokens', number 2"),
        ({"tokens": ["a", None], "tags": ["O", "O"]}, r"row 2 .*has no 'tokens\[1\]'"),
        ({"tokens": {"a": 1}, "tags": ["O"]}, "must be a list of words"),
        ({"tokens": ["a"], "tags": 3}, "has 3 as 'tags'; it must be a list of tags"),
        ({"tokens": ["a"], "tags": ["B-ORG"]}, "has label 'B-ORG'; it must be 0 to 4 or one of O, B-LOC"),
        ({"tokens": ["a", "b"], "tags": ["O", "I-PER"]}, "tags of IOB1 .*IOB2"),
        ({"tags": ["O"]}, "row 2"),
    ],
)
def test_bad_rows_are_named(row, why, tmp_path):
    good = {"tokens": ["anna", "lives"], "tags": ["B-PER", "O"]}
    for name, given in (("train", [good, row]), ("dev", [good])):
        (tmp_path / f"{name}.jsonl").write_text("".join(json.dumps(one) + "\n" for one in given))
    with pytest.raises(DataError, match=why):
        load_task(tagging(tmp_path))


def tagging(folder, **changes):
    own = {"kind": "token_classification", "text_columns": ["tokens"], "label_column": "tags", "label_names": NAMES}
    return task(folder, **{**own, "metric": "auto", **changes})


def test_words_and_tags_are_lists_or_texts_numbers_or_names(tmp_path):
    features = datasets.Features(
        {"tokens": datasets.List(datasets.Value("string")), "tags": datasets.List(datasets.ClassLabel(names=NAMES))}
    )
    both = {"tokens": [["anna", "lives"], ["york"]], "tags": [[3, 0], [1]]}
    datasets.Dataset.from_dict(both, features=features).to_parquet(tmp_path / "train.parquet")
    (tmp_path / "dev.tsv").write_text("tokens\ttags\nanna lives\tB-PER O\nyork\tB-LOC\n")
    (tmp_path / "test.conll").write_text(
        "-DOCSTART- -X- O O\n\nanna NNP I-NP B-PER\nlives VBZ I-VP O\n\n# id = 2\nyork NNP I-NP B-LOC\n"
    )
    data = load_task(tagging(tmp_path), predict_test=True)
    assert data.test is not None and data.tests
    assert data.train.content == data.dev.content == data.test.content
    assert data.dev.labels.tolist() == [[3, 0], [1]]


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("anna B-PER\nlives\n", r"row 1 \(lines 1 to 2\) has 1 fields in line 2, the first word has 2"),
        ("anna B-PER\n\nlives in O\nbob O\n", r"row 2 \(lines 3 to 4\) has 3 fields in line 3"),
        ("anna\n", "line 1 has one field"),
        ("\n\n", "is empty"),
    ],
)
def test_a_conll_file_that_breaks_a_rule(text, why, tmp_path):
    path = tmp_path / "a.conll"
    path.write_text(text)
    with pytest.raises(DataError, match=why), opened(path, "conll") as table:
        raise DataError("; ".join(f"{read.place} {read.wrong}" for read in table.reads(table.columns) if read.wrong))
