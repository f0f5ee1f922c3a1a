"""How much a configuration harms, by unlabelled examples."""

from collections.abc import Sequence
from typing import Any, Protocol

import torch
from torch import Tensor

from ..encoder.block import Block
from ..encoder.driven import EliminationModel
from ..encoder.families import counted_in, known_problem
from ..encoder.inputs import main_input
from ..encoder.packing import Group
from ..encoder.rows import Rows
from ..encoder.shortened import ShortenedModel
from ..method.elimination import Elimination
from ..method.selection import significance_order
from ..training.classifier import distillation_loss
from ..training.diverged import check_finite
from ..training.trainer import autocast
from .lens import Lens
from .passes import Passes

Batches = Sequence[dict[str, Tensor]]


class Judge(Protocol):
    """Says how much a configuration harms.

    Attributes:
        calls: configurations that were judged.
    """

    calls: int

    def __call__(self, elimination: Elimination) -> float: ...


class LogitsJudge:
    """How far the logits move from the plain model's: Kullback-Leibler divergence of the classes, a mean over inputs.

    Args:
        model: a fine-tuned classifier.
        batches: inputs on its device.
        precision: of the passes.
        others: further inputs, for a model whose head reads all: see `Lens`.
        alike: one configuration begins as the one before it, as in a greedy search: see `Passes`.
    """

    def __init__(
        self, model: ShortenedModel, batches: Batches, precision: str, others: Batches = (), alike: bool = False
    ) -> None:
        self.model, self.batches, self.precision = model.eval(), batches, precision
        self._lens = Lens(model, others) if model.reads == "all" and others else None
        one_text = all(main_input(batch).dim() != 3 for batch in batches)
        self._passes: Passes | None = None
        if alike and model.reads != "all" and one_text:
            with torch.no_grad(), autocast(precision, next(model.parameters()).device):
                self._passes = Passes(model, batches)
        self.calls = 0
        self._wanted = list(self._logits(model.elimination.keeping_all()))
        for logits in self._wanted:  # of answers as wide as their batch
            check_finite(logits.cpu(), "the plain model's logits", "its weights are damaged")

    def __call__(self, elimination: Elimination) -> float:
        self.calls += 1
        problem, total, count = known_problem(self.model.config), 0.0, 0
        for logits, wanted in zip(self._logits(elimination), self._wanted, strict=True):
            total += float(distillation_loss(logits, wanted, 1.0, problem)) * len(logits)
            count += len(logits)
        return total / count

    @torch.no_grad()
    def _logits(self, elimination: Elimination) -> list[Tensor]:
        device = next(self.model.parameters()).device
        with autocast(self.precision, device):
            if self._passes is not None:
                return [logits.float() for logits in self._passes.logits(elimination)]
            with self.model.eliminating(elimination):
                return [self._choices(batch) for batch in self.batches]

    def _choices(self, batch: dict[str, Tensor]) -> Tensor:
        logits = self.model(**batch).logits.float() if self._lens is None else self._lens.logits(batch)
        return self.model.head.choices(logits, counted_in(self.model.config, batch, logits.shape[1]))


class SignificanceJudge:
    """How much significance is dropped: the share of each layer's, added up over the layers.

    Significance is that of the plain model, from one pass.

    Args: as of `LogitsJudge`.
    """

    def __init__(self, model: ShortenedModel, batches: Batches, precision: str) -> None:
        self.calls = 0
        observer = _Observer(model.host, model.elimination.keeping_all())
        observer.eval()
        device = next(model.parameters()).device
        with torch.no_grad(), autocast(precision, device):
            for batch in batches:
                observer(**batch)
        self._seen = observer.seen

    def __call__(self, elimination: Elimination) -> float:
        self.calls += 1
        dropped, inputs = 0.0, 0
        for j, cumulated, sizes in self._seen:
            kept = torch.tensor([elimination.kept(n)[j] for n in sizes])
            dropped += float((1 - cumulated.gather(1, kept.unsqueeze(-1) - 1)).sum())
            inputs += len(sizes) if j == 0 else 0
        return dropped / inputs


class _Observer(EliminationModel):
    """The plain model; writes down the significance that each layer's most significant word-vectors have together.

    Attributes:
        seen: for each layer (0-based) and group of inputs the shares (b, n) of the first k + 1 by rank, and the
            inputs' sizes.
    """

    def __init__(self, host: Any, elimination: Elimination) -> None:
        super().__init__(host, elimination)
        self.ends_in_first = False
        self.seen: list[tuple[int, Tensor, list[int]]] = []

    def attention_half(self, j: int, block: Block, rows: Rows) -> Rows:
        def see(group: Group, scores: Tensor) -> Tensor:
            shield = rows.table(group, rows.shield)
            order = significance_order(scores, group.mask, self.elimination.protected, shield)
            scores = scores if group.mask is None else scores.masked_fill(~group.mask, 0.0)
            by_rank = scores.gather(1, order).clamp(min=0)
            shares = by_rank.cumsum(dim=-1) / by_rank.sum(dim=-1, keepdim=True)
            self.seen.append((j, shares.cpu(), rows.packing.sizes.now[group.inputs].tolist()))
            return scores

        return self.attend_and_score(block, rows, see)[0]
