"""What a model of its host's own parts knows of it: how inputs become word-vectors, its blocks, how it answers."""

from typing import Any, Self

import torch
from torch import Tensor, nn
from transformers import PreTrainedModel

from ..method.elimination import Elimination
from .block import Block
from .family import Family, Head
from .views import Views


class HostedModel(nn.Module):
    """Around a host, whose modules and state-dict keys stay its own."""

    host: PreTrainedModel
    elimination: Elimination
    head: Head
    _family: Family
    _views: Views

    @property
    def seq_len(self) -> int:
        return self.elimination.seq_len

    def views(self) -> tuple[Block, ...]:
        """Of the host's blocks, as they are."""
        return self._views.blocks()

    @property
    def takes(self) -> str:
        """What it calls its input: input_ids, pixel_values or input_values."""
        return self._family.takes

    def check_length(self, n: Any) -> None:
        """
        Args:
            n: word-vectors of the longest input.

        Raises:
            ValueError: more than ℓ.
        """
        if isinstance(n, torch.SymInt) or n <= self.seq_len:
            return
        if self._family.signal is not None:
            raise ValueError(f"{self.takes}: {n} {self._family.signal.unit} exceed ℓ={self.seq_len} of this model")
        raise ValueError(
            f"input_ids: {n} word-pieces exceed ℓ={self.seq_len} of this model; cut inputs with truncation=True, "
            f"max_length={self.seq_len}, or load the tokenizer with model_max_length={self.seq_len}"
        )

    def signalled(self, given: Tensor, mask: Tensor | None) -> tuple[Tensor | None, Tensor | None]:
        """Of pictures or sound (B, …) the word-vectors (B, N, D), before any layer, and their mask (B, N) or None.

        Of word-pieces None, and their mask as it is.
        """
        signal = self._family.signal
        return (None, mask) if signal is None else signal.embed(self.host, given, mask)

    def embedded(self, input_ids: Tensor, token_type_ids: Tensor | None, position_ids: Tensor | None = None) -> Tensor:
        """(B, N) → (B, N, D).

        Args:
            position_ids: rows of the position embeddings; None for those of inputs that begin at the first place.
        """
        assert self._family.embed is not None
        return self._family.embed(self.host, input_ids, token_type_ids, position_ids)

    def logits_of(self, hidden: Tensor, mask: Tensor | None) -> Tensor:
        """What the head says of the last hidden states (B, K, D), of which the mask (B, K) says how far each counts."""
        return self.head.logits(self.host, hidden, mask)

    def refresh(self) -> None:
        """Has the next answer read all weights anew.

        To be called after a write that PyTorch does not count, through `weight.data` or a NumPy array, in evaluation
        mode; whatever else changes weights, and a change between training and evaluation mode, is seen without it.
        """
        self._views.refresh()

    def train(self, mode: bool = True) -> Self:
        if mode != self.training:
            self.refresh()
        return super().train(mode)

    def blocks(self) -> tuple[Block, ...]:
        """Views of the host's blocks; arranged for inference where there is no gradient."""
        fast = not self.training and not torch.is_grad_enabled() and not torch.compiler.is_compiling()
        return self._views.for_inference() if fast else self._views.blocks()
