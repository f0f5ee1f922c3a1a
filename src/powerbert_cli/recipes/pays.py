"""What dropping word-vectors can bring on this machine, before any training: speed hardly depends on the weights."""

import logging
import tempfile
from pathlib import Path
from typing import Any

import torch
from transformers import PreTrainedModel

from ..bench.contenders import Field, batch_cost, build_contenders, models_of
from ..bench.cost import total
from ..bench.place import Place
from ..bench.ratio import speedup
from ..bench.timing import Contender, measure, warm_up
from ..encoder.families import layers_of
from ..encoder.shortened import ShortenedModel
from ..method.elimination import Elimination, plain
from ..method.retention import Fractions
from ..settings.bench import runs_on
from ..stages.run import Run
from ..tasks.batch import Batch
from ..tasks.batches import choose_rows, make_batches
from .bench import calibration_inputs

log = logging.getLogger(__name__)
SHARE = 0.5  # of this encoder's FLOPs that is left
_ROWS, _PASS_S, _ROUNDS, _LEAST = 32, 2.0, 5, 1e-4
_HALVINGS = 20


def pays(job: Run[Any], host: PreTrainedModel, row_s: float) -> list[dict[str, Any]]:
    """Elimination alone, against this encoder with everything kept, at several sizes of a batch.

    Word-vectors fall from layer to layer by one factor, each input's share of its own length, until `SHARE` of the
    FLOPs is left.

    Args:
        host: of the task's model, whatever its weights.
        row_s: seconds that an input takes, which say how many can be timed.

    Returns:
        Of each engine, precision and size that can be timed: engine, precision, batch_size, flops (share left),
        speedup, low and high (95% interval).
    """
    settings, material, device = job.settings, job.context.material, job.context.device
    engines = [engine for engine in settings.check.engines if runs_on(engine, device)]
    if settings.check.engines and not engines:
        log.info("check: there is no engine %s on device=%s", " or ".join(settings.check.engines), device)
    precisions = settings.check.precisions
    if device == "cuda" and not {"bf16", "fp16"} & set(precisions):
        precisions = [*precisions, "bf16"]  # which models run in there
    field = Field(["full", "shortened"], engines, ["sorted"], precisions)
    if not (field.engines and field.precisions):
        return []
    count = max(2, min(_ROWS, int(_PASS_S / max(row_s, 1e-9)), len(material.train)))
    drawn = [material.train[i] for i in choose_rows(len(material.train), count, 1, settings.seed)]
    pad = job.context.material.collator("max")
    batches = make_batches(drawn, "sorted", count, pad, "cpu", settings.seq_len)
    model = _shortened(host, settings.seq_len, batches)
    share = _flops(model, batches) / _flops(models_of(model)["full"], batches)
    found: list[dict[str, Any]] = []
    log.info("check: timing %d texts with all word-vectors and with %.2f of the FLOPs", count, share)
    with tempfile.TemporaryDirectory() as folder:
        inputs = calibration_inputs(job) if "int8" in field.precisions else []
        place = Place(device, torch.get_num_threads(), Path(folder), inputs)
        for size in sorted({1, max(1, count // 4), count}):
            rows = drawn[: max(size, count // 4)]
            contenders, skipped = build_contenders(
                models_of(model), rows, pad, field, size, settings.seq_len, place, {}
            )
            if size == 1:
                for said in dict.fromkeys(f"{one.engine}/{one.precision} is left out: {one.reason}" for one in skipped):
                    log.info("check: %s", said)
            contenders, _ = warm_up(contenders, device)
            measure(contenders, _ROUNDS, 0, device, settings.seed)
            found += [{"batch_size": size, "flops": share, **one} for one in _ratios(contenders)]
    return found


def _ratios(contenders: list[Contender]) -> list[dict[str, Any]]:
    known = {(c.model, c.engine, c.precision): c.seconds for c in contenders}
    found = []
    for _, engine, precision in (way for way in known if way[0] == "shortened"):
        if (full := known.get(("full", engine, precision))) is not None:
            ratio, low, high = speedup(full, known["shortened", engine, precision])
            found.append({"engine": engine, "precision": precision, "speedup": ratio, "low": low, "high": high})
    return found


def _shortened(host: PreTrainedModel, seq_len: int, batches: list[Batch]) -> ShortenedModel:
    """By halving the interval of the factor."""
    layers = layers_of(host.config)
    full = ShortenedModel(host, plain(seq_len, layers)).eval()
    wanted, low, high, model = SHARE * _flops(full, batches), 0.0, 1.0, full
    for _ in range(_HALVINGS):
        factor = (low + high) / 2
        kept = [max(round(factor ** (j + 1), 4), _LEAST) for j in range(layers - 1)]
        model = ShortenedModel(host, Elimination(Fractions((*kept, _LEAST)), seq_len)).eval()
        low, high = (factor, high) if _flops(model, batches) < wanted else (low, factor)
    return model


def _flops(model: Any, batches: list[Batch]) -> float:
    return sum(total(layer).flops for batch in batches for layer in batch_cost(batch, model))
