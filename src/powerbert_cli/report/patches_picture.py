"""The picture of what a shortened model keeps of pictures: the patches that are left after each layer."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

_DIM = 0.25  # what is left of the brightness of a patch that was dropped


def draw_patches(
    pictures: Sequence[Any], kept: Sequence[Any], grid: tuple[int, int], path: Path, leading: int = 1
) -> None:
    """A row for each picture: as the model sees it, and after each layer with the dropped patches dimmed.

    Args:
        pictures: B of PIL.
        kept: of each layer the positions that leave it, (B, K_j), -1 for none: [CLS] and the model's other own
            word-vectors first, then the patches row by row.
        grid: rows and columns of patches.
        path: of the PNG file.
        leading: word-vectors before the first patch.
    """
    from .agg import new_figure

    layers, columns = len(kept), min(len(kept), 6) + 1
    shown = np.unique(np.linspace(0, layers - 1, columns - 1).round().astype(int))
    figure = new_figure(1.6 * (len(shown) + 1), 1.6 * len(pictures) + 0.3)
    axes = figure.subplots(len(pictures), len(shown) + 1, squeeze=False)
    for i, (picture, row) in enumerate(zip(pictures, axes, strict=True)):
        whole = _pixels(picture, grid)
        row[0].imshow(whole)
        row[0].set_title("picture" if i == 0 else "", fontsize=8)
        for axis, j in zip(row[1:], shown, strict=True):
            left = kept_patches(np.asarray(kept[j][i]), grid, leading)
            axis.imshow(dimmed(whole, left))
            axis.set_title(f"layer {j + 1}: " * (i == 0) + f"{int(left.sum())} of {grid[0] * grid[1]}", fontsize=8)
        for axis in row:
            axis.set_axis_off()
    figure.savefig(path, dpi=110, format="png")


def kept_patches(positions: np.ndarray, grid: tuple[int, int], leading: int) -> np.ndarray:
    """Which patches are left, (rows, columns) bool, of positions (K,)."""
    found = np.zeros(grid[0] * grid[1], dtype=bool)
    found[positions[positions >= leading] - leading] = True
    return found.reshape(grid)


def dimmed(picture: np.ndarray, left: np.ndarray) -> np.ndarray:
    """A picture (H, W, 3) uint8 with what is of dropped patches dark; H and W are multiples of the patches' number."""
    height, width = (length // side for length, side in zip(picture.shape, left.shape, strict=False))
    bright = np.kron(left, np.ones((height, width), dtype=bool))[:, :, None]
    return np.where(bright, picture, (picture * _DIM).astype(np.uint8))


def _pixels(picture: Any, grid: tuple[int, int]) -> np.ndarray:
    """As an array (H, W, 3), H and W multiples of the grid's rows and columns."""
    size = max(1, round(224 / max(grid)))
    return np.asarray(picture.convert("RGB").resize((size * grid[1], size * grid[0]), resample=0))
