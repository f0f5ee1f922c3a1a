"""Tokenizers: of a model, or of a folder; made to fit, and known by their content."""

import hashlib
import json
from typing import Any

from transformers import AutoTokenizer, PreTrainedTokenizerBase

from ..settings import ModelSettings
from .loading import host_config, source_of, unreachable
from .weights import ModelError


def load_tokenizer(model: ModelSettings) -> PreTrainedTokenizerBase | None:
    """The model's own tokenizer, or None if one has to be built from the task."""
    name = model.tokenizer or model.name_or_path
    if name is None:
        return None
    tokenizer = own_tokenizer(name, "set model.tokenizer=FOLDER", model.trust_remote_code)
    config = host_config(model)
    if model.name_or_path and len(tokenizer) > config.vocab_size:
        raise ModelError(
            f"{name}: its tokenizer has {len(tokenizer)} word-pieces, the model {config.vocab_size}; "
            "they do not belong together"
        )
    fit_tokenizer(tokenizer, config, name)
    return tokenizer


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


def tokenizer_digest(tokenizer: PreTrainedTokenizerBase) -> str:
    """Of all that decides what word-pieces a text becomes; padding and truncation are set anew by each call."""
    backend = getattr(tokenizer, "backend_tokenizer", None)
    if backend is None:
        content: Any = sorted(tokenizer.get_vocab().items())
    else:
        content = {k: v for k, v in json.loads(backend.to_str()).items() if k not in ("padding", "truncation")}
    decides = [content, sorted(tokenizer.model_input_names), tokenizer.truncation_side, tokenizer.pad_token_id]
    return hashlib.sha256(json.dumps(decides, sort_keys=True).encode()).hexdigest()[:16]
