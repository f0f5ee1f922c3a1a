"""Letters of a model that spells what is said (CTC): transcripts as their numbers, and best letters of frames as texts.

Legend: N frames, M letters.
"""

import functools
import itertools
import json
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass

BOUNDARY = "|"  # stands for the space between words


@dataclass(frozen=True)
class Spelling:
    """
    Attributes:
        letters: by number. blank: the letter that says nothing. space: that between words; None if there is none.
        unknown: what stands for letters that are missing; None if nothing does.
        silent: further numbers that are not written.
    """

    letters: tuple[str, ...]
    blank: int
    space: int | None
    unknown: int | None
    silent: tuple[int, ...] = ()

    @classmethod
    @functools.lru_cache(maxsize=8)
    def read(cls, text: str) -> "Spelling":
        """As `written` gives it."""
        given = json.loads(text)
        return cls(**{**given, "letters": tuple(given["letters"]), "silent": tuple(given["silent"])})

    @functools.cached_property
    def written(self) -> str:
        return json.dumps(asdict(self), ensure_ascii=False)

    @functools.cached_property
    def _numbers(self) -> dict[str, int]:
        found = {letter: i for i, letter in enumerate(self.letters) if i not in (self.blank, self.unknown)}
        found = {letter: i for letter, i in found.items() if i not in self.silent}
        return found if self.space is None else {**found, " ": self.space}

    def in_case(self, text: str) -> str:
        """A transcript in the case of the letters, where they are of one."""
        letters = [one for one in self._numbers if one.lower() != one.upper()]
        if letters and all(one == one.upper() for one in letters):
            return text.upper()
        return text.lower() if letters and all(one == one.lower() for one in letters) else text

    def missing(self, text: str) -> str:
        """The characters of a transcript that are no letters of the model, each once."""
        return "".join(dict.fromkeys(one for one in self.in_case(text) if one not in self._numbers))

    def numbers(self, text: str) -> list[int]:
        """A transcript's letters, (M,); a missing one as unknown, or left out."""
        found = (self._numbers.get(one, self.unknown) for one in self.in_case(text))
        return [one for one in found if one is not None]

    def text(self, best: Sequence[int]) -> str:
        """The best letter of each frame, (N,), as a text: repeats are one letter, blanks none."""
        left = (number for number, _ in itertools.groupby(map(int, best)) if number not in (self.blank, *self.silent))
        found = "".join(" " if one == self.space else self.letters[one] for one in left if one != self.unknown)
        return " ".join(found.split())


def frames_needed(numbers: Sequence[int]) -> int:
    """The fewest frames that can spell these letters: a blank stands between equal ones."""
    return len(numbers) + sum(one == other for one, other in itertools.pairwise(numbers))


def letters_in(texts: Iterable[str]) -> list[str]:
    """All characters of transcripts but spaces, in order."""
    return sorted({char for text in texts for char in text} - {" "})
