"""Weights out of files: all that the encoder has, and none that it does not use.

transformers fills in random numbers for what a file lacks, and leaves out what the model has no place for; either
would change what a model answers, or have a training begin anew, without a word.
"""

import logging
import re
from typing import Any

import torch
from safetensors import SafetensorError
from transformers import PreTrainedModel
from transformers.activations import ACT2FN

from ..errors import PowerbertError

log = logging.getLogger(__name__)
# Entries of config.json with what this encoder does, and why.
_DOES = {
    "is_decoder": (False, "each word-vector attends to all others, not to those before it alone"),
    "add_cross_attention": (False, "there is no second input to attend to"),
    "position_embedding_type": ("absolute", "relative positions of the kind that it names are in no family here"),
    "quantization_config": (None, "it takes weights in float32, float16 or bfloat16"),
}
_ACTIVATIONS = ("hidden_act", "hidden_activation", "activation")
_ADAPTERS = re.compile(r"(lora|ia3|vera|dora)_|\badapters?\b|\bbase_layer\b|modules_to_save", re.IGNORECASE)


class ModelError(PowerbertError):
    """A model that cannot be had or does not fit."""


def check_config(name: str, config: Any) -> None:
    """
    Args:
        name: of the model, for the message.
        config: of transformers.

    Raises:
        ModelError: config.json asks for what this encoder does not do.
    """
    for key, (does, why) in _DOES.items():
        said = getattr(config, key, does)
        if said not in (does, None):
            kind = f"{key}={said}" if isinstance(said, (bool, str)) else key
            raise ModelError(f"{name}: config.json has {kind}, which this encoder does not do: {why}")
    for key in _ACTIVATIONS:
        said = getattr(config, key, None)
        if isinstance(said, str) and said not in ACT2FN:
            raise ModelError(f"{name}: config.json has {key}={said}; must be one of {', '.join(sorted(ACT2FN))}")


def load(auto: Any, name: str, whole: bool, **options: Any) -> PreTrainedModel:
    """A classifier out of safetensors.

    A prefix that all names have, as DDP (`module.`), torch.compile (`_orig_mod.`) and others leave it, is taken off.

    Args:
        auto: transformers' class for its kind.
        whole: head and pooler must be there too; else they are made anew where they are missing or of another size.
        options: of transformers' from_pretrained.

    Raises:
        ModelError: weights of the encoder are missing, of other sizes, too many or not finite.
        OSError, ValueError, RuntimeError, SafetensorError, ImportError: of transformers, for files that it cannot read.
    """
    drawing = torch.get_rng_state()  # a new head is the same with a prefix or without
    model, found = _loaded(auto, name, options)
    prefix = _wrapper(model, found)
    if prefix:
        log.warning(
            "%s: the names of all weights begin with %s, which a wrapper left there; read without", name, prefix
        )
        mapping = {**(options.get("key_mapping") or {}), f"^{re.escape(prefix)}": ""}
        torch.set_rng_state(drawing)
        model, found = _loaded(auto, name, {**options, "key_mapping": mapping})
    _check(name, model, found, whole)
    check_finite_weights(name, model)
    return model


UNREADABLE = (OSError, ValueError, RuntimeError, ImportError, SafetensorError)


def _loaded(auto: Any, name: str, options: dict[str, Any]) -> tuple[PreTrainedModel, dict[str, list[str]]]:
    """The model, and the names of weights that are missing, unexpected or of other sizes."""
    # sizes are compared here, where the error can name what does not fit
    model, found = auto.from_pretrained(
        name, **options, use_safetensors=True, ignore_mismatched_sizes=True, output_loading_info=True
    )
    mismatched = [str(one[0]) for one in found["mismatched_keys"]]
    return model, {
        "missing": sorted(found["missing_keys"]),
        "unexpected": sorted(found["unexpected_keys"]),
        "mismatched": sorted(mismatched),
    }


def _wrapper(model: PreTrainedModel, found: dict[str, list[str]]) -> str | None:
    """What stands before the names of all weights of the encoder; None if some are as they should be."""
    base = f"{model.base_model_prefix}."
    own = {name for name, _ in model.named_parameters() if name.startswith(base)}
    if not own.issubset(found["missing"]):
        return None
    known = own | {name.removeprefix(base) for name in own}
    prefixes = {
        name[: match.end()]
        for name in found["unexpected"]
        for match in list(re.finditer(r"\.", name))[:-1]
        if name[match.end() :] in known and name[: match.end()] != base
    }
    shortest = {one for one in prefixes if not any(one != other and one.startswith(other) for other in prefixes)}
    return shortest.pop() if len(shortest) == 1 else None


def _check(name: str, model: PreTrainedModel, found: dict[str, list[str]], whole: bool) -> None:
    """Raises ModelError for what the encoder lacks or the file has too much."""
    encoder = {kind: [one for one in names if _of_encoder(model, one)] for kind, names in found.items()}
    adapters = [one for one in found["unexpected"] if _ADAPTERS.search(one)]
    adapters += [one for one, module in model.named_modules() if type(module).__module__.startswith("peft.")]
    lack = "it must be a whole, fine-tuned model" if whole else "its encoder must be whole"
    other = f"; the file has others, as {found['unexpected'][0]}" if encoder["missing"] and found["unexpected"] else ""
    layers = [one for one in encoder["unexpected"] if _of_no_layer(model, one)]
    for names, what in (
        (adapters, "are of adapters; merge them into the model with merge_and_unload() and save that"),
        ((found if whole else encoder)["mismatched"], "are of other sizes than its config.json says"),
        ((found if whole else encoder)["missing"], f"are missing; {lack}{other}"),
        (layers, "are of layers that its config.json does not have"),
        (encoder["unexpected"], "are of parts that this encoder does not have"),
    ):
        if names:
            more = f" and {len(names) - 1} more" if len(names) > 1 else ""
            raise ModelError(f"{name}: weights {what}: {names[0]}{more}")
    pooler = [one for one in found["missing"] if ".pooler." in one]
    if pooler:
        log.warning("%s: has no weights of the pooler (%s); they begin at random, as the head's do", name, pooler[0])


def _of_encoder(model: PreTrainedModel, name: str) -> bool:
    """Whether a weight of this name belongs to the encoder: not to a head, nor to the pooler before it."""
    base = f"{model.base_model_prefix}."
    parts = name.removeprefix(base).split(".")
    children = {child for child, _ in model.base_model.named_children()}
    # those of older files that are no weights, and that transformers no longer has, it leaves out rightly
    counts = parts[-1] in ("position_ids", "token_type_ids", "inv_freq")
    return parts[0] != "pooler" and not counts and (name.startswith(base) or parts[0] in children)


def _of_no_layer(model: PreTrainedModel, name: str) -> bool:
    """Whether a weight is of a layer that the model does not have."""
    layer = re.match(r".*?layers?\.\d+\.", name)
    return layer is not None and not any(layer.group() in own for own, _ in model.named_parameters())


def check_finite_weights(name: str, model: PreTrainedModel) -> None:
    """Raises ModelError for a weight that is NaN or infinite, which would make an answer of nothing."""
    for key, weight in model.named_parameters():
        if not weight.is_meta and not torch.isfinite(weight).all():
            raise ModelError(
                f"{name}: weights are not finite (NaN or infinite): {key}; the file is of a broken training"
            )
