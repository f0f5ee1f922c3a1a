"""A shortened model whose passes are recorded as CUDA graphs, one for each bucket of batches.

Legend: B inputs of a batch, N word-pieces of the longest, L layers.
"""

import threading
import time
from collections.abc import Callable, Iterable, Mapping
from contextlib import nullcontext
from typing import Any, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor
from transformers.modeling_outputs import SequenceClassifierOutput

from ..encoder.arranged import NotArranged
from ..encoder.driven import flat, real_mask
from ..encoder.families import counts_from_padding
from ..encoder.plan import bounds_of_layers
from ..encoder.shortened import ShortenedModel
from ..errors import PowerbertError, brings
from ..method.elimination import Elimination, plain, shield_of
from ..method.kernels import triton_kernels
from ..method.retention import Thresholds
from .buckets import Bucket, bucket_of
from .forward import Forward
from .given import Layout

GRAPHS = 64  # that are recorded; batches of further buckets are answered without one
_LONGEST = 2048  # word-vectors of an input, which a program ranks at once
_APART = 0.05  # of the largest logit, by which logits may differ from the encoder's, in half precision too
_MARGIN = 1.1  # of the largest share of rows that was seen to reach a layer of thresholds


class NotCaptured(PowerbertError):
    """A model that this engine does not run; says why."""


class WarmUp(NamedTuple):
    """
    Attributes:
        passes: that were recorded.
        seconds: that it took.
        megabytes: of the GPU's memory that it took.
    """

    passes: int
    seconds: float
    megabytes: float


class _Recorded(NamedTuple):
    """
    Attributes:
        layout: of `buffer`, which the pass reads.
        graph: None where the pass is computed anew each time; else it writes `logits` and `over`.
    """

    layout: Layout
    buffer: Tensor
    graph: Any = None
    logits: Tensor | None = None
    over: Tensor | None = None


