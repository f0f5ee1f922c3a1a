"""The ways to run a classifier that contend: PyTorch, compiled, our own kernels, ONNX Runtime, OpenVINO, CTranslate2.

A runner is called with the tensors of a batch and answers with logits or an output that has
them. What cannot run here is `Unavailable`, with the reason.
"""

import os
import shutil
from pathlib import Path
from typing import Any

import torch
from torch import nn

from ..captured.model import NotCaptured, tried
from ..encoder.driven import EliminationModel
from ..encoder.families import is_choice_model, layers_of, usable_positions
from ..encoder.quantising import clips_of
from ..encoder.removing import fits_config
from ..encoder.shortened import ShortenedModel
from ..errors import PowerbertError
from ..method.elimination import plain
from ..method.retention import Thresholds
from ..models.onnx_file import quantize_onnx
from ..native.calibration import calibrated
from ..native.layers import NotNative
from ..native.library import NoLibrary
from ..native.model import NativeModel
from ..native.products import has_bf16
from ..native.saved import native_of
from ..settings import ENGINE_PRECISIONS
from ..settings.folders import HEAD, Exported
from .ctranslate import NotConverted, ctranslate2_runner, load_head, run_ctranslate2
from .int8 import dynamic_int8
from .openvino import openvino_file, run_openvino
from .place import DTYPES, Place, Runner, Unavailable, arrays_of, check_only, exported_onnx, package_of

COMPILE_BUCKETS, STATIC_BUCKETS = 2, 8  # lengths an octave: compiling takes 10 to 60 s each, OpenVINO 0.5 to 2


def runner(engine: str, name: str, model: nn.Module, precision: str, place: Place) -> Runner:
    """A model as one of `settings.ENGINES` runs it.

    Args:
        name: of the model, unique in the folder.
        model: for eager, compile and captured on the device and in the precision; else on the CPU in
            float32.

    Raises:
        Unavailable
    """
    if place.exported is not None and name == "shortened":
        if (engine, precision) == place.exported.runs:
            return run_exported(place.exported, model, place.threads)
        if not place.exported.weights:
            raise Unavailable(f"{place.exported.folder} was exported for {place.exported}, and holds nothing else")
    run = {
        "eager": _eager,
        "compile": _compiled,
        "native": _native,
        "captured": _captured,
        "onnx": _onnx,
        "openvino": _openvino,
        "ctranslate2": _ctranslate2,
    }[engine]
    return run(name, model, precision, place)


def run_exported(exported: Exported, model: Any, threads: int) -> Runner:
    """What `export` wrote, as its engine runs it.

    Args:
        model: of it; where it holds no weights for PyTorch its config will do.

    Raises:
        Unavailable
    """
    if exported.engine == "native":
        _check_native(exported.precision)
        try:
            return native_of(model, exported.folder, exported.precision)
        except (NotNative, NoLibrary) as error:
            raise Unavailable(str(error)) from error
    try:
        return _run_file(exported, model.config, threads)
    except NotConverted as error:
        raise Unavailable(str(error)) from error
    except Unavailable:
        raise
    except Exception as error:  # each engine has errors of its own
        lines = [line for line in str(error).splitlines() if line.strip()] or [type(error).__name__]
        raise PowerbertError(
            f"{exported.folder / exported.file}: {exported.engine} does not load it: {lines[-1].strip()}; write it "
            f"again with powerbert export engine={exported.engine} precision={exported.precision}"
        ) from error


def _run_file(exported: Exported, config: Any, threads: int) -> Runner:
    file, precision = exported.folder / exported.file, exported.precision
    if exported.engine == "onnx":
        return run_onnx(file, config, threads)
    if exported.engine == "openvino":
        return run_openvino(file, config, precision, threads)
    package = package_of("ctranslate2", "ctranslate2")
    return run_ctranslate2(package, load_head(exported.folder / HEAD, config), precision, threads, file)


def _eager(name: str, model: nn.Module, precision: str, place: Place) -> Runner:
    if precision != "int8":
        _check_torch(precision, place)
        return model
    check_only("eager in int8", place)
    try:
        return dynamic_int8(model)
    except ImportError as error:
        raise Unavailable("this PyTorch has no dynamic int8 any more") from error


def _check_torch(precision: str, place: Place) -> None:
    if precision == "fp16" and place.device == "cpu":
        raise Unavailable("fp16 needs a GPU")


