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


def classification_loss(logits: Tensor, labels: Tensor, config: Any) -> Tensor:
    """The loss that transformers' classifiers compute for the same problem_type.

    Args:
        logits: (B, C). labels: (B,), or (B, C) of a multi-label problem.
    """
    problem_type = config.problem_type
    if problem_type == "regression":
        return F.mse_loss(logits.squeeze(-1).float(), labels.float())
    if problem_type == "multi_label_classification":
        return F.binary_cross_entropy_with_logits(logits.float(), labels.float())
    return F.cross_entropy(logits.float(), labels)


def tag_loss(logits: Tensor, labels: Tensor, config: Any) -> Tensor:
    """The mean over the word-pieces with a tag, of which there may be none.

    Args:
        logits: (B, N, C). labels: (B, N), -100 where there is none.
    """
    total = F.cross_entropy(logits.float().flatten(0, 1), labels.flatten(), ignore_index=_NONE, reduction="sum")
    return total / examples_in(labels, logits).clamp(min=1)


def answer_loss(logits: Tensor, labels: Tensor, config: Any) -> Tensor:
    """The mean over inputs of the losses of start and end; a place beyond the input has no part in it.

    Args:
        logits: (B, N, 2). labels: (B, 2).
    """
    n = logits.shape[1]
    return F.cross_entropy(logits.float(), labels.clamp(0, n), ignore_index=n)


def no_loss(logits: Tensor, labels: Tensor, config: Any) -> Tensor:
    """Of vectors, which learn from a teacher alone."""
    return logits.sum() * 0.0


def ctc_loss(logits: Tensor, labels: Tensor, config: Any) -> Tensor:
    """Connectionist temporal classification, as transformers' models of speech compute it.

    Frames of padding say blank for certain (`as_blank`), which no alignment pays for: all inputs count as full.

    Args:
        logits: (B, N, C). labels: (B, M), -100 behind the last.
    """
    real = labels >= 0
    lengths = torch.full((len(logits),), logits.shape[1], dtype=torch.long)
    return F.ctc_loss(
        F.log_softmax(logits.float(), dim=-1).transpose(0, 1),
        labels[real],
        lengths,
        real.sum(dim=-1),
        blank=config.pad_token_id,
        reduction=config.ctc_loss_reduction,
        zero_infinity=config.ctc_zero_infinity,
    )


def as_blank(logits: Tensor, mask: Tensor | None, config: Any) -> Tensor:
    """Logits (B, N, C) of frames, of which those that are padding, by the mask (B, N), say blank and nothing else."""
    if mask is None:
        return logits
    blank = torch.full_like(logits[:1, :1], _NOWHERE)
    blank[..., config.pad_token_id] = 0
    return torch.where(mask.bool().unsqueeze(-1), logits, blank)


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
