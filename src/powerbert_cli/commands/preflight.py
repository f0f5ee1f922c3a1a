"""Checks that need no model: all of them run before the first one is loaded."""

import os
from pathlib import Path
from typing import Any

import torch

from .. import processes
from ..encoder.families import UnsupportedModelError
from ..encoder.loading import ModelError, check_classes, check_fits, host_config
from ..encoder.shortened import is_multiple_choice
from ..errors import PowerbertError
from ..method.kernels import triton_kernels
from ..settings import ExportSettings, FinetuneSettings, RetrainSettings, SearchSettings, ShortenedSettings
from ..store.onnx_file import check_exportable
from ..tasks.sources import load_task
from .elimination import given_retention


class PreflightError(PowerbertError):
    """Settings that cannot work on this machine or with this model."""


def check(settings: FinetuneSettings) -> None:
    """Raises a PowerbertError for whatever can be known to fail."""
    _check_device(settings)
    _check_processes(settings)
    _check_writable(Path(settings.output_dir))
    load_task(settings.task, settings.predict_test)
    model = settings.start_model
    try:
        config = host_config(model)
    except UnsupportedModelError as error:
        raise PreflightError(f"model.name_or_path={model.name_or_path}: {error}") from error
    check_fits(config, settings.seq_len)
    _check_classes(settings, config)
    if isinstance(settings, ExportSettings):
        check_exportable(settings.strategy, settings.task.kind == "multiple_choice", also=["onnxruntime"])
    if isinstance(settings, RetrainSettings):
        given_retention(settings, config)
    elif isinstance(settings, SearchSettings) and settings.strategy == "none":
        raise PreflightError("strategy=none eliminates nothing, so there is nothing to search; set another strategy")


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
