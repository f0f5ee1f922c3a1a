"""A shortened model, run by the native engine.

Legend: T rows, B inputs, N word-vectors of the longest, D hidden, A numbers of all heads together.
"""

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence
from transformers.modeling_outputs import SequenceClassifierOutput

from ..encoder.arranged import Norm
from ..encoder.family import WORDS
from ..encoder.inputs import flat, input_of, real_mask
from ..encoder.plan import Step, steps
from ..encoder.restoring import Restoring
from ..encoder.shortened import ShortenedModel
from ..method.elimination import ByPosition
from .kernels import ByRow, Scale, activate, add_norm, attend
from .layers import layers_of
from .library import library
from .products import ByteProduct, RowProduct

PRODUCTS = ("qkv", "output", "up", "down")
_ROUNDED = 32  # rows of a product: oneDNN makes a primitive for each shape, and remembers only so many


class NativeModel:
    """Answers as the model does, in float32, bfloat16 or int8; called with the same tensors.

    It holds copies of the weights, arranged for its products: a model that changes afterwards needs another one.

    Attributes:
        scales: of what products take in int8, by layer and product.
        watch: hears, of each product, its layer, its name and what it is given of each word-vector.

    Args:
        model: in evaluation mode, on the CPU, in float32.
        dtype: float32 or bfloat16, of the rows.

    Raises:
        NotNative: the model is of a kind that it does not run; says which.
        NoLibrary: the kernels cannot be had.
    """

    def __init__(self, model: ShortenedModel, dtype: torch.dtype = torch.float32) -> None:
        self._layers = layers_of(model, dtype)
        library()
        self.model, self.config, self.seq_len = model, model.config, model.seq_len
        self.dtype = dtype
        self.scales: dict[tuple[int, str], Scale | ByRow] = {}
        self.watch: Callable[[int, str, Tensor], None] | None = None
        elimination = model.elimination
        ranking = elimination.ranking
        self._priority = ranking.priority.float() if isinstance(ranking, ByPosition) else None
        self._numbers = {"protected_": elimination.protected, "diagonal": int(getattr(ranking, "diagonal", True))}
        self._placed = self._priority is not None or any(layer.of.placed for layer in self._layers)

    def in_int8(self, scales: Mapping[tuple[int, str], Scale | ByRow]) -> None:
        """Has products take bytes.

        Args:
            scales: by layer and product, by row of `down` alone; products without one stay in float32.
        """
        self.scales, by_row = dict(scales), dict[int, RowProduct]()  # ALBERT's layers share theirs
        for j, layer in enumerate(self._layers):
            given = {name: scale for name in PRODUCTS if (scale := scales.get((j, name)))}
            quantised: dict[str, Any] = {}
            for name, scale in given.items():
                exact = getattr(layer, name)
                if isinstance(scale, Scale):
                    quantised[name] = ByteProduct(exact, scale)
                else:
                    quantised[name] = by_row.get(id(exact)) or by_row.setdefault(id(exact), RowProduct(exact))
            self._layers[j] = replace(layer, **quantised)

    def product(self, j: int, name: str) -> Any:
        """Of layer j (0-based) that of `PRODUCTS`."""
        return getattr(self._layers[j], name)

    @torch.inference_mode()
    def __call__(
        self,
        input_ids: Tensor | None = None,
        attention_mask: Tensor | None = None,
        token_type_ids: Tensor | None = None,
        **signal: Tensor | None,
    ) -> SequenceClassifierOutput:
        """Logits (B, C); see `EliminationModel.forward`."""
        given = input_of(self.model.takes, input_ids, signal)
        ids, mask, types = (flat(one) for one in (given, attention_mask, token_type_ids))
        table, mask = self.model.signalled(ids, mask)
        shape = ids.shape if table is None else table.shape[:2]
        self.model.check_length(shape[1])
        mask = real_mask(None if mask is None else mask.expand(shape))
        sizes = torch.full((shape[0],), shape[1]) if mask is None else mask.sum(dim=-1)
        plan = steps(self.model.elimination, sizes, len(self._layers), self.model.ends_in_first)
        shield = None
        if table is None:
            table, shield = self.model.embedded(ids, types), self.model.elimination.shield(ids)
        vectors = table.flatten(0, 1).to(self.dtype)
        places = torch.arange(shape[1], dtype=torch.int32).expand(shape) if self._placed else None
        real = None if mask is None else mask.flatten().nonzero().squeeze(1)

        def rows(table: Tensor | None) -> Tensor | None:
            if table is None:
                return None
            return table.flatten().contiguous() if real is None else table.flatten().index_select(0, real)

        about = {"positions": rows(places), "shield": None if shield is None else rows(shield.to(torch.uint8))}
        count = int(plan[0].starts[-1])
        x = _room(count, vectors.shape[1], vectors.dtype)
        if real is None:
            x[:count] = vectors
        else:
            torch.index_select(vectors, 0, real, out=x[:count])
        logits = self.model.logits_of(*self._read(*self._encode(x, plan, about)))
        if logits.dim() == 3 and self.model.takes == WORDS:
            logits = F.pad(logits, (0, 0, 0, shape[1] - logits.shape[1]))
        return SequenceClassifierOutput(logits=logits.view(given.shape[:2]) if given.dim() == 3 else logits)

    def _encode(self, x: Tensor, plan: list[Step], about: dict[str, Tensor | None]) -> tuple[Tensor, Tensor]:
        """What the head reads of, and where each input's rows begin there."""
        given, restoring = x, Restoring()
        if self._layers[0].of.leads and self._layers[0].of.norm1 is not None:
            given = self._normed(x, None, None, self._layers[0].of.norm1, None, self._layers[0].qkv)[1]
        elif self._layers[0].qkv.scale is not None:
            given = self._layers[0].qkv.scale.quantised(x.float())
        for j, (layer, step) in enumerate(zip(self._layers, plan, strict=True)):
            scale = layer.output.scale
            if step.first_only and "cos" not in layer.of.tables:
                rows, found = step.starts[:-1], layer.first_context(x.float(), step.starts, about["positions"])
                context = _room(len(rows), found.shape[1], x.dtype, scale)
                context[: len(rows)] = found if scale is None else scale.quantised(found)
            else:
                qkv = self._product(j, "qkv", given, int(step.starts[-1]))
                context = _room(int(step.kept[-1]), layer.of.heads * layer.of.size, x.dtype, scale)
                places = {"first_only": int(step.first_only), "span": layer.of.span, "window": layer.of.window}
                tables = {**about, **layer.of.tables, "priority": self._priority}
                numbers = {**self._numbers, **places}
                rows = attend(qkv, step.starts, step.kept, context, layer.of.size, tables, numbers, scale)
            if not step.whole:
                about = {name: _taken(one, rows) for name, one in about.items()}
                if self.model.reads == "all":
                    restoring = restoring.dropping(x[: int(step.starts[-1])], rows.long())
            count = int(step.kept[-1])
            attended = self._product(j, "output", context, count)
            if layer.of.leads:
                x, given = self._normed(attended, x, rows, layer.of.norm2, "sum", layer.up)
            else:
                x, given = self._normed(attended, x, rows, layer.of.norm1, "norm", layer.up)
            raised = self._product(j, "up", given, count)
            by_row = layer.down if isinstance(layer.down, RowProduct) else None
            active = torch.empty(len(raised), layer.of.neurons, dtype=torch.uint8 if by_row else x.dtype)
            ends = None if by_row is None else torch.empty(len(raised), 2)
            activate(raised, layer.of.activation, active, ends)
            down = self._product(j, "down", active, count)
            left = None if ends is None or by_row is None else (ends, by_row.sums, by_row.bias)
            following = self._layers[j + 1] if j + 1 < len(self._layers) else None
            norm = (following.of.norm1 if following else None) if layer.of.leads else layer.of.norm2
            keeps = "sum" if layer.of.leads else "norm"
            x, given = self._normed(down, x, None, norm, keeps, following.qkv if following else None, left)
        if self.model.reads == "all":
            return restoring.restored(x[: int(plan[-1].kept[-1])]), plan[0].starts
        return x, plan[-1].kept

    def _product(self, j: int, name: str, given: Tensor, count: int) -> Tensor:
        """count: of the rows that are word-vectors; the others fill up."""
        if self.watch is not None:
            self.watch(j, name, given[:count])
        return self.product(j, name)(given)

    def _normed(
        self,
        x: Tensor,
        residual: Tensor | None,
        at: Tensor | None,
        norm: Norm | None,
        keeps: str | None,
        to: Any,
        by_row: tuple[Tensor, Tensor, Tensor] | None = None,
    ) -> tuple[Tensor, Tensor]:
        """Of x, whose first rows have a residual at `at` (None: all have theirs), what goes on and what `to` is given.

        Args:
            keeps: whether the sum goes on or its norm; None for x as it is.
            to: the product that is given the norm, as it takes it; None for none.
            by_row: see `add_norm`.
        """
        count = len(x) if at is None else len(at)
        wanted = to is not None and norm is not None
        total = torch.empty_like(x) if keeps == "sum" else None
        as_bytes = wanted and to.scale is not None
        normed = torch.empty_like(x) if keeps == "norm" or (wanted and not as_bytes) else None
        octets = torch.empty(x.shape, dtype=torch.uint8) if as_bytes else None
        for one in (total, normed, octets):
            if one is not None:
                one[count:] = 0
        add_norm(x[:count], residual, at, norm, (total, normed, octets), to.scale if as_bytes else None, by_row)
        stays = {"sum": total, "norm": normed, None: x}[keeps]
        following = octets if as_bytes else normed if normed is not None else stays
        assert stays is not None and following is not None
        return stays, following

    def _read(self, x: Tensor, starts: Tensor) -> tuple[Tensor, Tensor | None]:
        """What the head reads: (B, K, D), and how far each word-vector counts (B, K)."""
        x = x.float()
        if self.model.reads_first:
            return x.index_select(0, starts[:-1]).unsqueeze(1), None
        counts = starts.diff()
        table = pad_sequence(list(x[: int(starts[-1])].split(counts.tolist())), batch_first=True)
        mask = torch.arange(table.shape[1]) < counts.unsqueeze(-1)
        return table, None if bool(mask.all()) else mask


def _room(rows: int, width: int, dtype: torch.dtype, scale: Scale | None = None) -> Tensor:
    """(at least so many rows, width); those beyond are zeros."""
    rounded = -(-rows // _ROUNDED) * _ROUNDED
    made = torch.empty(rounded, width, dtype=_type(dtype, scale))
    made[rows:] = 0
    return made


def _type(dtype: torch.dtype, scale: Scale | None) -> torch.dtype:
    return dtype if scale is None else torch.uint8


def _taken(values: Tensor | None, rows: Tensor) -> Tensor | None:
    return None if values is None else values.index_select(0, rows)
