"""native.safetensors of a model directory: precision of its products in the native engine, and scales of bytes."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from ..errors import PowerbertError
from ..settings.folders import NATIVE
from ..store.artifacts import whole_file
from .calibration import BY_ROW, SMOOTHED
from .kernels import LEVELS, ByRow, Scale
from .model import PRODUCTS, NativeModel

FORMAT, VERSION = "powerbert/native", "2"
_DTYPES = {"fp32": torch.float32, "bf16": torch.bfloat16, "int8": torch.float32}


class NativeFileError(PowerbertError):
    """A native.safetensors that cannot be used."""


def write_native(native: NativeModel, precision: str, folder: Path) -> None:
    """Writes the file beside the model's own: a tensor for each input that is smoothed, all else as metadata."""
    about, smooth = dict[str, Any](), dict[str, Tensor]()
    for (j, product), scale in sorted(native.scales.items()):
        name = f"{j}.{product}"
        about[name] = [scale.step, scale.zero] if isinstance(scale, Scale) else None  # by row
        if isinstance(scale, Scale) and scale.smooth is not None:
            smooth[name] = scale.smooth
    metadata = {"format": FORMAT, "version": VERSION, "precision": precision, "scales": json.dumps(about)}
    with whole_file(folder / NATIVE) as temporary:
        save_file(smooth, str(temporary), metadata)


def native_of(model: Any, folder: Path, precision: str | None = None) -> NativeModel:
    """A directory's model as its native.safetensors says; in float32 where there is none.

    Args:
        model: a `ShortenedModel`; see `NativeModel`.
        precision: that the file has to have; None for any.

    Raises:
        NativeFileError: the file is damaged, or not of this model.
        NotNative, NoLibrary
    """
    path = folder / NATIVE
    if not path.is_file():
        return NativeModel(model)
    with _as_written(path):
        with safe_open(str(path), "pt") as file:
            metadata = file.metadata() or {}
            if (metadata.get("format"), metadata.get("version")) != (FORMAT, VERSION):
                raise ValueError(f"is not of format {FORMAT}, version {VERSION}")
            smooth = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
        found, about = metadata["precision"], dict(json.loads(metadata["scales"]))
        dtype = _DTYPES[found]
        if precision not in (None, found):
            raise ValueError(f"it is in {found}, and export.json says {precision}")
    native = NativeModel(model, dtype)
    scales: dict[tuple[int, str], Scale | ByRow] = {}
    with _as_written(path):
        for name, value in about.items():
            key = _key(name, model.layers)
            by_row = key[1] == BY_ROW
            if by_row != (value is None):
                raise ValueError(f"{name} has no such scale")
            smoothing = smooth.pop(name, None) if key[1] in SMOOTHED else None
            scales[key] = ByRow() if by_row else _scale(name, (*value, smoothing), native.product(*key).weight)
        if (scales and found != "int8") or smooth:
            raise ValueError("its scales are not those of its precision")
    native.in_int8(scales)
    return native


@contextmanager
def _as_written(path: Path) -> Iterator[None]:
    """
    Raises:
        NativeFileError: for what reading what the file says raises.
    """
    try:
        yield
    except (OSError, SafetensorError, ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        why = f"it has no {error}" if isinstance(error, KeyError) else str(error)
        raise NativeFileError(
            f"{path}: is not as powerbert writes it for this model ({why}); write it again with powerbert export "
            "engine=native"
        ) from error


def _key(text: str, layers: int) -> tuple[int, str]:
    layer, name = text.split(".")
    if int(layer) not in range(layers) or name not in PRODUCTS:
        raise ValueError(f"{text} is no product of {layers} layers")
    return int(layer), name


def _scale(name: str, given: tuple[Any, ...], weight: Tensor) -> Scale:
    step, zero, smooth = given
    if not isinstance(step, float) or not 0 < step < float("inf"):
        raise ValueError(f"{name} has a step of {step}")
    if type(zero) is not int or not 0 <= zero <= LEVELS:
        raise ValueError(f"{name} has a zero of {zero}")
    fits = smooth is None or (smooth.dtype == torch.float32 and smooth.shape == weight.shape[1:])
    if not fits or (smooth is not None and not bool((smooth.isfinite() & (smooth > 0)).all())):
        raise ValueError(f"what inputs of {name} are divided by does not fit them")
    return Scale(step, zero, smooth)
