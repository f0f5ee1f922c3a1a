"""The part of a text that answers a question, as in SQuAD."""

import bisect
from collections.abc import Callable, Iterable, Sequence
from typing import Any, ClassVar, NamedTuple

import numpy as np

from ..errors import PowerbertError
from .given_answers import answers_in
from .kind import Array, Kind, Row, objects, softmax
from .spans import Spans, best_spans
from .values import RowError, text_of
from .windows import rows_of, windows_of

_SCORED, _WRITTEN = 20, 3  # answers that a probability is of, as in the script of SQuAD; those that predict writes
_BREAKS = str.maketrans(dict.fromkeys("\t\n\v\f\r\x1c\x1d\x1e\x85\u2028\u2029", " "))


class QuestionAnswering(Kind):
    """An answer is a span of the context; where there is none, start and end stand at the first place, [CLS].

    A context longer than the room beside its question is cut into windows, each with the question, of which at most
    half of the room is kept.
    """

    NAME = "question_answering"
    ABOUT = "the part of a text that answers a question"
    HEAD = "ForQuestionAnswering"
    PIPELINE = "question-answering"
    METRICS = ("answer_f1", "exact_match")
    TEXTS = (2,)
    KNOWN = (["question", "context"],)
    NAMED = False
    LABEL: ClassVar[Any] = {"text": ["string"], "answer_start": ["int64"]}
    WINDOWS = True
    MERGES = False
    MAY_REFUSE = True

    @property
    def decides(self) -> str:
        return f"{self.NAME} {self.no_answer} {self.max_answer}"

    @property
    def outputs(self) -> list[str]:
        return ["start", "end"]

    # rows

    def features(self, texts: Sequence[str]) -> Row:
        return {"question": "string", "context": "string"}

    def inputs(self, row: Row, texts: Sequence[str]) -> Row:
        found = {
            to: text_of(row.get(column), column) for to, column in zip(("question", "context"), texts, strict=True)
        }
        empty = next((column for text, column in zip(found.values(), texts, strict=True) if not text.strip()), None)
        if empty is not None:
            raise RowError(f"has an empty '{empty}'; a question and its context both have words")
        return found

    def texts(self, inputs: Row) -> tuple[str, ...] | None:
        return inputs["question"], inputs["context"]

    def label_reader(self, columns: Sequence[str], in_file: Sequence[str] | None) -> Callable[[Row, Row], Any]:
        (column,) = columns
        return lambda row, inputs: answers_in(row.get(column), inputs["context"], column)

    def undefined(self, labels: Array) -> str | None:
        if self.no_answer is None and not any(label["text"] for label in labels):
            return (
                f"none of {len(labels)} questions has an answer, and task.no_answer=null always gives one; give some "
                "that have, or set task.no_answer=0"
            )
        return None

    def counts(self, labels: Array) -> dict[str, Any]:
        answerable = sum(bool(label["text"]) for label in labels)
        return {"answerable": answerable, "unanswerable": len(labels) - answerable}

    # word-pieces

    def encode(self, batch: dict[str, list[Any]], tokenizer: Any, seq_len: int | None) -> dict[str, list[Any]]:
        """Windows, each with its part of the context, the place `at` where that begins, and between which characters of
        the whole context each of its word-pieces stands."""
        questions, stride, how = batch["question"], self.stride, {}
        if seq_len is not None:
            questions, stride = _fitted(questions, tokenizer, seq_len, stride)
            how["truncation"] = "only_second"
        found = windows_of(questions, tokenizer, seq_len, stride, text_pair=batch["context"], **how)
        offsets, parts = found.pop("offset_mapping"), found.pop("part")
        found |= {
            name: [] for name in ("at", "starts", "ends", "text", *(("golds", "labels") if "label" in batch else ()))
        }
        for row, own, part in zip(found["row"], offsets, parts, strict=True):
            places = [place for place, which in enumerate(part) if which == 1]
            starts, ends = ([own[place][side] for place in places] for side in (0, 1))
            found["at"].append(places[0] if places else 0)
            found["starts"].append(starts)
            found["ends"].append(ends)
            found["text"].append(batch["context"][row][starts[0] : ends[-1]] if places else "")
            if "label" in batch:
                given = batch["label"][row]
                found["golds"].append(given["text"])
                found["labels"].append(_labels(found["at"][-1], starts, ends, given))
        return found

    # answers

    def labels(self, tokens: Any) -> Array:
        """The texts of each row's right answers, none where it has none."""
        golds = tokens["golds"][:]
        return objects(tuple(golds[windows[0]]) for windows in rows_of(tokens["row"][:]))

    def predictions(self, logits: Array, tokens: Any = None) -> Array:
        """The text of each row's answer, empty for none."""
        windows = _Windows(*(tokens[name][:] for name in _Windows._fields))
        spans, refusals = self._scored(logits, windows, 1)
        return objects(self._text(own, spans, refusals, windows) for own in rows_of(windows.row))

    def _scored(self, logits: Array, windows: "_Windows", n: int) -> tuple[Spans, Array]:
        """The best spans of each window, and the score of none (m,)."""
        sizes = np.array([len(starts) for starts in windows.starts], dtype=int)
        spans = best_spans(logits, np.asarray(windows.at, dtype=int), sizes, self.max_answer, n)
        return spans, logits[:, 0].sum(axis=-1)

    def _text(self, own: Sequence[int], spans: Spans, refusals: Array, windows: "_Windows") -> str:
        best = max(own, key=lambda window: spans.scores[window, 0])
        score = spans.scores[best, 0]
        if self._refuses(refusals[own].min(), score):
            return ""
        return windows.cut(best, spans.first[best, 0], spans.last[best, 0])[0]

    def _refuses(self, none: float, best: float) -> bool:
        """Whether no answer is given: its score is that much above the best answer's; or there is nothing to choose."""
        return bool(np.isneginf(best)) or (self.no_answer is not None and bool(none - best > self.no_answer))

    def answer_types(self) -> Row:
        one = {"answer": "string", "score": "float64", "start": "int64", "end": "int64"}
        return {**one, "n_best": [one]}

    def answers(self, logits: Sequence[Array], tokens: Sequence[Row], inputs: Sequence[Row]) -> list[Row]:
        """The answer with its probability among the best ones, and by which characters of the context it stands, from
        `start` to before `end`, both -1 for none; and some of the best."""
        windows = _Windows(*([token[name] for token in tokens] for name in _Windows._fields))
        table = np.zeros((len(logits), max(map(len, logits)), 2))
        for window, own in enumerate(logits):
            table[window, : len(own)] = own
        spans, refusals = self._scored(table, windows, _SCORED)
        return [self._answer(own, spans, refusals, windows) for own in rows_of(windows.row)]

    def _answer(self, own: Sequence[int], spans: Spans, refusals: Array, windows: "_Windows") -> Row:
        found: dict[tuple[int, int], tuple[float, str]] = {}  # where it stands → its best score, in any window
        for window in own:
            for score, first, last in zip(*(one[window] for one in spans), strict=True):
                if np.isneginf(score):
                    break
                text, start, end = windows.cut(window, first, last)
                if text and score > found.get((start, end), (-np.inf, ""))[0]:
                    found[start, end] = float(score), text
        best = sorted(((score, text, *where) for where, (score, text) in found.items()), key=lambda one: -one[0])
        none = float(refusals[list(own)].min())
        refused = self._refuses(none, best[0][0] if best else -np.inf)
        best = best[:_SCORED]
        if refused or self.no_answer is not None:
            best = sorted([*best, (none, "", -1, -1)], key=lambda one: -one[0])
        shares = softmax(np.array([one[0] for one in best]))
        written = [
            {"answer": text, "score": float(share), "start": start, "end": end}
            for share, (_, text, start, end) in zip(shares, best, strict=True)
        ]
        number = next(i for i, one in enumerate(best) if (one[2] < 0) == refused)
        return {**written[number], "n_best": written[:_WRITTEN]}

    def written(self, logits: Array, tokens: Any) -> Iterable[str]:
        """The answer of each row, on one line."""
        return (text.translate(_BREAKS) for text in self.predictions(logits, tokens))


