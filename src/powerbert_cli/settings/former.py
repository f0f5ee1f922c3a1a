"""Keys that had another name: each is answered with the one it has now."""

import re
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from .rules import SettingsError

FORMER = {
    "checkpoint": "model_dir",
    "shortened": "model_dir",
    "compress.flops": "target.flops",
    "attention": "runtime.significance",
    "max_drop": "bench.max_drop",
    "threads": "runtime.threads",
    "variant.name": "variant",
    **{
        name: f"research.{name}"
        for name in (
            *("regularizer", "word_vector_cost", "retention.bins", "calibrate.by"),
            *("evolutionary.population", "evolutionary.generations"),
            *("compress.head_score", "compress.rounds", "compress.steps", "compress.stop", "compress.lr_clips"),
            *("retrain.distill_cls", "retrain.patient", "retrain.patient_layers", "retrain.patient_norm"),
            *("retrain.gradual", "retrain.train_once"),
            *("variant.diagonal", "variant.pad_queries", "variant.shield_cls", "variant.rounding"),
            *("variant.retrain_from", "variant.best_by"),
        )
    },
}
FORMER_VALUES = {("strategy", "none"): "retention=full"}
# (verb, key): what to give instead of a key that the verb does not have
INSTEAD = {
    ("finetune", "model_dir"): "finetune makes a model directory, it takes none: start from a model with "
    "model.name_or_path=FOLDER, or a name on the hub",
    ("search", "retention"): "search finds a retention configuration, it takes none: give it to retrain",
}
_PACKAGE = re.compile(r"^\s*#\s*@package\s+(\S+)", re.MULTILINE)


def now_called(key: str) -> str | None:
    """What to say of a former key; None of any other."""
    return f"{key}= is now {FORMER[key]}=" if key in FORMER else None


def check(verb: str, args: Iterable[str]) -> None:
    """
    Raises:
        SettingsError: an override of the command line has a former key or value, or a key that the verb has not.
    """
    for arg in args:
        key, _, value = arg.partition("=")
        key = key.lstrip("+~")
        for one in (key, key.removeprefix("hydra.sweeper.params.").replace("\\", "")):
            _check(one, value.strip("'\""))
        for name in FORMER:  # KEY={…}
            node, _, last = name.rpartition(".")
            if node and node == key and re.search(rf"[{{,]\s*{last}\s*:", value):
                _check(name, None)
        if (verb, key) in INSTEAD:
            raise SettingsError(f"{arg.lstrip('+~')}: {INSTEAD[verb, key]}")


def check_folders(folders: Iterable[str]) -> None:
    """
    Args:
        folders: of configs that the command line names.

    Raises:
        SettingsError: a YAML file there has a former key or value.
    """
    import yaml

    for folder in folders:
        for path in sorted(Path(folder).rglob("*.y*ml")):
            try:
                text = path.read_text(encoding="utf-8")
                content = yaml.safe_load(text)
            except (OSError, UnicodeDecodeError, yaml.YAMLError, RecursionError):
                continue  # is named elsewhere
            try:
                for key, value in _entries(content, _package(path.relative_to(folder), text)):
                    _check(key, value)
            except SettingsError as error:
                raise SettingsError(f"{path}: {error}") from error


def _check(key: str, value: Any) -> None:
    if said := now_called(key):
        raise SettingsError(said)
    for one in value.split(",") if isinstance(value, str) else ():
        if instead := FORMER_VALUES.get((key, one.strip())):
            raise SettingsError(f"{key}={one.strip()} is now {instead}")


def _package(path: Path, text: str) -> str:
    """The node that a config's keys stand in."""
    found = _PACKAGE.search(text)
    group = ".".join(path.parent.parts)
    package = found.group(1) if found else group
    return {"_global_": "", "_group_": group}.get(package, package)


def _entries(content: Any, within: str, depth: int = 0) -> Iterator[tuple[str, Any]]:
    """Every key with its value; of a node too."""
    if not isinstance(content, dict) or depth > 9:
        return
    for name, value in content.items():
        key = f"{within}.{name}" if within else str(name)
        if name != "defaults":
            yield key, value
            yield from _entries(value, key, depth + 1)
