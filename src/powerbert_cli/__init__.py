"""PoWER-BERT: faster BERT-type encoders by progressive word-vector elimination."""

from typing import Any

__all__ = [
    "PowerBertForAudioClassification",
    "PowerBertForCTC",
    "PowerBertForEmbedding",
    "PowerBertForImageClassification",
    "PowerBertForMultipleChoice",
    "PowerBertForQuestionAnswering",
    "PowerBertForSequenceClassification",
    "PowerBertForTokenClassification",
    "load_shortened",
]


def __getattr__(name: str) -> Any:
    # Loaded on first use, so that the command line answers without importing torch.
    if name in __all__:
        from .models import kinds

        return getattr(kinds, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
