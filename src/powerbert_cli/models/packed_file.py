"""A classifier whose weights are bits: one safetensors file, and how it is loaded back.

Linear layers of the encoder: codes of their levels, of 2:4 sparse ones the two of four that are kept and their places.
Those that lie on no few levels have 8 bits by output, and so have the embeddings if that is asked for. All else is in
float32. What is loaded is float32 again: the file is small, the model in memory is not.
"""

import json
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor, nn
from transformers import PreTrainedModel

from ..encoder.quantising import linear_layers, quantise_inputs, without_clips
from ..encoder.removing import strip
from ..method.bit_packing import int8_rows, is_2_4, on_levels, pack_2_4, pack_codes, unpack_2_4, unpack_codes
from ..store.artifacts import whole_file
from ..store.compression_file import Compression
from .classes import auto_of
from .weights import ModelError

NAME, FORMAT, VERSION = "model.packed.safetensors", "powerbert/packed", "1"
CODES, PLACES, STEP = ".codes", ".places", ".step"


def write_packed(host: PreTrainedModel, path: Path, embeddings: bool) -> None:
    """Writes a model's weights.

    Args:
        host: on the CPU in float32; baked.
        embeddings: in 8 bits for each row.
    """
    found: Compression | None = getattr(host, "compression", None)
    bits, by_row = (found.bits.get("bits"), found.bits.get("scales") == "channel") if found else (None, False)
    linear = {f"{name}.weight" for name in linear_layers(host)}
    tables = {f"{name}.weight" for name, one in host.named_modules() if isinstance(one, nn.Embedding)}
    kept: dict[str, Tensor] = {}
    about: dict[str, Any] = {}
    for name, tensor in without_clips(host.state_dict()).items():
        weight = tensor.detach().contiguous()
        if name in linear:
            about[name] = _put(kept, name, weight, bits, by_row)
        elif embeddings and name in tables:
            kept[name + CODES], kept[name + STEP] = int8_rows(weight)
            about[name] = {"bits": None, "shape": list(weight.shape)}
        else:
            kept[name] = weight.clone()
    metadata = {"format": FORMAT, "version": VERSION, "packed": json.dumps(about)}
    with whole_file(path) as temporary:
        save_file(kept, str(temporary), metadata)


def _put(kept: dict[str, Tensor], name: str, weight: Tensor, bits: int | None, by_row: bool) -> dict[str, Any]:
    """A linear layer's weights; returns how they are kept."""
    found = on_levels(weight, bits, by_row) if bits is not None else None
    if found is None:
        bits, found = 8, int8_rows(weight)
    codes, kept[name + STEP] = found
    sparse = is_2_4(codes)
    if sparse:
        kept[name + CODES], kept[name + PLACES] = pack_2_4(codes, bits)  # type: ignore[arg-type]
    else:
        kept[name + CODES] = pack_codes(codes, bits)  # type: ignore[arg-type]
    return {"bits": bits, "shape": list(weight.shape), "sparse": sparse}


def read_packed(path: Path) -> dict[str, Tensor]:
    """The state dict in float32.

    Raises:
        ModelError: it is no such file, or damaged.
    """
    try:
        with safe_open(str(path), "pt") as file:
            metadata = file.metadata() or {}
            if (metadata.get("format"), metadata.get("version")) != (FORMAT, VERSION):
                raise ModelError(f"{path}: is not of format {FORMAT}, version {VERSION}")
            about = json.loads(metadata["packed"])
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
        state = {name: _unpacked(tensors, name, how) for name, how in about.items()}
    except (OSError, SafetensorError, ValueError, KeyError, TypeError, AttributeError, RuntimeError) as error:
        raise ModelError(f"{path}: is no packed model: {error}") from error
    return {**{name: tensor for name, tensor in tensors.items() if not _is_part(name)}, **state}


def _is_part(name: str) -> bool:
    return name.endswith((CODES, PLACES, STEP))


def _unpacked(tensors: dict[str, Tensor], name: str, how: dict[str, Any]) -> Tensor:
    codes, bits, shape = tensors[name + CODES], how["bits"], tuple(how["shape"])
    if bits is not None:
        if how["sparse"]:
            codes = unpack_2_4(codes, tensors[name + PLACES], bits, shape)  # type: ignore[arg-type]
        else:
            codes = unpack_codes(codes, bits, shape)  # type: ignore[arg-type]
    return codes * tensors[name + STEP]


def host_of(config: Any, compression: Compression | None) -> PreTrainedModel:
    """A classifier of that shape in evaluation mode, whose weights say nothing."""
    auto = auto_of(config)
    host: PreTrainedModel = auto.from_config(config, dtype=torch.float32).eval()
    if compression is not None and compression.sizes:
        with torch.no_grad():
            for parameter in host.parameters():
                parameter.zero_()  # what is taken out has to be 0
        strip(host, compression.sizes)
    return host


def load_packed(path: Path, config: Any, compression: Compression | None) -> PreTrainedModel:
    """The classifier of such a file, in float32 and evaluation mode.

    Args:
        config, compression: of its directory.

    Raises:
        ModelError: the file is damaged, or not of the model that config.json describes.
    """
    state, host = read_packed(path), host_of(config, compression)
    try:
        host.load_state_dict(state)
    except RuntimeError as error:
        raise ModelError(f"{path}: is not of this model: {str(error).splitlines()[-1].strip()}") from error
    if compression is not None:
        if compression.clips is not None:
            quantise_inputs(host, compression.clips)
        host.compression = compression  # type: ignore[assignment]
    return host
