"""Questions as rows: each form of answers, SQuAD's own files, what is refused."""

import json

import pytest
from custom import task
from questions import CONTEXT, NONE, answer, row

from powerbert_cli.kinds import KINDS
from powerbert_cli.settings import SettingsError
from powerbert_cli.tasks.rows import DataError
from powerbert_cli.tasks.sources import load_task

SQUAD = {
    "kind": "question_answering",
    "text_columns": ["question", "context"],
    "label_column": "answers",
    "label_names": None,
    "metric": "answer_f1",
}


def read(folder, *rows, **changes):
    for name in ("train", "dev"):
        (folder / f"{name}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    return load_task(task(folder, **{**SQUAD, **changes})).train.rows


@pytest.mark.parametrize(
    "answers",
    [
        {"text": ["York", "in York"], "answer_start": [14, 11]},
        {"text": ["York", "in York"], "answer_start": [14.0, 11]},
        [{"text": "York", "answer_start": 14}, {"text": "in York", "answer_start": 11}],
        json.dumps({"text": ["York", "in York"], "answer_start": [14, 11]}),  # as a csv has it
    ],
)
def test_each_form_of_answers_is_read_alike(tmp_path, answers):
    found = read(tmp_path, row(answers), row([]), row(NONE))
    assert found[0]["label"] == {"text": ["York", "in York"], "answer_start": [14, 11]}
    assert found["label"][1:] == [NONE, NONE]
    assert found[0]["question"] == "where does Anna live" and found[0]["context"] == CONTEXT


@pytest.mark.parametrize(
    "bad, message",
    [
        (row({"text": ["York"], "answer_start": [13]}), r"has the answer 'York' at 13 .*has ' Yor'; .*stands at 14"),
        (row({"text": ["Paris"], "answer_start": [0]}), "has 'Anna '; .*the context does not have it"),
        (row({"text": ["York"], "answer_start": [900]}), "where the context has ''"),
        (row({"text": ["York"], "answer_start": [-29]}), "answer_start -29 .*must be a whole number from 0"),
        (row({"text": ["York", "in"], "answer_start": [14]}), "has 2 texts and 1 of answer_start"),
        (row({"text": ["York"]}), "has {'text': .* as 'answers'; it must be"),
        (row({"text": [" "], "answer_start": [4]}), "has an empty text in 'answers'; of a question without"),
        (row({"text": [None], "answer_start": [4]}), "has no 'answers.text'"),
        (row("York"), "has 'York' as 'answers'; it must be .* as JSON"),
        (row(None), "has no 'answers'; of a question without an answer it has empty lists"),
        ({"question": "who", "context": CONTEXT}, "has no 'answers'"),
        ({"context": CONTEXT, "answers": NONE}, "has no 'question'"),
        (row(NONE, question=" "), "has an empty 'question'"),
        (row(NONE, context=""), "has an empty 'context'"),
    ],
)
def test_a_bad_row_is_named_with_the_rule(tmp_path, bad, message):
    with pytest.raises(DataError, match=rf"train.jsonl: row 2 \(line 2\) .*{message}"):
        read(tmp_path, row(answer("York")), bad)


def squad(questions, context=CONTEXT):
    paragraphs = [{"context": "Rain.", "qas": []}, {"context": context, "qas": questions}]
    return {"version": "2.0", "data": [{"title": "a", "paragraphs": []}, {"title": "Towns", "paragraphs": paragraphs}]}


def question(number, answers, **more):
    return {"id": f"q{number}", "question": f"who {number}", "answers": answers, **more}


def test_squads_own_files_are_read(tmp_path):
    given = squad(
        [
            question(
                1, [{"text": "Bob", "answer_start": 24}, {"text": "Anna", "answer_start": 0}], is_impossible=False
            ),
            question(2, [], is_impossible=True, plausible_answers=[{"text": "Anna", "answer_start": 0}]),
        ]
    )
    (tmp_path / "train.json").write_text(json.dumps(given))
    (tmp_path / "dev.json").write_text(json.dumps(given, indent=1))
    found = load_task(task(tmp_path, **SQUAD))
    assert found.train.content == found.dev.content
    assert found.train.rows["label"][:] == [{"text": ["Bob", "Anna"], "answer_start": [24, 0]}, NONE]
    assert KINDS["question_answering"](None, "answer_f1").counts(found.train.labels) == {
        "answerable": 1,
        "unanswerable": 1,
    }


@pytest.mark.parametrize(
    "questions, message",
    [
        (
            [question(1, []), question(2, [{"text": "York", "answer_start": 0}])],
            "question 2 has the answer 'York' at 0",
        ),
        (
            [question(1, [{"text": "Bob", "answer_start": 24}], is_impossible=True)],
            "question 1 is marked is_impossible",
        ),
        ([{"id": "q", "question": "who"}, question(2, [])], "question 1 has no 'answers'"),
        (["who"], "question 1 is no JSON object: it is str"),
        (None, "has no list 'qas'"),
    ],
)
def test_a_bad_question_of_squads_files_is_named_by_its_place(tmp_path, questions, message):
    given = squad(questions)
    for name in ("train", "dev"):
        (tmp_path / f"{name}.json").write_text(json.dumps(given))
    with pytest.raises(DataError, match=f"train.json: article 2, paragraph 2,? ?{message}"):
        load_task(task(tmp_path, **SQUAD))


def test_what_could_only_be_wrong_is_refused(tmp_path):
    for changes, message in (
        ({"label_names": ["a", "b"]}, "has no classes; set task.label_names=null"),
        ({"text_columns": ["context"]}, "must name two columns"),
        ({"metric": "f1"}, "take one of answer_f1, exact_match"),
        ({"max_answer": 0}, "task.max_answer=0"),
    ):
        with pytest.raises(SettingsError, match=message):
            task(tmp_path, **{**SQUAD, **changes})
    with pytest.raises(SettingsError, match="task.no_answer=1 is for task.kind=question_answering alone"):
        task(tmp_path, no_answer=1.0)
    with pytest.raises(DataError, match="none of 1 questions has an answer, and task.no_answer=null always gives one"):
        read(tmp_path, row(NONE))
    assert len(read(tmp_path, row(NONE), no_answer=0.0)) == 1
