"""powerbert sweep, one job: search, re-train and bench for one λ."""

import logging
from pathlib import Path
from typing import Any

import pandas as pd
from hydra.core.hydra_config import HydraConfig

from ..errors import PowerbertError
from ..report.sweep import speed_of
from ..report.tables import say_metrics, say_retention, say_timing
from ..settings import SweepSettings
from ..store.artifacts import write_json
from ..store.shipped import load_shortened
from .bench import time_model
from .compare import better, drop_of, value_of
from .gather import RESULT, sweep_token
from .pipeline import Pipeline
from .predict import plain_or_shortened
from .retrain import retention_for
from .rundir import begin

log = logging.getLogger(__name__)


def run(cfg: Any) -> tuple[float, float]:
    """Writes result.json into the job's directory, also for a job that failed.

    An error ends this job alone: what the other jobs found is still gathered.

    Returns:
        For a multi-objective sweeper, both to be maximised: the metric and the speed-up against transformers' model
        (in length-sorted batches, else the next best that is timed); minus infinity for a job that failed.
    """
    hydra = HydraConfig.get()
    run_dir = Path(hydra.runtime.output_dir)
    target = _target_text(cfg)
    head = {
        "sweep": sweep_token(Path(hydra.sweep.dir)),
        "job": hydra.job.num,
        "lambda": None if target else cfg["lambda"],
        "target": target,
        "overrides": dict(given.partition("=")[::2] for given in hydra.overrides.task),
        "seed": cfg.seed,
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


def _target_text(cfg: Any) -> str | None:
    """target.flops=0.3, or None where λ alone is set; of a value that is no number, as it was given."""
    given = {name: cfg.target[name] for name in ("flops", "speedup", "max_drop") if cfg.target[name] is not None}
    texts = {name: f"{value:.4g}" if isinstance(value, float | int) else value for name, value in given.items()}
    return ", ".join(f"target.{name}={text}" for name, text in texts.items()) or None


def _job(cfg: Any) -> dict[str, Any]:
    settings, run_dir = begin(cfg, SweepSettings)
    pipeline = Pipeline(settings)
    baselines = pipeline.baselines()
    retention, beginning = retention_for(settings, pipeline)
    retrained = pipeline.retrained(retention, beginning)
    pipeline.export(retrained, run_dir)
    say_retention(retention)
    value = say_metrics(run_dir / "metrics.json", _target_text(cfg) or f"λ={settings.regularizer_weight:g}")
    timing = time_model(settings, pipeline, load_shortened(retrained.folder / "model"), run_dir)
    say_timing(timing)
    baseline = better(baselines)
    comparison = _compare(settings, baseline, retrained.folder)
    return {
        "task": settings.task.name,
        "strategy": settings.strategy,
        "retention": list(retention.configuration),
        "seq_len": settings.seq_len,
        "kept_share": retention.kept_share,
        "masses": retention.masses,
        "metric": settings.task.metric,
        "value": value,
        **comparison,
        **_speeds(timing),
        **_on_test(pipeline, baseline, retrained.folder),
        "max_drop": settings.max_drop,
    }


def _compare(settings: SweepSettings, baseline: Path, shortened: Path) -> dict[str, Any]:
    drop = drop_of(settings.task.metric, baseline, shortened, settings.max_drop)
    values = value_of(baseline), value_of(shortened)
    return {
        "baseline": values[0],
        "drop": values[0] - values[1],
        "drop_low": drop.low,
        "drop_high": drop.high,
        "confidence": drop.confidence,
    }


def _on_test(pipeline: Pipeline, baseline: Path, shortened: Path) -> dict[str, Any]:
    """Test metrics of the model and of its baseline, where there are any: the report has those of the chosen job."""
    if not pipeline.data.tests:
        return {}

    def value(folder: Path) -> float:
        model_dir = folder / "model"
        return value_of(pipeline.tested(model_dir, lambda: plain_or_shortened(model_dir, pipeline)).folder)

    return {"test_value": value(shortened), "test_baseline": value(baseline)}


def _speeds(timing: pd.DataFrame) -> dict[str, Any]:
    """By padding (of the first engine and setting): speed-ups against transformers' model and against this encoder
    with everything kept (elimination alone), and times per example for the picture."""
    same = ["engine", "precision", "batch_size", "seq_len", "threads"]
    first = timing[(timing[same] == timing[same].iloc[0]).all(axis=1)].set_index(["padding", "model"])
    paddings = ("max", "longest", "sorted", "packed")
    speeds: dict[str, Any] = {f"{name}_{padding}": None for name in ("speedup", "elimination") for padding in paddings}
    times = {}
    for padding, model in first.index:
        row = first.loc[(padding, model)]
        if model == "shortened":
            speeds[f"speedup_{padding}"] = float(row["speedup"])
            alone = row["elimination"]  # None where full was not timed
            speeds[f"elimination_{padding}"] = None if pd.isna(alone) else float(alone)
            speeds[f"flops_ratio_{padding}"] = float(row["flops_ratio"])
        times[f"{model}_{padding}_ms"] = 1000 / float(row["examples_per_s"])
    if "shortened_packed_ms" in times:  # what packed rows are compared with
        best = next((name for name in ("sorted", "longest", "max") if f"plain_{name}_ms" in times), None)
        times |= {} if best is None else {"plain_packed_ms": times[f"plain_{best}_ms"]}
    speeds["flops_ratio"] = speeds.get(
        "flops_ratio_max", next((v for k, v in speeds.items() if k.startswith("flops_ratio_")), None)
    )
    return {**speeds, **times}
