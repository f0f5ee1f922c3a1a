"""The encoder that drives a Hugging Face classifier's own blocks, whatever is done to its word-vectors."""

from abc import ABC, abstractmethod
from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor
from transformers import PreTrainedModel
from transformers.modeling_outputs import SequenceClassifierOutput

from ..method.elimination import ByAttention, ByPosition, Elimination
from .attention import attend, attend_for_first
from .beginning import begin
from .block import Block
from .families import family_of, head_of
from .family import WORDS
from .hosted import HostedModel
from .inputs import flat, input_of
from .packing import Group
from .parts import part
from .restoring import Restoring
from .rows import Rows
from .views import Views


class EliminationModel(HostedModel, ABC):
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
        torch.nn.Module.__init__(self)
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
        input_ids: Tensor | None = None,
        attention_mask: Tensor | None = None,
        token_type_ids: Tensor | None = None,
        track: bool = False,
        **signal: Tensor | None,
    ) -> Rows:
        """The embedded word-vectors of word-pieces (B, N), pictures or sound as rows."""
        given = input_of(self.takes, input_ids, signal)
        table, attention_mask = self.signalled(given, attention_mask)
        shape = given.shape if table is None else table.shape[:2]
        self.check_length(shape[1])
        begun = begin(shape, given.device, attention_mask, self.heads, self.elimination.pad_queries)
        shield = None
        if table is None:
            ids = begun.cut(given)
            assert ids is not None
            table, shield = self.embedded(ids, begun.cut(token_type_ids)), self.elimination.shield(ids)
        else:
            table = begun.cut(table)
        vectors, shield = begun.rows(table), begun.rows(shield)
        assert table is not None and vectors is not None
        positions = None
        if track or self._tracks:
            positions = begun.rows(torch.arange(table.shape[1], device=given.device).expand(table.shape[:2]))
        restoring = Restoring(packing=begun.packing) if self.reads == "all" else None
        return Rows(vectors, begun.packing, positions, shield, restoring=restoring)

    def answered(self, rows: Rows, first: int = 0, seen: Callable[[Rows], None] | None = None) -> Tensor:
        """Logits of what enters layer `first` (0-based), as `start` gives it for layer 0; of one text for each input.

        Args:
            seen: is given what leaves each layer.
        """
        return self._logits(self._encode(rows, seen, first=first))

    def _encode(
        self, rows: Rows, seen: Callable[[Rows], None] | None = None, whole: bool = False, first: int = 0
    ) -> Rows:
        """All layers from `first` on.

        Args:
            seen: is given what leaves each.
            whole: the last layer answers for all that it keeps, also where that is not needed.
        """
        last = self.layers - 1 if self.ends_in_first and not whole else None
        for j, block in enumerate(self.blocks()[first:], first):
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
        input_ids: Tensor | None = None,
        attention_mask: Tensor | None = None,
        token_type_ids: Tensor | None = None,
        labels: Tensor | None = None,
        output_hidden_states: bool | None = None,
        **signal: Tensor | None,
    ) -> SequenceClassifierOutput:
        """Logits (B, C), or of a head that reads all (B, N, C), and the loss if labels are given.

        Inputs are (B, N), N ≤ ℓ, padded on the right; of a multiple-choice model (B, C, N), one text for each choice;
        pictures are pixel_values (B, channels, height, width), sound is input_values (B, samples).
        Labels of tags are (B, N), -100 where there is none, those of an answer's start and end
        (B, 2). What stands at padding has no meaning.

        Args:
            output_hidden_states: also the L + 1 hidden states, of the embeddings and of each layer, (B, K, D) with
                what is left there, padded to the largest K; of the last layer [CLS] alone if `ends_in_first`.
            signal: pixel_values or input_values.

        Raises:
            ValueError: inputs longer than ℓ, padded on the left, or of another kind than the model's.
        """
        states: list[Tensor] = []
        given = input_of(self.takes, input_ids, signal)

        def see(rows: Rows) -> None:
            states.append(rows.packing.whole(rows.vectors)[0])

        with part("embed"):
            start = self.start(*(flat(one) for one in (given, attention_mask, token_type_ids)))
        if output_hidden_states:
            see(start)
        rows = self._encode(start, see if output_hidden_states else None)
        with part("head"):
            logits = self._logits(rows)
        if self.reads == "all" and logits.dim() == 3 and self.takes == WORDS:  # padded to the longest so far
            logits = F.pad(logits, (0, 0, 0, given.shape[1] - logits.shape[1]))
        if given.dim() == 3:
            logits = logits.view(given.shape[:2])
        loss = None if labels is None else self.head.loss(logits, labels, self.config)
        hidden = tuple(states) if output_hidden_states else None
        return SequenceClassifierOutput(loss=loss, logits=logits, hidden_states=hidden)

    @torch.no_grad()
    def restored(
        self,
        input_ids: Tensor | None = None,
        attention_mask: Tensor | None = None,
        token_type_ids: Tensor | None = None,
        **signal: Tensor | None,
    ) -> tuple[Tensor, Tensor | None, Tensor]:
        """What a head that reads all is given: the last state of each word-vector.

        Returns:
            States (B, N, D), which of them are no padding (B, N) or None for all, and how many layers each left,
            (B, N), 0 … L.
        """
        left: list[Tensor] = []

        def see(rows: Rows) -> None:
            left.append(_positions(rows))

        rows = self._encode(self.start(input_ids, attention_mask, token_type_ids, True, **signal), see)
        states, mask = self._whole(rows)
        count = torch.zeros(states.shape[:2], dtype=torch.long, device=states.device)
        for positions in left:
            count.scatter_add_(1, positions.clamp(min=0), (positions >= 0).long())
        return states, mask, count

    @torch.no_grad()
    def kept_positions(
        self,
        input_ids: Tensor | None = None,
        attention_mask: Tensor | None = None,
        token_type_ids: Tensor | None = None,
        **signal: Tensor | None,
    ) -> list[Tensor]:
        """Positions in the input of the word-vectors that leave each layer.

        Returns:
            L tensors (B, K_j), ascending along the last dimension; padding is -1.
        """
        trace: list[Tensor] = []

        def see(rows: Rows) -> None:
            trace.append(_positions(rows))

        self._encode(self.start(input_ids, attention_mask, token_type_ids, True, **signal), see, whole=True)
        return trace


def _positions(rows: Rows) -> Tensor:
    """Positions in the input of the word-vectors that are left, (B, K); padding is -1."""
    assert rows.positions is not None
    positions, mask = rows.packing.whole(rows.positions)
    return positions if mask is None else positions.masked_fill(~mask, -1)
