"""How much of a target neurons take over from word-vectors: compress.ffn=auto."""

import logging
from dataclasses import replace
from typing import Any

import torch

from ..encoder.shortened import ShortenedModel
from ..settings import SearchSettings
from ..training.classifier import distillation_loss
from .compress import compressed
from .finetune import whole_model
from .search import searched
from .targets import Unreachable
from .work import Work

log = logging.getLogger(__name__)
SHARES = (None, 0.8, 0.65, 0.5, 0.4)  # of the neurons; None keeps all


def settled_ffn(work: Work[Any]) -> float | None:
    """The share of the neurons to keep with which a model at the target moves the logits least from the whole one's.

    All candidates cost the same: of each, `searcher=calibrate` lets word-vectors take the rest of the target. Nothing
    is trained. What was tried is kept as stages.

    Raises:
        Unreachable: no candidate reaches the target.
    """
    settings: SearchSettings = work.settings
    target = settings.target.flops
    rows = work.material.train.select(range(min(settings.calibrate.examples, len(work.material.train))))
    wanted = torch.from_numpy(work.answers(whole_model(work), rows).logits)
    harm: dict[float | None, float] = {}
    for share in SHARES:
        other = work.of(replace(settings, compress=replace(settings.compress, ffn=share)))
        try:
            found = searched(other).retention
        except Unreachable as error:
            log.info("compress.ffn=auto: %s cannot be had: %s", _said(share), error)
            continue
        model = ShortenedModel(work.host(compressed(other).model_dir), found.elimination).eval()
        logits = torch.from_numpy(other.answers(model, rows).logits)
        harm[share] = float(distillation_loss(logits, wanted, 1.0, model.config.problem_type))
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
