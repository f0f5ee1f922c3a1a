"""powerbert sweep, one job: search, re-train and bench for one λ."""

import logging
from pathlib import Path
from typing import Any

from hydra.core.hydra_config import HydraConfig

from ..bench.choice import as_result
from ..bench.table import by_padding
from ..errors import PowerbertError
from ..jobs.gather import RESULT, sweep_token
from ..pipeline.bench import time_model, whole_of
from ..pipeline.chain import retention_for
from ..pipeline.retrain import baselines, better, drop_of, retrained
from ..pipeline.survivors import write_words
from ..pipeline.tested import tested
from ..pipeline.work import Work
from ..report.front import speed_of
from ..report.progress import TimingProgress
from ..report.tables import say_metrics, say_retention, say_timing
from ..settings import RetrainSettings, SweepSettings
from ..store.artifacts import write_json
from ..store.shipped import load_shortened
from ..store.stages import Stage
from .prepare import begin

log = logging.getLogger(__name__)


def run(cfg: Any) -> tuple[float, float]:
    """Writes result.json into the job's directory, also for a job that failed.

    An error ends this job alone: what the other jobs found is still gathered.

    Returns:
        For a multi-objective sweeper, both to be maximised: the metric and the speed-up that counts, see
        `bench.choice.headline`; minus infinity for a job that failed.
    """
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
    try:
        result = _job(cfg)
    except Exception as error:
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        log.error("%s failed: %s", target or f"λ={cfg['lambda']}", reason)
        log.debug("traceback", exc_info=True)
        user = isinstance(error, PowerbertError) and error.exit_code == 2
        write_json(run_dir / RESULT, {**head, "status": "failed", "reason": reason, "user_error": user})
        return float("-inf"), float("-inf")
    write_json(run_dir / RESULT, {**head, "status": "ok", **result})
    return result["value"], speed_of(result)


def _given(retention: Any) -> bool:
    """Whether nothing is searched, so that λ decides nothing."""
    return any(retention[name] is not None for name in ("path", "lengths", "fractions", "thresholds"))


def _target_text(cfg: Any) -> str | None:
    """target.flops=0.3, or None where λ alone is set; of a value that is no number, as it was given."""
    given = {name: cfg.target[name] for name in ("flops", "speedup", "max_drop") if cfg.target[name] is not None}
    texts = {name: f"{value:.4g}" if isinstance(value, float | int) else value for name, value in given.items()}
    return ", ".join(f"target.{name}={text}" for name, text in texts.items()) or None


def _job(cfg: Any) -> dict[str, Any]:
    work, run_dir = begin(cfg, SweepSettings)
    settings, baseline = work.settings, better(baselines(work))
    retention, start = retention_for(work)
    stage = retrained(work, retention, start)
    work.export(stage, run_dir)
    say_retention(retention)
    value = say_metrics(run_dir / "metrics.json", _target_text(cfg) or f"λ={settings.regularizer_weight:g}")
    model = load_shortened(stage.model_dir)
    write_words(work, model, run_dir)
    with TimingProgress(settings.runtime.log_seconds) as told:
        timing = time_model(work, model, run_dir, whole=whole_of(work, model), told=told)
    say_timing(timing)
    drop = drop_of(settings.task.metric, baseline, stage, settings.max_drop)
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
        **_on_test(work, baseline, stage),
        "max_drop": settings.max_drop,
    }


def curve_of(settings: RetrainSettings, method: str) -> str:
    """The curve of a job that names none: its method, or for method=power, which any job has that sets no other, what
    it is told to remove.

    Returns:
        power where word-vectors alone are dropped; layers, heads, ffn, bits or several of them where they are not;
        power on layers where both; full where nothing is removed.
    """
    drops = settings.retention.lengths != "full" and settings.strategy != "none"
    removed = " and ".join(settings.compress.axes) if method == "power" else method
    if not drops:
        return removed or "full"
    return f"power on {removed}" if removed else "power"


def _on_test(work: Work, baseline: Stage, shortened: Stage) -> dict[str, Any]:
    """Test metrics of the model and of its baseline, where there are any: the report has those of the chosen job."""
    if not work.data.tests:
        return {}
    values = (tested(work, stage.model_dir).value for stage in (shortened, baseline))
    return dict(zip(("test_value", "test_baseline"), values, strict=True))
