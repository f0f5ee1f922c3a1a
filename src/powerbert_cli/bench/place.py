"""Where contenders run, and what all engines need: their package, an ONNX file, arrays in place of tensors."""

import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from ..encoder.inputs import main_input
from ..errors import PowerbertError, brings
from ..models.onnx_file import export_onnx, input_names
from ..settings.folders import Exported
from ..tasks.batches import Batch

log = logging.getLogger(__name__)
DTYPES = {"fp32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}
Runner = Callable[..., Any]


class Unavailable(Exception):
    """An engine that cannot run a model on this machine; says why."""


@dataclass(frozen=True)
class Place:
    """Where contenders run.

    Attributes:
        device: cpu or cuda.
        threads: of a CPU, for engines that have their own.
        folder: for the files of engines that read the model from one.
        inputs: batches of one input each, on which int8 is calibrated where it has to be.
        exported: what `export` wrote of the model called shortened.
    """

    device: str
    threads: int
    folder: Path
    inputs: Sequence[Batch] = ()
    exported: Exported | None = None


def check_only(what: str, place: Place, precision: str = "", allowed: tuple[str, ...] = ("",)) -> None:
    """
    Raises:
        Unavailable: the place is no CPU, or the engine has no such precision.
    """
    if place.device != "cpu":
        raise Unavailable(f"engine {what} runs on the CPU only")
    if precision not in allowed:
        raise Unavailable(f"engine {what} has {' and '.join(allowed)}, not {precision}")


def package_of(name: str, extra: str) -> Any:
    """
    Raises:
        Unavailable: it is not installed; says which extra brings it.
    """
    try:
        return __import__(name)
    except ImportError as error:
        raise Unavailable(f"{name} is not installed: {brings(extra)}") from error


def exported_onnx(name: str, model: nn.Module, folder: Path) -> Path:
    """The model's ONNX file in float32, written the first time.

    Raises:
        Unavailable: it cannot be written; says why.
    """
    path = folder / f"{name}.onnx"
    if not path.exists():
        log.info("the %s model is written as ONNX for engines that read files; each layer takes seconds", name)
        try:
            export_onnx(model, path)
        except PowerbertError as error:
            raise Unavailable(str(error)) from error
    return path


def arrays_of(batch: Batch, config: Any) -> dict[str, np.ndarray]:
    """All inputs of the file: those that a batch leaves out have one value only."""
    given = main_input(batch)
    missing = {"attention_mask": torch.ones, "token_type_ids": torch.zeros}
    return {
        name: (batch[name] if name in batch else missing[name](given.shape, dtype=torch.long)).numpy()
        for name in input_names(config)
    }
