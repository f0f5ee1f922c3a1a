"""powerbert compress: remove layers, heads and feed-forward neurons of the fine-tuned model."""

from typing import Any

from ..errors import PowerbertError
from ..report.tables import say_compression, say_metrics, say_run_dir
from ..settings import CompressSettings
from ..stages.inputs import Inputs
from ..stages.run import Run
from ..stages.trained import measure
from ..store.stages import Stage
from .prepare import begin, leave


def run(cfg: Any) -> float:
    """Returns the headline metric of the compressed model."""
    job, run_dir = begin(cfg, CompressSettings)
    stage = compress(job)
    leave(job, stage, run_dir)
    say_compression(stage.model_dir)
    measure(job.context, stage.model_dir, run_dir)
    value = say_metrics(run_dir / "metrics.json", "compressed, not trained")
    say_run_dir(run_dir)
    return value


def compress(job: Run[CompressSettings]) -> Stage:
    """Removes what the settings name of the fine-tuned model, or finds that it is done.

    Raises:
        PowerbertError: nothing is to be removed.
    """
    settings, goal = job.settings, job.graph.compressed
    if settings.compress.quantises:
        raise PowerbertError(
            "compress does not train, and compress.bits, compress.act_bits and compress.sparsity are of a re-training: "
            "give them to powerbert retrain (retrain.epochs=0 only measures)"
        )
    if not settings.compress.given or not isinstance(goal, Inputs):
        raise PowerbertError(
            "compress removes nothing: give compress.flops=0.6, compress.ffn=0.4, "
            "compress.heads=0.5 or compress.layers=6"
        )
    return job.made(goal, settings.fresh)


def goals(job: Run[CompressSettings]) -> list[Inputs]:
    """What there is to be made."""
    return [model] if isinstance(model := job.graph.compressed, Inputs) else []
