"""One job of a sweep: search, re-train and bench for one λ or target."""

from typing import Any

from hydra.core.hydra_config import HydraConfig

from ..bench.choice import as_result
from ..bench.table import by_padding
from ..recipes.bench import time_model
from ..recipes.timed_models import whole_of
from ..recipes.words import write_words
from ..report.progress import TimingProgress
from ..report.tables import say_metrics, say_retention, say_timing
from ..settings import VERBS, BenchSettings, RetrainSettings
from ..stages.inputs import Inputs
from ..stages.retrain import drop_of
from ..stages.run import Run
from ..stages.tested import tested
from ..store.shipped import load_shortened
from .prepare import begin, leave


def result_of(cfg: Any, target: str | None) -> dict[str, Any]:
    """
    Args:
        target: in words; None where λ decides.

    Returns:
        What the sweep's tables read of a job.
    """
    job, run_dir = begin(cfg, VERBS["sweep"])
    settings, goal = job.settings, job.graph.retrained
    plain, baseline = max(((one, job.made(one)) for one in job.graph.baselines), key=lambda both: both[1].value)
    stage = job.made(goal)
    retention = stage.retention
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


def curve_of(settings: RetrainSettings, method: str) -> str:
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


def _on_test(job: Run[BenchSettings], baseline: Inputs, shortened: Inputs) -> dict[str, Any]:
    """Test metrics of the model and of its baseline, where there are any: the report has those of the chosen job."""
    if not job.context.data.tests:
        return {}
    values = (tested(job.runner, model).value for model in (shortened, baseline))
    return dict(zip(("test_value", "test_baseline"), values, strict=True))
