"""Tokenizers: of a model, or of a folder; made to fit, and known by their content."""

import json
from typing import Any

import datasets
from transformers import AutoTokenizer, PreTrainedTokenizerBase

from ..encoder.families import takes_of, usable_positions
from ..encoder.family import WORDS
from ..settings import ModelSettings
from ..tasks.tokenizing import build_tokenizer, texts_of
from .origin import source_of, unreachable
from .processing import Processing
from .weights import ModelError


class Tokenizers(Processing):
    def check_takes(self, config: Any, name: str) -> None:
        if takes_of(config) != WORDS:
            raise ModelError(
                f"{name}: a model of type {config.model_type} takes no texts; give another model, or a task of what it "
                "takes"
            )

    def load(self, name: str, way_out: str, trust_remote_code: bool = False) -> PreTrainedTokenizerBase:
        return own_tokenizer(name, way_out, trust_remote_code)

    def check(self, processor: PreTrainedTokenizerBase, config: Any, name: str) -> None:
        if len(processor) > config.vocab_size:
            raise ModelError(
                f"{name}: its tokenizer has {len(processor)} word-pieces, the model {config.vocab_size}; "
                "they do not belong together"
            )

    def fit(self, processor: PreTrainedTokenizerBase, config: Any, name: str) -> PreTrainedTokenizerBase:
        fit_tokenizer(processor, config, name)
        return processor

    def made(self, rows: datasets.Dataset, model: ModelSettings, config: Any) -> PreTrainedTokenizerBase:
        return build_tokenizer(texts_of(rows), model.vocab_size or 30000)

    def entries(self, processor: PreTrainedTokenizerBase, model: ModelSettings) -> dict[str, Any]:
        size = max(len(processor), (model.config or {}).get("vocab_size", 0))
        return {"vocab_size": size, "pad_token_id": processor.pad_token_id}

    def decides(self, processor: PreTrainedTokenizerBase) -> Any:
        """What word-pieces a text becomes; padding and truncation are set anew by each call."""
        backend = getattr(processor, "backend_tokenizer", None)
        if backend is None:
            content: Any = sorted(processor.get_vocab().items())
        else:
            content = {k: v for k, v in json.loads(backend.to_str()).items() if k not in ("padding", "truncation")}
        return [content, sorted(processor.model_input_names), processor.truncation_side, processor.pad_token_id]

    def most(self, processor: PreTrainedTokenizerBase, config: Any) -> int:
        return min(usable_positions(config), int(min(processor.model_max_length, 1 << 20)))


def own_tokenizer(name: str, way_out: str, trust_remote_code: bool = False) -> PreTrainedTokenizerBase:
    """The tokenizer of a folder or a name on the hub.

    Args:
        way_out: what to do where there is none.

    Raises:
        ModelError
    """
    try:
        tokenizer = AutoTokenizer.from_pretrained(source_of(name), trust_remote_code=trust_remote_code)
    except (OSError, ValueError) as error:
        raise unreachable(name, "its tokenizer", error) from error
    # what transformers makes of a folder without its files
    if len(tokenizer) <= len(set(tokenizer.all_special_tokens)):
        raise ModelError(f"{name}: has no tokenizer (no tokenizer.json, vocab.txt …); {way_out}")
    return tokenizer


def fit_tokenizer(tokenizer: PreTrainedTokenizerBase, config: Any, name: str) -> None:
    """Has it pad on the right, so that [CLS] is first, with a token that it has, and give no types beyond the model's.

    Raises:
        ModelError: it has no token that could pad.
    """
    tokenizer.padding_side = "right"
    if tokenizer.pad_token is None:
        given = getattr(config, "pad_token_id", None)
        own = tokenizer.convert_ids_to_tokens(given) if given is not None and given < len(tokenizer) else None
        # any will do: what is padding is masked
        filler = next((token for token in (own, tokenizer.unk_token, tokenizer.sep_token) if token), None)
        if filler is None:
            raise ModelError(f"{name}: its tokenizer has no token to pad with; set pad_token in tokenizer_config.json")
        tokenizer.pad_token = filler
    if getattr(config, "type_vocab_size", 2) < 2:
        inputs = [given for given in tokenizer.model_input_names if given != "token_type_ids"]
        tokenizer.model_input_names = inputs
