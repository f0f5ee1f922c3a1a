"""Host models and their tokenizers: from the hub, a folder, or with random weights."""

import hashlib
import json
import logging
from collections.abc import Sequence
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

from ..settings import ModelSettings
from .families import check_supported, counts_from_padding, usable_positions
from .weights import UNREADABLE, check_config, load
from .weights import ModelError as ModelError

log = logging.getLogger(__name__)
hf_logging.set_verbosity_error()
hf_logging.disable_progress_bar()


def _unreachable(name: str, what: str, error: Exception) -> ModelError:
    reason = (str(error).splitlines() or [type(error).__name__])[0]
    if Path(name).expanduser().is_dir():
        return ModelError(f"{name}: {what} cannot be loaded: {reason}")
    return ModelError(
        f"model.name_or_path={name}: {what} cannot be loaded ({reason}); download it where there is a network with "
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
    check_config(f"model.name_or_path={model.name_or_path}" if model.name_or_path else "model.config", config)
    return config


def check_fits(config: Any, seq_len: int) -> None:
    """Raises ModelError if inputs of seq_len have no position embeddings, or none can be counted."""
    if counts_from_padding(config) and config.pad_token_id is None:
        raise ModelError(
            f"config.json of this {config.model_type} has no pad_token_id, from which its positions count; set it "
            "there to what the model was trained with (1 in most of this family)"
        )
    positions = usable_positions(config)
    if seq_len > positions:
        raise ModelError(f"seq_len={seq_len} exceeds the {positions} positions of the model; set seq_len ≤ {positions}")


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
        tokenizer = AutoTokenizer.from_pretrained(_source(name), trust_remote_code=trust_remote_code)
    except (OSError, ValueError) as error:
        raise _unreachable(name, "its tokenizer", error) from error
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
    other = other_head(model, kind, label_names)
    try:
        host = load(
            auto,
            _source(model.name_or_path),
            whole=False,
            trust_remote_code=model.trust_remote_code,
            dtype=torch.float32,
            **labels,
        )
    except ModelError as error:
        raise ModelError(f"model.name_or_path={error}") from error
    except UNREADABLE as error:
        raise _unreachable(model.name_or_path, "its weights in safetensors", error) from error
    if other is None:
        return host
    log.warning("model.name_or_path=%s: %s; its head is made anew", model.name_or_path, other)
    torch.manual_seed(seed)
    fresh = auto.from_config(host.config)
    fresh.base_model.load_state_dict(host.base_model.state_dict())
    return fresh


def other_head(model: ModelSettings, kind: str, label_names: list[str] | None) -> str | None:
    """Why the head of a classifier to start from is not one for this task; None if it is, or there is no head."""
    config = host_config(model)
    if not (model.name_or_path and any("ForSequenceClassification" in name for name in config.architectures or ())):
        return None
    if kind == "multiple_choice":
        return "it is a classifier, the task a multiple choice"
    try:
        check_classes(config, kind, label_names)
    except ModelError as error:
        return str(error)
    return None


def check_classes(config: Any, kind: str, names: Sequence[str] | None) -> None:
    """Whether a classifier means by its outputs what the task does.

    Classes without names of their own (LABEL_0, or numbers) are taken in the order of the task's.

    Args:
        config: of the classifier.
        kind: of the task. names: of its classes; None for a regression.

    Raises:
        ModelError: says what differs.
    """
    if kind == "multiple_choice":
        return
    wanted, said = PROBLEMS[kind], config.problem_type
    if said is not None and said != wanted:
        raise ModelError(f"a model for {said} (problem_type), the task is one of {wanted}")
    count = 1 if names is None else len(names)
    if config.num_labels != count:
        outputs = "one output" if config.num_labels == 1 else f"{config.num_labels} classes"
        raise ModelError(
            f"a classifier of {outputs}, the task has "
            + ("one value" if names is None else f"{count} (task.label_names)")
        )
    own = [str(config.id2label.get(c, f"LABEL_{c}")) for c in range(count)]
    if names is None or _say_nothing(own) or _say_nothing(names):
        return
    if [name.casefold() for name in own] != [name.casefold() for name in names]:
        raise ModelError(
            f"its classes are {', '.join(own)} in this order, the task's {', '.join(names)}; "
            f"set task.label_names=[{','.join(own)}]"
        )


def named_classes(config: Any) -> list[str] | None:
    """What a classifier calls its classes, in their order; None if it only counts them, or is no classifier."""
    if not any("ForSequenceClassification" in name for name in config.architectures or ()):
        return None
    names = [str(config.id2label.get(c, f"LABEL_{c}")) for c in range(config.num_labels)]
    return None if _say_nothing(names) else names


def _say_nothing(names: Sequence[str]) -> bool:
    """Whether names of classes only count them."""
    return all(name in (f"LABEL_{c}", str(c)) for c, name in enumerate(names))
