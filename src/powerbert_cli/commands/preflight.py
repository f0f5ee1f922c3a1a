"""Checks that need no model: all of them run before the first one is loaded."""

import os
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch

from ..encoder.families import UnsupportedModelError
from ..encoder.loading import check_fits, host_config
from ..errors import PowerbertError
from ..method.retention import RetentionError, check_lengths
from ..settings import FinetuneSettings, RetentionSettings, RetrainSettings
from ..store import retention_file
from ..store.retention_file import RetentionFile
from ..tasks.sources import check_source


class PreflightError(PowerbertError):
    """Settings that cannot work on this machine or with this model."""


def check(settings: FinetuneSettings) -> None:
    """Raises a PowerbertError for whatever can be known to fail."""
    _check_device(settings)
    _check_writable(Path(settings.output_dir))
    check_source(settings.task)
    model = settings.start_model
    try:
        config = host_config(model)
    except UnsupportedModelError as error:
        raise PreflightError(f"model.name_or_path={model.name_or_path}: {error}") from error
    check_fits(config, settings.seq_len)
    if isinstance(settings, RetrainSettings):
        given_retention(settings, config)


def given_retention(settings: RetrainSettings, config: Any) -> RetentionFile | None:
    """The retention configuration that the settings name, checked against ℓ and the model.

    None if it is to be searched.
    """
    retention: RetentionSettings = settings.retention
    layers = config.num_hidden_layers
    try:
        if retention.path:
            found = retention_file.read(Path(retention.path))
            check_lengths(found.lengths, settings.seq_len, layers)
            return replace(found, seq_len=settings.seq_len)
        if retention.lengths is None:
            return None
        lengths = [settings.seq_len] * layers if retention.lengths == "full" else retention.lengths
        if not isinstance(lengths, list):
            raise RetentionError(f"retention.lengths={lengths!r} must be a list such as [153,125,111], or full")
        return RetentionFile(check_lengths(lengths, settings.seq_len, layers), settings.seq_len)
    except RetentionError as error:
        raise PreflightError(str(error)) from error


def _check_device(settings: FinetuneSettings) -> None:
    if settings.device == "cuda" and not torch.cuda.is_available():
        raise PreflightError("device=cuda but PyTorch finds no CUDA GPU; set device=cpu or device=auto")
    on_cpu = settings.device == "cpu" or not torch.cuda.is_available()
    if on_cpu and "fp16" in (settings.precision, settings.training.precision):
        raise PreflightError("precision=fp16 needs a GPU; on a CPU set precision=fp32 or bf16")


def _check_writable(folder: Path) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise PreflightError(f"output_dir={folder} cannot be made: {error.strerror}; set output_dir=FOLDER") from error
    if not os.access(folder, os.W_OK):
        raise PreflightError(f"output_dir={folder} cannot be written; set output_dir=FOLDER")
