"""Which words of the first dev texts survive to which layer, for a run's page."""

from pathlib import Path

from ..answering.survivors import layers_left, words_of
from ..encoder.shortened import ShortenedModel
from ..stages.context import Context
from ..store.artifacts import write_json
from ..tasks.batches import make_batches

NAME, COUNT = "words.json", 10


def write_words(context: Context, model: ShortenedModel, run_dir: Path) -> None:
    """words.json: the words of the first dev texts, each with the last layer that it reached; none of choices."""
    rows = context.data.dev.rows.select(range(min(COUNT, len(context.data.dev))))
    if "choices" in rows.column_names:
        return
    texts = list(zip(*(rows[name] for name in ("text", "text_pair") if name in rows.column_names), strict=True))
    model.to(context.device)
    firsts, *seconds = map(list, zip(*texts, strict=True))
    encoding = context.tokenizer(firsts, *seconds, truncation=True, max_length=model.seq_len, verbose=False)
    columns = dict(encoding)
    tokens = [dict(zip(columns, values, strict=True)) for values in zip(*columns.values(), strict=True)]
    pad = context.material.collator("longest")
    batch = make_batches(tokens, "longest", len(tokens), pad, context.device, model.seq_len)[0]
    found = [
        words_of(encoding, i, texts[i], left, context.tokenizer) for i, left in enumerate(layers_left(model, batch))
    ]
    write_json(run_dir / NAME, {"layers": model.layers, "texts": found})
