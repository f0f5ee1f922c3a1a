"""From a composed config to what the stages work on: typed settings, `auto` settled, all checks made."""

import logging
import re
from dataclasses import is_dataclass, replace
from pathlib import Path
from typing import Any, TypeVar, get_args, get_type_hints

import numpy as np
from hydra.core.hydra_config import HydraConfig
from omegaconf import OmegaConf
from omegaconf.errors import OmegaConfBaseException

from .. import processes
from ..encoder.loading import host_config
from ..errors import nearest
from ..method.kernels import use_kernel
from ..method.soft_extract import learning_rate_for_reach
from ..pipeline.joint import settled_ffn
from ..pipeline.work import Work
from ..settings import (
    AUTO,
    RENAMED,
    FinetuneSettings,
    RetrainSettings,
    SearchSettings,
    SettingsError,
)
from ..store.artifacts import write_json, write_text
from ..store.environment import capture
from ..store.home import IN_CONFIG, without_home
from ..tasks.tokenizing import SEQ_LENS, nearest_seq_len, tokenize
from ..training.soft_search import search_steps
from ..training.trainer import resolve_device
from .preflight import check
from .threads import use_threads

log = logging.getLogger(__name__)
S = TypeVar("S", bound=FinetuneSettings)
T = TypeVar("T")
ANY_CONTENT = ("model.config", "task.published")  # transformers' own, and what top-level keys default to
# Sum of the learning rates of r over a search, by regulariser. In the loss a lone L1 gradient moves
# r by the learning rate in each step, so 3 is three times the way from 1 to 0. Decoupled, r falls by
# λ·j times the sum: at 10 and λ=0.1 just the whole way in the first layer, while λ·j stays below 1,
# the most that Adam can hold against it, in the upper ones.
REACH = {"loss": 3.0, "decoupled": 10.0}


def begin(cfg: Any, cls: type[S]) -> tuple[Work[S], Path]:
    """Prepares the work of a verb; writes config.yaml and environment.json into the run directory."""
    work = prepared(cfg, cls)
    task = work.settings.task
    if task.folds and task.fold is None and cls not in (FinetuneSettings, RetrainSettings):
        raise SettingsError(
            f"task.folds={task.folds}: finetune and retrain go over all folds, this verb takes one: set task.fold=0; "
            f"a sweep goes over them with task.fold={','.join(map(str, range(task.folds)))}"
        )
    run_dir = Path(HydraConfig.get().runtime.output_dir)
    for path in (*(run_dir / ".hydra").glob("*.yaml"), Path(HydraConfig.get().sweep.dir) / "multirun.yaml"):
        if path.is_file():  # Hydra's own records
            _write_config(path, path.read_text(encoding="utf-8"))
    _write_config(run_dir / "config.yaml", OmegaConf.to_yaml(cfg, resolve=True))
    write_json(run_dir / "environment.json", capture(work.device))
    return work, run_dir


def _write_config(path: Path, text: str) -> None:
    write_text(path, without_home(text, IN_CONFIG))


def prepared(cfg: Any, cls: type[S]) -> Work[S]:
    """The work of a composed config; what `auto` was settled to stands in the config then.

    Raises:
        PowerbertError: for an unknown key, a value of the wrong type or outside its range, and for whatever else can
            be known to fail.
    """
    ffn_is_auto = _takes_auto_ffn(cfg, cls)
    settings, auto = _typed(cfg, cls)
    processes.join(cpu=resolve_device(settings.device) == "cpu")
    work = Work(settings)
    for name in auto:
        cfg[name] = _seq_len(work) if name == "seq_len" else _lr_soft(work)
        work = work.of(replace(work.settings, **{name: cfg[name]}))
    check(work)
    use_kernel(settings.attention)
    use_threads(settings.runtime.threads, host_config(settings.start_model))
    if ffn_is_auto:
        cfg.compress.ffn = settled_ffn(work)
        own: Any = work.settings
        work = work.of(replace(own, compress=replace(own.compress, ffn=cfg.compress.ffn)))
    return work


def _takes_auto_ffn(cfg: Any, cls: type[FinetuneSettings]) -> bool:
    """Whether compress.ffn is auto, and the rest of the config lets it be."""
    if OmegaConf.select(cfg, "compress.ffn") != AUTO:
        return False
    searches = issubclass(cls, SearchSettings) and cfg.searcher == "calibrate" and cfg.target.flops is not None
    full = issubclass(cls, RetrainSettings) and cfg.retention.lengths is not None
    if not searches or full:
        raise SettingsError(
            "compress.ffn=auto weighs neurons against word-vectors under a target: give searcher=calibrate and "
            "target.flops=0.4, and no retention configuration; or give a number"
        )
    return True


