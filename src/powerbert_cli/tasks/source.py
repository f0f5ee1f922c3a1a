"""One split of a task as it is found."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass

from .rows import Row


@dataclass(frozen=True)
class Source:
    """One split as it is found.

    Attributes:
        name: for messages.
        digest: of its content.
        columns: that it has.
        class_names: column → names that it gives to its numbers, or None.
        rows: wanted columns → (place, row) for each row.
    """

    name: str
    digest: str
    columns: list[str]
    class_names: Callable[[str], list[str] | None]
    rows: Callable[[list[str]], Iterator[tuple[str, Row]]]
