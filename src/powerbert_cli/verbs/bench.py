"""powerbert bench: time the shortened model against the plain one."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

from ..settings.composed import TimedSettings
from ..settings.rules import SettingsError

if TYPE_CHECKING:
    from ..stages.inputs import Inputs
    from ..stages.run import Run

SUMMARY = "time the shortened model against the plain one, alternating in one process"
DETAILS = """With given lengths or fractions nothing is trained: speed does not depend on the weights; thresholds
need trained ones. Speed-ups are against transformers' model, and of elimination alone.
Here precision is that of timing; models are trained in training.precision."""
EXAMPLES = [
    "powerbert bench model=bert-base-random retention=paper/cola batch_size=32 precision=bf16",
    "powerbert bench model_dir=RUN/model bench.engines=[eager,native,openvino] bench.precisions=[fp32,int8]",
    "powerbert bench model_dir=RUN/model bench.batch_sizes=[1,32] bench.threads=[1,2] bench.profile=true",
]


@dataclass(kw_only=True)
class Settings(TimedSettings):
    TAKES_SHORTENED: ClassVar[bool] = True
    TAKES_EXPORTED: ClassVar[bool] = True

    def verify(self) -> None:
        if self.shortened_dir is not None and (self.removes or self.quantises):
            raise SettingsError(
                f"model_dir={self.model_dir} is a finished model, compress.* is for one that this command makes; give "
                "one of them"
            )


def run(cfg: Any) -> float:
    """Returns the speed-up that counts, see `bench.choice.headline`; NaN where none does."""
    from ..bench.choice import headline
    from ..recipes.bench import bench, profiled
    from ..report.pays_table import say_pays_of
    from ..report.profile_table import write_and_say_profile
    from ..report.progress import TimingProgress
    from ..report.tables import say_retention, say_run_dir, say_timing
    from .prepare import begin

    job, run_dir = begin(cfg, Settings)
    with TimingProgress(job.settings.runtime.log_seconds) as told:
        found = bench(job, run_dir, told)
    say_retention(found.retention)
    say_timing(found.timing, found.model_dir)
    say_pays_of(found.timing)
    if job.settings.bench.profile:
        write_and_say_profile(*profiled(job, found), run_dir)
    say_run_dir(run_dir)
    counts = headline(found.timing)
    return float("nan") if counts is None else counts.speedup


def goals(job: Run[Settings]) -> list[Inputs]:
    from ..recipes.timed_models import goal_of

    return [goal] if (goal := goal_of(job)) else []
