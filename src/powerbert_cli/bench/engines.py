"""The ways to run a classifier that contend: PyTorch, compiled, ONNX Runtime, OpenVINO.

A runner is called with the tensors of a batch and answers with logits or an output that has
them. What cannot run here is `Unavailable`, with the reason.
"""

import os
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import torch
from torch import nn

from ..encoder.driven import EliminationModel
from ..errors import PowerbertError
from ..method.retention import Thresholds
from ..store.onnx_file import export_onnx, input_names, quantize_onnx
from ..tasks.batches import Batch

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
    """

    device: str
    threads: int
    folder: Path


def runner(engine: str, name: str, model: nn.Module, precision: str, place: Place) -> Runner:
    """A model as one of `settings.ENGINES` runs it.

    Args:
        name: of the model, unique in the folder.
        model: for eager and compile on the device and in the precision; else on the CPU in
            float32.

    Raises:
        Unavailable
    """
    return {"eager": _eager, "compile": _compiled, "onnx": _onnx, "openvino": _openvino}[engine](
        name, model, precision, place
    )


def _eager(name: str, model: nn.Module, precision: str, place: Place) -> Runner:
    _check_torch(precision, place)
    return model


def _check_torch(precision: str, place: Place) -> None:
    if precision == "int8":
        raise Unavailable("int8 is for engine onnx")
    if precision == "fp16" and place.device == "cpu":
        raise Unavailable("fp16 needs a GPU")


def _compiled(name: str, model: nn.Module, precision: str, place: Place) -> Runner:
    """One graph for each shape: CUDA graphs on a GPU, weights as constants (freezing) on a CPU."""
    _check_torch(precision, place)
    if place.device == "cpu" and not any(map(shutil.which, (os.environ.get("CXX", "g++"), "clang++"))):
        raise Unavailable("torch.compile needs a C++ compiler on a CPU, and finds no g++")
    if isinstance(model, EliminationModel) and isinstance(model.elimination.retention, Thresholds):
        raise Unavailable("strategy=threshold has shapes that depend on the input, so it is not one graph")
    torch._dynamo.config.recompile_limit = max(64, torch._dynamo.config.recompile_limit)  # one for each bucket
    options: Any = {"triton.cudagraphs": True} if place.device == "cuda" else {"freezing": True}
    return torch.compile(model, dynamic=False, fullgraph=True, options=options)


def _onnx(name: str, model: nn.Module, precision: str, place: Place) -> Runner:
    _only(engine="onnx", precision=precision, allowed=("fp32", "int8"), place=place)
    runtime = _package("onnxruntime", "onnx")
    options = runtime.SessionOptions()
    options.intra_op_num_threads = place.threads
    options.log_severity_level = 3
    path = _exported(name, model, place.folder)
    if precision == "int8":
        exact, path = path, path.with_suffix(".int8.onnx")
        if not path.exists():
            quantize_onnx(exact, path)
    session = runtime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    return lambda **batch: session.run(None, _arrays(batch, model.config))[0]


def _openvino(name: str, model: nn.Module, precision: str, place: Place) -> Runner:
    _only(engine="openvino", precision=precision, allowed=("fp32", "bf16"), place=place)
    openvino = _package("openvino", "openvino")
    core = _core(openvino)
    if precision == "bf16" and "BF16" not in core.get_property("CPU", "OPTIMIZATION_CAPABILITIES"):
        raise Unavailable("OpenVINO has no bf16 on this CPU")
    hint = {"fp32": "f32", "bf16": "bf16"}[precision]
    compiled = core.compile_model(
        str(_exported(name, model, place.folder)),
        "CPU",
        {"INFERENCE_NUM_THREADS": place.threads, "INFERENCE_PRECISION_HINT": hint, "PERFORMANCE_HINT": "LATENCY"},
    )
    return lambda **batch: compiled(_arrays(batch, model.config))[0]


@cache
def _core(openvino: ModuleType) -> Any:
    """One for the life of the process.

    Each sets an alternate stack for signals and takes it away when it is freed; of two freed in the order
    in which they came the second sets that of the first again, and the next signal, Ctrl-C too, is a crash
    (OpenVINO 2026.4, `SigAltStackSetup` of its CPU plugin).
    """
    return openvino.Core()


def _only(engine: str, precision: str, allowed: tuple[str, ...], place: Place) -> None:
    if place.device != "cpu":
        raise Unavailable(f"engine {engine} runs on the CPU only")
    if precision not in allowed:
        raise Unavailable(f"engine {engine} has {' and '.join(allowed)}, not {precision}")


def _package(name: str, extra: str) -> Any:
    try:
        return __import__(name)
    except ImportError as error:
        raise Unavailable(f"{name} is not installed: pip install 'powerbert[{extra}]'") from error


def _exported(name: str, model: nn.Module, folder: Path) -> Path:
    path = folder / f"{name}.onnx"
    if not path.exists():
        try:
            export_onnx(model, path)
        except PowerbertError as error:
            raise Unavailable(str(error)) from error
    return path


def _arrays(batch: Batch, config: Any) -> dict[str, np.ndarray]:
    """All inputs of the file: those that a batch leaves out have one value only."""
    ids = batch["input_ids"]
    missing = {"attention_mask": torch.ones_like, "token_type_ids": torch.zeros_like}
    return {name: (batch[name] if name in batch else missing[name](ids)).numpy() for name in input_names(config)}
