"""OpenVINO: its files, its int8, and a runner that compiles for all shapes or for each."""

from functools import cache
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import torch
from torch import nn

from ..encoder.inputs import main_input
from ..errors import brings
from ..settings import ENGINE_PRECISIONS
from .int8 import static_int8, without_telemetry
from .place import Place, Runner, Unavailable, arrays_of, check_only, exported_onnx, package_of


def openvino_file(name: str, model: nn.Module, precision: str, place: Place) -> Path:
    """A model as OpenVINO loads it: an ONNX file, or in int8 its own .xml and .bin.

    Raises:
        Unavailable
    """
    check_only("openvino", place, precision, ENGINE_PRECISIONS["openvino"])
    core = _core(package_of("openvino", "openvino"))
    if precision == "bf16" and "BF16" not in core.get_property("CPU", "OPTIMIZATION_CAPABILITIES"):
        raise Unavailable("OpenVINO has no bf16 on this CPU")
    path = exported_onnx(name, model, place.folder)
    return _in_int8(core, path, model.config, place) if precision == "int8" else path


def run_openvino(path: Path, config: Any, precision: str, threads: int) -> Runner:
    """Runs such a file; int8 is in the file, bf16 is asked for when it is compiled.

    What is not in int8 is then in bf16 where the CPU has it: OpenVINO's own choice.

    Args:
        config: of the model, which says what its inputs are.
    """
    settings = {"INFERENCE_NUM_THREADS": threads, "PERFORMANCE_HINT": "LATENCY", **openvino_precision(precision)}
    return OpenVinoRunner(_core(package_of("openvino", "openvino")), path, config, settings)


class OpenVinoRunner:
    """A file that OpenVINO compiled once for all shapes; `by_shape` runs it compiled for each batch's own."""

    def __init__(self, core: Any, path: Path, config: Any, settings: dict[str, Any]) -> None:
        self._core, self._path, self._config, self._settings = core, path, config, settings
        self._compiled = core.compile_model(str(path), "CPU", settings)
        self._static: dict[tuple[int, ...], Any] = {}

    def __call__(self, **batch: torch.Tensor) -> np.ndarray:
        found: np.ndarray = self._compiled(arrays_of(batch, self._config))[0]
        return found

    def by_shape(self, **batch: torch.Tensor) -> np.ndarray:
        """Compiles at the first batch of a shape, with that shape as a constant; all of them stay in memory."""
        arrays, shape = arrays_of(batch, self._config), tuple(main_input(batch).shape)
        if shape not in self._static:
            model = self._core.read_model(str(self._path))
            model.reshape({name: list(shape) for name in arrays})
            self._static[shape] = self._core.compile_model(model, "CPU", self._settings)
        found: np.ndarray = self._static[shape](arrays)[0]
        return found


def openvino_precision(precision: str) -> dict[str, str]:
    """The setting of OpenVINO that goes with a file of this precision."""
    return {} if precision == "int8" else {"INFERENCE_PRECISION_HINT": {"fp32": "f32", "bf16": "bf16"}[precision]}


def save_openvino(path: Path, result: Path) -> None:
    """Writes a file that OpenVINO loads as its own .xml and .bin."""
    openvino = package_of("openvino", "openvino")
    openvino.save_model(_core(openvino).read_model(str(path)), str(result), compress_to_fp16=False)


def _in_int8(core: Any, path: Path, config: Any, place: Place) -> Path:
    try:
        nncf = without_telemetry()
    except ImportError as error:
        raise Unavailable(f"nncf is not installed: {brings('openvino')}") from error
    if not place.inputs:
        raise Unavailable("openvino's int8 is calibrated on inputs, and there are none")
    result = path.with_suffix(".int8.xml")
    if not result.exists():
        found = static_int8(nncf, core.read_model(str(path)), [arrays_of(batch, config) for batch in place.inputs])
        package_of("openvino", "openvino").save_model(found, str(result), compress_to_fp16=False)
    return result


@cache
def _core(openvino: ModuleType) -> Any:
    """One for the life of the process.

    Each sets an alternate stack for signals and takes it away when it is freed; of two freed in the order
    in which they came the second sets that of the first again, and the next signal, Ctrl-C too, is a crash
    (OpenVINO 2026.4, `SigAltStackSetup` of its CPU plugin).
    """
    return openvino.Core()