class CapturedModel:
    """Answers as the model does, on its device and in its type; called with the same tensors, best on the CPU.

    On a GPU a pass is recorded the first time that a batch falls into its bucket, which takes seconds: `warm_up` does
    so beforehand. On a CPU passes are computed by plain operators, for tests. It holds copies of weights: a model that
    changes afterwards needs another one.

    Args:
        model: in evaluation mode, on the device and in the type that are to answer.
        flash: whether PyTorch's attention of variable length computes inputs of more than 128 word-vectors, and a
            kernel only sums; else kernels of powerbert's own do both.
        whole_below: a batch of fewer rows is answered with nothing eliminated, which gives other answers; 0 for none.

    Raises:
        NotCaptured: the model is of a kind that it does not run, or Triton is not installed; says which.
    """

    def __init__(self, model: ShortenedModel, flash: bool = True, whole_below: int = 0) -> None:
        try:
            self._forward = Forward(model, flash)
        except NotArranged as error:
            raise NotCaptured(str(error)) from error
        self.model, self.config, self.seq_len, self.whole_below = model, model.config, model.seq_len, whole_below
        self.device = self._forward.device
        self._check()
        self._everything = plain(model.seq_len, model.layers)
        self._padding = model.config.pad_token_id if counts_from_padding(model.config) else None
        self._shares: tuple[float, ...] | None = None
        self._recorded: dict[tuple[Bucket, bool], _Recorded] = {}
        self._pool: Any = None
        self._stream: Any = None
        self._lock = threading.Lock()  # passes share their buffers

    def _check(self) -> None:
        if self.seq_len > _LONGEST:
            raise NotCaptured(f"its inputs have up to {self.seq_len} word-vectors, more than {_LONGEST}")
        if self.device.type != "cuda":
            return
        kernels, size = triton_kernels(), self._forward.layers[0].size
        if kernels is None:
            raise NotCaptured(f"triton is not installed: {brings('gpu')}")
        if not kernels.serves(torch.empty(0, size, dtype=self._forward.dtype)):
            raise NotCaptured(f"its heads have {size} numbers in {self._forward.dtype}")

    @torch.inference_mode()
    def tried(self) -> "CapturedModel":
        """Itself, if it answers made-up inputs of several lengths as the encoder does.

        Raises:
            NotCaptured: it does not, or fails.
        """
        longest, vocabulary = self.seq_len, int(self.config.vocab_size)
        sizes = torch.tensor(
            [longest, -(-longest // 2), -(-longest // 3), *[min(longest, n) for n in (1, 2, 5, 9, 17)]]
        )
        ids = torch.randint(vocabulary, (len(sizes), longest), generator=torch.Generator().manual_seed(0))
        mask = (torch.arange(longest) < sizes.unsqueeze(1)).long()
        try:
            with self._on_device():
                found = self._logits(ids, mask.bool(), None).float()
        except Exception as error:  # of the compiler, the driver, a library
            said = str(error).strip().splitlines() or [type(error).__name__]
            raise NotCaptured(f"its pass fails on this device: {said[0]}") from error
        wanted = self._exact(ids, mask).float()
        # of most inputs: rounding can move a word-vector over the edge of what is kept, and answers with it
        if not bool((found - wanted).abs().amax(dim=1).median() <= _APART * (1 + wanted.abs().max())):
            raise NotCaptured("its pass answers otherwise than the encoder on this device")
        return self

    def _exact(self, ids: Tensor, mask: Tensor | None, types: Tensor | None = None) -> Tensor:
        """Logits of the encoder itself, without a graph."""
        given: list[Any] = [None if one is None else one.to(self.device) for one in (ids, mask, types)]
        found: Any = ShortenedModel.forward(self.model, *given).logits
        return found  # type: ignore[no-any-return]

    @torch.inference_mode()
    def __call__(
        self, input_ids: Tensor, attention_mask: Tensor | None = None, token_type_ids: Tensor | None = None
    ) -> SequenceClassifierOutput:
        """Logits (B, C) on the model's device, of (B, N), or (B, C, N) of a multiple choice; see `EliminationModel`.

        What is on the GPU is fetched first, for which the call waits. From there on nothing does, but for thresholds:
        of those it asks afterwards whether they kept more rows than there was room for.

        Raises:
            ValueError: inputs longer than ℓ, or padded on the left.
        """
        ids = flat(input_ids).cpu()
        mask, types = (None if one is None else flat(one).cpu() for one in (attention_mask, token_type_ids))
        self.model.check_length(ids)
        with self._on_device():
            logits = self._logits(ids, real_mask(None if mask is None else mask.expand(ids.shape)), types)
        return SequenceClassifierOutput(logits=logits.view(input_ids.shape[:2]) if input_ids.dim() == 3 else logits)

    def _on_device(self) -> Any:
        """Within it Triton launches where the model is, of several GPUs."""
        return torch.cuda.device(self.device) if self.device.type == "cuda" else nullcontext()

    def _logits(self, ids: Tensor, mask: Tensor | None, types: Tensor | None) -> Tensor:
        sizes = torch.full((len(ids),), ids.shape[1]) if mask is None else mask.sum(dim=-1)
        whole = int(sizes.sum()) < self.whole_below
        bucket, bounds = self._planned(sizes, whole)
        with self._lock:
            recorded = self._ready(bucket, whole)
            tables = self._tables(ids, types)
            pinned = self.device.type == "cuda"
            recorded.buffer.copy_(recorded.layout.filled(bounds, mask, tables, pinned), non_blocking=True)
            if recorded.graph is None:
                logits, over = self._pass(recorded.layout, recorded.buffer, whole)
            else:
                recorded.graph.replay()
                assert recorded.logits is not None
                logits, over = recorded.logits.clone(), recorded.over  # the next pass writes over them
            if over is None or not bool(over.any()):
                return logits[: len(ids)]
        return self._exact(ids, mask, types)

    def _planned(self, sizes: Tensor, whole: bool) -> tuple[Bucket, Tensor]:
        """The bucket of inputs of these sizes (B,), and where their rows begin in each layer, as far as it is known."""
        elimination, layers, ends = self._eliminates(whole), self.model.layers, self.model.ends_in_first
        if isinstance(elimination.retention, Thresholds):
            bounds = F.pad(sizes.cumsum(0), (1, 0)).int().unsqueeze(0)
        else:
            bounds = bounds_of_layers(elimination, sizes, layers, ends)
        return bucket_of(elimination, sizes, layers, ends, self._shares), bounds

    def _eliminates(self, whole: bool) -> Elimination:
        return self._everything if whole else self.model.elimination

    def _tables(self, ids: Tensor, types: Tensor | None) -> dict[str, Tensor | None]:
        places = torch.arange(ids.shape[1]).expand(ids.shape)
        positions = places
        if self._padding is not None:  # as RoBERTa and its relatives count
            counted = ids != self._padding
            positions = counted.cumsum(1) * counted + self._padding
        shield = shield_of(ids, self.model.elimination.protected_tokens)
        return {"ids": ids, "types": types, "positions": positions, "shield": shield, "at": places}

    def warm_up(self, batches: Iterable[Mapping[str, Any]]) -> WarmUp:
        """Records the passes that batches like these need, so that no answer waits for it.

        Thresholds also learn from them how many rows reach each layer; until then there is room for all.

        Args:
            batches: what the model is called with.
        """
        batches = list(batches)
        begun, held = time.perf_counter(), self._memory()
        if isinstance(self.model.elimination.retention, Thresholds):
            self._shares = self._seen_shares(batches)
            self._recorded.clear()
            self._pool = None  # it goes with the last graph
        before = len(self._recorded)
        for batch in batches:
            self(**batch)
        if self.device.type == "cuda":
            torch.cuda.synchronize(self.device)
        made = len(self._recorded) - before
        return WarmUp(made, time.perf_counter() - begun, (self._memory() - held) / 2**20)

    def rehearsal(self, sizes: Tensor) -> Callable[[], Tensor]:
        """The pass that inputs of these sizes (B,) would take, as it is recorded, over word-pieces that are all 0.

        Also for models on the device `meta`, whose tensors have no values, so that nothing in a pass can ask for one.
        """
        bucket, _ = self._planned(sizes, whole=False)
        made = self._ready(bucket, whole=False)
        return lambda: self._pass(made.layout, made.buffer, whole=False)[0]

    def _memory(self) -> int:
        return torch.cuda.memory_reserved(self.device) if self.device.type == "cuda" else 0

    @torch.inference_mode()
    def _seen_shares(self, batches: list[Mapping[str, Any]]) -> tuple[float, ...]:
        largest = [0.0] * (self.model.layers + 1)
        for batch in batches:
            given = {name: flat(one).to(self.device) for name, one in batch.items()}
            mask = given.get("attention_mask")
            begun = given["input_ids"].numel() if mask is None else int(mask.sum())
            own = [1.0, *(int((one >= 0).sum()) / begun for one in self.model.kept_positions(**given))]
            largest = [max(pair) for pair in zip(largest, own, strict=True)]
        return tuple(min(1.0, round(_MARGIN * share, 4)) for share in largest)

    def _ready(self, bucket: Bucket, whole: bool) -> _Recorded:
        found = self._recorded.get((bucket, whole))
        if found is None:
            elimination = self._eliminates(whole)
            steps = 1 if isinstance(elimination.retention, Thresholds) else self.model.layers + 1
            layout = Layout(bucket, steps, bool(elimination.protected_tokens), self._forward.placed)
            found = _Recorded(layout, torch.zeros(layout.size, dtype=torch.int32, device=self.device))
            if len(self._recorded) >= GRAPHS:
                return found
            if self.device.type == "cuda":
                found = self._record(found, whole)
            self._recorded[bucket, whole] = found
        return found

    def _record(self, made: _Recorded, whole: bool) -> _Recorded:
        """The same with a graph. All graphs share their memory: they run one after the other."""
        if self._pool is None:
            self._pool, self._stream = torch.cuda.graph_pool_handle(), torch.cuda.Stream(self.device)
        current = torch.cuda.current_stream(self.device)
        self._stream.wait_stream(current)
        with torch.cuda.stream(self._stream):  # kernels are compiled, and libraries choose theirs, before the recording
            for _ in range(2):
                self._pass(made.layout, made.buffer, whole)
        current.wait_stream(self._stream)
        graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(graph, pool=self._pool, stream=self._stream):
            logits, over = self._pass(made.layout, made.buffer, whole)
        return made._replace(graph=graph, logits=logits, over=over)

    def _pass(self, layout: Layout, buffer: Tensor, whole: bool) -> tuple[Tensor, Tensor | None]:
        return self._forward(layout.views(buffer), layout.bucket, self._eliminates(whole))
