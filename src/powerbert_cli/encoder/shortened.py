"""The shortened encoder around a Hugging Face classifier."""

from abc import ABC, abstractmethod
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from transformers import PreTrainedModel
from transformers.modeling_outputs import SequenceClassifierOutput

from ..method.elimination import Elimination, shield_of
from .attention import WordVectors, attend, attend_and_extract, attend_for_first
from .block import Block
from .families import family_of
from .parts import part


def classification_loss(logits: Tensor, labels: Tensor, problem_type: str | None) -> Tensor:
    """The loss that transformers' classifiers compute for the same problem type."""
    if problem_type == "regression":
        return F.mse_loss(logits.squeeze(-1).float(), labels.float())
    if problem_type == "multi_label_classification":
        return F.binary_cross_entropy_with_logits(logits.float(), labels.float())
    return F.cross_entropy(logits.float(), labels)


def is_choice_model(host: Any) -> bool:
    """Whether this classifier answers multiple choices."""
    return type(host).__name__.endswith("ForMultipleChoice")


def is_multiple_choice(config: Any) -> bool:
    """Whether a model's config names a multiple-choice architecture."""
    return any(name.endswith("ForMultipleChoice") for name in config.architectures or ())


def _real_mask(attention_mask: Tensor | None) -> Tensor | None:
    """The mask as bool, or None if it is known that nothing is padded (free to ask on a CPU only).

    An input without any word-piece, as servers fill up batches with, counts as one of its first: it has an answer
    then, where an average over nothing has none.

    Raises:
        ValueError: an input is padded on the left (seen on a CPU only).
    """
    if attention_mask is None:
        return None
    mask = attention_mask.bool()
    empty = ~mask.any(dim=-1, keepdim=True)
    mask = torch.cat([mask[:, :1] | empty, mask[:, 1:]], dim=-1)
    if mask.device.type == "cpu" and not torch.compiler.is_compiling():
        if bool(mask.all()):
            return None
        if not bool(mask[:, 0].all()):
            raise ValueError("attention_mask: an input begins with padding; pad on the right (padding_side='right')")
    return mask


def _flat(part: Any) -> Any:
    """(B, C, N) of a multiple choice → (B · C, N); all else as it is."""
    return part.flatten(0, 1) if part is not None and part.dim() == 3 else part


