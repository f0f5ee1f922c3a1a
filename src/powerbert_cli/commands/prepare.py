"""From a composed config to what the stages work on: typed settings, `auto` settled, all checks made."""

import logging
import os
import re
from dataclasses import is_dataclass, replace
from pathlib import Path
from typing import Any, TypeVar, get_args, get_type_hints

import numpy as np
import torch
from hydra.core.hydra_config import HydraConfig
from omegaconf import OmegaConf
from omegaconf.errors import OmegaConfBaseException

from .. import processes
from ..encoder.driven import is_multiple_choice
from ..encoder.families import UnsupportedModelError
from ..encoder.loading import ModelError, check_classes, check_fits, host_config
from ..errors import PowerbertError, nearest
from ..method.kernels import triton_kernels, use_kernel
from ..method.soft_extract import learning_rate_for_reach
from ..pipeline.compress import check_compressible
from ..pipeline.from_settings import given_retention
from ..pipeline.joint import settled_ffn
from ..pipeline.quantise import check_quantisable
from ..pipeline.work import Work
from ..settings import (
    AUTO,
    RENAMED,
    CompressSettings,
    ExportSettings,
    FinetuneSettings,
    RetrainSettings,
    SearchSettings,
    SettingsError,
    ShortenedSettings,
)
from ..store.artifacts import write_json, write_text
from ..store.compression_file import read_compression
from ..store.environment import capture
from ..store.home import IN_CONFIG, without_home
from ..store.onnx_file import check_exportable
from ..tasks.tokenizing import SEQ_LENS, nearest_seq_len, tokenize
from ..training.soft_search import search_steps
from ..training.trainer import resolve_device

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
    run_dir = Path(HydraConfig.get().runtime.output_dir)
    for path in (*(run_dir / ".hydra").glob("*.yaml"), Path(HydraConfig.get().sweep.dir) / "multirun.yaml"):
        if path.is_file():  # Hydra's own records
            _write_config(path, path.read_text(encoding="utf-8"))
    _write_config(run_dir / "config.yaml", OmegaConf.to_yaml(cfg, resolve=True))
    write_json(run_dir / "environment.json", capture(work.device))
    return work, run_dir


def _write_config(path: Path, text: str) -> None:
    write_text(path, without_home(text, IN_CONFIG))


class PreflightError(PowerbertError):
    """Settings that cannot work on this machine or with this model."""


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
    if settings.runtime.threads:
        torch.set_num_threads(settings.runtime.threads)
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


def check(work: Work) -> None:
    """Raises a PowerbertError for whatever can be known to fail before a model is loaded."""
    settings = work.settings
    _check_device(settings)
    _check_processes(settings)
    _check_writable(Path(settings.output_dir))
    work.data  # noqa: B018  (reads and checks every row)
    model = settings.start_model
    try:
        config = host_config(model)
    except UnsupportedModelError as error:
        raise PreflightError(f"model.name_or_path={model.name_or_path}: {error}") from error
    check_fits(config, settings.seq_len)
    _check_bits(settings)
    _check_classes(settings, config)
    if isinstance(settings, ExportSettings) and settings.format == "engine":
        check_exportable(settings.strategy, settings.task.kind == "multiple_choice", also=_packages(settings))
    if isinstance(settings, CompressSettings) and settings.compress.given:
        check_compressible(work, config)
    if isinstance(settings, CompressSettings) and settings.compress.quantises:
        check_quantisable(work, config)
    if isinstance(settings, RetrainSettings):
        given_retention(settings, config)
    elif isinstance(settings, SearchSettings) and settings.strategy == "none":
        raise PreflightError("strategy=none eliminates nothing, so there is nothing to search; set another strategy")


def _packages(settings: ExportSettings) -> list[str]:
    """What writing and comparing the file takes beside the exporter."""
    if settings.engine == "onnx":
        return ["onnxruntime"]
    return ["openvino", *(["nncf"] if settings.precision == "int8" else [])]


def _check_bits(settings: FinetuneSettings) -> None:
    found = read_compression(Path(settings.checkpoint)) if settings.checkpoint else None
    if found is not None and found.bits:
        raise PreflightError(
            f"checkpoint={settings.checkpoint}: the bits of its linear layers are given already, and another training "
            "would undo that; give the model that it was made of, or time it with shortened="
        )


def _check_processes(settings: FinetuneSettings) -> None:
    timed = isinstance(settings, SearchSettings) and (
        settings.target.speedup is not None or settings.word_vector_cost == "latency"
    )
    if timed and processes.count() > 1:
        raise PreflightError("target.speedup and word_vector_cost=latency time this machine: run it in one process")


def _check_classes(settings: FinetuneSettings, config: Any) -> None:
    """What a given classifier answers is what the task means."""
    given = {}
    if settings.checkpoint:
        given[f"checkpoint={settings.checkpoint}"] = config
    if isinstance(settings, ShortenedSettings) and settings.shortened:
        given[f"shortened={settings.shortened}"] = config
    choice = settings.task.kind == "multiple_choice"
    for what, found in given.items():
        if found.architectures and is_multiple_choice(found) != choice:
            raise PreflightError(
                f"{what}: its architecture is {found.architectures[0]}, task.kind={settings.task.kind} needs "
                + ("one ForMultipleChoice" if choice else "a classifier")
            )
        try:
            check_classes(found, settings.task.kind, settings.task.label_names)
        except ModelError as error:
            raise PreflightError(f"{what}: {error}") from error


def _check_device(settings: FinetuneSettings) -> None:
    if settings.device == "cuda" and not torch.cuda.is_available():
        raise PreflightError("device=cuda but PyTorch finds no CUDA GPU; set device=cpu or device=auto")
    if settings.attention == "triton" and not _has_triton(settings):
        raise PreflightError("attention=triton needs a CUDA GPU and the package triton; set attention=auto")
    on_cpu = settings.device == "cpu" or not torch.cuda.is_available()
    if on_cpu and "fp16" in (settings.precision, settings.training.precision):
        raise PreflightError("precision=fp16 needs a GPU; on a CPU set precision=fp32 or bf16")


def _has_triton(settings: FinetuneSettings) -> bool:
    on_gpu = settings.device != "cpu" and torch.cuda.is_available()
    return triton_kernels() is not None and (on_gpu or os.environ.get("TRITON_INTERPRET") == "1")


def _check_writable(folder: Path) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise PreflightError(f"output_dir={folder} cannot be made: {error.strerror}; set output_dir=FOLDER") from error
    if not os.access(folder, os.W_OK):
        raise PreflightError(f"output_dir={folder} cannot be written; set output_dir=FOLDER")
