"""What a classifier means by its outputs, and whether the task means the same."""

from collections.abc import Mapping, Sequence
from typing import Any

from transformers import (
    AutoModelForAudioClassification,
    AutoModelForCTC,
    AutoModelForImageClassification,
    AutoModelForMultipleChoice,
    AutoModelForQuestionAnswering,
    AutoModelForSequenceClassification,
    AutoModelForTokenClassification,
)

from ..encoder.families import purpose_of
from ..encoder.family import ANSWERS, CHOOSES, CLASSIFIES, EMBEDS, HEARS, SEES, SPELLS, TAGS
from ..kinds import KINDS, Kind, kind_name
from .embedders import AutoModelForEmbedding
from .weights import ModelError

AUTO: dict[str, Any] = {
    CLASSIFIES: AutoModelForSequenceClassification,
    CHOOSES: AutoModelForMultipleChoice,
    TAGS: AutoModelForTokenClassification,
    ANSWERS: AutoModelForQuestionAnswering,
    EMBEDS: AutoModelForEmbedding,
    SEES: AutoModelForImageClassification,
    HEARS: AutoModelForAudioClassification,
    SPELLS: AutoModelForCTC,
}


def auto_of(config: Any) -> Any:
    """transformers' class for what a config's architecture is for."""
    return AUTO[purpose_of(config)]


def kind_of(config: Any, task: Mapping[str, Any]) -> Kind:
    """What a model answers, with the names of its outputs.

    Args:
        task: settings of the task that it was trained for, of which those of its kind are taken; empty if not known.

    Raises:
        ModelError: it calls two outputs alike.
    """
    names = [str(name) for _, name in sorted((config.id2label or {}).items())]
    if len(set(names)) < len(names):
        raise ModelError("its config.json calls two classes alike (id2label)")
    kind = KINDS[kind_name(purpose_of(config), config.problem_type, len(names), task.get("kind"))]
    own = task if task.get("kind") == kind.NAME else {}
    return kind.of_task(names if kind.NAMED else None, own)


def check_classes(config: Any, kind: Kind) -> None:
    """Whether a model of this kind's architecture means by its outputs what the task does.

    Classes without names of their own (LABEL_0, or numbers) are taken in the order of the task's.

    Raises:
        ModelError: says what differs.
    """
    if kind.CHOOSES or kind.TAUGHT or kind.SPELLS:
        return
    names, wanted, said = kind.names, kind.PROBLEM, config.problem_type
    if said is not None and wanted is not None and said not in (wanted, *kind.LIKE):
        raise ModelError(f"a model for {said} (problem_type), the task is one of {wanted}")
    count = len(kind.outputs)
    if config.num_labels != count:
        outputs = "one output" if config.num_labels == 1 else f"{config.num_labels} classes"
        raise ModelError(
            f"a classifier of {outputs}, the task has "
            + (
                f"{count} (task.label_names)"
                if names is not None
                else "one value"
                if count == 1
                else " and ".join(kind.outputs)
            )
        )
    own = [str(config.id2label.get(c, f"LABEL_{c}")) for c in range(count)]
    if names is None or _say_nothing(own) or _say_nothing(names):
        return
    if [name.casefold() for name in own] != [name.casefold() for name in names]:
        raise ModelError(
            f"its classes are {', '.join(own)} in this order, the task's {', '.join(names)}; "
            f"set task.label_names=[{','.join(own)}]"
        )


def named_classes(config: Any) -> list[str] | None:
    """What a classifier calls its classes, in their order; None if it only counts them, or is no classifier."""
    if not any(name.endswith((CLASSIFIES, SEES, HEARS)) for name in config.architectures or ()):
        return None
    names = [str(config.id2label.get(c, f"LABEL_{c}")) for c in range(config.num_labels)]
    return None if _say_nothing(names) else names


def _say_nothing(names: Sequence[str]) -> bool:
    """Whether names of classes only count them."""
    return all(name in (f"LABEL_{c}", str(c)) for c, name in enumerate(names))
