"""PoWER-BERT: faster BERT-type encoders by progressive word-vector elimination."""

from typing import Any

__all__ = ["load_shortened"]


def __getattr__(name: str) -> Any:
    # Loaded on first use, so that the command line answers without importing torch.
    if name == "load_shortened":
        from .store.model_dir import load_shortened

        return load_shortened
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
