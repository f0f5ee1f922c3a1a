"""compression.json: what was removed of a model, beside its weights."""

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from ..errors import PowerbertError
from .artifacts import read_json, write_json

NAME, SCHEMA, VERSION = "compression.json", "powerbert/compression", 1


@dataclass(frozen=True)
class Compression:
    """
    Attributes:
        layers: before. kept_layers: those that are left, 0-based.
        neurons: feed-forward neurons of each layer, before and after.
        flops: of the model over those of the whole one, both without elimination, on the data's real lengths.
        parameters: before and after.
        how: the settings that it was made with.
    """

    layers: int
    kept_layers: tuple[int, ...]
    neurons: tuple[int, int]
    flops: float
    parameters: tuple[int, int]
    how: dict[str, Any]

    def write(self, folder: Path) -> None:
        write_json(folder / NAME, {"schema": SCHEMA, "version": VERSION, **asdict(self)})


def read_compression(folder: Path) -> Compression | None:
    """Of a model directory; None of a whole model.

    Raises:
        PowerbertError: the file is none of ours, or damaged.
    """
    path = folder / NAME
    if not path.is_file():
        return None
    try:
        content = read_json(path)
        if content.pop("schema") != SCHEMA or content.pop("version") != VERSION:
            raise ValueError(f"it is not of schema {SCHEMA}, version {VERSION}")
        before, after = content.pop("neurons")
        return Compression(neurons=(int(before), int(after)), **content)
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise PowerbertError(f"{path}: is no compression file: {error}") from error
