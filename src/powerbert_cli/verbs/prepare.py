"""From a composed config to what the stages work on: typed settings, `auto` settled, all checks made."""

import logging
from dataclasses import replace
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
from hydra.core.hydra_config import HydraConfig
from omegaconf import OmegaConf

from .. import processes
from ..encoder.families import usable_positions
from ..method.kernels import use_kernel
from ..method.soft_extract import learning_rate_for_reach
from ..models.loading import host_config
from ..recipes.joint import settled_ffn
from ..report.following import Following
from ..settings import SettingsError
from ..settings.common import Common
from ..settings.composed import SearchedSettings
from ..settings.typed import typed
from ..stages.context import Context
from ..stages.run import Run
from ..store.artifacts import write_json, write_text
from ..store.environment import capture
from ..store.home import IN_CONFIG, without_home
from ..store.stages import Stage
from ..tasks.tokenizing import SEQ_LENS, nearest_seq_len, tokenize
from ..training.soft_search import search_steps
from ..training.trainer import resolve_device
from .classes_file import write_classes
from .preflight import check
from .settling import settle_task
from .threads import use_threads

log = logging.getLogger(__name__)
S = TypeVar("S", bound=Common)
# Sum of the learning rates of r over a search, by regulariser. In the loss a lone L1 gradient moves
# r by the learning rate in each step, so 3 is three times the way from 1 to 0. Decoupled, r falls by
# λ·j times the sum: at 10 and λ=0.1 just the whole way in the first layer, while λ·j stays below 1,
# the most that Adam can hold against it, in the upper ones.
REACH = {"loss": 3.0, "decoupled": 10.0}


def begin(cfg: Any, cls: type[S], may_fold: bool = False) -> tuple[Run[S], Path]:
    """Prepares what a verb runs; writes config.yaml and environment.json into the run directory."""
    job = prepared(cfg, cls)
    check_meant(job.settings, may_fold)
    run_dir = Path(HydraConfig.get().runtime.output_dir)
    for path in (*(run_dir / ".hydra").glob("*.yaml"), Path(HydraConfig.get().sweep.dir) / "multirun.yaml"):
        if path.is_file():  # Hydra's own records
            _write_config(path, path.read_text(encoding="utf-8"))
    _write_config(run_dir / "config.yaml", OmegaConf.to_yaml(cfg, resolve=True))
    write_json(run_dir / "environment.json", capture(job.context.device))
    return job, run_dir


def leave(job: Run[Any], stage: Stage, run_dir: Path) -> None:
    """Puts a stage's artifacts into a run directory, with the metrics of each class."""
    job.export(stage, run_dir)
    # not in the stage: runs that share it may call its classes otherwise
    write_classes(run_dir, job.settings.task.kind, job.settings.task.label_names)


def check_meant(settings: Common, may_fold: bool) -> None:
    """Whether a command means what it says: one fold, and no model measured on the generated task by default.

    Args:
        may_fold: the verb goes over all folds where none is named.

    Raises:
        SettingsError
    """
    task = settings.task
    if task.folds and task.fold is None and not may_fold:
        raise SettingsError(
            f"task.folds={task.folds}: finetune and retrain go over all folds, this verb takes one: set task.fold=0; "
            f"a sweep goes over them with task.fold={','.join(map(str, range(task.folds)))}"
        )
    hydra = HydraConfig.get()
    given = any(override.lstrip("+").startswith("task=") for override in hydra.overrides.task)
    model = getattr(settings, "model_dir", None)
    if model and not given and hydra.runtime.choices.get("task") == "synthetic":
        raise SettingsError(f"{model}: no task is given; set task=NAME, or task.data_dir=FOLDER with your files")


def _write_config(path: Path, text: str) -> None:
    write_text(path, without_home(text, IN_CONFIG))


def prepared(cfg: Any, cls: type[S], may_run: bool = True) -> Run[S]:
    """What runs a composed config; what `auto` was settled to stands in the config then.

    Args:
        may_run: stages, where only they can settle what is auto.

    Raises:
        PowerbertError: for an unknown key, a value of the wrong type or outside its range, and for whatever else can
            be known to fail.
    """
    settings, auto = typed(cfg, cls)
    if "compress.ffn" in auto and not may_run:
        raise SettingsError("compress.ffn=auto is settled by searches, so there is no plan before them; give a number")
    processes.join(cpu=resolve_device(settings.device) == "cpu")
    if of_task := [name for name in auto if name.startswith("task.")]:
        settle_task(cfg, settings, of_task)
        settings, _ = typed(cfg, cls)
    job = Run(settings, Following(settings))
    for name in ("seq_len", "lr_soft"):
        if name in auto:
            cfg[name] = _seq_len(job.context) if name == "seq_len" else _lr_soft(job)
            job = job.of(replace(job.settings, **{name: cfg[name]}))
    check(job)
    use_kernel(settings.runtime.significance)
    use_threads(settings.runtime.threads, host_config(job.context.settings.start_model))
    if "compress.ffn" in auto:
        cfg.compress.ffn = settled_ffn(job)
        own: Any = job.settings
        job = job.of(replace(own, compress=replace(own.compress, ffn=cfg.compress.ffn)))
    return job


def _seq_len(context: Context) -> int:
    """ℓ by the paper's rule; prints the distribution that it rests on."""
    kind = context.settings.task.of_kind
    lengths = np.asarray(tokenize(context.data.train.rows, kind, context.processor, None)["length"])
    if not kind.CUTS:
        return int(lengths.max())
    if kind.REFUSES_LONG:
        return _longest(context, lengths)
    points = [50, 75, 90, 95, 99, 100]
    log.info(
        f"{kind.UNIT} of the training inputs: %s",
        ", ".join(f"{p}% ≤ {int(np.percentile(lengths, p, method='higher'))}" for p in points),
    )
    chosen = min(nearest_seq_len(lengths), usable_positions(host_config(context.settings.start_model)))
    cut = float(np.mean(lengths > chosen))
    log.info(
        "seq_len=auto: ℓ=%d, of %s and what the model takes the nearest to the 99th percentile; %.1f%% are cut",
        *(chosen, SEQ_LENS, 100 * cut),
    )
    return chosen


def _longest(context: Context, lengths: np.ndarray) -> int:
    """ℓ of inputs that are not to be cut: that of the longest of all splits."""
    kind, data = context.settings.task.of_kind, context.data
    others = [split.rows for split in (data.dev, data.test) if split is not None]
    each = [int(max(tokenize(rows, kind, context.processor, None)["length"])) for rows in others]
    found = max([int(lengths.max()), *each])
    log.info("seq_len=auto: ℓ=%d%s, of the longest of the %s", found, kind.lasts(found, context.processor), kind.ARE)
    return found


def _lr_soft(job: Run[Any]) -> float:
    settings: SearchedSettings = job.settings
    steps = search_steps(len(job.context.data.train), job.context.plan(settings.search))
    wanted = REACH[settings.regularizer]
    lr = learning_rate_for_reach(wanted, steps, settings.training.warmup_ratio)
    log.info("lr_soft=auto: %.3g, which adds up to %g over %d steps", lr, wanted, steps)
    return lr
