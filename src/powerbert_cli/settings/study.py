"""Settings of the studies that the paper argues with."""

from dataclasses import dataclass

from .rules import Part, at_least_one, key, one_of

STUDIES = ("similarity", "information", "selection")


@dataclass(kw_only=True)
class StudyOptions:
    examples: int = key("dev inputs that similarity and information look at, the first ones", common=True)
    ranks: int = key("information: the most significant word-vectors of a layer, each removed alone", common=True)
    longer_than: int = key("selection: word-pieces above which an input counts as long", common=True)

    def __post_init__(self) -> None:
        for name in ("examples", "ranks", "longer_than"):
            at_least_one(f"study.{name}", getattr(self, name))


@dataclass(kw_only=True)
class Studying(Part):
    name: str = key(
        "similarity (Figure 2), information (Figure 3b) or selection (Table 3)",
        ": how alike the word-vectors of a layer are; what the answers lose without one of them; strategies beside "
        "each other",
        common=True,
    )
    study: StudyOptions = key("")

    def verify(self) -> None:
        one_of("name", self.name, STUDIES)