class _Windows(NamedTuple):
    """Columns of encoded rows, see `encode`."""

    row: Sequence[int]
    at: Sequence[int]
    starts: Sequence[Sequence[int]]
    ends: Sequence[Sequence[int]]
    text: Sequence[str]

    def cut(self, window: int, first: int, last: int) -> tuple[str, int, int]:
        """What stands from one place to another, and from which to before which character of the whole context;
        without white space around it."""
        starts, at = self.starts[window], self.at[window]
        start, end = starts[first - at], self.ends[window][last - at]
        text = self.text[window][start - starts[0] : end - starts[0]]
        start += len(text) - len(text.lstrip())
        text = text.strip()
        return text, start, start + len(text)


def _fitted(questions: Sequence[str], tokenizer: Any, seq_len: int, stride: int | None) -> tuple[list[str], int]:
    """Questions of at most half of the room for both, and a stride below what is left for contexts beside any.

    Raises:
        PowerbertError: there is no room.
    """
    room = seq_len - tokenizer.num_special_tokens_to_add(pair=True)
    if room < 2:
        raise PowerbertError(
            f"seq_len={seq_len} has no room for a question and its context; set seq_len={seq_len - room + 2} or more"
        )
    most = room // 2
    found = tokenizer(list(questions), add_special_tokens=False, return_offsets_mapping=True, verbose=False)
    fitted = [
        question if len(offsets) <= most else _shortened(question, offsets, tokenizer, most)
        for question, offsets in zip(questions, found["offset_mapping"], strict=True)
    ]
    return fitted, min(seq_len // 4 if stride is None else stride, room - most - 1)


def _shortened(question: str, offsets: Sequence[tuple[int, int]], tokenizer: Any, most: int) -> str:
    """The beginning of a question that has at most so many word-pieces."""
    for keep in range(most, 0, -1):  # a part of a word may have more of them than in the whole word
        beginning = question[: offsets[keep - 1][1]]
        if len(tokenizer(beginning, add_special_tokens=False, verbose=False)["input_ids"]) <= most:
            return beginning
    return ""


def _labels(at: int, starts: Sequence[int], ends: Sequence[int], given: Row) -> list[int]:
    """The places of the first answer's first and last word-piece; those of [CLS] if not all of it is in the window."""
    if not given["text"] or not starts:
        return [0, 0]
    start = given["answer_start"][0]
    end = start + len(given["text"][0])
    if starts[0] > start or ends[-1] < end:
        return [0, 0]
    first, last = bisect.bisect_right(starts, start) - 1, bisect.bisect_left(ends, end)
    return [at + first, at + last] if first <= last else [0, 0]
