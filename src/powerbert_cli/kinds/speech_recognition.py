"""What is said in a clip of sound, letter by letter (CTC).

Legend: m clips, N frames, C letters.
"""

from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from typing import Any, ClassVar

import numpy as np

from .hearing import Hearing
from .kind import Array, Row, objects
from .labels import LabelError
from .spelling import BOUNDARY, Spelling, frames_needed
from .values import RowError, shown, text_of

_NONE = -100  # behind the last letter
_KNOWN = ("transcription", "transcript", "text", "sentence")  # what columns of transcripts are called


class SpeechRecognition(Hearing):
    """The best letter of each frame; repeats are one letter, and blanks none.

    Cutting a clip would lose words, so one of more than ℓ frames is refused.
    """

    NAME = "speech_recognition"
    ABOUT = "what is said in a clip of sound"
    HEAD = "ForCTC"
    PIPELINE = "automatic-speech-recognition"
    METRICS = ("word_accuracy", "character_accuracy")
    PROCESSOR = "speech_processor"
    TASK = "speech"
    GENERATED = ("letters",)
    NAMED = False
    SPELLS = True
    REFUSES_LONG = True
    MERGES = False
    LABEL: ClassVar[Any] = "string"

    @property
    def outputs(self) -> list[str]:
        return ["letter"]

    # rows

    def label_columns(self, columns: Sequence[str], label_column: str) -> list[str] | None:
        """That of the task; where it has the usual name and is not there, another that transcripts go by."""
        names = (label_column, *(_KNOWN if label_column == _KNOWN[0] else ()))
        return next(([name] for name in names if name in columns), None)

    def label_reader(self, columns: Sequence[str], in_file: Sequence[str] | None) -> Callable[[Row, Row], Any]:
        (column,) = columns

        def read(row: Row, inputs: Row) -> str:
            text = " ".join(text_of(row.get(column), column).split())
            if BOUNDARY in text:
                raise LabelError(
                    f"has {BOUNDARY} in {shown(text)}, which stands for the space between words; remove it"
                )
            return text

        return read

    def undefined(self, labels: Array) -> str | None:
        return None if any(map(str.split, labels)) else f"none of {len(labels)} transcripts has a word; give some"

    def counts(self, labels: Array) -> dict[str, Any]:
        words = [len(text.split()) for text in labels]
        return {"words": sum(words), "without words": words.count(0)}

    # frames

    def refused(self, inputs: Row, processor: Any, seq_len: int | None) -> str | None:
        if seq_len is None:
            return None
        (frames,) = Hearing.encode(self, {self.MEDIUM: [inputs[self.MEDIUM]]}, processor, None)["length"]
        return self._too_long(frames, processor, seq_len)

    def _too_long(self, frames: int, processor: Any, seq_len: int) -> str | None:
        if frames <= seq_len:
            return None
        return (
            f"is a clip of {frames} frames{self.lasts(frames, processor)}, more than seq_len={seq_len}"
            f"{self.lasts(seq_len, processor)}, and a cut would lose words; split it where nobody speaks, or set "
            f"seq_len={frames} before a model is trained"
        )

    def encode(self, batch: dict[str, list[Any]], processor: Any, seq_len: int | None) -> dict[str, list[Any]]:
        """As of all clips; `spelling` says what letters are called.

        Raises:
            RowError: a clip of more than ℓ frames.
        """
        found = super().encode({self.MEDIUM: batch[self.MEDIUM]}, processor, None)
        for i, frames in enumerate(found["length"]):
            wrong = None if seq_len is None else self._too_long(frames, processor, seq_len)
            if wrong:
                raise RowError(f"{batch['file'][i] or 'a row'} {wrong}")
        spelling: Spelling = processor.spelling
        found["spelling"] = [spelling.written] * len(found["length"])
        if "label" in batch:
            found["text"] = [spelling.in_case(text) for text in batch["label"]]
            found["labels"] = [spelling.numbers(text) for text in batch["label"]]
        return found

    def check_learnable(self, rows: Any, processor: Any) -> None:
        spelling: Spelling = processor.spelling
        lengths = self.encode_lengths(rows, processor)
        short = []
        for file, text, frames in zip(rows["file"], rows["label"], lengths, strict=True):
            if unknown := spelling.missing(text):
                raise RowError(
                    f"{file or 'a row'} has the transcript {shown(text)}, and the model has no letter for "
                    f"{', '.join(map(repr, unknown[:5]))} (its letters: {self._listed(spelling)}); write it otherwise, "
                    "or give a model without letters of its own, as model=wav2vec2-tiny"
                )
            if (needed := frames_needed(spelling.numbers(text))) > frames:
                short.append(f"{file or shown(text)} ({needed} of {frames})")
        if short:
            raise RowError(
                "fewer frames than the transcript needs, a frame for each letter and one between equal ones: in "
                f"{len(short)} of {len(lengths)} clips, {', '.join(short[:3])}{' …' * (len(short) > 3)}; mend the "
                "transcripts, or take these clips out"
            )

    def unlearnt(self, rows: Any, processor: Any) -> str | None:
        found = Counter(char for text in rows["label"] for char in processor.spelling.missing(text))
        if not found:
            return None
        listed = ", ".join(f"{char!r} in {count}" for char, count in found.most_common(5))
        return f"transcripts have characters that the model has no letters for, and so never says: {listed}"

    def encode_lengths(self, rows: Any, processor: Any) -> list[int]:
        """Frames of each row's clip, few of which are in memory at a time."""
        lengths: list[int] = []
        for batch in rows.select_columns([self.MEDIUM]).iter(batch_size=self.at_once(1000)):
            lengths += Hearing.encode(self, batch, processor, None)["length"]
        return lengths

    @staticmethod
    def _listed(spelling: Spelling) -> str:
        letters = "".join(one for one in spelling.letters if len(one) == 1 and one != BOUNDARY)
        return letters if len(letters) <= 80 else f"{letters[:80]}…"

    def batched(self, labels: list[Any], length: int) -> list[Any]:
        longest = max(1, max(map(len, labels), default=1))
        return [[*row, *[_NONE] * (longest - len(row))] for row in labels]

    # answers

    def labels(self, tokens: Any) -> Array:
        """Transcripts in the case of the model's letters."""
        return objects(tokens["text"][:])

    def predictions(self, logits: Array, tokens: Any = None) -> Array:
        """What is spelt, of logits (m, N, C) of which those count that are of a row's own frames."""
        return objects(self._texts(logits, tokens["length"][:], tokens["spelling"][:]))

    def _texts(self, logits: Iterable[Array], lengths: Sequence[int], spellings: Sequence[str]) -> Iterable[str]:
        for own, length, spelling in zip(logits, lengths, spellings, strict=True):
            yield Spelling.read(spelling).text(np.asarray(own)[:length].argmax(axis=-1).tolist())

    def answer_types(self) -> Row:
        return {"transcription": "string"}

    def answers(self, logits: Sequence[Array], tokens: Sequence[Row], inputs: Sequence[Row]) -> list[Row]:
        columns = ([token[name] for token in tokens] for name in ("length", "spelling"))
        return [{"transcription": text} for text in self._texts(logits, *columns)]

    def written(self, logits: Array, tokens: Any) -> Iterable[str]:
        return iter(self.predictions(logits, tokens))
