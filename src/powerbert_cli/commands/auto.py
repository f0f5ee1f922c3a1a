"""Settles `seq_len=auto` and `lr_soft=auto` from the data, before the settings are typed."""

import logging
from typing import Any

import numpy as np

from ..method.soft_extract import learning_rate_for_reach
from ..settings import AUTO, FinetuneSettings, SearchSettings
from ..tasks.tokenizing import SEQ_LENS, nearest_seq_len
from ..training.stages import search_steps
from .pipeline import Pipeline
from .typed import from_config

log = logging.getLogger(__name__)

# Sum of the learning rates of r over a search, by regulariser. In the loss a lone L1 gradient moves
# r by the learning rate in each step, so 3 is three times the way from 1 to 0. Decoupled, r falls by
# λ·j times the sum: at 10 and λ=0.1 just the whole way in the first layer, while λ·j stays below 1,
# the most that Adam can hold against it, in the upper ones.
REACH = {"loss": 3.0, "decoupled": 10.0}


def settle(cfg: Any, cls: type[FinetuneSettings]) -> None:
    """Replaces `auto` in a composed config by the number that the data call for."""
    if cfg.get("seq_len") == AUTO:
        cfg.seq_len = _seq_len(cfg, cls)
    if cfg.get("lr_soft") == AUTO and issubclass(cls, SearchSettings):
        cfg.lr_soft = _lr_soft(cfg, cls)


def _with(cfg: Any, **values: Any) -> Any:
    copy = cfg.copy()
    for name, value in values.items():
        copy[name] = value
    return copy


def _seq_len(cfg: Any, cls: type[FinetuneSettings]) -> int:
    """ℓ by the paper's rule; prints the distribution that it rests on."""
    standing_in = {"seq_len": SEQ_LENS[-1], **({"lr_soft": 1.0} if cfg.get("lr_soft") == AUTO else {})}
    settings = from_config(_with(cfg, **standing_in), FinetuneSettings if cls is FinetuneSettings else cls)
    lengths = Pipeline(settings).full_lengths()
    points = [50, 75, 90, 95, 99, 100]
    log.info(
        "word-pieces of the training inputs: %s",
        ", ".join(f"{p}% ≤ {int(np.percentile(lengths, p, method='higher'))}" for p in points),
    )
    chosen = nearest_seq_len(lengths)
    cut = float(np.mean(lengths > chosen))
    log.info(
        "seq_len=auto: ℓ=%d, the nearest of %s to the 99th percentile; %.1f%% are cut", chosen, SEQ_LENS, 100 * cut
    )
    return chosen


def _lr_soft(cfg: Any, cls: type[SearchSettings]) -> float:
    settings = from_config(_with(cfg, lr_soft=1.0), cls)
    pipeline = Pipeline(settings)
    steps = search_steps(len(pipeline.data.train), pipeline.plan(settings.search))
    wanted = REACH[settings.regularizer]
    lr = learning_rate_for_reach(wanted, steps, settings.training.warmup_ratio)
    log.info("lr_soft=auto: %.3g, which adds up to %g over %d steps", lr, wanted, steps)
    return lr