def _compiled(name: str, model: nn.Module, precision: str, place: Place) -> Runner:
    """One graph for each shape: CUDA graphs on a GPU, weights as constants (freezing) on a CPU."""
    if precision == "int8":
        raise Unavailable("int8 is for engines eager, native, onnx, openvino and ctranslate2")
    _check_torch(precision, place)
    if place.device == "cpu" and not any(map(shutil.which, (os.environ.get("CXX", "g++"), "clang++"))):
        raise Unavailable("torch.compile needs a C++ compiler on a CPU, and finds no g++")
    if isinstance(model, EliminationModel) and isinstance(model.elimination.retention, Thresholds):
        raise Unavailable("strategy=threshold has shapes that depend on the input, so it is not one graph")
    torch._dynamo.config.recompile_limit = max(64, torch._dynamo.config.recompile_limit)  # one for each bucket
    options: Any = {"triton.cudagraphs": True} if place.device == "cuda" else {"freezing": True}
    return torch.compile(model, dynamic=False, fullgraph=True, options=options)


def _native(name: str, model: nn.Module, precision: str, place: Place) -> Runner:
    check_only("native", place, precision, ENGINE_PRECISIONS["native"])
    _check_native(precision)
    if precision == "int8" and not place.inputs:
        raise Unavailable("native's int8 is calibrated on inputs, and there are none")
    runs = as_packed(model)
    try:
        return calibrated(runs, place.inputs) if precision == "int8" else NativeModel(runs, DTYPES[precision])
    except (NotNative, NoLibrary) as error:
        raise Unavailable(str(error)) from error


def _check_native(precision: str) -> None:
    if precision == "bf16" and not has_bf16():
        raise Unavailable("this CPU has no bf16 of its own, which would take many times as long as fp32")


def _captured(name: str, model: nn.Module, precision: str, place: Place) -> Runner:
    if place.device != "cuda":
        raise Unavailable("engine captured runs on a GPU only")
    if precision not in ("bf16", "fp16"):
        raise Unavailable(f"engine captured has bf16 and fp16, not {precision}")
    try:
        return tried(as_packed(model))
    except NotCaptured as error:
        raise Unavailable(str(error)) from error


def as_packed(model: Any) -> ShortenedModel:
    """What powerbert's own engines run: of a plain model this encoder with everything kept."""
    if isinstance(model, ShortenedModel):
        return model
    return ShortenedModel(model, plain(usable_positions(model.config), layers_of(model.config))).eval()


def _onnx(name: str, model: nn.Module, precision: str, place: Place) -> Runner:
    package_of("onnxruntime", "onnx")
    return run_onnx(onnx_file(name, model, precision, place), model.config, place.threads)


def onnx_file(name: str, model: nn.Module, precision: str, place: Place) -> Path:
    """A model as ONNX Runtime loads it.

    Raises:
        Unavailable
    """
    check_only("onnx", place, precision, ENGINE_PRECISIONS["onnx"])
    path = exported_onnx(name, model, place.folder)
    if precision == "int8":
        exact, path = path, path.with_suffix(".int8.onnx")
        if not path.exists():
            quantize_onnx(exact, path)
    return path


def run_onnx(path: Path, config: Any, threads: int) -> Runner:
    """Runs such a file.

    Args:
        config: of the model, which says what its inputs are.
    """
    runtime = package_of("onnxruntime", "onnx")
    options = runtime.SessionOptions()
    options.intra_op_num_threads = threads
    options.log_severity_level = 3
    session = runtime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    return lambda **batch: session.run(None, arrays_of(batch, config))[0]


def _openvino(name: str, model: nn.Module, precision: str, place: Place) -> Runner:
    return run_openvino(openvino_file(name, model, precision, place), model.config, precision, place.threads)


def lengths_an_octave(engine: str, padding: str) -> int:
    """See `tasks.batches.bucket`; 0 where an engine takes batches of any length."""
    if engine == "compile":
        return COMPILE_BUCKETS
    return STATIC_BUCKETS if padding == "buckets" else 0


def _ctranslate2(name: str, model: nn.Module, precision: str, place: Place) -> Runner:
    check_only("ctranslate2", place, precision, ENGINE_PRECISIONS["ctranslate2"])
    host, folder = ctranslate2_host(name, model), place.folder / f"{name}.ctranslate2"
    folder.mkdir(exist_ok=True)
    try:
        return ctranslate2_runner(package_of("ctranslate2", "ctranslate2"), host, precision, place.threads, folder)
    except NotConverted as error:
        raise Unavailable(str(error)) from error


def ctranslate2_host(name: str, model: nn.Module) -> Any:
    """What CTranslate2 runs: plain models, and compressed ones that are plain models of a smaller size.

    Raises:
        Unavailable: it is neither.
    """
    host: Any = model
    if isinstance(model, EliminationModel):
        kept = model.elimination.retention
        if name != "shortened" or not all(kept.keeps_all(j, model.seq_len) for j in range(model.layers)):
            raise Unavailable("ctranslate2 runs transformers' own models, with all word-vectors")
        host = model.host
        if not fits_config(model.host) or clips_of(model.host) is not None:
            raise Unavailable("ctranslate2 runs layers of one size, whose inputs are not quantised by themselves")
    if is_choice_model(host):
        raise Unavailable("ctranslate2 runs classifiers of one text, not multiple choice")
    return host
