"""powerbert sweep, one job: search, re-train and bench for one λ."""

import logging
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from hydra.core.hydra_config import HydraConfig

from ..errors import PowerbertError
from ..method.retention import kept_share
from ..report.tables import say_metrics, say_retention, say_timing
from ..settings import SweepSettings
from ..store.artifacts import read_json, write_json
from ..store.model_dir import load_shortened
from ..store.stages import Stage, export
from ..tasks.metrics import paired_drop
from .bench import time_model
from .gather import RESULT, sweep_token
from .pipeline import Pipeline
from .retrain import retention_for
from .rundir import begin

log = logging.getLogger(__name__)


def run(cfg: Any) -> None:
    """Writes result.json into the job's directory, also for a job that failed.

    An error ends this job alone: what the other jobs found is still gathered.
    """
    hydra = HydraConfig.get()
    run_dir = Path(hydra.runtime.output_dir)
    head = {
        "sweep": sweep_token(Path(hydra.sweep.dir)),
        "job": hydra.job.num,
        "lambda": cfg["lambda"],
        "seed": cfg.seed,
        "run_dir": str(run_dir),
    }
    try:
        result = _job(cfg)
    except Exception as error:
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        log.error("λ=%s failed: %s", cfg["lambda"], reason)
        log.debug("traceback", exc_info=True)
        user = isinstance(error, PowerbertError)
        write_json(run_dir / RESULT, {**head, "status": "failed", "reason": reason, "user_error": user})
        return
    write_json(run_dir / RESULT, {**head, "status": "ok", **result})


def _job(cfg: Any) -> dict[str, Any]:
    settings, run_dir = begin(cfg, SweepSettings)
    pipeline = Pipeline(settings)
    baselines = pipeline.baselines()
    retention, beginning = retention_for(settings, pipeline)
    retrained = pipeline.retrained(retention, beginning)
    export(retrained.folder, run_dir)
    say_retention(retention)
    value = say_metrics(run_dir / "metrics.json", f"λ={settings.regularizer_weight:g}")
    timing = time_model(settings, pipeline, load_shortened(retrained.folder / "model"), run_dir)
    say_timing(timing)
    comparison = _compare(settings, _better(baselines), retrained.folder)
    return {
        "task": settings.task.name,
        "strategy": settings.strategy,
        "lengths": list(retention.elimination.lengths or ()),
        "seq_len": settings.seq_len,
        "kept_share": kept_share(retention.elimination.lengths or (), settings.seq_len),
        "masses": retention.masses,
        "metric": settings.task.metric,
        "value": value,
        **comparison,
        **_speeds(timing),
        "max_drop": settings.max_drop,
    }


def _better(stages: Sequence[Stage]) -> Path:
    """The one with the better metric."""
    return max((stage.folder for stage in stages), key=lambda folder: read_json(folder / "metrics.json")["value"])


def _compare(settings: SweepSettings, baseline: Path, shortened: Path) -> dict[str, Any]:
    plain, short = (pd.read_csv(folder / "predictions.csv") for folder in (baseline, shortened))
    columns = _values(plain, "label"), _values(plain, "prediction"), _values(short, "prediction")
    drop = paired_drop(settings.task.metric, *columns, settings.max_drop)
    values = [read_json(folder / "metrics.json")["value"] for folder in (baseline, shortened)]
    return {
        "baseline": values[0],
        "drop": values[0] - values[1],
        "drop_low": drop.low,
        "drop_high": drop.high,
        "confidence": drop.confidence,
    }


def _values(table: pd.DataFrame, name: str) -> np.ndarray:
    """A column, or the columns of a multi-label task side by side."""
    if name in table:
        return table[name].to_numpy()
    return table[[column for column in table if str(column).startswith(f"{name}_")]].to_numpy()


def _speeds(timing: pd.DataFrame) -> dict[str, Any]:
    """Speed-ups by padding (of the first engine and setting), and times per example for the picture."""
    same = ["engine", "precision", "batch_size", "seq_len", "threads"]
    first = timing[(timing[same] == timing[same].iloc[0]).all(axis=1)].set_index(["padding", "model"])
    speeds: dict[str, Any] = {"flops_ratio": None, "speedup_max": None, "speedup_longest": None, "speedup_sorted": None}
    times = {}
    for padding, model in first.index:
        row = first.loc[(padding, model)]
        if model == "shortened":
            speeds[f"speedup_{padding}"] = float(row["speedup"])
            speeds[f"flops_ratio_{padding}"] = float(row["flops_ratio"])
        times[f"{model}_{padding}_ms"] = 1000 / float(row["examples_per_s"])
    speeds["flops_ratio"] = speeds.get(
        "flops_ratio_max", next((v for k, v in speeds.items() if k.startswith("flops_ratio_")), None)
    )
    return {**speeds, **times}
