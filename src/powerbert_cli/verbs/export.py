"""powerbert export: the shortened model as an inference engine loads it, or as bits."""

from typing import Any

from ..recipes.export import export
from ..report.console import console
from ..report.tables import say_retention, say_run_dir
from ..settings import VERBS
from .prepare import begin


def run(cfg: Any) -> float:
    """Returns the largest difference of a logit on dev between PyTorch and the file."""
    job, run_dir = begin(cfg, VERBS["export"])
    found = export(job, run_dir / "model")
    say_retention(found.retention)
    answers = found.compared
    differ = "" if answers["answers_differ"] is None else f", {answers['answers_differ']:.2%} of the answers differ"
    console.print(
        f"{found.file.name}: {found.size_mb:.1f} MB; on dev {answers['metric']} {answers['value']:.4f} (PyTorch in "
        f"float32: {answers['value_fp32']:.4f}){differ}, logits by at most {answers['logits_differ']:.2g}"
    )
    say_run_dir(run_dir)
    return float(answers["logits_differ"])
