"""Models that give each text a vector: folders of sentence-transformers in, and out again."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from transformers import AutoConfig, AutoModel, PreTrainedModel
from transformers.modeling_outputs import SequenceClassifierOutput

from ..encoder.family import EMBEDS
from ..encoder.pooling import MODES, Pooling, pooling_of
from ..store.artifacts import write_json
from .modules import MODULES, module_of, modules_in, read_json
from .rerankers import reads_as_reranker
from .weights import ModelError

POOLING = "1_Pooling"
OURS = "powerbert_cli.sentence.Embedder"


class Embedder(PreTrainedModel):
    """An encoder whose logits (B, D) are the texts' vectors; `embedder_class` makes that of a family."""

    def forward(
        self, input_ids: Any = None, attention_mask: Any = None, token_type_ids: Any = None, **others: Any
    ) -> SequenceClassifierOutput:
        types = {} if token_type_ids is None else {"token_type_ids": token_type_ids}
        mask = torch.ones_like(input_ids) if attention_mask is None else attention_mask
        hidden = self.base_model(input_ids=input_ids, attention_mask=mask, **types, **others).last_hidden_state
        return SequenceClassifierOutput(logits=pooling_of(self.config)(hidden, mask))


def embedder_class(config: Any) -> type[Embedder]:
    """A class beside transformers' own of the family, e.g. BertForEmbedding: the encoder under its usual name."""
    base: Any = AutoModel._model_mapping[type(config)]  # type: ignore[attr-defined]
    parent = base.__mro__[1]

    def init(self: Any, config: Any) -> None:
        parent.__init__(self, config)
        setattr(self, parent.base_model_prefix, base(config))
        self.post_init()

    name = base.__name__.removesuffix("Model") + EMBEDS
    return type(name, (Embedder, parent), {"__init__": init, "__module__": __name__})


class AutoModelForEmbedding:
    """Like transformers' Auto classes."""

    @staticmethod
    def from_config(config: Any) -> Any:
        return embedder_class(config)(config)

    @staticmethod
    def from_pretrained(name: str, config: Any = None, **options: Any) -> Any:
        for key in ("num_labels", "id2label", "label2id", "problem_type"):  # of classifiers
            options.pop(key, None)
        config = config or AutoConfig.from_pretrained(name)
        read_pooling(name, config)
        return embedder_class(config).from_pretrained(name, config=config, **options)


def read_pooling(folder: str, config: Any) -> bool:
    """Has a config say how the folder's modules pool, if they are those of sentence-transformers.

    Returns:
        Whether they are.

    Raises:
        ModelError: it has modules that this encoder does not do.
    """
    if getattr(config, "pooling", None):
        return True
    path = Path(folder).expanduser() / MODULES
    if not path.is_file() or reads_as_reranker(path.parent):
        return False
    found = Pooling(normalize=False)
    for module in modules_in(path):
        kind = str(module.get("type", "")).rpartition(".")[2]
        if kind == "Pooling":
            found = replace(found, mode=_mode(path.parent / str(module.get("path", "")) / "config.json"))
        elif kind == "Normalize":
            found = replace(found, normalize=True)
        elif module.get("type") != OURS and kind != "Transformer":
            raise ModelError(f"{path}: has a module {kind}; this encoder does Transformer, Pooling and Normalize")
    config.pooling = found.written()
    return True


def _mode(path: Path) -> Any:
    """
    Raises:
        ModelError: it pools in another way than by the mean or by [CLS].
    """
    about = read_json(path)
    given = about.get("pooling_mode")
    modes = [given] if isinstance(given, str) else list(given or ())
    names = {"pooling_mode_cls_token": "cls", "pooling_mode_mean_tokens": "mean"}
    on = [key for key, value in about.items() if key.startswith("pooling_mode_") and value is True]
    modes = modes or [names.get(key, key) for key in on]
    if len(modes) != 1 or modes[0] not in MODES:
        said = " and ".join(modes) or "nothing"
        raise ModelError(f"{path}: pools by {said}; this encoder does one of {' and '.join(MODES)}")
    return modes[0]


def as_embedder(config: Any) -> None:
    """Has a config name the architecture that `read_pooling` found."""
    config.architectures = [embedder_class(config).__name__]


def write_modules(folder: Path, config: Any, shortened: bool) -> None:
    """modules.json and what it names: the modules of sentence-transformers, of a shortened model one of powerbert."""
    pooling = pooling_of(config)
    if shortened:
        write_json(folder / MODULES, [module_of(0, "", OURS)])
        return
    steps = [("", "Transformer"), (POOLING, "Pooling"), *([("2_Normalize", "Normalize")] if pooling.normalize else [])]
    modules = [module_of(i, path, f"sentence_transformers.models.{name}") for i, (path, name) in enumerate(steps)]
    write_json(folder / MODULES, modules)
    for path, _ in steps[1:]:
        (folder / path).mkdir(exist_ok=True)
    of_mode = {"pooling_mode_cls_token": pooling.mode == "cls", "pooling_mode_mean_tokens": pooling.mode == "mean"}
    write_json(folder / POOLING / "config.json", {"word_embedding_dimension": config.hidden_size, **of_mode})
