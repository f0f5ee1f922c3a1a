"""Pictures as rows have them: found, read whole, and with the channels that a model takes."""

import io
from typing import Any

from .media import content_of
from .values import RowError

ENDINGS = (".png", ".jpg", ".jpeg", ".webp", ".bmp", ".gif", ".tif", ".tiff", ".ppm", ".pgm")


def is_picture(name: str) -> bool:
    """By the ending of a file's name, whatever its case."""
    return name.lower().endswith(ENDINGS)


def picture_of(value: Any, column: str) -> bytes:
    """The file of a picture, of which every pixel can be read.

    Args:
        value: the bytes of a file, its path, or both as `datasets` has them ({bytes, path}).

    Raises:
        RowError: it is missing, empty or no picture.
    """
    content = content_of(value, column, "a picture")
    decoded(content, 3)
    return content


def decoded(content: bytes, channels: int) -> Any:
    """A picture as PIL has it, turned as its EXIF orientation says.

    Args:
        channels: 3 (RGB) or 1 (grey); others are converted. Of 16 bits the upper 8 are taken, and transparency is left
            out.

    Raises:
        RowError: it cannot be read to its end.
    """
    from PIL import Image, ImageOps

    try:
        with Image.open(io.BytesIO(content)) as found:
            found.load()
            return _converted(ImageOps.exif_transpose(found), "RGB" if channels == 3 else "L")
    except Image.UnidentifiedImageError as error:
        raise RowError("is no picture that PIL knows (PNG, JPEG, …); take it out, or save it as PNG") from error
    except (OSError, SyntaxError, ValueError, EOFError, NotImplementedError, Image.DecompressionBombError) as error:
        raise RowError(f"is a damaged picture: {error}; take it out, or save it again") from error


def _converted(picture: Any, mode: str) -> Any:
    from PIL import Image

    if picture.mode == "F":
        raise ValueError("its pixels are real numbers, whose range nothing says")
    if picture.mode.startswith("I"):  # 16 bits, that PIL would cut off at 255
        import numpy as np

        values = np.asarray(picture).astype(np.int64)
        values = values >> 8 if values.max(initial=0) > 255 else values
        picture = Image.fromarray(values.clip(0, 255).astype(np.uint8))
    if picture.mode == "P" and "transparency" in picture.info:
        picture = picture.convert("RGBA")
    return picture if picture.mode == mode else picture.convert(mode)
