"""powerbert compress: remove layers, heads and feed-forward neurons of the fine-tuned model."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from ..settings.composed import CompressedSettings
from ..settings.compress import FlopsTarget
from ..settings.rules import SettingsError, key
from ..settings.training import Making

if TYPE_CHECKING:
    from ..stages.inputs import Inputs
    from ..stages.run import Run

SUMMARY = "remove layers, heads and feed-forward neurons of the fine-tuned model, without training"
DETAILS = "Later verbs take compress.* too: what it names is removed first, then word-vectors are eliminated."
EXAMPLES = [
    "powerbert compress target.flops=0.6",
    "powerbert compress method=kcm target.flops=0.7",
    "powerbert compress compress.ffn=0.4 model_dir=RUN/model",
    "powerbert compress compress.heads=0.5 compress.widths=layer compress.ffn=0.5",
]


@dataclass(kw_only=True)
class Settings(Making, CompressedSettings):
    target: FlopsTarget = key("")

    def verify(self) -> None:
        if self.quantises:
            raise SettingsError(
                "compress does not train, and compress.bits, compress.act_bits and compress.sparsity are of a "
                "re-training: give them to powerbert retrain (retrain.epochs=0 only measures)"
            )
        if not self.removes:
            raise SettingsError(
                "compress removes nothing: give target.flops=0.6, compress.ffn=0.4, compress.heads=0.5 or "
                "compress.layers=6"
            )

    @property
    def share_to_reach(self) -> float | None:
        return self.target.flops


def run(cfg: Any) -> float:
    """Returns the headline metric of the compressed model."""
    from ..report.tables import say_compression, say_metrics, say_run_dir
    from ..stages.trained import measure
    from .prepare import begin, leave

    job, run_dir = begin(cfg, Settings)
    stage = job.made(goals(job)[0], job.settings.fresh)
    leave(job, stage, run_dir)
    say_compression(stage.model_dir)
    measure(job.context, stage.model_dir, run_dir)
    value = say_metrics(run_dir / "metrics.json", "compressed, not trained")
    say_run_dir(run_dir)
    return value


def goals(job: Run[Settings]) -> list[Inputs]:
    return job.graph.to_make(job.graph.compressed)
