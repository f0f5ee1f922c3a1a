"""powerbert check: what a task's rows are, before hours are spent on them."""

import logging
from dataclasses import dataclass
from typing import Any

from ..settings.check import Checking
from ..settings.composed import SearchedSettings
from ..settings.search import Retention

SUMMARY = "look at a task's rows before hours are spent: labels, lengths, duplicates, time on this machine"
DETAILS = "Reads the rows as the other verbs do, and trains for a few steps to time them. Nothing is kept of that."
EXAMPLES = ["powerbert check task=custom task.data_dir=FOLDER model.name_or_path=MODEL seq_len=auto"]
log = logging.getLogger(__name__)


@dataclass(kw_only=True)
class Settings(Checking, Retention, SearchedSettings):
    pass


def run(cfg: Any) -> float:
    """Returns the hours that fine-tuning, search and re-training would take here; writes check.json and lengths.png."""
    from ..recipes.check import check
    from ..report.check_report import draw_lengths, say_check
    from ..report.tables import say_run_dir
    from ..store.artifacts import whole_file, write_json
    from .prepare import begin

    log.info("check: reading the rows of task %s", cfg.task.name)
    job, run_dir = begin(cfg, Settings)
    found = check(job)
    lengths = found.pop("histogram")
    with whole_file(run_dir / "lengths.png") as temporary:
        of = found["unit"], found["inputs"]
        draw_lengths(lengths, found["seq_len"], job.settings.task.name, temporary, *of)
    write_json(run_dir / "check.json", found)
    say_check(found, job.settings.task.label_names, job.settings.lr_soft)
    say_run_dir(run_dir)
    return sum(found["seconds"][stage] for stage in ("finetune", "search", "retrain")) / 3600
