"""powerbert sweep, one job: its settings are checked before anything heavy is imported, its result is written."""

import logging
from pathlib import Path
from typing import Any

from hydra.core.hydra_config import HydraConfig

from ..errors import PowerbertError
from ..jobs.gather import RESULT, sweep_token
from ..settings.typed import check_values

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
    from ..store.artifacts import write_json

    try:
        check_values(cfg, "sweep")
        from .sweep_job import result_of

        result = result_of(cfg, target)
    except Exception as error:
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        log.error("%s failed: %s", target or f"λ={cfg['lambda']}", reason)
        log.debug("traceback", exc_info=True)
        user = isinstance(error, PowerbertError) and error.exit_code == 2
        write_json(run_dir / RESULT, {**head, "status": "failed", "reason": reason, "user_error": user})
        return float("-inf"), float("-inf")
    write_json(run_dir / RESULT, {**head, "status": "ok", **result})
    return result["value"], result["speed"] or 0.0


def goals(job: Any) -> list[Any]:
    """What there is to be made of one job."""
    return [*job.graph.baselines, job.graph.retrained]


def _given(retention: Any) -> bool:
    """Whether nothing is searched, so that λ decides nothing."""
    return any(retention[name] is not None for name in ("path", "lengths", "fractions", "thresholds"))


def _target_text(cfg: Any) -> str | None:
    """target.flops=0.3, or None where λ alone is set; of a value that is no number, as it was given."""
    given = {name: cfg.target[name] for name in ("flops", "speedup", "max_drop") if cfg.target[name] is not None}
    texts = {name: f"{value:.4g}" if isinstance(value, float | int) else value for name, value in given.items()}
    return ", ".join(f"target.{name}={text}" for name, text in texts.items()) or None
