"""CTranslate2: an engine for plain models that removes padding by itself."""

import logging
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor, nn
from transformers import AutoModelForSequenceClassification, PreTrainedModel

from ..encoder.families import family_of, head_of
from ..store.artifacts import whole_file

FOLDER = "ctranslate2"
COMPUTE = {"fp32": "float32", "bf16": "bfloat16", "int8": "int8_float32"}


class NotConverted(Exception):
    """A model that CTranslate2 cannot have; says why."""


class _Words:
    """A tokenizer as far as the converter asks: inputs are numbers, so words need no names."""

    def __init__(self, size: int) -> None:
        self.size = size
        self.unk_token = self.bos_token = self.eos_token = str(0)

    def get_vocab(self) -> dict[str, int]:
        return {str(i): i for i in range(self.size)}


def ctranslate2_runner(package: Any, host: PreTrainedModel, precision: str, threads: int, folder: Path) -> Any:
    """Runs a classifier's encoder in CTranslate2, and its head in PyTorch.

    Args:
        package: ctranslate2.
        host: on the CPU in float32.
        folder: gets the converted model.

    Raises:
        NotConverted: it is of a family that CTranslate2 does not know, or the CPU cannot compute so.
    """
    if COMPUTE[precision] not in package.get_supported_compute_types("cpu"):
        raise NotConverted(f"CTranslate2 has no {precision} on this CPU")
    path = folder / FOLDER
    if not path.exists():
        _convert(package, host, folder, path)
    return run_ctranslate2(package, host, precision, threads, path)


def run_ctranslate2(package: Any, host: Any, precision: str, threads: int, path: Path) -> Any:
    """Runs a converted encoder.

    Args:
        host: of which the head is run.
    """
    encoder = package.Encoder(str(path), device="cpu", compute_type=COMPUTE[precision], intra_threads=threads)
    head = head_of(host)
    first_only = head.reads(host.config) == "first"
    view = package.StorageView.from_array

    def run(input_ids: Tensor, attention_mask: Tensor | None = None, token_type_ids: Tensor | None = None) -> Tensor:
        mask = torch.ones_like(input_ids) if attention_mask is None else attention_mask
        sizes = mask.sum(dim=-1)
        types = None
        if token_type_ids is not None and bool(token_type_ids.any()):
            types = [row[:size] for row, size in zip(token_type_ids.tolist(), sizes.tolist(), strict=True)]
        ids, lengths = (view(np.ascontiguousarray(one.numpy(), dtype=np.int32)) for one in (input_ids, sizes))
        hidden = torch.from_numpy(np.array(encoder.forward_batch(ids, lengths, types).last_hidden_state))
        return head.logits(host, *((hidden[:, :1], None) if first_only else (hidden, mask.bool())))

    return torch.inference_mode()(run)


def save_head(host: PreTrainedModel, path: Path) -> None:
    """Writes what PyTorch runs after the encoder: all weights but those of layers and of tables of embeddings."""
    stack = family_of(host).stack
    layers = set() if stack is None else {id(parameter) for parameter in stack(host).parameters()}
    tables = {id(one.weight) for one in host.modules() if isinstance(one, nn.Embedding)}
    kept = {name: one.detach() for name, one in host.named_parameters() if id(one) not in layers | tables}
    with whole_file(path) as temporary:
        save_file(kept, str(temporary), {"format": "pt"})


def load_head(path: Path, config: Any) -> PreTrainedModel:
    """A classifier of which the head can be run; of the rest there is no more than the shapes."""
    with torch.device("meta"):
        host = AutoModelForSequenceClassification.from_config(config).eval()
    host.load_state_dict(load_file(str(path)), strict=False, assign=True)
    return host  # type: ignore[no-any-return]


def _convert(package: Any, host: PreTrainedModel, folder: Path, path: Path) -> None:
    from ctranslate2.converters import TransformersConverter

    class Converter(TransformersConverter):  # type: ignore[misc]
        """Of a model in memory: only its config is read from the folder."""

        def load_model(self, model_class: type, model_name_or_path: str, **options: Any) -> Any:
            return host if isinstance(host, model_class) else host.base_model

        def load_tokenizer(self, tokenizer_class: type, model_name_or_path: str, **options: Any) -> Any:
            return _Words(host.config.vocab_size)

    host.config.save_pretrained(folder)
    with _absolute(host.config), _quiet():
        try:
            Converter(str(folder)).convert(str(path))
        except (ValueError, KeyError, AttributeError, NotImplementedError, AssertionError) as error:
            raise NotConverted(f"CTranslate2 does not convert {host.config.model_type} models: {error}") from error


@contextmanager
def _absolute(config: Any) -> Any:
    """The converter asks a config for an entry that transformers 5 has no more."""
    had = hasattr(config, "position_embedding_type")
    if not had:
        config.position_embedding_type = "absolute"
    try:
        yield
    finally:
        if not had:
            del config.position_embedding_type


@contextmanager
def _quiet() -> Any:
    """Without transformers' advice on how the converter calls it."""
    logger = logging.getLogger("transformers")
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        yield
    finally:
        logger.setLevel(level)
