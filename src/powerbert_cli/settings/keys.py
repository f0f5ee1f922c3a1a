"""The keys that a settings class gives the user."""

from collections.abc import Iterator
from dataclasses import MISSING, dataclass, fields, is_dataclass
from typing import Any, get_type_hints

# `lambda` is the user's key and a keyword of Python.
RENAMED = {"lambda": "regularizer_weight"}
RESEARCH = "research"
_OURS = {ours: user for user, ours in RENAMED.items()}


@dataclass(frozen=True)
class Key:
    """
    Attributes:
        name: as the user writes it. path: the attributes that lead to its value.
        kind: its type. node: whether it has keys below it; then it is a group of configs.
        doc, more, common, research: see `rules.key`.
    """

    name: str
    path: tuple[str, ...]
    kind: Any
    node: bool
    doc: str
    more: str
    common: bool
    research: bool


_known: dict[type, tuple[Key, ...]] = {}


def keys_in(cls: type) -> tuple[Key, ...]:
    """Of a settings class its own keys, then those of the nodes below it. Nodes without a text are not among them."""
    if cls not in _known:
        _known[cls] = tuple(_keys(cls))
    return _known[cls]


def _keys(cls: type, within: tuple[str, ...] = (), research: bool = False) -> Iterator[Key]:
    hints = get_type_hints(cls)
    nested = []
    for field in fields(cls):  # type: ignore[arg-type]
        about = field.metadata
        if "doc" not in about:
            continue  # is set by the settings themselves
        assert field.default is MISSING, "defaults stand in conf/"
        kind, path = hints[field.name], (*within, field.name)
        for_research = research or about["research"]
        name = ".".join([*([RESEARCH] if for_research else []), *(_OURS.get(one, one) for one in path)])
        node = is_dataclass(kind)
        found = Key(name, path, kind, node, about["doc"], about["more"], about["common"], for_research)
        if node:
            nested.append(found)
        else:
            yield found
    for found in nested:
        if found.doc:
            yield found
        yield from _keys(found.kind, found.path, found.research)
