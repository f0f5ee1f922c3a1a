"""Image processors: of a model, or of a folder; made for a random model, and known by their content."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import datasets
from torch import Tensor

from ..encoder.families import takes_of, usable_positions
from ..encoder.family import PICTURES
from ..encoder.picture_hosts import patches_of
from ..kinds.pictures import decoded
from ..settings import ModelSettings
from .origin import source_of, unreachable
from .processing import Processing
from .weights import ModelError

_MEAN = _STD = 0.5  # of a processor that is made, for each channel


class Pictures:
    """What makes the inputs of one model of pictures.

    Args:
        processor: transformers'.
        channels: that the model takes: 3 or 1.
        length: word-vectors of each picture.
    """

    model_input_names = ("pixel_values",)

    def __init__(self, processor: Any, channels: int = 3, length: int = 0) -> None:
        self.processor, self.channels, self.length = processor, channels, length

    def __call__(self, pictures: Sequence[bytes]) -> Tensor:
        """Pixel values (B, C, H, W), float32.

        Args:
            pictures: files, as `kinds.pictures` has them.

        Raises:
            RowError: one cannot be read.
        """
        found = [decoded(one, self.channels) for one in pictures]
        return self.processor(images=found, return_tensors="pt")["pixel_values"]

    def save_pretrained(self, folder: str | Path, **options: Any) -> None:
        self.processor.save_pretrained(folder, **options)


class ImageProcessors(Processing):
    def check_takes(self, config: Any, name: str) -> None:
        if takes_of(config) != PICTURES:
            raise ModelError(
                f"{name}: a model of type {config.model_type} takes no pictures; set model=vit-tiny, or "
                "model.name_or_path to a ViT or DeiT"
            )
        rows, columns = patches_of(config)
        if not rows * columns:
            raise ModelError(
                f"{name}: a picture of image_size={config.image_size} has no patch of patch_size={config.patch_size}"
            )

    def load(self, name: str, way_out: str, trust_remote_code: bool = False) -> Pictures:
        from transformers import AutoImageProcessor

        try:
            found = AutoImageProcessor.from_pretrained(
                source_of(name), backend="pil", trust_remote_code=trust_remote_code
            )
        except (OSError, ValueError) as error:
            if Path(name).expanduser().is_dir():
                raise ModelError(f"{name}: has no image processor (preprocessor_config.json); {way_out}") from error
            raise unreachable(name, "its image processor", error) from error
        return Pictures(found)

    def fit(self, processor: Pictures, config: Any, name: str) -> Pictures:
        """
        Raises:
            ModelError: the model takes no pictures, or pictures of another size.
        """
        self.check_takes(config, name)
        made, wanted = _size_of(processor.processor), size_of(config)
        if made is not None and made != wanted:
            raise ModelError(
                f"{name}: its image processor makes pictures of {made[0]}×{made[1]} pixels, the model takes "
                f"{wanted[0]}×{wanted[1]} (image_size); mend size or crop_size in preprocessor_config.json"
            )
        channels = config.num_channels
        if channels not in (1, 3):
            raise ModelError(f"{name}: a model of {channels} channels (num_channels); pictures have 1 or 3")
        own = getattr(processor.processor, "image_mean", None)
        if isinstance(own, Sequence) and len(own) != channels:
            raise ModelError(
                f"{name}: its image processor has {len(own)} means (image_mean), the model {channels} channels; mend "
                "preprocessor_config.json"
            )
        return Pictures(processor.processor, channels, usable_positions(config))

    def made(self, rows: datasets.Dataset, model: ModelSettings, config: Any) -> Pictures:
        from transformers import ViTImageProcessorPil

        name = f"model={model.name}"
        self.check_takes(config, name)
        height, width = size_of(config)
        each: Any = {
            "image_mean": [_MEAN] * config.num_channels,
            "image_std": [_STD] * config.num_channels,
        }
        made = ViTImageProcessorPil(size={"height": height, "width": width}, **each)
        return self.fit(Pictures(made), config, name)

    def entries(self, processor: Pictures, model: ModelSettings) -> dict[str, Any]:
        return {}

    def decides(self, processor: Pictures) -> Any:
        content = processor.processor.to_dict()
        names = ("_processor_class", "processor_class")
        decides = {name: _plain(value) for name, value in content.items() if name not in names and value is not None}
        return [decides, processor.channels, processor.length]

    def most(self, processor: Pictures, config: Any) -> int:
        return processor.length


def size_of(config: Any) -> tuple[int, int]:
    """Height and width of the pictures that a model takes."""
    size = config.image_size
    return (size, size) if isinstance(size, int) else (int(size[0]), int(size[1]))


def _size_of(processor: Any) -> tuple[int, int] | None:
    """Height and width of what it makes; None if it does not say."""
    content = processor.to_dict()
    size = _plain(content.get("crop_size" if content.get("do_center_crop") else "size"))
    if not isinstance(size, dict) or not {"height", "width"} <= set(size):
        return None
    return int(size["height"]), int(size["width"])


def _plain(value: Any) -> Any:
    """A value as JSON can hold it; of a size only what is said."""
    if hasattr(value, "keys"):
        return {key: _plain(value[key]) for key in value.keys() if value[key] is not None}  # noqa: SIM118
    if isinstance(value, list | tuple):
        return [_plain(one) for one in value]
    return value if isinstance(value, bool | int | float | str) or value is None else str(value)
