"""Models that give a pair of texts one logit: folders of sentence-transformers' CrossEncoder in, and out again."""

from pathlib import Path
from typing import Any

from ..encoder.families import purpose_of
from ..encoder.family import CLASSIFIES
from ..kinds.ranking import Ranking
from ..store.artifacts import write_json
from .modules import MODULES, module_of, modules_in, read_json
from .weights import ModelError

ABOUT, NAME = "config_sentence_transformers.json", "CrossEncoder"
OURS = "powerbert_cli.sentence.Reranker"


def reads_as_reranker(folder: Path) -> bool:
    """Whether a folder with modules.json is a CrossEncoder's.

    Raises:
        ModelError: it has modules that this encoder does not do.
    """
    about = read_json(folder / ABOUT) if (folder / ABOUT).is_file() else None
    if not isinstance(about, dict) or about.get("model_type") != NAME:
        return False
    kinds = [str(module.get("type", "")) for module in modules_in(folder / MODULES)]
    other = next((kind for kind in kinds if kind != OURS and kind.rpartition(".")[2] != "Transformer"), None)
    if other is not None:
        raise ModelError(
            f"{folder / MODULES}: has a module {other.rpartition('.')[2]}; this encoder does a CrossEncoder of one "
            f"Transformer with a head …{CLASSIFIES}"
        )
    return True


def is_reranker(config: Any) -> bool:
    """Whether a model has the one output, and the loss, of the kind `ranking`."""
    return purpose_of(config) == CLASSIFIES and config.problem_type == Ranking.PROBLEM and config.num_labels == 1


def write_reranker(folder: Path) -> None:
    """What has `CrossEncoder(folder)` load a shortened model; a plain one it loads without."""
    write_json(folder / MODULES, [module_of(0, "", OURS)])
    write_json(folder / ABOUT, {"model_type": NAME})
