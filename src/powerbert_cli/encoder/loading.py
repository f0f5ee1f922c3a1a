"""Host models and their tokenizers: from the hub, a folder, or with random weights."""

from pathlib import Path
from typing import Any

import torch
from transformers import (
    AutoConfig,
    AutoModelForMultipleChoice,
    AutoModelForSequenceClassification,
    AutoTokenizer,
    PreTrainedModel,
    PreTrainedTokenizerBase,
)
from transformers.utils import logging as hf_logging

from ..errors import PowerbertError
from ..settings import ModelSettings
from .families import check_supported, usable_positions

hf_logging.set_verbosity_error()
hf_logging.disable_progress_bar()


class ModelError(PowerbertError):
    """A model that cannot be had or does not fit."""


def _unreachable(name: str, what: str, error: Exception) -> ModelError:
    first = str(error).splitlines()[0]
    if Path(name).expanduser().is_dir():
        return ModelError(f"{name}: {what} cannot be loaded: {first}")
    return ModelError(
        f"model.name_or_path={name}: {what} cannot be loaded ({first}); download it where there is a network with "
        f"'hf download {name} --local-dir FOLDER', put the folder on this machine and set model.name_or_path=FOLDER"
    )


def _source(name: str) -> str:
    """A local folder as it is; a hub name stays one. A path that isn't there is named as such."""
    if (name.startswith((".", "/", "~")) or name.count("/") > 1) and not Path(name).expanduser().is_dir():
        raise ModelError(f"model.name_or_path={name} is no folder on this machine")
    return str(Path(name).expanduser()) if Path(name).expanduser().is_dir() else name


def host_config(model: ModelSettings, vocab_size: int | None = None) -> Any:
    """The transformers config of a model, without its weights.

    Raises:
        ModelError: if it cannot be had.
        UnsupportedModelError: for a family that the shortened encoder does not serve.
    """
    if model.name_or_path:
        try:
            config = AutoConfig.from_pretrained(_source(model.name_or_path), trust_remote_code=model.trust_remote_code)
        except (OSError, ValueError) as error:
            raise _unreachable(model.name_or_path, "its config", error) from error
    else:
        assert model.config is not None
        options = dict(model.config)
        if vocab_size is not None:
            options["vocab_size"] = vocab_size
        config = AutoConfig.for_model(options.pop("model_type"), **options)
    check_supported(config.model_type)
    return config


def check_fits(config: Any, seq_len: int) -> None:
    """Raises ModelError if inputs of seq_len have no position embeddings."""
    positions = usable_positions(config)
    if seq_len > positions:
        raise ModelError(f"seq_len={seq_len} exceeds the {positions} positions of the model; set seq_len ≤ {positions}")


def load_tokenizer(model: ModelSettings) -> PreTrainedTokenizerBase | None:
    """The model's own tokenizer, or None if one has to be built from the task."""
    name = model.tokenizer or model.name_or_path
    if name is None:
        return None
    try:
        tokenizer = AutoTokenizer.from_pretrained(_source(name), trust_remote_code=model.trust_remote_code)
    except (OSError, ValueError) as error:
        raise _unreachable(name, "its tokenizer", error) from error
    if len(tokenizer) <= len(
        set(tokenizer.all_special_tokens)
    ):  # what transformers makes of a folder without its files
        raise ModelError(f"{name}: has no tokenizer (no tokenizer.json, vocab.txt …); set model.tokenizer=FOLDER")
    words = host_config(model).vocab_size if model.name_or_path else len(tokenizer)
    if len(tokenizer) > words:
        raise ModelError(
            f"{name}: its tokenizer has {len(tokenizer)} word-pieces, the model {words}; they do not belong together"
        )
    return tokenizer


PROBLEMS = {
    "classification": "single_label_classification",
    "multiple_choice": None,  # transformers' multiple-choice models know one loss only
    "regression": "regression",
    "multi_label": "multi_label_classification",
}


def build_host(
    model: ModelSettings, tokenizer: PreTrainedTokenizerBase, kind: str, label_names: list[str] | None, seed: int
) -> PreTrainedModel:
    """A classifier: pretrained where there is something to load, else random.

    Args:
        model: where the weights come from.
        tokenizer: gives the vocabulary's size and the padding id of random models.
        kind: classification, regression, multiple_choice or multi_label.
        label_names: classes; None for a regression of one value.
        seed: of the new head, and of all weights of a random model.
    """
    choice = kind == "multiple_choice"
    auto = AutoModelForMultipleChoice if choice else AutoModelForSequenceClassification
    classes = ["choice"] if choice else label_names or ["value"]
    labels = {
        "num_labels": len(classes),
        "id2label": dict(enumerate(classes)),
        "label2id": {name: i for i, name in enumerate(classes)},
        "problem_type": PROBLEMS[kind],
    }
    torch.manual_seed(seed)
    if model.name_or_path is None:
        config = host_config(model, vocab_size=max(len(tokenizer), (model.config or {}).get("vocab_size", 0)))
        config.update({**labels, "pad_token_id": tokenizer.pad_token_id})
        return auto.from_config(config)
    try:
        return auto.from_pretrained(
            _source(model.name_or_path),
            trust_remote_code=model.trust_remote_code,
            use_safetensors=True,
            dtype=torch.float32,
            **labels,
        )
    except (OSError, ValueError) as error:
        raise _unreachable(model.name_or_path, "its weights in safetensors", error) from error
