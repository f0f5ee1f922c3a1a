"""From a shortened model and tokenised rows to contenders."""

import copy
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from accelerate.utils.memory import should_reduce_batch_size
from torch import nn

from ..encoder.families import layers_of, sizes_in
from ..encoder.inputs import flat
from ..encoder.shortened import ShortenedModel
from ..method.elimination import plain
from ..method.retention import Thresholds
from ..settings.bench import OWN_ENGINES
from ..tasks.batches import Batch, make_batches
from .cost import Cost, Peaks, encoder_cost, roofline_seconds, shape_of, together, total
from .engines import as_packed, lengths_an_octave, runner
from .place import DTYPES, Place, Runner, Unavailable
from .timing import Contender

NUMBER_BYTES = {"fp32": 4, "bf16": 2, "fp16": 2}
TORCH_ENGINES = ("eager", "compile", "captured")  # of models on the device, in the precision
PACKING_ENGINES = ("eager", "onnx", "openvino")  # of this encoder's models; a compiled graph has static shapes
PACK_BY_THEMSELVES = ("ctranslate2", *OWN_ENGINES)  # whatever model they run


@dataclass(frozen=True)
class Field:
    """What contends: every combination, as far as it can be had.

    Attributes:
        models: of plain, full and shortened, see `models_of`.
        engines, paddings, precisions: see the settings of `bench`.
    """

    models: Sequence[str]
    engines: Sequence[str]
    paddings: Sequence[str]
    precisions: Sequence[str]


@dataclass(frozen=True)
class Skipped:
    """A contender that could not be had, and why."""

    model: str
    engine: str
    precision: str
    reason: str


def models_of(shortened: ShortenedModel, whole: nn.Module | None = None) -> dict[str, nn.Module]:
    """The models that contend, around one set of weights.

    plain is transformers' own classifier: `whole`, of which a compressed model was made, or that with these weights.
    full is this encoder with all word-vectors kept: what it gains on plain, by its own products, by a last layer that
    answers for [CLS] only and by compression, is no elimination. packed is this encoder around `whole`, where there
    is one: it may be the fastest model of which nothing was removed.
    """
    full = ShortenedModel(shortened.host, plain(shortened.seq_len, shortened.layers)).eval()
    models = {"plain": whole or shortened.host, "full": full, "shortened": shortened}
    if whole is not None:
        everything = plain(shortened.seq_len, layers_of(whole.config))  # type: ignore[arg-type]
        models["packed"] = ShortenedModel(whole, everything).eval()  # type: ignore[arg-type]
    return models


def build_contenders(
    models: dict[str, nn.Module],
    rows: Sequence[dict[str, Any]],
    pad: Callable[[list[dict[str, Any]]], Any],
    field: Field,
    batch_size: int,
    seq_len: int,
    place: Place,
    peaks: dict[str, Peaks],
) -> tuple[list[Contender], list[Skipped]]:
    """Contenders for each model, engine, precision and padding.

    Args:
        models: see `models_of`; in float32.
        rows: tokenised examples; all contenders answer the same ones.
        pad: a collator that pads to ℓ.
        peaks: of the device, by precision.
    """
    contenders, skipped = [], []
    names = [*field.models, *(["packed"] if "plain" in field.models else [])]
    for engine, precision in ((e, p) for e in field.engines for p in field.precisions):
        device = inputs_on(engine, precision, place.device)
        batches = {
            p: make_batches(rows, p, batch_size, pad, device, seq_len, lengths_an_octave(engine, p))
            for p in field.paddings
        }
        for name, model in prepared({n: models[n] for n in names if n in models}, engine, precision, place.device):
            try:
                way = runner(engine, name, model, precision, place)
            except Unavailable as error:
                skipped.append(Skipped(name, engine, precision, str(error)))
                continue
            except RuntimeError as error:
                if not should_reduce_batch_size(error):
                    raise
                skipped.append(Skipped(name, engine, precision, "out of memory"))
                continue
            for padding in field.paddings:
                packs = engine in PACK_BY_THEMSELVES or (engine in PACKING_ENGINES and name != "plain")
                run = _as_padded(way, padding, packs)
                if run is None:
                    continue
                runs = as_packed(models[name]) if engine in OWN_ENGINES else models[name]
                layers = [batch_cost(batch, runs, engine) for batch in batches[padding]]
                flops = sum(total(layer).flops for batch in layers for layer in batch)
                found = Contender(name, engine, padding, precision, run, batches[padding], flops, answer=way)
                found.compressed = "packed" in models and name in ("full", "shortened")
                if precision in peaks:
                    found.peak = peaks[precision].flops_per_s
                if precision in peaks and (size := NUMBER_BYTES.get(precision)):
                    found.roofline = sum(roofline_seconds(batch, peaks[precision], size) for batch in layers)
                contenders.append(found)
    return contenders, skipped


def inputs_on(engine: str, precision: str, device: str) -> str:
    """The device on which an engine takes its inputs."""
    return device if engine in TORCH_ENGINES and engine != "captured" and precision in DTYPES else "cpu"


def _as_padded(run: Runner, padding: str, packs: bool) -> Runner | None:
    """How a runner takes batches of this padding; None if it does not."""
    if padding == "buckets":
        by_shape: Runner | None = getattr(run, "by_shape", None)
        return by_shape
    return None if padding == "packed" and not packs else run


def prepared(models: dict[str, nn.Module], engine: str, precision: str, device: str) -> Iterator[tuple[str, nn.Module]]:
    """The models where and as an engine takes them; they share one copy of the weights."""
    if engine not in TORCH_ENGINES or precision not in DTYPES:
        yield from models.items()
        return
    dtype = DTYPES[precision]
    if dtype is not torch.float32 or device != "cpu":
        models = copy.deepcopy(models)
    for name, model in models.items():
        yield name, model.to(device=device, dtype=dtype).eval()


def batch_cost(batch: Batch, model: nn.Module, engine: str = "eager") -> list[dict[str, Cost]]:
    """Of each layer on a batch, at the length that it is padded to; where rows are packed, each input at its own."""
    shape = shape_of(model.host if isinstance(model, ShortenedModel) else model)
    real = sizes_in(model.config, batch).tolist()
    packs = engine in PACK_BY_THEMSELVES
    if isinstance(model, ShortenedModel):
        packs = packs or (engine in PACKING_ENGINES and not model.elimination.pad_queries)
    sizes = real if packs else [batch["input_ids"].shape[-1] if "input_ids" in batch else max(real)] * len(real)
    if not isinstance(model, ShortenedModel):
        return together([encoder_cost(shape, count, size) for size, count in Counter(sizes).items()])
    if isinstance(model.elimination.retention, Thresholds):
        device = next(model.parameters()).device
        inputs = {name: flat(tensor).to(device) for name, tensor in batch.items()}
        left = [(positions >= 0).sum(dim=-1).tolist() for positions in model.kept_positions(**inputs)]
        each = list(zip(sizes, zip(*left, strict=True), strict=True))
    else:
        each = [(size, model.elimination.kept(size)) for size in sizes]
    how = {
        "merges": model.elimination.merges,
        "chosen_beforehand": model.elimination.chosen_beforehand,
        "first_only": model.ends_in_first,
    }
    return together([encoder_cost(shape, count, size, kept, **how) for (size, kept), count in Counter(each).items()])
