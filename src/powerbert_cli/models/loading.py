"""Host models and what reads their inputs: from the hub, a folder, or with random weights."""

import logging
from collections.abc import Callable
from typing import Any

import torch
from transformers import AutoConfig, PreTrainedModel
from transformers.utils import logging as hf_logging

from ..encoder.families import check_supported, counts_from_padding, known_purpose, usable_positions
from ..encoder.family import CHOOSES
from ..kinds import Kind
from ..settings import ModelSettings
from .classes import AUTO, check_classes
from .embedders import as_embedder, read_pooling
from .origin import source_of, unreachable
from .processors import processing_of
from .weights import UNREADABLE, ModelError, check_config, load

log = logging.getLogger(__name__)
hf_logging.set_verbosity_error()
hf_logging.disable_progress_bar()


def host_config(model: ModelSettings, **entries: Any) -> Any:
    """The transformers config of a model, without its weights.

    Args:
        entries: that a random model's has in place of its own.

    Raises:
        ModelError: if it cannot be had.
        UnsupportedModelError: for a family that the shortened encoder does not serve.
    """
    if model.name_or_path:
        try:
            config = AutoConfig.from_pretrained(
                source_of(model.name_or_path), trust_remote_code=model.trust_remote_code
            )
        except (OSError, ValueError) as error:
            raise unreachable(model.name_or_path, "its config", error) from error
    else:
        assert model.config is not None
        options = {**model.config, **entries}
        config = AutoConfig.for_model(options.pop("model_type"), **options)
    if model.name_or_path and read_pooling(source_of(model.name_or_path), config):
        as_embedder(config)
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


def load_processor(model: ModelSettings, kind: Kind, rows: Callable[[], Any]) -> Any:
    """What turns rows into the model's inputs: its own, the named one, or of random weights one that is made.

    Args:
        rows: the training rows, of which it may be made.

    Raises:
        ModelError
    """
    processing, name = processing_of(kind), model.tokenizer or model.name_or_path
    if name is None:
        config = host_config(model)
        processing.check_takes(config, f"model={model.name}")
        return processing.made(rows(), model, config)
    found = processing.load(name, "set model.tokenizer=FOLDER", model.trust_remote_code)
    config = host_config(model)
    processing.check_takes(config, name)
    found = processing.completed(found, rows)
    if model.name_or_path:
        processing.check(found, config, name)
    return processing.fit(found, config, name)


def build_host(model: ModelSettings, processor: Any, kind: Kind, seed: int) -> PreTrainedModel:
    """A classifier: pretrained where there is something to load, else random.

    Args:
        model: where the weights come from.
        processor: what random models' configs follow, as a vocabulary's size.
        kind: of the task.
        seed: of the new head, and of all weights of a random model.
    """
    auto, classes = AUTO[kind.HEAD], kind.outputs
    labels: dict[str, Any] = {
        "num_labels": len(classes),
        "id2label": dict(enumerate(classes)),
        "label2id": {name: i for i, name in enumerate(classes)},
        "problem_type": kind.PROBLEM,
    }
    entries = processing_of(kind).entries(processor, model)
    if kind.SPELLS:
        labels = {**entries, "problem_type": None}
    torch.manual_seed(seed)
    if model.name_or_path is None:
        config = host_config(model, **entries)
        config.update(labels)
        return auto.from_config(config)
    other = other_head(model, kind)
    try:
        host = load(
            auto,
            source_of(model.name_or_path),
            whole=False,
            trust_remote_code=model.trust_remote_code,
            dtype=torch.float32,
            **labels,
        )
    except ModelError as error:
        raise ModelError(f"model.name_or_path={error}") from error
    except UNREADABLE as error:
        raise unreachable(model.name_or_path, "its weights in safetensors", error) from error
    if other is None:
        return host
    log.warning("model.name_or_path=%s: %s; its head is made anew", model.name_or_path, other)
    torch.manual_seed(seed)
    fresh = auto.from_config(host.config)
    fresh.base_model.load_state_dict(host.base_model.state_dict())
    return fresh


def other_head(model: ModelSettings, kind: Kind) -> str | None:
    """Why the head of a classifier to start from is not one for this task; None if it is, or there is no head."""
    config = host_config(model)
    if not model.name_or_path or known_purpose(config) in (None, CHOOSES):
        return None
    if known_purpose(config) != kind.HEAD:
        return f"its architecture is {config.architectures[0]}, task.kind={kind.NAME} needs one {kind.HEAD}"
    try:
        check_classes(config, kind)
    except ModelError as error:
        return str(error)
    return None
