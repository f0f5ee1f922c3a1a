"""native.json of a model directory: the precision of its products in the native engine, and the scales of bytes."""

import json
from pathlib import Path
from typing import Any

import torch

from ..errors import PowerbertError
from ..store.artifacts import write_json
from .kernels import Scale
from .model import PRODUCTS, NativeModel

NAME, SCHEMA = "native.json", "powerbert/native"
_DTYPES = {"fp32": torch.float32, "bf16": torch.bfloat16, "int8": torch.float32}


class NativeFileError(PowerbertError):
    """A native.json that cannot be used."""


def write_native(native: NativeModel, precision: str, folder: Path) -> None:
    """Writes the file beside the model's own."""
    scales = {f"{j}.{name}": [scale.step, scale.zero] for (j, name), scale in sorted(native.scales.items())}
    write_json(folder / NAME, {"schema": SCHEMA, "precision": precision, "scales": scales})


def native_of(model: Any, folder: Path) -> NativeModel:
    """A directory's model as its native.json says; in float32 where there is none.

    Args:
        model: a `ShortenedModel`; see `NativeModel`.

    Raises:
        NativeFileError: the file is damaged, or not of this model.
        NotNative, NoLibrary
    """
    path = folder / NAME
    if not path.is_file():
        return NativeModel(model)
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        dtype = _DTYPES[content["precision"]]
        scales = {_key(key, model.layers): _scale(*value) for key, value in dict(content["scales"]).items()}
        if (content["precision"] == "int8") != bool(scales):
            raise ValueError("scales are of precision int8 alone")
    except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise NativeFileError(
            f"{path}: is not as powerbert writes it for this model ({error}); write it again with powerbert export "
            "engine=native, or remove it"
        ) from error
    native = NativeModel(model, dtype)
    native.in_int8(scales)
    return native


def _key(text: str, layers: int) -> tuple[int, str]:
    layer, name = text.split(".")
    if int(layer) not in range(layers) or name not in PRODUCTS:
        raise ValueError(f"{text} is no product of {layers} layers")
    return int(layer), name


def _scale(step: Any, zero: Any) -> Scale:
    if isinstance(step, bool) or not isinstance(step, float) or not 0 < step < float("inf"):
        raise ValueError(f"a step of {step}")
    if type(zero) is not int or not 0 <= zero <= 255:
        raise ValueError(f"a zero of {zero}")
    return Scale(step, zero)
