"""What a classifier means by its outputs, and whether the task means the same."""

from collections.abc import Sequence
from typing import Any

from transformers import (
    AutoModelForMultipleChoice,
    AutoModelForQuestionAnswering,
    AutoModelForSequenceClassification,
    AutoModelForTokenClassification,
)

from ..encoder.families import purpose_of
from ..encoder.family import ANSWERS, CHOOSES, CLASSIFIES, TAGS
from .weights import ModelError

PROBLEMS = {
    "classification": "single_label_classification",
    "multiple_choice": None,  # transformers' multiple-choice models know one loss only
    "regression": "regression",
    "multi_label": "multi_label_classification",
}


FROM_PYTHON = "which the verbs do not take yet; load it in Python: powerbert_cli.load_shortened(FOLDER)"
_AUTO = {
    CLASSIFIES: AutoModelForSequenceClassification,
    CHOOSES: AutoModelForMultipleChoice,
    TAGS: AutoModelForTokenClassification,
    ANSWERS: AutoModelForQuestionAnswering,
}


def auto_of(config: Any) -> Any:
    """transformers' class for what a config's architecture is for."""
    return _AUTO[purpose_of(config)]


def check_classes(config: Any, kind: str, names: Sequence[str] | None) -> None:
    """Whether a classifier means by its outputs what the task does.

    Classes without names of their own (LABEL_0, or numbers) are taken in the order of the task's.

    Args:
        config: of the classifier.
        kind: of the task. names: of its classes; None for a regression.

    Raises:
        ModelError: says what differs.
    """
    if kind == "multiple_choice":
        return
    wanted, said = PROBLEMS[kind], config.problem_type
    if said is not None and said != wanted:
        raise ModelError(f"a model for {said} (problem_type), the task is one of {wanted}")
    count = 1 if names is None else len(names)
    if config.num_labels != count:
        outputs = "one output" if config.num_labels == 1 else f"{config.num_labels} classes"
        raise ModelError(
            f"a classifier of {outputs}, the task has "
            + ("one value" if names is None else f"{count} (task.label_names)")
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
    if not any("ForSequenceClassification" in name for name in config.architectures or ()):
        return None
    names = [str(config.id2label.get(c, f"LABEL_{c}")) for c in range(config.num_labels)]
    return None if _say_nothing(names) else names


def _say_nothing(names: Sequence[str]) -> bool:
    """Whether names of classes only count them."""
    return all(name in (f"LABEL_{c}", str(c)) for c, name in enumerate(names))
