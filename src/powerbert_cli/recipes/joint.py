"""How much of a target neurons take over from word-vectors: compress.ffn=auto."""

import logging
from dataclasses import replace
from typing import Any

import torch

from ..encoder.families import known_problem, layers_of
from ..encoder.shortened import ShortenedModel
from ..method.elimination import plain
from ..settings.composed import SearchedSettings
from ..stages.run import Run
from ..stages.targets import Unreachable
from ..tasks.batches import draw_rows
from ..training.classifier import distillation_loss

log = logging.getLogger(__name__)
SHARES = (None, 0.8, 0.65, 0.5, 0.4)  # of the neurons; None keeps all


def settled_ffn(job: Run[Any]) -> float | None:
    """The share of the neurons to keep with which a model at the target moves the logits least from the whole one's.

    All candidates cost the same: of each, `searcher=calibrate` lets word-vectors take the rest of the target. Nothing
    is trained. What was tried is kept as stages.

    Raises:
        Unreachable: no candidate reaches the target.
    """
    settings: SearchedSettings = job.settings
    context, train, target = job.context, job.context.material.train, settings.target.flops
    rows = train.select(draw_rows(len(train), settings.calibrate.examples, settings.seed))
    host = context.host(job.model_dir(job.graph.finetuned))
    whole = ShortenedModel(host, plain(settings.seq_len, layers_of(host.config)))
    real = torch.arange(max(rows["length"])) < torch.tensor(rows["length"][:]).unsqueeze(-1)

    def choices(model: ShortenedModel) -> torch.Tensor:
        logits = torch.from_numpy(context.answers(model, rows).logits)
        return model.head.choices(logits, real)

    wanted = choices(whole)
    harm: dict[float | None, float] = {}
    for share in SHARES:
        other = job.of(replace(settings, compress=replace(settings.compress, ffn=share)))
        try:
            found = other.made(other.graph.searched).retention
        except Unreachable as error:
            log.info("compress.ffn=auto: %s cannot be had: %s", _said(share), error)
            continue
        model = ShortenedModel(context.host(other.model_dir(other.graph.compressed)), found.elimination).eval()
        harm[share] = float(distillation_loss(choices(model), wanted, 1.0, known_problem(model.config)))
        kept = found.kept_share
        log.info(
            "compress.ffn=auto: %s and %.1f%% of the word-vectors, %.3f of the FLOPs: harm %.3g",
            *(_said(share), 100 * (1.0 if kept is None else kept), target, harm[share]),
        )
    if not harm:
        raise Unreachable(f"target.flops={target:g}: neither neurons nor word-vectors reach it; set a milder target")
    best = min(harm, key=lambda share: harm[share])
    log.info("compress.ffn=auto: %s", _said(best))
    return best


def _said(share: float | None) -> str:
    return "all neurons" if share is None else f"{share:g} of the neurons"
