"""The encoder that drives a Hugging Face classifier's own blocks, whatever is done to its word-vectors."""

from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import Self

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from transformers import PreTrainedModel
from transformers.modeling_outputs import SequenceClassifierOutput

from ..method.elimination import ByAttention, ByPosition, Elimination, Sizes
from .attention import attend, attend_for_first
from .block import Block
from .families import family_of, head_of
from .inputs import flat, real_mask
from .packing import Group, Packing, packed, padded, sent
from .parts import part
from .restoring import Restoring
from .rows import Rows
from .views import Views


class EliminationModel(nn.Module, ABC):
    """A classifier whose encoder eliminates, or softly scales, word-vectors.

    The host keeps its own modules and state-dict keys; this module only runs them in its own
    loop. Subclasses say what happens in the attention half of each block.

    Attributes:
        head: how it answers, and what its logits say.
        reads: what the head reads: the `first` word-vector, [CLS]; the `mean` of those that are left; or `all`.
        reads_first: it is the first.
        ends_in_first: the last layer answers for [CLS] only, as the head reads nothing else (exact).
        attention_dropout: in training, in place of the host's own; None for that.
    """

    _priority: Tensor | None

    def __init__(self, host: PreTrainedModel, elimination: Elimination) -> None:
        nn.Module.__init__(self)
        self.host = host
        self.config = host.config
        self.elimination = elimination
        self.attention_dropout: float | None = None
        self._family = family_of(host)
        self._views = Views(host, self._family.blocks)
        head = head_of(host)
        self.head, self.reads = head, head.reads(host.config)
        if self.reads == "all" and head.averages and elimination.merges:
            self.reads = "mean"
        self.reads_first = self.reads == "first"
        # In the last layer the others are then not needed: merging puts none of them into [CLS].
        self.ends_in_first = self.reads_first and elimination.protected > 0
        priority = elimination.ranking.priority if isinstance(elimination.ranking, ByPosition) else None
        self.register_buffer("_priority", priority, persistent=False)
        blocks = self.blocks()
        self.layers, self.heads = len(blocks), blocks[0].heads
        self._tracks = elimination.chosen_beforehand or any(block.positional for block in blocks)

    @property
    def seq_len(self) -> int:
        return self.elimination.seq_len

    def views(self) -> tuple[Block, ...]:
        """Of the host's blocks, as they are."""
        return self._views.blocks()

    def check_length(self, input_ids: Tensor) -> None:
        """
        Raises:
            ValueError: inputs longer than ℓ.
        """
        n = input_ids.shape[1]
        if not isinstance(n, torch.SymInt) and n > self.seq_len:
            raise ValueError(
                f"input_ids: {n} word-pieces exceed ℓ={self.seq_len} of this model; cut inputs with truncation=True, "
                f"max_length={self.seq_len}, or load the tokenizer with model_max_length={self.seq_len}"
            )

    def embedded(self, input_ids: Tensor, token_type_ids: Tensor | None, position_ids: Tensor | None = None) -> Tensor:
        """(B, N) → (B, N, D).

        Args:
            position_ids: rows of the position embeddings; None for those of inputs that begin at the first place.
        """
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

    @abstractmethod
    def attention_half(self, j: int, block: Block, rows: Rows) -> Rows:
        """Attention of layer j (0-based), and of its word-vectors what goes on to the feed-forward part."""

    @property
    def _ranking(self) -> ByAttention:
        """What `attend` scores; of positions it scores nothing."""
        ranking = self.elimination.ranking
        return ranking if isinstance(ranking, ByAttention) else ByAttention()

    def _dropout(self, block: Block) -> float:
        if not self.training:
            return 0.0
        return block.attention_dropout if self.attention_dropout is None else self.attention_dropout

    def attend_and_score(
        self, block: Block, rows: Rows, of_group: Callable[[Group, Tensor], Tensor]
    ) -> tuple[Rows, Tensor]:
        """Self-attention that keeps all, and what `of_group` makes of each group's scores (b, n), by rows (T,)."""
        found = []

        def see(group: Group, scores: Callable[[], Tensor]) -> None:
            own = self._by_position(rows, group) if self.elimination.chosen_beforehand else scores()
            found.append(of_group(group, own).flatten())

        after = attend(block, rows, see, self._ranking, self._dropout(block), self.training)
        return after, rows.packing.unpad(torch.cat(found))

    def _by_position(self, rows: Rows, group: Group) -> Tensor:
        """Scores of Head-WS and Rand-WS, (b, n) float32."""
        positions = rows.table(group, rows.positions)
        assert self._priority is not None and positions is not None
        return self._priority[positions].float()

    def start(
        self,
        input_ids: Tensor,
        attention_mask: Tensor | None = None,
        token_type_ids: Tensor | None = None,
        track: bool = False,
    ) -> Rows:
        """The embedded word-vectors as rows."""
        self.check_length(input_ids)
        n, device, compiling = input_ids.shape[1], input_ids.device, torch.compiler.is_compiling()
        # a traced graph is told that both have one shape
        mask = None if attention_mask is None else attention_mask.expand(input_ids.shape)
        # the one wait for a GPU: all that follows from lengths is worked out on the CPU
        mask = real_mask(mask if mask is None or compiling else mask.cpu())
        padding_counts = self.elimination.pad_queries and mask is not None
        if compiling or padding_counts:
            mask = None if mask is None else mask.to(device)
            inputs = input_ids.shape[0]
            sizes = torch.full((inputs,), n, device=device) if mask is None else mask.sum(dim=-1)
            packs = torch.compiler.is_exporting() and not padding_counts
            packing = padded(mask, n, Sizes(sizes, sizes, bound=n), self.heads, packs)
        else:
            packing, longest = self._packed(input_ids, mask)
            if mask is not None:
                order = packing.order
                taken = slice(None) if order is None else sent(order, device)
                input_ids = input_ids[taken, :longest]
                mask = mask[slice(None) if order is None else order, :longest]
                token_type_ids = None if token_type_ids is None else token_type_ids[taken, :longest]
        vectors = self.embedded(input_ids, token_type_ids)
        positions = None
        if track or self._tracks:
            positions = torch.arange(input_ids.shape[1], device=input_ids.device).expand(input_ids.shape)
        shield = self.elimination.shield(input_ids)
        real = None
        if mask is not None and not packing.padding_is_rows:
            real = mask.flatten().nonzero().squeeze(1).to(device, non_blocking=True)

        def rows(table: Tensor) -> Tensor:
            return table.flatten(0, 1) if real is None else table.flatten(0, 1).index_select(0, real)

        positions, shield = (None if one is None else rows(one) for one in (positions, shield))
        restoring = Restoring(packing=packing) if self.reads == "all" else None
        return Rows(rows(vectors), packing, positions, shield, restoring=restoring)

    def _packed(self, input_ids: Tensor, mask: Tensor | None) -> tuple[Packing, int]:
        """The packing of inputs (B, N), of which the mask is on the CPU, and the longest one's word-pieces."""
        inputs, n = input_ids.shape
        sizes = torch.full((inputs,), n) if mask is None else mask.sum(dim=-1)
        order: Tensor | None = None
        if bool((sizes[1:] > sizes[:-1]).any()):
            order = sizes.argsort(descending=True, stable=True)
            sizes = sizes[order]
        longest = n if mask is None else int(mask.any(dim=0).nonzero().max()) + 1
        return packed(Sizes(sizes, sizes), order, self.heads, input_ids.device), longest

    def _encode(self, rows: Rows, seen: Callable[[Rows], None] | None = None, whole: bool = False) -> Rows:
        """All layers.

        Args:
            seen: is given what leaves each.
            whole: the last layer answers for all that it keeps, also where that is not needed.
        """
        last = self.layers - 1 if self.ends_in_first and not whole else None
        for j, block in enumerate(self.blocks()):
            if j == last:
                rows = attend_for_first(block, rows, self._dropout(block), self.training)
            else:
                rows = self.attention_half(j, block, rows)
            with part("feed-forward"):
                rows = rows._replace(vectors=block.feed_forward(rows.vectors, self.training))
            if rows.shares is not None and rows.restoring is not None:
                rows = rows._replace(restoring=rows.restoring.mixed(rows.vectors, rows.shares))
            if seen is not None:
                seen(rows)
        return rows

    def _whole(self, rows: Rows) -> tuple[Tensor, Tensor | None]:
        """What a head is given that reads more than [CLS]: (B, K, D), and how far each word-vector counts (B, K)."""
        if rows.restoring is None:
            vectors, mask = rows.packing.whole(rows.vectors)
            if rows.weights is None or not self.head.averages:
                return vectors, mask
            counts = rows.packing.whole(rows.weights.to(vectors.dtype))[0]
            return vectors, counts if mask is None else counts * mask
        assert rows.restoring.packing is not None
        return rows.restoring.packing.whole(rows.restoring.restored(rows.vectors))

    def _logits(self, rows: Rows) -> Tensor:
        packing = rows.packing
        if not self.reads_first:
            return self.logits_of(*self._whole(rows))
        starts, _ = packing.bounds(rows.vectors.device)
        first = packing.in_batch_order(rows.vectors.index_select(0, starts[:-1]))
        return self.logits_of(first.unsqueeze(1), None)

    def forward(
        self,
        input_ids: Tensor,
        attention_mask: Tensor | None = None,
        token_type_ids: Tensor | None = None,
        labels: Tensor | None = None,
        output_hidden_states: bool | None = None,
    ) -> SequenceClassifierOutput:
        """Logits (B, C), or of a head that reads all (B, N, C), and the loss if labels are given.

        Inputs are (B, N), N ≤ ℓ, padded on the right; of a multiple-choice model (B, C, N), one text for each choice.
        Labels of tags are (B, N), -100 where there is none, those of an answer's start and end
        (B, 2). What stands at padding has no meaning.

        Args:
            output_hidden_states: also the L + 1 hidden states, of the embeddings and of each layer, (B, K, D) with
                what is left there, padded to the largest K; of the last layer [CLS] alone if `ends_in_first`.

        Raises:
            ValueError: inputs longer than ℓ, or padded on the left.
        """
        states: list[Tensor] = []

        def see(rows: Rows) -> None:
            states.append(rows.packing.whole(rows.vectors)[0])

        with part("embed"):
            start = self.start(*(flat(given) for given in (input_ids, attention_mask, token_type_ids)))
        if output_hidden_states:
            see(start)
        rows = self._encode(start, see if output_hidden_states else None)
        with part("head"):
            logits = self._logits(rows)
        if self.reads == "all" and logits.dim() == 3:  # padded to the longest so far
            logits = F.pad(logits, (0, 0, 0, input_ids.shape[1] - logits.shape[1]))
        if input_ids.dim() == 3:
            logits = logits.view(input_ids.shape[:2])
        loss = None if labels is None else self.head.loss(logits, labels, self.config.problem_type)
        hidden = tuple(states) if output_hidden_states else None
        return SequenceClassifierOutput(loss=loss, logits=logits, hidden_states=hidden)

    @torch.no_grad()
    def restored(
        self, input_ids: Tensor, attention_mask: Tensor | None = None, token_type_ids: Tensor | None = None
    ) -> tuple[Tensor, Tensor | None, Tensor]:
        """What a head that reads all is given: the last state of each word-vector.

        Returns:
            States (B, N, D), which of them are no padding (B, N) or None for all, and how many layers each left,
            (B, N), 0 … L.
        """
        left: list[Tensor] = []

        def see(rows: Rows) -> None:
            left.append(_positions(rows))

        rows = self._encode(self.start(input_ids, attention_mask, token_type_ids, track=True), see)
        states, mask = self._whole(rows)
        count = torch.zeros(states.shape[:2], dtype=torch.long, device=states.device)
        for positions in left:
            count.scatter_add_(1, positions.clamp(min=0), (positions >= 0).long())
        return states, mask, count

    @torch.no_grad()
    def kept_positions(
        self, input_ids: Tensor, attention_mask: Tensor | None = None, token_type_ids: Tensor | None = None
    ) -> list[Tensor]:
        """Positions in the input of the word-vectors that leave each layer.

        Returns:
            L tensors (B, K_j), ascending along the last dimension; padding is -1.
        """
        trace: list[Tensor] = []

        def see(rows: Rows) -> None:
            trace.append(_positions(rows))

        self._encode(self.start(input_ids, attention_mask, token_type_ids, track=True), see, whole=True)
        return trace


def _positions(rows: Rows) -> Tensor:
    """Positions in the input of the word-vectors that are left, (B, K); padding is -1."""
    assert rows.positions is not None
    positions, mask = rows.packing.whole(rows.positions)
    return positions if mask is None else positions.masked_fill(~mask, -1)
