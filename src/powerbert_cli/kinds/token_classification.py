"""A tag for each word: named entities, parts of speech."""

import bisect
import itertools
from collections.abc import Callable, Iterable, Sequence
from typing import Any, ClassVar, NamedTuple

import numpy as np

from .kind import Array, Kind, Row, objects, softmax
from .labels import Classes, LabelError
from .tags import OUTSIDE, Scheme, counted, in_order, mark_spans, spans_of
from .values import RowError, shown, text_of
from .windows import rows_of, windows_of

_SPANS = ("span_f1", "span_precision", "span_recall")
_NONE = -100  # a word-piece that has no label; transformers' losses pass it over


class TokenClassification(Kind):
    """Words are joined with spaces, as a pipeline is given them; the first word-piece of each word answers for it.

    A text longer than ℓ is cut into windows; a word is answered where most stands around it.
    """

    NAME = "token_classification"
    ABOUT = "a tag for each word"
    HEAD = "ForTokenClassification"
    PIPELINE = "token-classification"
    METRICS = (*_SPANS, "accuracy")
    TEXTS = (1,)
    KNOWN = (["tokens"], ["words"], ["sentence"], ["text"])
    NAMES_FROM_ROWS = True
    STAND_INS = (OUTSIDE, "B-0")
    LABEL: ClassVar[Any] = ("int64",)
    WINDOWS = True
    MERGES = False
    BY_CLASS = True

    @classmethod
    def usual_metric(cls, names: Sequence[str] | None) -> str:
        """span_f1 of tags that mark spans, else the share of words that are right."""
        return "span_f1" if mark_spans(names or ()) else "accuracy"

    @classmethod
    def wrong(cls, task: Any) -> str | None:
        if task.metric in _SPANS and task.label_names is not None and not mark_spans(task.label_names):
            return (
                f"task.metric={task.metric} counts spans, and task.label_names={task.label_names} are no tags of spans "
                "such as O, B-PER, I-PER; set task.metric=accuracy"
            )
        return super().wrong(task)

    @classmethod
    def ordered(cls, names: Sequence[str]) -> list[str]:
        return in_order(names)

    @classmethod
    def odd(cls, names: Sequence[str]) -> str | None:
        others = [name for name in names if name != OUTSIDE and not mark_spans([name])]
        if not others or len(others) > len(names) / 2:
            return None
        return (
            f"most tags mark spans, as B-PER does, and {', '.join(map(repr, others[:3]))} not; mend them, or name all "
            "tags in task.label_names and set task.metric=accuracy"
        )

    @classmethod
    def labels_in(cls, value: Any) -> Iterable[Any]:
        return _listed(value) or ()

    @property
    def decides(self) -> str:
        """Names of tags say where spans are."""
        return f"{self.NAME} {self.names}"

    @property
    def scores_spans(self) -> bool:
        return self.metric in _SPANS

    # rows

    def features(self, texts: Sequence[str]) -> Row:
        return {"words": ["string"]}

    def inputs(self, row: Row, texts: Sequence[str]) -> Row:
        """A list of words, or a text that is split at white space."""
        (column,) = texts
        words = _listed(row.get(column))
        if words is None:
            raise RowError(f"has {shown(row.get(column))} as '{column}'; it must be a list of words, or a text of them")
        if not words:
            raise RowError(f"has no words in '{column}'")
        found = [text_of(word, f"{column}[{place}]") for place, word in enumerate(words)]
        empty = next((number for number, word in enumerate(found, 1) if not word.strip()), None)
        if empty is not None:
            raise RowError(f"has an empty word in '{column}', number {empty}; take it out, with its tag")
        return {"words": found}

    def label_reader(self, columns: Sequence[str], in_file: Sequence[str] | None) -> Callable[[Row, Row], Any]:
        names, (column,) = self.names or [], columns
        classes, scheme = Classes(names, in_file), Scheme(names) if mark_spans(names) else None

        def read(row: Row, inputs: Row) -> list[int]:
            tags, words = _listed(row.get(column)), inputs["words"]
            if tags is None:
                raise LabelError(f"has {shown(row.get(column))} as '{column}'; it must be a list of tags")
            if len(tags) != len(words):
                raise LabelError(f"has {len(words)} words and {len(tags)} tags ({column}); give each word one")
            found = [classes(tag) for tag in tags]
            if scheme is not None:
                scheme.check([names[tag] for tag in found])
            return found

        return read

    def undefined(self, labels: Array) -> str | None:
        if self.scores_spans and not any(self._spans(row) for row in labels):
            return f"none of {len(labels)} rows has a span; give some, or set task.metric=accuracy"
        return None

    def counts(self, labels: Array) -> dict[str, Any]:
        return counted([self._tags(row) for row in labels])

    def texts(self, inputs: Row) -> tuple[str, ...] | None:
        return (" ".join(inputs["words"]),)

    # word-pieces

    def encode(self, batch: dict[str, list[Any]], processor: Any, seq_len: int | None) -> dict[str, list[Any]]:
        """Windows, each with the places of the first word-pieces of the `answers`, words that it answers for."""
        found = windows_of([" ".join(words) for words in batch["words"]], processor, seq_len, self.stride)
        offsets = found.pop("offset_mapping")
        places: list[list[int]] = [[] for _ in offsets]
        answers: list[list[int]] = [[] for _ in offsets]
        for windows in rows_of(found["row"]):
            words = batch["words"][found["row"][windows[0]]]
            for word, (window, place) in enumerate(_first_pieces(words, [offsets[window] for window in windows])):
                if place >= 0:
                    places[windows[window]].append(place)
                    answers[windows[window]].append(word)
        found |= {"places": places, "answers": answers}
        found["words"] = [len(batch["words"][row]) for row in found["row"]]
        if "label" in batch:
            found["tags"] = [batch["label"][row] for row in found["row"]]
            found["labels"] = [
                _labels(length, *one)
                for length, *one in zip(found["length"], places, answers, found["tags"], strict=True)
            ]
        return found

    def collator(self, processor: Any, **padding: Any) -> Callable[[list[Row]], Any]:
        from transformers import DataCollatorForTokenClassification

        return DataCollatorForTokenClassification(processor, label_pad_token_id=_NONE, **padding)

    def batched(self, labels: list[Any], length: int) -> list[Any]:
        return [[*row, *[_NONE] * (length - len(row))] for row in labels]

    def examples(self, labels: Any) -> Any:
        """Word-pieces with a label: the loss is a mean over these."""
        return (labels != _NONE).sum()

    # answers

    def labels(self, tokens: Any) -> Array:
        """Spans of each row, or the classes of its words."""
        tags = tokens["tags"][:]
        return objects(self._scored(tags[windows[0]]) for windows in rows_of(tokens["row"][:]))

    def predictions(self, logits: Array, tokens: Any = None) -> Array:
        return objects(map(self._scored, self._row_classes(logits, tokens)))

    def _row_classes(self, logits: Array, tokens: Any) -> Iterable[list[int]]:
        return self._classes(logits.argmax(axis=-1), _Windows(*(tokens[name][:] for name in _Windows._fields)))

    def _classes(self, best: Sequence[Array], windows: "_Windows") -> Iterable[list[int]]:
        """The classes of each row's words, of those of each window's word-pieces.

        A word that the tokenizer leaves nothing of is outside.
        """
        outside = self.outputs.index(OUTSIDE) if OUTSIDE in self.outputs else 0
        for own in rows_of(windows.row):
            found = [outside] * windows.words[own[0]]
            for window in own:
                for place, word in zip(windows.places[window], windows.answers[window], strict=True):
                    found[word] = int(best[window][place])
            yield found

    def _scored(self, classes: Sequence[int]) -> tuple[Any, ...]:
        return self._spans(classes) if self.scores_spans else tuple(map(int, classes))

    def _tags(self, classes: Sequence[int]) -> list[str]:
        return [self.outputs[int(c)] for c in classes]

    def _spans(self, classes: Sequence[int]) -> tuple[Any, ...]:
        return spans_of(self._tags(classes))

    def answer_types(self) -> Row:
        return {
            "tags": [{"word": "string", "tag": "string", "probability": "float64"}],
            "entities": [{"type": "string", "text": "string", "start": "int64", "end": "int64"}],
        }

    def answers(self, logits: Sequence[Array], tokens: Sequence[Row], inputs: Sequence[Row]) -> list[Row]:
        """Each word with its tag and the tag's probability; and the spans, by the number of their first word and of
        the one after their last, from 0."""
        windows = _Windows(*([token[name] for token in tokens] for name in _Windows._fields))
        shares = [softmax(np.asarray(one, dtype=np.float64)).max(axis=-1) for one in logits]
        classes = self._classes([one.argmax(axis=-1) for one in logits], windows)
        return [
            self._answer(given["words"], self._tags(own), windows.of_words(which, shares))
            for which, own, given in zip(rows_of(windows.row), classes, inputs, strict=True)
        ]

    def _answer(self, words: Sequence[str], tags: Sequence[str], shares: dict[int, float]) -> Row:
        """
        Args:
            shares: of the words that the tokenizer leaves something of.
        """
        spans = spans_of(tags) if mark_spans(self.outputs) else ()
        return {
            "tags": [
                {"word": word, "tag": tag, "probability": shares.get(i, 1.0)}
                for i, (word, tag) in enumerate(zip(words, tags, strict=True))
            ],
            "entities": [
                {"type": of, "text": " ".join(words[start:end]), "start": start, "end": end} for of, start, end in spans
            ],
        }

    def written(self, logits: Array, tokens: Any) -> Iterable[str]:
        """The tags of each row, with spaces between."""
        return (" ".join(self._tags(row)) for row in self._row_classes(logits, tokens))


