"""powerbert check: what a task's rows are, before hours are spent on them."""

import logging
from typing import Any

from ..recipes.check import check
from ..report.check_report import draw_lengths, say_check
from ..report.tables import say_run_dir
from ..settings import VERBS
from ..store.artifacts import whole_file, write_json
from .prepare import begin

log = logging.getLogger(__name__)


def run(cfg: Any) -> float:
    """Returns the hours that fine-tuning, search and re-training would take here; writes check.json and lengths.png."""
    log.info("check: reading the rows of task %s", cfg.task.name)
    job, run_dir = begin(cfg, VERBS["check"])
    found = check(job)
    lengths = found.pop("histogram")
    with whole_file(run_dir / "lengths.png") as temporary:
        draw_lengths(lengths, found["seq_len"], job.settings.task.name, temporary)
    write_json(run_dir / "check.json", found)
    say_check(found, job.settings.task.label_names, job.settings.lr_soft)
    say_run_dir(run_dir)
    return sum(found["seconds"][stage] for stage in ("finetune", "search", "retrain")) / 3600
