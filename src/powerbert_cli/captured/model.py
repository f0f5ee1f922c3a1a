"""A shortened model whose passes are recorded as CUDA graphs, one for each bucket of batches.

Legend: B inputs of a batch, N word-pieces of the longest, L layers.
"""

import threading
import time
from collections.abc import Callable, Iterable, Mapping
from contextlib import ExitStack, nullcontext
from typing import Any, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor
from transformers.modeling_outputs import SequenceClassifierOutput

from ..encoder.arranged import NotArranged
from ..encoder.families import counted_from
from ..encoder.family import WORDS
from ..encoder.inputs import flat, real_mask
from ..encoder.plan import bounds_of_layers
from ..encoder.shortened import ShortenedModel
from ..errors import PowerbertError, brings
from ..method.elimination import Elimination, plain
from ..method.kernels import triton_kernels
from ..method.retention import Thresholds
from .buckets import Bucket, bucket_of
from .forward import Forward
from .recordings import Recordings

_LONGEST = 2048  # word-vectors of an input, which a program ranks at once
_HEADS = (16, 32, 64, 128)  # sizes that the kernels hold in registers, in half precision
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


class CapturedModel:
    """Answers as the model does, on its device and in its type; called with the same tensors, best on the CPU.

    On a GPU a pass is recorded the first time that a batch falls into its bucket; `warm_up` does so beforehand, so that
    no answer waits for it. On a CPU passes are computed by plain operators, for tests. A model whose weights change
    afterwards needs another one.

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
        self._padding = counted_from(model.config)
        self._shares: tuple[float, ...] | None = None
        self._passes = Recordings(self._forward)
        self._lock = threading.Lock()  # passes share their buffers

    def _check(self) -> None:
        if self.model.training:
            raise NotCaptured("it is in training mode; call its eval() first")
        if self.model.takes != WORDS:
            raise NotCaptured(f"its passes take word-pieces, the model {self.model.takes}")
        retention, layers = self.model.elimination.retention, self._forward.layers
        if self.seq_len > _LONGEST and any(retention.drops(j, self.seq_len) for j in range(len(layers))):
            raise NotCaptured(f"its inputs have up to {self.seq_len} word-vectors, more than {_LONGEST}")
        if self.device.type != "cuda":
            return
        if triton_kernels() is None:
            raise NotCaptured(f"triton is not installed: {brings('gpu')}")
        size, dtype = layers[0].size, self._forward.dtype
        if size not in _HEADS or dtype not in (torch.bfloat16, torch.float16):
            raise NotCaptured(f"its heads have {size} numbers in {dtype}, its kernels take {_HEADS} in half precision")

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
        self.model.check_length(ids.shape[1])
        mask = real_mask(None if mask is None else mask.expand(ids.shape))
        logits = self.logits(ids, mask, None if types is None else types.expand(ids.shape))
        return SequenceClassifierOutput(logits=logits.view(input_ids.shape[:2]) if input_ids.dim() == 3 else logits)

    def _on_device(self) -> Any:
        """Within it Triton launches where the model is, of several GPUs, and nothing is cast by itself."""
        stack = ExitStack()
        if self.device.type == "cuda":
            stack.enter_context(torch.cuda.device(self.device))
        stack.enter_context(torch.autocast(self.device.type, enabled=False))
        return stack

    @torch.inference_mode()
    def logits(self, ids: Tensor, mask: Tensor | None, types: Tensor | None = None, whole: bool = False) -> Tensor:
        """Of (B, N) on the CPU, (B, C) on the model's device.

        Args:
            mask: bool, True for real word-pieces.
            whole: nothing is eliminated.
        """
        sizes = torch.full((len(ids),), ids.shape[1]) if mask is None else mask.sum(dim=-1)
        whole = whole or int(sizes.sum()) < self.whole_below
        elimination = self._everything if whole else self.model.elimination
        bucket, bounds = self._planned(sizes, elimination)
        with self._lock, self._on_device():
            recorded = self._passes.ready(bucket, elimination)
            words = recorded.layout.filled(bounds, mask, self._tables(ids, types), pinned=self.device.type == "cuda")
            logits, over = self._passes.answer(recorded, words)
            if over is None or not bool(over.any()):
                logits = logits[: len(ids)]
                if logits.dim() < 3:
                    return logits
                return F.pad(logits, (0, 0, 0, max(0, ids.shape[1] - logits.shape[1])))[:, : ids.shape[1]]
        return self.exact(ids, mask, types)

    @torch.inference_mode()
    def exact(self, ids: Tensor, mask: Tensor | None, types: Tensor | None = None, whole: bool = False) -> Tensor:
        """Logits of the encoder itself, without a graph; see `logits`."""
        given: list[Any] = [None if one is None else one.to(self.device) for one in (ids, mask, types)]
        with self._on_device(), self.model.eliminating(self._everything) if whole else nullcontext():
            found: Any = ShortenedModel.forward(self.model, *given).logits
        return found  # type: ignore[no-any-return]

    def _planned(self, sizes: Tensor, elimination: Elimination) -> tuple[Bucket, Tensor]:
        """The bucket of inputs of these sizes (B,), and where their rows begin in each layer, as far as it is known."""
        layers, ends = self.model.layers, self.model.ends_in_first
        if isinstance(elimination.retention, Thresholds):
            bounds = F.pad(sizes.cumsum(0), (1, 0)).int().unsqueeze(0)
        else:
            bounds = bounds_of_layers(elimination, sizes, layers, ends)
        return bucket_of(elimination, sizes, layers, ends, self._shares), bounds

    @property
    def failure(self) -> str | None:
        """Why a pass could not be recorded, so that it is computed without a graph; None if all were."""
        return self._passes.failure

    def _tables(self, ids: Tensor, types: Tensor | None) -> dict[str, Tensor | None]:
        places = torch.arange(ids.shape[1]).expand(ids.shape)
        positions = places
        if self._padding is not None:  # as RoBERTa and its relatives count
            counted = ids != self._padding
            positions = counted.cumsum(1) * counted + self._padding
        shield = self.model.elimination.shield(ids)
        return {"ids": ids, "types": types, "positions": positions, "shield": shield, "at": places}

    def warm_up(self, batches: Iterable[Mapping[str, Any]]) -> WarmUp:
        """Records the passes that batches like these need, so that no answer waits for it.

        Thresholds also learn from them how many rows reach each layer; until then there is room for all.

        Args:
            batches: what the model is called with.
        """
        batches = list(batches)
        begun, held = time.perf_counter(), self._memory()
        if batches and isinstance(self.model.elimination.retention, Thresholds):
            self._shares = self._seen_shares(batches)
            self._passes.clear()
        before = len(self._passes)
        for batch in batches:
            self(**batch)
        if self.device.type == "cuda":
            torch.cuda.synchronize(self.device)
        made = len(self._passes) - before
        return WarmUp(made, time.perf_counter() - begun, (self._memory() - held) / 2**20)

    def rehearsal(self, sizes: Tensor) -> Callable[[], Tensor]:
        """The pass that inputs of these sizes (B,) would take, as it is recorded, over word-pieces that are all 0.

        Also for models on the device `meta`, whose tensors have no values, so that nothing in a pass can ask for one.
        """
        elimination = self.model.elimination
        bucket, _ = self._planned(sizes, elimination)
        made = self._passes.ready(bucket, elimination)
        return lambda: self._passes.compute(made)[0]

    def _memory(self) -> int:
        return torch.cuda.memory_reserved(self.device) if self.device.type == "cuda" else 0

    @torch.inference_mode()
    def _seen_shares(self, batches: list[Mapping[str, Any]]) -> tuple[float, ...]:
        largest = [0.0] * (self.model.layers + 1)
        for batch in batches:
            given = {name: flat(one).to(self.device) for name, one in batch.items()}
            mask = given.get("attention_mask")
            begun = given["input_ids"].numel() if mask is None else int(mask.sum())
            with self._on_device():
                kept = self.model.kept_positions(**given)
            own = [1.0, *(int((one >= 0).sum()) / begun for one in kept)]
            largest = [max(pair) for pair in zip(largest, own, strict=True)]
        return tuple(min(1.0, round(_MARGIN * share, 4)) for share in largest)


def tried(model: ShortenedModel, whole_below: int = 0) -> CapturedModel:
    """A model's passes, if they answer made-up inputs as the encoder does; with PyTorch's attention of variable length,
    or without where that fails.

    Raises:
        NotCaptured: they do not, or fail.
    """
    try:
        return _tried(CapturedModel(model, whole_below=whole_below))
    except NotCaptured:
        return _tried(CapturedModel(model, flash=False, whole_below=whole_below))


def _tried(captured: CapturedModel) -> CapturedModel:
    """Itself.

    With nothing eliminated all answers have to agree. With elimination most do, of long and of short inputs: rounding
    can move a word-vector over the edge of what is kept, and the answer with it.
    """
    longest, vocabulary = captured.seq_len, int(captured.config.vocab_size)
    sizes = torch.tensor([min(longest, n) for n in (1, 2, 9, 17, 40, 64, 65, 100, 128, 129, 200, 300, longest)])
    ids = torch.randint(vocabulary, (len(sizes), int(sizes.max())), generator=torch.Generator().manual_seed(0))
    mask = torch.arange(ids.shape[1]) < sizes.unsqueeze(1)
    for whole in (True, False):
        try:
            found, wanted = (answer(ids, mask, whole=whole).float() for answer in (captured.logits, captured.exact))
        except Exception as error:  # of the compiler, the driver, a library: PyTorch answers then
            said = str(error).strip().splitlines() or [type(error).__name__]
            raise NotCaptured(f"its pass fails on this device: {said[0]}") from error
        if captured.failure is not None:
            raise NotCaptured(f"its pass cannot be recorded on this device: {captured.failure}")
        apart = (found - wanted).abs().amax(dim=1).cpu()
        limit = _APART * (1 + float(wanted.abs().max()))
        groups = [apart[sizes <= 64], apart[sizes > 64]]
        checked = [apart.max()] if whole else [group.median() for group in groups if len(group)]
        if not all(float(one) <= limit for one in checked):  # NaN is not
            raise NotCaptured("its pass answers otherwise than the encoder on this device")
    return captured
