"""The ways to run a classifier that contend: PyTorch, compiled, our own kernels, ONNX Runtime, OpenVINO, CTranslate2.

A runner is called with the tensors of a batch and answers with logits or an output that has
them. What cannot run here is `Unavailable`, with the reason.
"""

import os
import shutil
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import torch
from torch import nn

from ..encoder.driven import EliminationModel, is_choice_model
from ..encoder.families import layers_of, usable_positions
from ..encoder.quantising import clips_of
from ..encoder.removing import fits_config
from ..encoder.shortened import ShortenedModel
from ..errors import PowerbertError
from ..method.elimination import plain
from ..method.retention import Thresholds
from ..models.onnx_file import export_onnx, input_names, quantize_onnx
from ..native.calibration import calibrated
from ..native.layers import NotNative
from ..native.library import NoLibrary
from ..native.model import NativeModel
from ..native.products import has_bf16
from ..native.saved import native_of
from ..settings import ENGINE_PRECISIONS
from ..settings.folders import HEAD, Exported
from ..tasks.batches import Batch
from .ctranslate import NotConverted, ctranslate2_runner, load_head, run_ctranslate2
from .int8 import dynamic_int8, static_int8, without_telemetry

DTYPES = {"fp32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}
Runner = Callable[..., Any]
COMPILE_BUCKETS, STATIC_BUCKETS = 2, 8  # lengths an octave: compiling takes 10 to 60 s each, OpenVINO 0.5 to 2


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


def runner(engine: str, name: str, model: nn.Module, precision: str, place: Place) -> Runner:
    """A model as one of `settings.ENGINES` runs it.

    Args:
        name: of the model, unique in the folder.
        model: for eager and compile on the device and in the precision; else on the CPU in
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
            return native_of(model, exported.folder)
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
    package = _package("ctranslate2", "ctranslate2")
    return run_ctranslate2(package, load_head(exported.folder / HEAD, config), precision, threads, file)


def _eager(name: str, model: nn.Module, precision: str, place: Place) -> Runner:
    if precision != "int8":
        _check_torch(precision, place)
        return model
    _only("eager in int8", place)
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
        raise Unavailable("int8 is for engines eager, onnx, openvino and ctranslate2")
    _check_torch(precision, place)
    if place.device == "cpu" and not any(map(shutil.which, (os.environ.get("CXX", "g++"), "clang++"))):
        raise Unavailable("torch.compile needs a C++ compiler on a CPU, and finds no g++")
    if isinstance(model, EliminationModel) and isinstance(model.elimination.retention, Thresholds):
        raise Unavailable("strategy=threshold has shapes that depend on the input, so it is not one graph")
    torch._dynamo.config.recompile_limit = max(64, torch._dynamo.config.recompile_limit)  # one for each bucket
    options: Any = {"triton.cudagraphs": True} if place.device == "cuda" else {"freezing": True}
    return torch.compile(model, dynamic=False, fullgraph=True, options=options)


def _native(name: str, model: nn.Module, precision: str, place: Place) -> Runner:
    _only("native", place, precision, ENGINE_PRECISIONS["native"])
    _check_native(precision)
    if precision == "int8" and not place.inputs:
        raise Unavailable("native's int8 is calibrated on inputs, and there are none")
    runs = as_native(model)
    try:
        return calibrated(runs, place.inputs) if precision == "int8" else NativeModel(runs, DTYPES[precision])
    except (NotNative, NoLibrary) as error:
        raise Unavailable(str(error)) from error


def _check_native(precision: str) -> None:
    if precision == "bf16" and not has_bf16():
        raise Unavailable("this CPU has no bf16 of its own, which would take many times as long as fp32")


def as_native(model: Any) -> ShortenedModel:
    """What the native engine runs: of a plain model this encoder with everything kept."""
    if isinstance(model, ShortenedModel):
        return model
    return ShortenedModel(model, plain(usable_positions(model.config), layers_of(model.config))).eval()


def _onnx(name: str, model: nn.Module, precision: str, place: Place) -> Runner:
    _package("onnxruntime", "onnx")
    return run_onnx(onnx_file(name, model, precision, place), model.config, place.threads)


def onnx_file(name: str, model: nn.Module, precision: str, place: Place) -> Path:
    """A model as ONNX Runtime loads it.

    Raises:
        Unavailable
    """
    _only("onnx", place, precision, ENGINE_PRECISIONS["onnx"])
    path = _exported(name, model, place.folder)
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
    runtime = _package("onnxruntime", "onnx")
    options = runtime.SessionOptions()
    options.intra_op_num_threads = threads
    options.log_severity_level = 3
    session = runtime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    return lambda **batch: session.run(None, _arrays(batch, config))[0]


def _openvino(name: str, model: nn.Module, precision: str, place: Place) -> Runner:
    return run_openvino(openvino_file(name, model, precision, place), model.config, precision, place.threads)


def openvino_file(name: str, model: nn.Module, precision: str, place: Place) -> Path:
    """A model as OpenVINO loads it: an ONNX file, or in int8 its own .xml and .bin.

    Raises:
        Unavailable
    """
    _only("openvino", place, precision, ENGINE_PRECISIONS["openvino"])
    core = _core(_package("openvino", "openvino"))
    if precision == "bf16" and "BF16" not in core.get_property("CPU", "OPTIMIZATION_CAPABILITIES"):
        raise Unavailable("OpenVINO has no bf16 on this CPU")
    path = _exported(name, model, place.folder)
    return _in_int8(core, path, model.config, place) if precision == "int8" else path


def run_openvino(path: Path, config: Any, precision: str, threads: int) -> Runner:
    """Runs such a file; int8 is in the file, bf16 is asked for when it is compiled.

    What is not in int8 is then in bf16 where the CPU has it: OpenVINO's own choice.

    Args:
        config: of the model, which says what its inputs are.
    """
    settings = {"INFERENCE_NUM_THREADS": threads, "PERFORMANCE_HINT": "LATENCY", **openvino_precision(precision)}
    return OpenVinoRunner(_core(_package("openvino", "openvino")), path, config, settings)


class OpenVinoRunner:
    """A file that OpenVINO compiled once for all shapes; `by_shape` runs it compiled for each batch's own."""

    def __init__(self, core: Any, path: Path, config: Any, settings: dict[str, Any]) -> None:
        self._core, self._path, self._config, self._settings = core, path, config, settings
        self._compiled = core.compile_model(str(path), "CPU", settings)
        self._static: dict[tuple[int, ...], Any] = {}

    def __call__(self, **batch: torch.Tensor) -> np.ndarray:
        found: np.ndarray = self._compiled(_arrays(batch, self._config))[0]
        return found

    def by_shape(self, **batch: torch.Tensor) -> np.ndarray:
        """Compiles at the first batch of a shape, with that shape as a constant; all of them stay in memory."""
        arrays, shape = _arrays(batch, self._config), tuple(batch["input_ids"].shape)
        if shape not in self._static:
            model = self._core.read_model(str(self._path))
            model.reshape({name: list(shape) for name in arrays})
            self._static[shape] = self._core.compile_model(model, "CPU", self._settings)
        found: np.ndarray = self._static[shape](arrays)[0]
        return found


def lengths_an_octave(engine: str, padding: str) -> int:
    """See `tasks.batches.bucket`; 0 where an engine takes batches of any length."""
    if engine == "compile":
        return COMPILE_BUCKETS
    return STATIC_BUCKETS if padding == "buckets" else 0


def openvino_precision(precision: str) -> dict[str, str]:
    """The setting of OpenVINO that goes with a file of this precision."""
    return {} if precision == "int8" else {"INFERENCE_PRECISION_HINT": {"fp32": "f32", "bf16": "bf16"}[precision]}


def save_openvino(path: Path, result: Path) -> None:
    """Writes a file that OpenVINO loads as its own .xml and .bin."""
    openvino = _package("openvino", "openvino")
    openvino.save_model(_core(openvino).read_model(str(path)), str(result), compress_to_fp16=False)


def _in_int8(core: Any, path: Path, config: Any, place: Place) -> Path:
    try:
        nncf = without_telemetry()
    except ImportError as error:
        raise Unavailable("nncf is not installed: pip install 'powerbert[openvino]'") from error
    if not place.inputs:
        raise Unavailable("openvino's int8 is calibrated on inputs, and there are none")
    result = path.with_suffix(".int8.xml")
    if not result.exists():
        found = static_int8(nncf, core.read_model(str(path)), [_arrays(batch, config) for batch in place.inputs])
        _package("openvino", "openvino").save_model(found, str(result), compress_to_fp16=False)
    return result


def _ctranslate2(name: str, model: nn.Module, precision: str, place: Place) -> Runner:
    _only("ctranslate2", place, precision, ENGINE_PRECISIONS["ctranslate2"])
    host, folder = ctranslate2_host(name, model), place.folder / f"{name}.ctranslate2"
    folder.mkdir(exist_ok=True)
    try:
        return ctranslate2_runner(_package("ctranslate2", "ctranslate2"), host, precision, place.threads, folder)
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


@cache
def _core(openvino: ModuleType) -> Any:
    """One for the life of the process.

    Each sets an alternate stack for signals and takes it away when it is freed; of two freed in the order
    in which they came the second sets that of the first again, and the next signal, Ctrl-C too, is a crash
    (OpenVINO 2026.4, `SigAltStackSetup` of its CPU plugin).
    """
    return openvino.Core()


def _only(what: str, place: Place, precision: str = "", allowed: tuple[str, ...] = ("",)) -> None:
    if place.device != "cpu":
        raise Unavailable(f"engine {what} runs on the CPU only")
    if precision not in allowed:
        raise Unavailable(f"engine {what} has {' and '.join(allowed)}, not {precision}")


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
