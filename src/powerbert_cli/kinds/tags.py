"""Tags of words, and the spans that they mark."""

from collections import Counter
from collections.abc import Sequence

from .labels import LabelError

OUTSIDE = "O"
Span = tuple[str, int, int]  # type, first word, one after the last
_BEGINS, _ENDS = ("B", "S", "U"), ("E", "S", "L", "U")


def parts_of(tag: str) -> tuple[str, str]:
    """B-PER → B, PER; O → O and no type."""
    prefix, _, of = tag.partition("-")
    return prefix, of


def mark_spans(names: Sequence[str]) -> bool:
    """Whether all these are tags of spans: O, B-PER, I-PER; also E, S (IOBES), L, U (BILOU)."""
    parts = [parts_of(name) for name in names if name != OUTSIDE]
    return bool(parts) and all(prefix in "BIESLU" and len(prefix) == 1 and of for prefix, of in parts)


def in_order(names: Sequence[str]) -> list[str]:
    """Tags of spans with O first, then by type; others by name."""
    if not mark_spans(names):
        return sorted(names)
    return sorted(names, key=lambda name: (name != OUTSIDE, parts_of(name)[1], "BIESLU".find(parts_of(name)[0])))


def spans_of(tags: Sequence[str]) -> tuple[Span, ...]:
    """The spans that tags mark, by the rules of the CoNLL evaluation script: I after O, or after another type, begins
    one too."""
    from seqeval.metrics.sequence_labeling import get_entities

    known = [tag.replace("U-", "S-", 1).replace("L-", "E-", 1) if tag[:2] in ("U-", "L-") else tag for tag in tags]
    return tuple((of, int(first), int(last) + 1) for of, first, last in get_entities(known))


class Scheme:
    """Whether the tags of a file follow one scheme.

    IOB2 (each span begins with B), IOB1 (B only between two spans of a type), IOBES and BILOU.
    """

    def __init__(self, names: Sequence[str]) -> None:
        prefixes = {parts_of(name)[0] for name in names}
        self._ends = bool(prefixes & {"E", "S", "L", "U"})
        self._seen: dict[str, str] = {}  # what only IOB1, or only IOB2, has, and the first of it

    def check(self, tags: Sequence[str]) -> None:
        """
        Raises:
            LabelError: a row's tags break the scheme, or are of another one than rows before.
        """
        before = OUTSIDE
        for number, tag in enumerate([*tags, OUTSIDE], 1):
            (prefix, of), (last, same) = parts_of(tag), parts_of(before)
            goes_on = before != OUTSIDE and last not in _ENDS and of == same
            if self._ends:
                inside = prefix in ("I", "E", "L")
                if inside != (before != OUTSIDE and last in ("B", "I")) or (inside and not goes_on):
                    raise LabelError(
                        f"has tag {tag} for word {number} after {before}; a span begins with B and ends with E or L, "
                        "or is one word with S or U"
                        if number <= len(tags)
                        else f"ends with tag {before}; the last word of a span has E or L"
                    )
            elif prefix == "I" and not goes_on:
                self._only("IOB1", f"word {number}: {tag} after {before}", "IOB2")
            elif prefix == "B" and not goes_on:
                self._only("IOB2", f"word {number}: {tag} after {before}", "IOB1")
            before = tag

    def _only(self, scheme: str, what: str, other: str) -> None:
        self._seen.setdefault(scheme, what)
        if other in self._seen:
            raise LabelError(
                f"has tags of {scheme} ({what}), and a row before, or this one, those of {other} "
                f"({self._seen[other]}): in IOB2 every span begins with B, in IOB1 only one that follows another of "
                "its type; write all in one way"
            )


def counted(tags: Sequence[Sequence[str]]) -> dict[str, int]:
    """How often each tag stands there."""
    return dict(sorted(Counter(tag for row in tags for tag in row).items()))
