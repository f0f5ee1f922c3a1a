"""The dev answers of each way to run a model, beside those of the same model in float32."""

import logging
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np
from torch import nn

from ..bench.contenders import inputs_on, prepared
from ..bench.engines import lengths_an_octave
from ..bench.place import Runner
from ..bench.table import compared
from ..bench.timing import Contender, Told
from ..settings.composed import TimedSettings
from ..stages.run import Run
from ..tasks.batches import answers
from ..training.diverged import check_finite

log = logging.getLogger(__name__)
ANSWERS = [
    "metric",
    "value",
    "value_low",
    "value_high",
    "value_fp32",
    "drop",
    "drop_low",
    "drop_high",
    "answers_differ",
    "logits_differ",
]  # columns of a measured contender


class Answered:
    """Answers on dev of each way to run a model, beside the same model's in float32; each measured once."""

    def __init__(self, job: Run[TimedSettings], models: dict[str, nn.Module]) -> None:
        self.context, self.settings, self.models = job.context, job.settings, models
        self._exact: dict[tuple[str, int, int], np.ndarray] = {}
        self._known: dict[tuple[str, str, str, int], dict[str, Any]] = {}

    def all(self, contenders: Sequence[Contender], seq_len: int, told: Told) -> Iterator[dict[str, Any]]:
        """What `bench.table.compared` says of each, where `bench.accuracy` wants it measured; else nothing."""
        for number, c in enumerate(contenders):
            told("answers", number, len(contenders))
            yield self._of(c, seq_len) if self.wanted(c) else {}

    def seconds(self, examples: int) -> Callable[[Contender], float]:
        """What measuring the answers of a contender should take, from the seconds of its pass over some examples."""

        def of(c: Contender) -> float:
            return c.expected_s / examples * len(self.context.material.dev) if self.wanted(c) else 0.0

        return of

    def wanted(self, c: Contender) -> bool:
        """Whether `bench.accuracy` wants its answers measured."""
        wanted = self.settings.bench.accuracy
        return c.model in self.models and (wanted is True or (wanted == "auto" and c.precision != "fp32"))

    def _of(self, c: Contender, seq_len: int) -> dict[str, Any]:
        known = (c.model, c.engine, c.precision, seq_len)
        if known not in self._known:
            log.info("bench: the answers of %s/%s/%s on dev", c.model, c.engine, c.precision)
            device = inputs_on(c.engine, c.precision, self.context.device)
            buckets = lengths_an_octave(c.engine, "longest")
            logits = self._logits(c.answer or c.run, seq_len, device, buckets)
            material = self.context.material
            heard = "samples" in material.dev.column_names  # a model without a mask takes padding for silence
            exact = self._exact_of(c.model, seq_len, buckets if heard else 0)
            self._known[known] = compared(logits, exact, material.dev, material.kind)
        return self._known[known]

    def _exact_of(self, name: str, seq_len: int, buckets: int) -> np.ndarray:
        if (name, seq_len, buckets) not in self._exact:
            ((_, model),) = prepared({name: self.models[name]}, "eager", "fp32", self.context.device)
            logits = self._logits(model, seq_len, self.context.device, buckets)
            check_finite(logits, f"the logits of {name} in float32", "its weights are damaged")
            self._exact[name, seq_len, buckets] = logits
        return self._exact[name, seq_len, buckets]

    def _logits(self, run: Runner, seq_len: int, device: str, buckets: int) -> np.ndarray:
        material, size = self.context.material, self.settings.batch_size
        pad = material.collator("max")
        return answers(run, material.dev, pad, size, device, seq_len=seq_len, buckets=buckets).logits