class _Windows(NamedTuple):
    """Columns of encoded rows, see `encode`."""

    row: Sequence[int]
    places: Sequence[Sequence[int]]
    answers: Sequence[Sequence[int]]
    words: Sequence[int]

    def of_words(self, windows: Sequence[int], values: Sequence[Array]) -> dict[int, float]:
        """word → the value of its word-piece, of the windows of a row."""
        return {
            word: float(values[window][place])
            for window in windows
            for place, word in zip(self.places[window], self.answers[window], strict=True)
        }


def _listed(value: Any) -> list[Any] | None:
    """A list, or a text split at white space; None for all else."""
    return value.split() if isinstance(value, str) else value if isinstance(value, list) else None


def _first_pieces(words: Sequence[str], offsets: Sequence[Sequence[tuple[int, int]]]) -> list[tuple[int, int]]:
    """Of each word the window in which most stands around its first word-piece, and the place there; -1 for none.

    Args:
        offsets: of the word-pieces of each window in the text of all words; special ones are empty.
    """
    begins = list(itertools.accumulate((len(word) + 1 for word in words[:-1]), initial=0))
    best: list[tuple[int, int, int, int]] = [(0, 0, 0, -1)] * len(words)  # start, -context, window, place
    first: list[int | None] = [None] * len(words)
    for window, own in enumerate(offsets):
        real = [place for place, (start, end) in enumerate(own) if end > start]
        for number, place in enumerate(real):
            start, end = own[place]
            word = bisect.bisect_right(begins, end - 1) - 1
            around = min(number, len(real) - 1 - number)
            known = first[word]
            if known is None or start < known or (start == known and around > best[word][1]):
                first[word], best[word] = start, (start, around, window, place)
    return [(window, place) for _, _, window, place in best]


def _labels(length: int, places: Sequence[int], answers: Sequence[int], tags: Sequence[int]) -> list[int]:
    found = [_NONE] * length
    for place, word in zip(places, answers, strict=True):
        found[place] = tags[word]
    return found
