"""Which words of the first dev texts, or patches of pictures, survive to which layer, for a run's page."""

from pathlib import Path

from ..answering.survivors import words_left
from ..encoder.shortened import ShortenedModel
from ..stages.context import Context
from ..store.artifacts import write_json
from .patches import write_patches

NAME, COUNT = "words.json", 10


def write_words(context: Context, model: ShortenedModel, run_dir: Path) -> None:
    """words.json: the words of the first dev texts, each with the last layer that it reached; none of choices.

    Of pictures patches.png.
    """
    if context.material.kind.MEDIUM == "image":
        write_patches(context, model, run_dir)
        return
    rows, kind = context.data.dev.rows.select(range(min(COUNT, len(context.data.dev)))), context.material.kind
    texts = [found for row in rows if (found := kind.texts(dict(row))) is not None]
    if texts:
        words = words_left(model, context.processor, texts, COUNT, context.device)
        write_json(run_dir / NAME, {"layers": model.layers, "texts": words})