def _typed(cfg: Any, cls: type[S]) -> tuple[S, list[str]]:
    """The settings, and which of them are auto: a number stands in for these."""
    standing_in = {"seq_len": SEQ_LENS[-1], "lr_soft": 1.0}
    auto = [name for name in standing_in if cfg.get(name) == AUTO]
    copy = cfg.copy()
    for name in auto:
        copy[name] = standing_in[name]
    if OmegaConf.select(copy, "compress.ffn") == AUTO:
        copy.compress.ffn = 0.5
    return from_config(copy, cls), auto


def _seq_len(work: Work) -> int:
    """ℓ by the paper's rule; prints the distribution that it rests on."""
    lengths = np.asarray(tokenize(work.data.train.rows, work.tokenizer, None)["length"])
    points = [50, 75, 90, 95, 99, 100]
    log.info(
        "word-pieces of the training inputs: %s",
        ", ".join(f"{p}% ≤ {int(np.percentile(lengths, p, method='higher'))}" for p in points),
    )
    chosen = nearest_seq_len(lengths)
    cut = float(np.mean(lengths > chosen))
    log.info(
        "seq_len=auto: ℓ=%d, the nearest of %s to the 99th percentile; %.1f%% are cut", chosen, SEQ_LENS, 100 * cut
    )
    return chosen


def _lr_soft(work: Work[Any]) -> float:
    settings: SearchSettings = work.settings
    steps = search_steps(len(work.data.train), work.plan(settings.search))
    wanted = REACH[settings.regularizer]
    lr = learning_rate_for_reach(wanted, steps, settings.training.warmup_ratio)
    log.info("lr_soft=auto: %.3g, which adds up to %g over %d steps", lr, wanted, steps)
    return lr


def from_config(cfg: Any, cls: type[T]) -> T:
    """The typed settings of a composed DictConfig.

    Raises:
        SettingsError: for an unknown key, a value of the wrong type or outside its range.
    """
    try:
        values = OmegaConf.to_container(cfg, resolve=True)
        assert isinstance(values, dict)
        for user, ours in RENAMED.items():
            if user in values:
                values[ours] = values.pop(user)
        _check_lists(values)
        _check_words(values, cls)
        merged = OmegaConf.merge(OmegaConf.structured(cls), values)
        return OmegaConf.to_object(merged)  # type: ignore[return-value]
    except OmegaConfBaseException as error:
        raise SettingsError(_readable(error, cls)) from error


def _check_lists(values: Any, within: str = "") -> None:
    """OmegaConf lets a list pass as an entry of a list of numbers or names."""
    for name, value in values.items():
        if f"{within}{name}" in ANY_CONTENT:
            continue
        if isinstance(value, dict):
            _check_lists(value, f"{within}{name}.")
        elif isinstance(value, list) and any(isinstance(entry, list | dict) for entry in value):
            raise SettingsError(f"{within}{name}={value} must be a list of single values")


def _check_words(values: dict[Any, Any], cls: type, within: str = "") -> None:
    """YAML reads some words as booleans, and OmegaConf would make names of these: False, True."""
    hints = get_type_hints(cls)
    for name, value in values.items():
        kind = hints.get(name)
        if is_dataclass(kind) and isinstance(value, dict):
            _check_words(value, kind, f"{within}{name}.")  # type: ignore[arg-type]
        entries = value if isinstance(value, list) else [value]
        if any(isinstance(entry, bool) for entry in entries) and {str, list[str]} & {kind, *get_args(kind)}:
            raise SettingsError(
                f"{within}{name}={value}: YAML reads the words no, yes, off, on, false and true as booleans; put them "
                f"into quotes, {name}: ['no', 'yes'] in a file, '{within}{name}=[\"true\",\"false\"]' in a command"
            )


def _readable(error: Exception, cls: type[Any]) -> str:
    text = str(error.msg if hasattr(error, "msg") else error).splitlines()[0]
    name = getattr(error, "full_key", None) or ""
    for user, ours in RENAMED.items():
        name = name.replace(ours, user)
        text = text.replace(ours, user)
    wrong_type = re.search(r"Value '(.*)' of type '.*' could not be converted to (\w+)", text)
    if wrong_type:
        kind = {"Float": "a number", "Integer": "a whole number", "Boolean": "true or false"}
        return f"{name}={wrong_type.group(1)} must be {kind.get(wrong_type.group(2), wrong_type.group(2))}"
    if "not in" in text and name:
        return f"unknown key '{name}'{nearest(name, cls.__dataclass_fields__)}"
    return f"{name}: {text}" if name else text