class EliminationModel(nn.Module, ABC):
    """A classifier whose encoder eliminates, or softly scales, word-vectors.

    The host keeps its own modules and state-dict keys; this module only runs them in its own
    loop. Subclasses say what happens in the attention half of each block.

    Attributes:
        ends_in_first: the last layer answers for [CLS] only, as the head reads nothing else (exact).
    """

    _priority: Tensor | None

    def __init__(self, host: PreTrainedModel, elimination: Elimination) -> None:
        super().__init__()
        self.host = host
        self.config = host.config
        self.elimination = elimination
        self.attention_dropout: float | None = None  # in training, in place of the host's own
        self._gives_first = False
        self._arranged: tuple[Any, tuple[Block, ...], Any] | None = None
        family = family_of(host)
        self._family = family
        choice = is_choice_model(host)
        self._head = family.choice_head if choice else family.head
        # In the last layer the others are then not needed; merging still puts them into [CLS].
        self.ends_in_first = (
            family.reads_first_only(host.config, choice) and not elimination.merges and elimination.protected > 0
        )
        # The last positions of the order have the lowest priority. Integers: bfloat16 has no 257.
        order = elimination.random_order
        priority = None if order is None else -torch.tensor(order).argsort()
        self.register_buffer("_priority", priority, persistent=False)
        self._tracks = elimination.ranking != "attention" or any(block.positional for block in self.blocks())

    @property
    def layers(self) -> int:
        return len(self.blocks())

    @property
    def seq_len(self) -> int:
        return self.elimination.seq_len

    def blocks(self) -> tuple[Block, ...]:
        """Views of the host's blocks; arranged for inference where there is no gradient."""
        blocks = self._family.blocks(self.host)
        if not self.training and not torch.is_grad_enabled() and not torch.compiler.is_compiling():
            return self._for_inference(blocks)
        if self.attention_dropout is None:
            return blocks
        return tuple(replace(block, attention_dropout=self.attention_dropout) for block in blocks)

    def _for_inference(self, blocks: tuple[Block, ...]) -> tuple[Block, ...]:
        """The blocks arranged for inference: made once, and anew when a weight was changed or moved."""
        sources = [block.sources() for block in blocks]
        state = [
            (id(part), part.data_ptr(), part.dtype, 0 if part.is_inference() else part._version)
            for parts in sources
            for part in parts
        ]
        if self._arranged is None or self._arranged[0] != state:
            made: dict[tuple[int, ...], Block] = {}  # ALBERT's layers share theirs
            arranged = []
            for block, parts in zip(blocks, sources, strict=True):
                known = tuple(map(id, parts))
                if known not in made or not parts:
                    made[known] = block.for_inference()
                arranged.append(made[known])
            self._arranged = (state, tuple(arranged), sources)  # sources: as long as they live, no id comes twice
        return self._arranged[1]

    def __getstate__(self) -> dict[str, Any]:
        return {**super().__getstate__(), "_arranged": None}  # made again on the first call

    @abstractmethod
    def attention_half(self, j: int, block: Block, state: WordVectors) -> WordVectors:
        """Attention of layer j (0-based), and of its word-vectors what goes on to the feed-forward part."""

    def _start(
        self, input_ids: Tensor, attention_mask: Tensor | None, token_type_ids: Tensor | None, track: bool = False
    ) -> WordVectors:
        n = input_ids.shape[1]
        if not isinstance(n, torch.SymInt) and n > self.seq_len:
            raise ValueError(
                f"input_ids: {n} word-pieces exceed ℓ={self.seq_len} of this model; cut inputs with truncation=True, "
                f"max_length={self.seq_len}"
            )
        mask = _real_mask(attention_mask)
        positions = weights = None
        if track or self._tracks:
            positions = torch.arange(input_ids.shape[1], device=input_ids.device).expand(input_ids.shape)
        if self.elimination.merges:
            weights = torch.ones(input_ids.shape, device=input_ids.device) if mask is None else mask.float()
        sizes, longest = self._sizes(mask, input_ids.shape[1]) if self.elimination.relative else (None, None)
        return WordVectors(
            self._family.embed(self.host, input_ids, token_type_ids),
            mask,
            positions,
            shield_of(input_ids, self.elimination.protected_tokens),
            weights,
            sizes,
            longest,
        )

    @staticmethod
    def _sizes(mask: Tensor | None, n: int) -> tuple[Tensor | None, int]:
        """Word-vectors of each input, None if all have n; and the largest number of them."""
        if mask is None:
            return None, n
        sizes = mask.sum(dim=-1)
        fixed = torch.compiler.is_compiling() or isinstance(n, torch.SymInt)  # there n stands in for the longest
        return sizes, n if fixed else int(sizes.max())

    def _encode(self, state: WordVectors, trace: list[Tensor] | None = None) -> WordVectors:
        """All layers. A given `trace` receives the kept positions of each."""
        last = self.layers - 1 if self.ends_in_first and trace is None else None
        for j, block in enumerate(self.blocks()):
            state = attend_for_first(block, state, self.training) if j == last else self.attention_half(j, block, state)
            with part("feed-forward"):
                state = state._replace(vectors=block.feed_forward(state.vectors, self.training))
            if trace is not None:
                assert state.positions is not None
                trace.append(state.positions if state.mask is None else state.positions.masked_fill(~state.mask, -1))
        return state

    def forward(
        self,
        input_ids: Tensor,
        attention_mask: Tensor | None = None,
        token_type_ids: Tensor | None = None,
        labels: Tensor | None = None,
    ) -> SequenceClassifierOutput:
        """Logits (B, C), and the loss if labels are given.

        Inputs are (B, N), N ≤ ℓ, padded on the right; of a multiple-choice model (B, C, N), one text for each choice.

        Raises:
            ValueError: inputs longer than ℓ, or padded on the left.
        """
        flat = (_flat(given) for given in (input_ids, attention_mask, token_type_ids))
        with part("embed"):
            start = self._start(*flat)
        state = self._encode(start)
        with part("head"):
            logits = self._head(self.host, state.vectors, state.mask)
        first = state.vectors[:, 0] if self._gives_first else None
        if input_ids.dim() == 3:
            logits = logits.view(input_ids.shape[:2])
            first = None if first is None else first.unflatten(0, input_ids.shape[:2])
        loss = None if labels is None else classification_loss(logits, labels, self.config.problem_type)
        return SequenceClassifierOutput(loss=loss, logits=logits, hidden_states=None if first is None else (first,))

    @contextmanager
    def giving_first(self, give: bool = True) -> Iterator[None]:
        """Within it the outputs' `hidden_states` has one entry: the last [CLS] vectors, (B, D) or (B, C, D)."""
        before, self._gives_first = self._gives_first, give
        try:
            yield
        finally:
            self._gives_first = before

    @torch.no_grad()
    def kept_positions(
        self, input_ids: Tensor, attention_mask: Tensor | None = None, token_type_ids: Tensor | None = None
    ) -> list[Tensor]:
        """Positions in the input of the word-vectors that leave each layer.

        Returns:
            L tensors (B, K_j), ascending along the last dimension; padding is -1.
        """
        trace: list[Tensor] = []
        self._encode(self._start(input_ids, attention_mask, token_type_ids, track=True), trace)
        return trace


class ShortenedModel(EliminationModel):
    """Extract layers: layer j really drops all but the ℓ_j most significant word-vectors.

    Args:
        host: a classifier of a supported family.
        elimination: with a retention configuration, or thresholds.

    Raises:
        RetentionError: if the configuration does not fit the model or ℓ.
    """

    def __init__(self, host: PreTrainedModel, elimination: Elimination) -> None:
        super().__init__(host, elimination)
        self.elimination = elimination.checked(self.layers)

    @contextmanager
    def eliminating(self, elimination: Elimination) -> Iterator[None]:
        """Within it the model has another retention configuration, of the same kind and strategy."""
        before, self.elimination = self.elimination, elimination.checked(self.layers)
        try:
            yield
        finally:
            self.elimination = before

    def attention_half(self, j: int, block: Block, state: WordVectors) -> WordVectors:
        if self.elimination.keeps_all(j, state.vectors.shape[1]):
            return attend(block, state, self.training)
        return attend_and_extract(block, state, self.elimination, j, self._priority, self.training)
