"""What a head's logits say: their loss against labels, and as choices between classes, one as much as another."""

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

_NONE = -100  # a word-piece without a label; transformers' losses pass it over
_NOWHERE = -1e4  # the logit of a place where no answer can be


def logits_of(output: Any) -> Any:
    """The logits of what a model gives; transformers' models for answers give those of start and end apart."""
    start = getattr(output, "start_logits", None)
    return getattr(output, "logits", output) if start is None else torch.stack((start, output.end_logits), dim=-1)


def classification_loss(logits: Tensor, labels: Tensor, problem_type: str | None) -> Tensor:
    """The loss that transformers' classifiers compute for the same problem type.

    Args:
        logits: (B, C). labels: (B,), or (B, C) of a multi-label problem.
    """
    if problem_type == "regression":
        return F.mse_loss(logits.squeeze(-1).float(), labels.float())
    if problem_type == "multi_label_classification":
        return F.binary_cross_entropy_with_logits(logits.float(), labels.float())
    return F.cross_entropy(logits.float(), labels)


def tag_loss(logits: Tensor, labels: Tensor, problem_type: str | None) -> Tensor:
    """The mean over the word-pieces with a tag, of which there may be none.

    Args:
        logits: (B, N, C). labels: (B, N), -100 where there is none.
    """
    total = F.cross_entropy(logits.float().flatten(0, 1), labels.flatten(), ignore_index=_NONE, reduction="sum")
    return total / examples_in(labels, logits).clamp(min=1)


def answer_loss(logits: Tensor, labels: Tensor, problem_type: str | None) -> Tensor:
    """The mean over inputs of the losses of start and end; a place beyond the input has no part in it.

    Args:
        logits: (B, N, 2). labels: (B, 2).
    """
    n = logits.shape[1]
    return F.cross_entropy(logits.float(), labels.clamp(0, n), ignore_index=n)


def no_loss(logits: Tensor, labels: Tensor, problem_type: str | None) -> Tensor:
    """Of vectors, which learn from a teacher alone."""
    return logits.sum() * 0.0


def examples_in(labels: Tensor, logits: Tensor) -> Tensor:
    """How many examples a loss is a mean over: of tags the word-pieces with one, else inputs."""
    if logits.dim() == 3 and labels.shape == logits.shape[:2]:
        return (labels != _NONE).sum()
    return torch.tensor(len(labels), device=labels.device)


def class_choices(logits: Tensor, counts: Tensor | None) -> Tensor:
    """(B, C) as they are."""
    return logits


def tag_choices(logits: Tensor, counts: Tensor | None) -> Tensor:
    """(B, N, C) → (M, C), of the word-pieces that count, (B, N); None for all."""
    return logits.flatten(0, 1) if counts is None else logits[counts.bool()]


def answer_choices(logits: Tensor, counts: Tensor | None) -> Tensor:
    """(B, N, 2) → (2 B, N): which place the start has, and which the end, of those that count."""
    places = logits if counts is None else logits.masked_fill(~counts.bool().unsqueeze(-1), _NOWHERE)
    return places.transpose(1, 2).flatten(0, 1)
