"""Answers to questions: rows, windows, spans, metrics and models."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from datasets import Dataset
from hosts import described, make_host
from questions import CONTEXT, NONE, answer, row
from transformers import AutoModelForQuestionAnswering

from powerbert_cli.cli import dispatch
from powerbert_cli.encoder.shortened import ShortenedModel
from powerbert_cli.errors import PowerbertError
from powerbert_cli.kinds import KINDS
from powerbert_cli.kinds.spans import best_spans
from powerbert_cli.tasks.batches import make_batches
from powerbert_cli.tasks.metrics import METRICS, all_scores, interval
from powerbert_cli.tasks.predictions import prediction_table, read_predictions
from powerbert_cli.tasks.tokenizing import build_tokenizer, tokenize

WORDS = "where does who live work sun rain wind snow fog"


def kind(**options):
    return KINDS["question_answering"](None, "answer_f1", **options)


def objects(*values):
    found = np.empty(len(values), dtype=object)
    for i, value in enumerate(values):
        found[i] = value
    return found


# windows


@pytest.fixture
def tokenizer():
    return build_tokenizer([CONTEXT, WORDS], 200)


def encoded(tokenizer, rows, seq_len, **options):
    columns = {name: [one[name] for one in rows] for name in ("question", "context")}
    if "answers" in rows[0]:
        columns["label"] = [one["answers"] for one in rows]
    return tokenize(Dataset.from_dict(columns), kind(**options), tokenizer, seq_len)


def words(tokenizer, ids):
    return tokenizer.convert_ids_to_tokens(ids)


def test_windows_have_the_question_and_overlap(tokenizer):
    """11 word-pieces of context in windows of 14 - 3 - 2 = 9, or of 5 with a stride of 2."""
    rows = [row(answer("Leeds"), "who work"), row(answer("York"), "who")]
    whole = encoded(tokenizer, rows, None)
    context = words(tokenizer, whole[0]["input_ids"])[4:-1]
    assert len(whole) == 2 and len(context) == 11 and whole["at"][:] == [4, 3]
    found = encoded(tokenizer, rows[:1], 10, stride=2)
    assert found["row"][:] == [0, 0, 0] and found["length"][:] == [10, 10, 10]
    parts = [words(tokenizer, ids)[4:-1] for ids in found["input_ids"]]
    assert parts == [context[0:5], context[3:8], context[6:11]]
    assert all(words(tokenizer, ids)[:4] == ["[CLS]", "who", "work", "[SEP]"] for ids in found["input_ids"])
    assert found["labels"][:] == [[0, 0], [0, 0], [7, 7]]  # 4 + 3: leeds stands before the full stop
    assert found["text"][:] == ["Anna lives in York,", "York, and Bob works", "Bob works in Leeds."]
    assert found["golds"][:] == [["Leeds"]] * 3


def test_an_answer_across_the_end_of_a_window_is_in_the_other(tokenizer):
    found = encoded(tokenizer, [row(answer("York, and"), "who work")], 10, stride=2)
    assert found["labels"][:] == [[0, 0], [4, 6], [0, 0]]
    assert encoded(tokenizer, [row(NONE, "who work")], 10, stride=2)["labels"][:] == [[0, 0]] * 3


def test_a_long_question_is_cut_to_half_of_the_room(tokenizer):
    long = row(answer("Bob"), " ".join(["sun rain wind snow fog"] * 9))
    found = encoded(tokenizer, [long, row(answer("Bob"), "who")], 13)
    first = words(tokenizer, found[0]["input_ids"])
    assert first[:7] == ["[CLS]", "sun", "rain", "wind", "snow", "fog", "[SEP]"]
    assert max(found["length"]) <= 13 and set(found["row"][:]) == {0, 1}
    alone = encoded(tokenizer, [row(answer("Bob"), "who")], 13)
    assert found.filter(lambda one: one["row"] == 1)["input_ids"][:] == alone["input_ids"][:]  # whatever is beside it
    for seq_len in (5, 6, 7):
        assert max(encoded(tokenizer, [long], seq_len, stride=99)["length"]) <= seq_len
    with pytest.raises(PowerbertError, match="seq_len=4 has no room for a question and its context; set seq_len=5"):
        encoded(tokenizer, [long], 4)


def test_batches_have_pairs_of_places(tokenizer):
    rows = encoded(tokenizer, [row(answer("York")), row(answer("Leeds"), "who")], 20)
    inputs = [{name: one[name] for name in ("input_ids", "attention_mask", "labels")} for one in rows]
    assert kind().collator(tokenizer, padding="longest")(inputs)["labels"].tolist() == [[9, 9], [12, 12]]


# spans


def test_the_best_spans_by_hand():
    """Places 2 to 4 are the context; the best sums of all have no such end, or are too long."""
    start, end = [9, 0, 3, 5, 1, 8], [9, 0, 1, 2, 6, 8]
    logits = np.stack([start, end], axis=-1)[None].astype(float)
    found = best_spans(logits, np.array([2]), np.array([3]), most=2, n=4)
    spans = list(zip(*(part[0].tolist() for part in found), strict=True))
    assert spans == [(11.0, 3, 4), (7.0, 3, 3), (7.0, 4, 4), (5.0, 2, 3)]
    assert best_spans(logits, np.array([2]), np.array([3]), most=1).scores.tolist() == [[7.0]]
    none = best_spans(logits, np.array([0]), np.array([0]), most=2, n=2)
    assert np.isneginf(none.scores).all()


def test_spans_are_those_of_a_search_through_all():
    rng = np.random.default_rng(0)
    logits, at, sizes = rng.normal(size=(9, 14, 2)), rng.integers(1, 5, 9), rng.integers(1, 9, 9)
    found = best_spans(logits, at, sizes, most=4, n=6)
    for window in range(9):
        places = range(at[window], at[window] + sizes[window])
        every = sorted(
            (logits[window, i, 0] + logits[window, j, 1] for i in places for j in places if 0 <= j - i < 4),
            reverse=True,
        )[:6]
        scores = found.scores[window]
        assert np.allclose(scores[: len(every)], every) and np.isneginf(scores[len(every) :]).all()


def logits_for(tokens, *peaks):
    """Logits that are 0 but for (window, start, end, height of both)."""
    logits = np.zeros((len(tokens), max(tokens["length"]), 2))
    for window, start, end, height in peaks:
        logits[window, start, 0] += height
        logits[window, end, 1] += height
    return logits


def test_the_answer_is_the_best_of_all_windows(tokenizer):
    tokens = encoded(tokenizer, [row(answer("Leeds"), "who work"), row(NONE, "who")], 10, stride=2)
    assert tokens["row"][:] == [0, 0, 0, 1, 1, 1]
    peaks = [(0, 4, 4, 2.0), (2, 6, 7, 3.0), (3, 0, 0, 5.0), (4, 0, 0, 4.0), (5, 0, 0, 6.0), (4, 3, 3, 1.5)]
    logits = logits_for(tokens, *peaks)
    assert kind().predictions(logits, tokens)[0] == "in Leeds"
    assert kind(max_answer=1).predictions(logits, tokens)[0] == "Anna"
    assert kind().predictions(logits, tokens)[1] != ""
    # the score of none is 8, the least of its windows, and that of the best answer 3
    for threshold, empty in ((0.0, True), (4.9, True), (5.1, False)):
        assert (kind(no_answer=threshold).predictions(logits, tokens)[1] == "") == empty
    assert list(kind().labels(tokens)) == [("Leeds",), ()]


def test_what_predict_writes_of_a_row(tokenizer):
    rows = [row(answer("Leeds"), "who work"), row(NONE, "who")]
    tokens = encoded(tokenizer, rows, 10, stride=2)
    logits = logits_for(tokens, (2, 6, 7, 3.0), (1, 8, 8, 1.0), (3, 0, 0, 9.0), (4, 0, 0, 9.0), (5, 0, 0, 9.0))
    inputs = [{name: one[name] for name in ("question", "context")} for one in rows]
    found = kind(no_answer=0.0).answers(
        [one[: len(one) - (i % 2)] for i, one in enumerate(logits)], list(tokens), inputs
    )
    first, second = found
    assert (first["answer"], CONTEXT[first["start"] : first["end"]]) == ("in Leeds", "in Leeds")
    assert 0.5 < first["score"] < 1 and [one["score"] for one in first["n_best"]] == sorted(
        (one["score"] for one in first["n_best"]), reverse=True
    )
    assert first["n_best"][0] == {name: first[name] for name in ("answer", "score", "start", "end")}
    assert len(first["n_best"]) == 3 and all(CONTEXT[o["start"] : o["end"]] == o["answer"] for o in first["n_best"])
    assert (second["answer"], second["start"], second["end"]) == ("", -1, -1) and second["score"] > 0.99
    always = kind().answers(list(logits), list(tokens), inputs)[1]
    assert always["answer"] and always["start"] >= 0 and all(one["answer"] for one in always["n_best"])
    places = [(one["start"], one["end"]) for one in first["n_best"]]
    assert len(set(places)) == 3  # what two windows have counts once


def test_a_context_that_the_tokenizer_leaves_nothing_of_has_no_answer(tokenizer):
    rows = [row(NONE, context="\u200b")]
    tokens = encoded(tokenizer, rows, 12)
    logits = logits_for(tokens)
    assert list(kind().predictions(logits, tokens)) == [""]
    found = kind().answers(list(logits), list(tokens), rows)[0]
    assert found == {
        "answer": "", "score": 1.0, "start": -1, "end": -1,
        "n_best": [{"answer": "", "score": 1.0, "start": -1, "end": -1}],
    }  # fmt: skip


def test_written_answers_are_on_one_line(tokenizer):
    context = "Anna lives in\tNew\nYork"
    tokens = encoded(tokenizer, [row(NONE, context=context)], None)
    logits = logits_for(tokens, (0, tokens[0]["at"] + 2, tokens[0]["length"] - 2, 9.0))
    assert list(kind().predictions(logits, tokens)) == ["in\tNew\nYork"]
    assert list(kind().written(logits, tokens)) == ["in New York"]


# metrics


@pytest.mark.parametrize(
    "golds, text, exact, f1",
    [
        (("New York",), "new york", 1, 1),
        (("The New-York!",), "newyork", 1, 1),
        (("New York", "the city of New York"), "New York city", 0, 6 / 7),  # of city, of, new, york three are there
        (("York",), "Leeds", 0, 0),
        (("York",), "", 0, 0),
        ((), "", 1, 1),
        ((), "York", 0, 0),
        (("the",), "", 1, 1),  # nothing is left of it
        (("a b b",), "b b b", 0, 2 * 2 / (2 + 3)),  # the article goes
    ],
)
def test_metrics_by_hand(golds, text, exact, f1):
    labels, predictions = objects(golds), objects(text)
    assert METRICS["exact_match"](labels, predictions) == exact
    assert METRICS["answer_f1"](labels, predictions) == pytest.approx(f1)


def test_metrics_are_companions_with_intervals():
    labels, predictions = objects(*[("York",), ("New York",), ()] * 9), objects(*["york", "York", "x"] * 9)
    scores = all_scores("answer_f1", labels, predictions)
    assert scores == pytest.approx({"answer_f1": (1 + 2 / 3) / 3, "exact_match": 1 / 3})
    assert list(all_scores("exact_match", labels, predictions)) == ["exact_match", "answer_f1"]
    low, high = interval("answer_f1", labels, predictions)
    assert 0.3 < low < scores["answer_f1"] < high < 0.8


def test_predictions_are_read_as_they_were_written(tmp_path):
    labels, predictions = objects(("York", "1"), (), ("NA",)), objects("York", "", "1")
    prediction_table(labels, predictions, np.zeros((4, 7, 2))).to_csv(tmp_path / "p.csv", index=False)
    found = read_predictions(tmp_path / "p.csv")
    assert list(found[0]) == list(labels) and list(found[1]) == list(predictions)
    assert kind().differ(predictions, objects("York", "x", "1")) == pytest.approx(1 / 3)


# models


def test_a_whole_model_answers_as_transformers_does(tokenizer):
    host = make_host(auto=AutoModelForQuestionAnswering, problem_type=None, vocab_size=len(tokenizer))
    rows = encoded(tokenizer, [row(answer("York")), row(answer("Leeds"), "who")], 20)
    (batch,) = make_batches(list(rows), "longest", 2, kind().collator(tokenizer), "cpu")
    with torch.no_grad():
        expected, found = host(**batch), ShortenedModel(host, described(None, 20)).eval()(**batch).logits
    real = batch["attention_mask"].bool()
    for which, name in enumerate(("start_logits", "end_logits")):
        assert torch.allclose(found[..., which][real], expected[name][real], atol=1e-5)


def test_a_protected_question_goes_through_all_layers(tokenizer):
    host = make_host(auto=AutoModelForQuestionAnswering, problem_type=None, vocab_size=len(tokenizer))
    rows = encoded(tokenizer, [row(answer("York")), row(answer("Leeds"), "who")], 20)
    (batch,) = make_batches(list(rows), "longest", 2, kind().collator(tokenizer), "cpu")
    questions = [set(range(at - 1)) for at in rows["at"]]  # with [CLS], without the separator
    separator = tokenizer.sep_token_id

    def left(**how):
        model = ShortenedModel(host, described((10, 8, 6), 20, **how)).eval()
        layers = model.kept_positions(**batch)
        return [[set(kept[i].tolist()) - {-1} for kept in layers] for i in range(2)]

    protected = left(protected_until=separator)
    assert all(question <= kept for question, layers in zip(questions, protected, strict=True) for kept in layers)
    assert [len(kept) for kept in protected[0]] == [10, 8, 6]
    assert any(not question <= layers[-1] for question, layers in zip(questions, left(), strict=True))


def test_a_plain_model_of_others_is_asked(tokenizer, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    host = make_host(auto=AutoModelForQuestionAnswering, problem_type=None, vocab_size=len(tokenizer))
    host.save_pretrained("model")
    tokenizer.save_pretrained("model")
    Path("in.jsonl").write_text(json.dumps({"id": 1, "context": CONTEXT, "question": "where does Anna live"}) + "\n")
    assert dispatch(["predict", "model_dir=model", "input=in.jsonl", "output=out.jsonl"]) == 0
    (found,) = (json.loads(line) for line in Path("out.jsonl").read_text().splitlines())
    batch = tokenizer(["where does Anna live"], [CONTEXT], return_tensors="pt", return_offsets_mapping=True)
    offsets, at = batch.pop("offset_mapping")[0].tolist(), batch.sequence_ids(0).index(1)
    with torch.no_grad():
        output = host(**batch)
    start, end = output.start_logits[0].tolist(), output.end_logits[0].tolist()
    places = [(i, j) for i in range(at, len(start) - 1) for j in range(i, len(start) - 1)]
    best = max(places, key=lambda place: start[place[0]] + end[place[1]])
    assert (found["start"], found["end"]) == (offsets[best[0]][0], offsets[best[1]][1])
