"""One vector for each text, out of its word-vectors, as sentence-transformers' Pooling and Normalize make it."""

from dataclasses import asdict, dataclass
from typing import Any, Literal

import torch.nn.functional as F
from torch import Tensor

MODES = ("mean", "cls")


@dataclass(frozen=True)
class Pooling:
    """
    Attributes:
        mode: the mean of the word-vectors, or the first ([CLS]). Of dropped ones the mean has the states that they had
            when they were dropped; where they were put into others, those count for as many.
        normalize: to length 1.
    """

    mode: Literal["mean", "cls"] = "mean"
    normalize: bool = True

    def __call__(self, hidden: Tensor, mask: Tensor | None) -> Tensor:
        """(B, K, D), and how far each counts (B, K), to (B, D)."""
        if self.mode == "cls":
            found = hidden[:, 0]
        elif mask is None:
            found = hidden.mean(dim=1)
        else:
            weights = mask.unsqueeze(-1).to(hidden.dtype)
            found = (hidden * weights).sum(dim=1) / weights.sum(dim=1).clamp(min=1e-9)
        return F.normalize(found, dim=-1) if self.normalize else found

    @property
    def reads(self) -> Literal["first", "all"]:
        """What of the word-vectors it reads, see `family.Head`."""
        return "first" if self.mode == "cls" else "all"

    def written(self) -> dict[str, Any]:
        """As config.json has it."""
        return asdict(self)


def pooling_of(config: Any) -> Pooling:
    """What a model's config says; the mean where it says nothing.

    Raises:
        ValueError: it says what there is not.
    """
    given = getattr(config, "pooling", None) or {}
    if not isinstance(given, dict) or set(given) - {"mode", "normalize"} or given.get("mode", "mean") not in MODES:
        raise ValueError(f"config.json has pooling={given}; it has mode ({' or '.join(MODES)}) and normalize alone")
    return Pooling(**given)
