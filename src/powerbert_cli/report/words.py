"""What the short names in tables mean: the legends under tables, of pages and of the console."""

from collections.abc import Iterable

from ..settings.bench import GPU_PAYS_FROM

MODELS = {
    "plain": "transformers' own model",
    "full": "this package's encoder, all word-vectors kept",
    "packed": "the model before compression, in this encoder",
    "shortened": "word-vectors eliminated, or compressed",
}
PADDINGS = {
    "max": "padded to ℓ",
    "longest": "padded to the longest of the batch",
    "sorted": "the same in batches of like lengths",
    "buckets": "sorted, padded to a few lengths; the engine compiles for each",
    "packed": "end to end, without padding",
}
COLUMNS = {
    "vs plain": "against plain of the same padding, engine, precision",
    "vs best plain": "against the fastest of all of which nothing is removed",
    "alone": "elimination alone, against full",
    "vs others": "against the fastest that eliminates nothing, in an engine other than native and captured",
    "tok/s": "word-pieces a second and core, without padding",
    "of peak": "the share of what a large product reaches here",
    "vs padded": "against plain padded to ℓ",
    "FLOPs": "what the shapes promise",
}
ON_A_GPU = (
    f"On a GPU, at BERT-base size, dropping word-vectors should pay from about {GPU_PAYS_FROM:,} word-pieces a batch "
    "on. That is an estimate; powerbert check measures it there. A plain model in engine=captured should answer "
    "smaller batches as fast."
)
BASELINE = (
    "the metric to compare with: that of the fine-tuned model with nothing removed, the better of two trainings, as it "
    "was fine-tuned and trained as long again"
)


def legend(names: Iterable[str], words: dict[str, str]) -> dict[str, str]:
    """Those of the words that occur, in their own order."""
    found = set(names)
    return {name: said for name, said in words.items() if name in found}


def line(names: Iterable[str], words: dict[str, str]) -> str:
    """The legend as one line of the console."""
    return "; ".join(f"{name}: {said}" for name, said in legend(names, words).items())
