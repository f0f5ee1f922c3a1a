"""Which patches of the first dev pictures survive to which layer, for a run's page."""

import math
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from ..encoder.picture_hosts import patches_of
from ..encoder.shortened import ShortenedModel
from ..report.patches_picture import draw_patches
from ..stages.context import Context

NAME, COUNT = "patches.png", 4


@torch.inference_mode()
def write_patches(context: Context, model: ShortenedModel, run_dir: Path) -> None:
    """patches.png: the first dev pictures as the model sees them, with what each layer keeps."""
    dev, kind = context.material.dev, context.material.kind
    rows = dev.select(range(min(COUNT, len(dev))))
    values = kind.collator(context.processor)(list(rows))["pixel_values"]
    model.to(context.device)
    kept = [one.cpu().numpy() for one in model.kept_positions(pixel_values=values.to(context.device))]
    draw_patches(
        [_picture(one) for one in values],
        kept,
        patches_of(model.config),
        run_dir / NAME,
        model.seq_len - math.prod(patches_of(model.config)),
    )


def _picture(values: Tensor) -> Any:
    """Pixel values (C, H, W) of one picture as PIL has it, whatever they were normalised by."""
    from PIL import Image

    low, high = values.amin(), values.amax()
    shown = ((values - low) / (high - low).clamp(min=1e-6) * 255).round().to(torch.uint8)
    return Image.fromarray(shown.expand(3, -1, -1).permute(1, 2, 0).numpy())
