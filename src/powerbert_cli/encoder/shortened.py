"""The shortened encoder around a Hugging Face classifier."""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import replace

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from transformers import PreTrainedModel
from transformers.modeling_outputs import SequenceClassifierOutput

from ..method import soft_extract
from ..method.retention import check_lengths
from .block import attend, attend_and_extract, attend_and_scale, feed_forward
from .families import BlockView, family_of


def classification_loss(logits: Tensor, labels: Tensor, problem_type: str | None) -> Tensor:
    """The loss that transformers' sequence classifiers compute for the same problem type."""
    if problem_type == "regression":
        return F.mse_loss(logits.squeeze(-1).float(), labels.float())
    return F.cross_entropy(logits.float(), labels)


def _real_mask(attention_mask: Tensor | None) -> Tensor | None:
    """The mask as bool, or None if it is known that nothing is padded (free to ask on a CPU only)."""
    if attention_mask is None:
        return None
    mask = attention_mask.bool()
    if mask.device.type == "cpu" and not torch.compiler.is_compiling() and bool(mask.all()):
        return None
    return mask


class EliminationModel(nn.Module, ABC):
    """A sequence classifier whose encoder eliminates, or softly scales, word-vectors.

    The host keeps its own modules and state-dict keys; this module only runs them in its own
    loop. Subclasses say what happens in the attention half of each block.
    """

    def __init__(self, host: PreTrainedModel, seq_len: int, protected: int = 1) -> None:
        super().__init__()
        self.host = host
        self.config = host.config
        self.seq_len = seq_len
        self.protected = protected
        self.attention_dropout: float | None = None  # in training, in place of the host's own
        self._family = family_of(host)

    @property
    def layers(self) -> int:
        return len(self._blocks())

    def _blocks(self) -> tuple[BlockView, ...]:
        blocks = self._family.blocks(self.host)
        if self.attention_dropout is None:
            return blocks
        return tuple(replace(block, attention_dropout=self.attention_dropout) for block in blocks)

    @abstractmethod
    def attention_half(
        self, j: int, block: BlockView, hidden: Tensor, mask: Tensor | None
    ) -> tuple[Tensor, Tensor | None, Tensor | None]:
        """Attention of layer j (0-based) and what is done to its word-vectors.

        Returns:
            hidden (B, K, D), its mask (B, K) or None, and the positions (B, K) that were kept
            of the N that came in, or None if all were.
        """

    def _encode(self, hidden: Tensor, mask: Tensor | None, trace: list[Tensor] | None = None) -> Tensor:
        """(B, N, D) -> (B, K_L, D). A given `trace` receives the kept positions of each layer."""
        positions = torch.arange(hidden.shape[1], device=hidden.device).expand(hidden.shape[:2])
        for j, block in enumerate(self._blocks()):
            hidden, mask, index = self.attention_half(j, block, hidden, mask)
            hidden = feed_forward(block, hidden, self.training)
            if trace is not None:
                positions = positions if index is None else positions.gather(1, index)
                trace.append(positions if mask is None else positions.masked_fill(~mask, -1))
        return hidden

    def forward(
        self,
        input_ids: Tensor,
        attention_mask: Tensor | None = None,
        token_type_ids: Tensor | None = None,
        labels: Tensor | None = None,
    ) -> SequenceClassifierOutput:
        """Logits (B, C), and the loss if labels are given. Inputs are (B, N), N ≤ ℓ."""
        mask = _real_mask(attention_mask)
        hidden = self._family.embed(self.host, input_ids, token_type_ids)
        logits = self._family.head(self.host, self._encode(hidden, mask))
        loss = None if labels is None else classification_loss(logits, labels, self.config.problem_type)
        return SequenceClassifierOutput(loss=loss, logits=logits)

    @torch.no_grad()
    def kept_positions(
        self, input_ids: Tensor, attention_mask: Tensor | None = None, token_type_ids: Tensor | None = None
    ) -> list[Tensor]:
        """Positions in the input of the word-vectors that leave each layer.

        Returns:
            L tensors (B, K_j), ascending along the last dimension; padding is -1.
        """
        mask = _real_mask(attention_mask)
        trace: list[Tensor] = []
        self._encode(self._family.embed(self.host, input_ids, token_type_ids), mask, trace)
        return trace


class ShortenedModel(EliminationModel):
    """Extract layers: layer j really drops all but the ℓ_j most significant word-vectors.

    Args:
        host: a sequence classifier of a supported family.
        lengths: the retention configuration (ℓ_1 … ℓ_L).
        seq_len: ℓ.
        protected: leading positions that are never dropped.

    Raises:
        RetentionError: if the configuration does not fit the model or ℓ.
    """

    def __init__(self, host: PreTrainedModel, lengths: Sequence[int], seq_len: int, protected: int = 1) -> None:
        super().__init__(host, seq_len, protected)
        self.lengths = check_lengths(lengths, seq_len, self.layers)

    def attention_half(
        self, j: int, block: BlockView, hidden: Tensor, mask: Tensor | None
    ) -> tuple[Tensor, Tensor | None, Tensor | None]:
        if self.lengths[j] >= hidden.shape[1]:
            return attend(block, hidden, mask, self.training), mask, None
        return attend_and_extract(block, hidden, mask, self.lengths[j], self.protected, self.training)


class SoftExtractModel(EliminationModel):
    """Soft-extract layers: the model of the search.

    `retention_parameters` (L, ℓ) start at 1; with all of them at 1 the model equals its host.
    """

    def __init__(self, host: PreTrainedModel, seq_len: int, protected: int = 1) -> None:
        super().__init__(host, seq_len, protected)
        self.retention_parameters = nn.Parameter(soft_extract.initial_parameters(self.layers, seq_len))

    def attention_half(
        self, j: int, block: BlockView, hidden: Tensor, mask: Tensor | None
    ) -> tuple[Tensor, Tensor | None, Tensor | None]:
        r = self.retention_parameters[j]
        return attend_and_scale(block, hidden, mask, r, self.protected, self.training), mask, None
