"""Whatever can be known to fail before a model is loaded: device, folders, packages, rows, sizes."""

import logging
import os
from pathlib import Path
from typing import Any

import torch

from .. import processes
from ..compress.sizes import check_compressible
from ..encoder.families import UnsupportedModelError, family_of_config, known_purpose, purpose_of
from ..errors import PowerbertError
from ..kinds.values import RowError
from ..method.kernels import triton_kernels
from ..method.quantisation import GROUP
from ..models.classes import check_classes
from ..models.loading import check_fits, host_config, other_head
from ..models.model_dir import RETENTION
from ..models.onnx_file import check_exportable
from ..models.processors import processing_of
from ..models.weights import ModelError
from ..report.tracking import check_tracker
from ..settings.composed import TrainedSettings
from ..stages.graph import given_retention
from ..stages.run import Run
from ..store.compression_file import read_compression
from ..store.environment import cpu_flags
from ..store.retention_file import read as read_retention

log = logging.getLogger(__name__)


class PreflightError(PowerbertError):
    """Settings that cannot work on this machine or with this model."""


def check(job: Run) -> None:
    """Raises a PowerbertError for whatever can be known to fail before a model is loaded."""
    settings: Any = job.settings
    _check_device(settings)
    _check_processes(settings)
    _check_writable(Path(settings.output_dir))
    check_tracker(settings.tracking)
    job.context.data  # noqa: B018  (reads and checks every row)
    model = settings.start_model
    try:
        config = host_config(model)
    except UnsupportedModelError as error:
        raise PreflightError(f"model.name_or_path={model.name_or_path}: {error}") from error
    _check_medium(job, config)
    check_fits(config, settings.seq_len)
    _check_bits(settings)
    _check_classes(settings, config)
    _check_taught(job, config)
    if settings.writes_graph:
        strategy = (
            read_retention(settings.shortened_dir / RETENTION).elimination.strategy if settings.shortened_dir else None
        )
        check_exportable(strategy, settings.task.of_kind.CHOOSES, also=settings.packages(settings.precision))
    if settings.removes:
        lengths = job.context.material.train["length"]
        check_compressible(settings.compress, config, lengths, settings.ranks_by_attention)
    if settings.quantises:
        _check_quantisable(settings, config)
    if settings.takes_retention:
        given_retention(settings, config)


def _check_medium(job: Run, config: Any) -> None:
    """The model takes what the task has and can learn it; ℓ of inputs that are not cut is what it makes of them."""
    kind, seq_len, model = job.settings.task.of_kind, job.settings.seq_len, job.settings.start_model
    processing_of(kind).check_takes(config, f"model={model.label}")
    data, processor = job.context.data, job.context.processor
    try:
        kind.check_learnable(data.train.rows, processor)
    except RowError as error:
        raise PreflightError(f"the training rows: {error}") from error
    if said := kind.unlearnt(data.dev.rows, processor):
        log.warning("dev rows: %s", said)
    if kind.CUTS:
        return
    most = processing_of(kind).most(job.context.processor, config)
    if seq_len != most:
        raise PreflightError(
            f"seq_len={seq_len}: the model makes {most} word-vectors of each input, and {kind.ARE} are not cut; set "
            "seq_len=auto"
        )


def _check_quantisable(settings: Any, config: Any) -> None:
    """
    Args:
        config: of the model that will be re-trained.
    """
    if settings.compress.sparsity is None:
        return
    for name in ("hidden_size", family_of_config(config).neurons_key):
        size = int(getattr(config, name))
        if size % GROUP:
            raise PreflightError(
                f"compress.sparsity=2:4 needs layers of a multiple of {GROUP} inputs, the model has {name}={size}; set "
                "compress.sparsity=null"
            )


def _check_bits(settings: TrainedSettings) -> None:
    found = read_compression(settings.checkpoint_dir) if settings.checkpoint_dir else None
    if found is not None and found.bits:
        raise PreflightError(
            f"model_dir={settings.start_model.name_or_path}: the bits of its linear layers are given already, and "
            "another training would undo that; give the model that it was made of, or time it with bench"
        )


def _check_processes(settings: TrainedSettings) -> None:
    if settings.times_this_machine and processes.count() > 1:
        raise PreflightError(
            "target.speedup and research.word_vector_cost=latency time this machine: run it in one process"
        )


def _check_classes(settings: TrainedSettings, config: Any) -> None:
    """What a given classifier answers is what the task means."""
    if not (settings.checkpoint_dir or settings.shortened_dir):
        return
    what, kind = f"model_dir={settings.start_model.name_or_path}", settings.task.of_kind
    if config.architectures and purpose_of(config) != kind.HEAD:
        raise PreflightError(
            f"{what}: its architecture is {config.architectures[0]}, task.kind={kind.NAME} needs one {kind.HEAD}"
        )
    try:
        check_classes(config, kind)
    except ModelError as error:
        raise PreflightError(f"{what}: {error}") from error


def _check_taught(job: Run, config: Any) -> None:
    """Without labels a model learns from the one that it starts from: that answers what the task asks."""
    model, kind = job.settings.start_model, job.settings.task.of_kind
    if kind.TAUGHT or not job.context.taught:
        return
    if not model.name_or_path or known_purpose(config) is None or other_head(model, kind) is not None:
        raise PreflightError(
            f"the training rows have no labels, and model.name_or_path={model.name_or_path} has no head of task.kind="
            f"{kind.NAME} to learn from; give labels (task.label_column), or a model that was trained for it"
        )


def _check_device(settings: TrainedSettings) -> None:
    if settings.device == "cuda" and not torch.cuda.is_available():
        raise PreflightError("device=cuda but PyTorch finds no CUDA GPU; set device=cpu or device=auto")
    if settings.runtime.significance == "triton" and not _has_triton(settings):
        raise PreflightError(
            "runtime.significance=triton needs a CUDA GPU and the package triton; set runtime.significance=auto"
        )
    on_cpu = settings.device == "cpu" or not torch.cuda.is_available()
    if on_cpu and "fp16" in settings.precisions:
        raise PreflightError("precision=fp16 needs a GPU; on a CPU set precision=fp32 or bf16")
    if on_cpu and "bf16" in settings.precisions and _is_slow_in_bf16():
        log.warning("this CPU has no bf16 instructions: bf16 can be many times slower than fp32 here")


def _is_slow_in_bf16() -> bool:
    flags = set(cpu_flags())
    return bool(flags) and not flags & {"avx512_bf16", "amx_bf16"}


def _has_triton(settings: TrainedSettings) -> bool:
    on_gpu = settings.device != "cpu" and torch.cuda.is_available()
    return triton_kernels() is not None and (on_gpu or os.environ.get("TRITON_INTERPRET") == "1")


def _check_writable(folder: Path) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise PreflightError(f"output_dir={folder} cannot be made: {error.strerror}; set output_dir=FOLDER") from error
    if not os.access(folder, os.W_OK):
        raise PreflightError(f"output_dir={folder} cannot be written; set output_dir=FOLDER")
