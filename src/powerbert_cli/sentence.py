"""What `SentenceTransformer(folder)` and `CrossEncoder(folder)` load models of powerbert through.

Needs sentence-transformers; modules.json of a model directory names the class.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Self

from sentence_transformers.models import InputModule
from transformers import AutoTokenizer

from .models.embedders import write_modules
from .models.kinds import load_shortened
from .models.model_dir import RETENTION, load_plain


class _Module(InputModule):
    """
    Args:
        model: whose logits are what is asked for. max_seq_length: word-pieces; longer inputs are cut.
    """

    def __init__(self, model: Any, tokenizer: Any, max_seq_length: int) -> None:
        super().__init__()
        self.auto_model, self.max_seq_length = model, max_seq_length
        self.tokenizer: Any = tokenizer

    @classmethod
    def load(cls, model_name_or_path: str, *args: Any, **kwargs: Any) -> Self:
        """
        Raises:
            ModelError: the folder holds no complete model.
        """
        folder = Path(model_name_or_path)
        shortened = (folder / RETENTION).is_file()
        model: Any = load_shortened(folder) if shortened else load_plain(folder)
        tokenizer = AutoTokenizer.from_pretrained(folder)
        most = model.seq_len if shortened else min(model.config.max_position_embeddings, tokenizer.model_max_length)
        if shortened:
            model.engine = "auto"
        return cls(model, tokenizer, most)

    def _encoded(self, *texts: list[str]) -> dict[str, Any]:
        how = {"padding": True, "truncation": True, "max_length": self.max_seq_length}
        return dict(self.tokenizer(*texts, return_tensors="pt", **how))

    def _logits(self, features: dict[str, Any]) -> Any:
        given = {name: features[name] for name in ("input_ids", "attention_mask", "token_type_ids") if name in features}
        return self.auto_model(**given).logits


class Embedder(_Module):
    """Word-pieces to `sentence_embedding` (B, D), pooled and normalised as the model's config says."""

    def preprocess(self, inputs: Sequence[Any], prompt: str | None = None, **kwargs: Any) -> dict[str, Any]:
        return self._encoded([f"{prompt or ''}{text}".strip() for text in inputs])

    def forward(self, features: dict[str, Any], **kwargs: Any) -> dict[str, Any]:
        return {**features, "sentence_embedding": self._logits(features)}

    def get_sentence_embedding_dimension(self) -> int:
        return int(self.auto_model.config.hidden_size)

    get_embedding_dimension = get_sentence_embedding_dimension

    def save(self, output_path: str, *args: Any, safe_serialization: bool = True, **kwargs: Any) -> None:
        self.auto_model.save_pretrained(output_path)
        self.tokenizer.save_pretrained(output_path)
        write_modules(Path(output_path), self.auto_model.config, hasattr(self.auto_model, "elimination"))


class Reranker(_Module):
    """Pairs of texts to `scores` (B, 1), logits."""

    def preprocess(self, inputs: Sequence[Any], prompt: str | None = None, **kwargs: Any) -> dict[str, Any]:
        first, second = zip(*inputs, strict=True)
        return self._encoded([f"{prompt or ''}{text}" for text in first], list(second))

    def forward(self, features: dict[str, Any], **kwargs: Any) -> dict[str, Any]:
        return {**features, "scores": self._logits(features)}

    def save(self, output_path: str, *args: Any, safe_serialization: bool = True, **kwargs: Any) -> None:
        self.auto_model.save_pretrained(output_path)
        self.tokenizer.save_pretrained(output_path)


def load_embedder(folder: str | Path) -> Any:
    """A `SentenceTransformer` of a shortened model's directory.

    The same as `SentenceTransformer(folder, trust_remote_code=True)`: from version 6 on that library asks for this
    before it imports a class of another package.
    """
    from sentence_transformers import SentenceTransformer

    return SentenceTransformer(modules=[Embedder.load(str(folder))])


def load_reranker(folder: str | Path) -> Any:
    """A `CrossEncoder` of a shortened model's directory; the same as `CrossEncoder(folder, trust_remote_code=True)`."""
    from sentence_transformers import CrossEncoder

    return CrossEncoder(modules=[Reranker.load(str(folder))])
