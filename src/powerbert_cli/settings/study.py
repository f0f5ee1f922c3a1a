"""Settings of the studies that the paper argues with."""

from dataclasses import dataclass

from .retrain import RetrainSettings
from .rules import at_least_one, key, one_of

STUDIES = ("similarity", "information", "selection")


@dataclass(kw_only=True)
class StudyOptions:
    examples: int = key("dev inputs that similarity and information look at, the first ones")
    ranks: int = key("information: the most significant word-vectors of a layer, each removed alone")
    longer_than: int = key("selection: word-pieces above which an input counts as long")

    def __post_init__(self) -> None:
        for name in ("examples", "ranks", "longer_than"):
            at_least_one(f"study.{name}", getattr(self, name))


@dataclass(kw_only=True)
class StudySettings(RetrainSettings):
    name: str = key(
        "similarity (Figure 2): how alike the word-vectors of a layer are; information (Figure 3b): what the answers "
        "lose without one of them; selection (Table 3): strategies beside each other"
    )
    study: StudyOptions = key("")

    def __post_init__(self) -> None:
        super().__post_init__()
        one_of("name", self.name, STUDIES)
