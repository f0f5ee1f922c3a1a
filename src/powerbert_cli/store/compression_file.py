"""compression.json: what was removed of a model, beside its weights."""

from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from transformers import PreTrainedModel

from ..encoder.quantising import Clips
from ..encoder.removing import LayerSizes, sizes_of
from ..errors import PowerbertError
from .artifacts import read_json, write_json

NAME, SCHEMA, VERSION = "compression.json", "powerbert/compression", 1


@dataclass(frozen=True)
class Compression:
    """
    Attributes:
        layers: before. kept_layers: those that are left, 0-based.
        neurons: feed-forward neurons of each layer, before and after; of layers that differ the most of them.
        flops: of the model over those of the whole one, both without elimination, on the data's real lengths.
        parameters: before and after.
        how: the settings that it was made with.
        sizes: what each layer has, where that is not what config.json says; else empty. In the file it is
            `per_layer_config`, by transformers' schema for layers that differ, with the heads that are left.
        bits: of the linear layers' weights and inputs and how they came about (settings of `compress.bits` etc.); empty
            where all have 32. clips: between which the inputs are quantised; None where they are not.
    """

    layers: int
    kept_layers: tuple[int, ...]
    neurons: tuple[int, int]
    flops: float
    parameters: tuple[int, int]
    how: dict[str, Any]
    sizes: tuple[LayerSizes, ...] = ()
    bits: dict[str, Any] = field(default_factory=dict)
    clips: Clips | None = None

    @classmethod
    def nothing(cls, host: PreTrainedModel) -> "Compression":
        """Of a model of which nothing was removed."""
        layers, count = sizes_of(host), host.num_parameters()
        neurons = max(size.neurons for size in layers)
        return cls(len(layers), tuple(range(len(layers))), (neurons, neurons), 1.0, (count, count), {})

    def write(self, folder: Path) -> None:
        content = {"schema": SCHEMA, "version": VERSION, **asdict(self)}
        del content["sizes"]
        if not self.bits:
            del content["bits"]
        if self.clips is None:
            del content["clips"]
        if self.sizes:
            content["per_layer_config"] = {str(j): _said(size) for j, size in enumerate(self.sizes)}
        write_json(folder / NAME, content)


def _said(size: LayerSizes) -> dict[str, Any]:
    heads = {"num_attention_heads": len(size.heads), "kept_heads": list(size.heads)}
    return {**heads, "intermediate_size": size.neurons}


def read_compression(folder: Path) -> Compression | None:
    """Of a model directory; None of a whole model."""
    path = folder / NAME
    return parsed(path) if path.is_file() else None


def parsed(path: Path) -> Compression:
    """The content of a file.

    Raises:
        PowerbertError: it is none of ours, or damaged.
    """
    try:
        content = read_json(path)
        if content.pop("schema") != SCHEMA or content.pop("version") != VERSION:
            raise ValueError(f"it is not of schema {SCHEMA}, version {VERSION}")
        before, after = content.pop("neurons")
        layers = content.pop("per_layer_config", {})
        sizes = tuple(
            LayerSizes(tuple(map(int, one["kept_heads"])), int(one["intermediate_size"]))
            for one in (layers[str(j)] for j in range(len(layers)))
        )
        clips = content.pop("clips", None)
        if clips is not None:
            clips = Clips(int(clips["bits"]), {n: (float(low), float(high)) for n, (low, high) in clips["of"].items()})
        return Compression(neurons=(int(before), int(after)), sizes=sizes, clips=clips, **content)
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise PowerbertError(f"{path}: is no compression file: {error}") from error
