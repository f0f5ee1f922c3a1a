"""powerbert sweep: search, re-train and bench for each λ or target; Hydra runs it once a job."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from ..errors import PowerbertError
from ..settings.composed import RetrainedSettings, TimedSettings
from ..settings.rules import key

if TYPE_CHECKING:
    from ..stages.inputs import Inputs
    from ..stages.run import Run

SUMMARY = "search, re-train and bench for several λ; end with one table and one picture"
DETAILS = "Fine-tunes once, and trains the plain model as long as a shortened one for the baseline. Needs no -m."
EXAMPLES = [
    "powerbert sweep task=rte lambda=1e-4,3e-4,1e-3",
    "powerbert sweep lambda=1e-3 seed=0,1,2",
    "powerbert sweep experiment=paper/figure6 task=cola model=bert-base",
]
log = logging.getLogger(__name__)


@dataclass(kw_only=True)
class Settings(TimedSettings):
    NOT_SHORTENED: ClassVar[str] = "a sweep shortens models of its own: time this with bench"

    curve: str | None = key(
        "in the sweep's table and picture, the curve that a job is a point of; null: the method, or what is removed"
    )


def run(cfg: Any) -> tuple[float, float]:
    """Writes result.json into the job's directory, also for a job that failed.

    An error ends this job alone: what the other jobs found is still gathered.

    Returns:
        For a multi-objective sweeper, both to be maximised: the metric and the speed-up that counts, see
        `bench.choice.headline`; minus infinity for a job that failed.
    """
    from hydra.core.hydra_config import HydraConfig

    from ..jobs.gather import RESULT, sweep_token
    from ..settings.typed import typed

    hydra = HydraConfig.get()
    run_dir = Path(hydra.runtime.output_dir)
    target = _target_text(cfg)
    head = {
        "sweep": sweep_token(Path(hydra.sweep.dir)),
        "job": hydra.job.num,
        "lambda": None if target or _given(cfg.retention) else cfg["lambda"],
        "target": target,
        "overrides": dict(given.partition("=")[::2] for given in hydra.overrides.task),
        "seed": cfg.seed,
        "fold": cfg.task.fold,
        "run_dir": str(run_dir),
    }
    from ..store.artifacts import write_json

    try:
        typed(cfg, Settings)
        result = _result_of(cfg, target)
    except Exception as error:
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        log.error("%s failed: %s", target or f"λ={cfg['lambda']}", reason)
        log.debug("traceback", exc_info=True)
        user = isinstance(error, PowerbertError) and error.exit_code == 2
        write_json(run_dir / RESULT, {**head, "status": "failed", "reason": reason, "user_error": user})
        return float("-inf"), float("-inf")
    write_json(run_dir / RESULT, {**head, "status": "ok", **result})
    return result["value"], result["speed"] or 0.0


def _given(retention: Any) -> bool:
    """Whether nothing is searched, so that λ decides nothing."""
    return any(retention[name] is not None for name in ("path", "lengths", "fractions", "thresholds"))


def _target_text(cfg: Any) -> str | None:
    """target.flops=0.3, or None where λ alone is set; of a value that is no number, as it was given."""
    given = {name: cfg.target[name] for name in ("flops", "speedup", "max_drop") if cfg.target[name] is not None}
    texts = {name: f"{value:.4g}" if isinstance(value, float | int) else value for name, value in given.items()}
    return ", ".join(f"target.{name}={text}" for name, text in texts.items()) or None


def _result_of(cfg: Any, target: str | None) -> dict[str, Any]:
    """
    Args:
        target: in words; None where λ decides.

    Returns:
        What the sweep's tables read of a job.
    """
    from hydra.core.hydra_config import HydraConfig

    from ..bench.choice import as_result
    from ..bench.table import by_padding
    from ..models.kinds import load_shortened
    from ..recipes.bench import time_model
    from ..recipes.timed_models import whole_of
    from ..recipes.words import write_words
    from ..report.progress import TimingProgress
    from ..report.tables import say_metrics, say_retention, say_timing
    from ..stages.retrain import drop_of
    from .prepare import begin, leave

    job, run_dir = begin(cfg, Settings)
    settings, goal = job.settings, job.graph.retrained
    plain, baseline = max(((one, job.made(one)) for one in job.graph.baselines), key=lambda both: both[1].value)
    stage = job.made(goal)
    retention = job.retention()
    leave(job, stage, run_dir)
    say_retention(retention)
    value = say_metrics(run_dir / "metrics.json", target or f"λ={settings.regularizer_weight:g}")
    model = load_shortened(stage.model_dir)
    write_words(job.context, model, run_dir)
    with TimingProgress(settings.runtime.log_seconds) as told:
        timing = time_model(job, model, run_dir, whole=whole_of(job, model), told=told)
    say_timing(timing, run_dir / "model")
    drop = drop_of(settings.task.metric, baseline, stage, settings.bench.max_drop)
    return {
        "task": settings.task.name,
        "curve": settings.curve or curve_of(settings, HydraConfig.get().runtime.choices["method"]),
        "strategy": settings.strategy,
        "retention": list(retention.configuration),
        "seq_len": settings.seq_len,
        "kept_share": retention.kept_share,
        "masses": retention.masses,
        "metric": settings.task.metric,
        "value": value,
        "baseline": baseline.value,
        "drop": baseline.value - value,
        **{"drop_low": drop.low, "drop_high": drop.high, "confidence": drop.confidence},
        **by_padding(timing),
        **as_result(timing),
        "compressed": settings.compress.given,
        "parameters": model.host.num_parameters(),
        "file_mb": sum(path.stat().st_size for path in stage.model_dir.glob("*.safetensors")) / 1e6,
        **_on_test(job, plain, goal),
        "max_drop": settings.bench.max_drop,
    }


def curve_of(settings: RetrainedSettings, method: str) -> str:
    """The curve of a job that names none: its method, or for method=power, which any job has that sets no other, what
    it is told to remove.

    Returns:
        power where word-vectors alone are dropped; layers, heads, ffn, bits or several of them where they are not;
        power on layers where both; full where nothing is removed.
    """
    drops = settings.retention.lengths != "full"
    removed = " and ".join(settings.compress.axes) if method == "power" else method
    if not drops:
        return removed or "full"
    return f"power on {removed}" if removed else "power"


def _on_test(job: Run[Settings], baseline: Inputs, shortened: Inputs) -> dict[str, Any]:
    """Test metrics of the model and of its baseline, where there are any: the report has those of the chosen job."""
    from ..stages.tested import tested

    if not job.context.data.tests:
        return {}
    values = (tested(job.runner, model).value for model in (shortened, baseline))
    return dict(zip(("test_value", "test_baseline"), values, strict=True))


def goals(job: Run[Settings]) -> list[Inputs]:
    """Of one job."""
    return [*job.graph.baselines, job.graph.retrained]
