"""From a composed config to typed settings; imports nothing heavy, so that a wrong value is refused at once."""

import re
from typing import Any, TypeVar, get_args

from omegaconf import OmegaConf
from omegaconf.errors import OmegaConfBaseException

from ..errors import nearest
from ..kinds import KINDS
from . import AUTO, SettingsError
from .former import now_called
from .keys import RENAMED, RESEARCH, keys_in

T = TypeVar("T")
ANY_CONTENT = ("model.config", "task.published")  # transformers' own, and what top-level keys default to
# What stands in for auto, which is settled from the rows.
STANDING_IN: dict[str, Any] = {"seq_len": 512, "lr_soft": 1.0, "compress.ffn": 0.5, "task.text_columns": ["text"]}


def typed(cfg: Any, cls: type[T]) -> tuple[T, list[str]]:
    """The settings of a composed config, and which of them are auto: something stands in for these.

    Raises:
        SettingsError: for an unknown key, a value of the wrong type or outside its range.
    """
    standing_in = dict(STANDING_IN)
    kind = OmegaConf.select(cfg, "task.kind", throw_on_missing=False)
    of = KINDS.get(kind, KINDS["classification"])
    standing_in["task.label_names"] = list(of.STAND_INS) if of.NAMED else None
    standing_in["task.text_columns"] = ["text", "text_pair"][: of.TEXTS[0]]
    auto = [name for name in standing_in if OmegaConf.select(cfg, name) == AUTO]
    if not of.CUTS and "seq_len" not in auto and "seq_len" in cfg and cfg.seq_len is None:
        auto.append("seq_len")
    if "compress.ffn" in auto:
        _check_auto_ffn(cfg)
    if auto:
        cfg = cfg.copy()
    for name in auto:
        OmegaConf.update(cfg, name, standing_in[name])
    return from_config(cfg, cls), auto


def _check_auto_ffn(cfg: Any) -> None:
    """
    Raises:
        SettingsError: compress.ffn is auto, and the rest of the config does not let it be.
    """
    searcher, flops, lengths = (
        OmegaConf.select(cfg, name) for name in ("searcher", "target.flops", "retention.lengths")
    )
    if searcher != "calibrate" or flops is None or lengths is not None:
        raise SettingsError(
            "compress.ffn=auto weighs neurons against word-vectors under a target: give searcher=calibrate and "
            "target.flops=0.4, and no retention configuration; or give a number"
        )


def from_config(cfg: Any, cls: type[T]) -> T:
    """The typed settings of a composed DictConfig without auto.

    Raises:
        SettingsError: for an unknown key, a value of the wrong type or outside its range.
    """
    try:
        values = OmegaConf.to_container(cfg, resolve=True)
        assert isinstance(values, dict)
        _check_lists(values)
        _check_words(values, cls)
        for user, ours in RENAMED.items():
            if user in values:
                values[ours] = values.pop(user)
        _place_research(values, cls)
        merged = OmegaConf.unsafe_merge(OmegaConf.structured(cls), values)  # which nobody else has
        return OmegaConf.to_object(merged)  # type: ignore[return-value]
    except OmegaConfBaseException as error:
        raise SettingsError(_readable(error, cls)) from error


def _place_research(values: dict[Any, Any], cls: type) -> None:
    """Takes the keys of the node `research` to where the settings have them.

    Raises:
        SettingsError: a key there that is none, or one that stands outside.
    """
    given = values.pop(RESEARCH, None) or {}
    known = [key for key in keys_in(cls) if key.research]
    for key in known:
        *nodes, last = key.path
        if last in (_node(values, nodes) or {}):
            raise SettingsError(str(now_called(".".join(key.path))))
        if last in (_node(given, nodes) or {}):
            target = values
            for node in nodes:
                target = target.setdefault(node, {}) if isinstance(target, dict) else {}
            if isinstance(target, dict):
                target[last] = _node(given, nodes).pop(last)
    for name in _leaves(given):
        raise SettingsError(
            f"unknown key '{RESEARCH}.{name}'{nearest(f'{RESEARCH}.{name}', [key.name for key in known])}"
        )


def _node(values: Any, path: list[str]) -> Any:
    for name in path:
        values = values.get(name) if isinstance(values, dict) else None
    return values if isinstance(values, dict) else None


def _leaves(values: Any, within: str = "") -> list[str]:
    if not isinstance(values, dict):
        return [within]
    return [leaf for name, one in values.items() for leaf in _leaves(one, f"{within}.{name}" if within else str(name))]


def _check_lists(values: Any, within: str = "") -> None:
    """OmegaConf lets a list pass as an entry of a list of numbers or names."""
    for name, value in values.items():
        if f"{within}{name}" in ANY_CONTENT:
            continue
        if isinstance(value, dict):
            _check_lists(value, f"{within}{name}.")
        elif isinstance(value, list) and any(isinstance(entry, list | dict) for entry in value):
            raise SettingsError(f"{within}{name}={value} must be a list of single values")


def _check_words(values: dict[Any, Any], cls: type) -> None:
    """YAML reads some words as booleans, and OmegaConf would make names of these: False, True."""
    for key in keys_in(cls):
        *nodes, last = key.name.split(".")
        value = (_node(values, nodes) or {}).get(last)
        entries = value if isinstance(value, list) else [value]
        if any(isinstance(entry, bool) for entry in entries) and {str, list[str]} & {key.kind, *get_args(key.kind)}:
            raise SettingsError(
                f"{key.name}={value}: YAML reads the words no, yes, off, on, false and true as booleans; put them "
                f"into quotes, {last}: ['no', 'yes'] in a file, '{key.name}=[\"true\",\"false\"]' in a command"
            )


def _readable(error: Exception, cls: type[Any]) -> str:
    text = str(error.msg if hasattr(error, "msg") else error).splitlines()[0]
    path = getattr(error, "full_key", None) or ""
    name = next((key.name for key in keys_in(cls) if ".".join(key.path) == path), path)
    for user, ours in RENAMED.items():
        text = text.replace(ours, user)
    wrong_type = re.search(r"Value '(.*)' of type '.*' could not be converted to (\w+)", text)
    if wrong_type:
        kind = {"Float": "a number", "Integer": "a whole number", "Boolean": "true or false"}
        return f"{name}={wrong_type.group(1)} must be {kind.get(wrong_type.group(2), wrong_type.group(2))}"
    if "not in" in text and name:
        return now_called(name) or f"unknown key '{name}'{nearest(name, [key.name for key in keys_in(cls)])}"
    return f"{name}: {text}" if name else text
