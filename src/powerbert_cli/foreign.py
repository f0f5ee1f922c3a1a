"""Configs from folders that a user names: they may set keys, not run code.

Hydra instantiates whatever a config calls `_target_`, and Python's logging what it calls `class` or `()`;
a task file from elsewhere must not come with a program of its own.
"""

from collections.abc import Iterator
from itertools import zip_longest
from pathlib import Path
from typing import Any

from .errors import PowerbertError

_FLAGS = ("--config-dir", "-cd", "--config-path", "-cp")
_RUNS = ("_target_", "class", "()", "factory", "custom_search_space", "searchpath")
_KNOWN = ("hydra._internal.core_plugins.", "hydra_plugins.", "logging.", "optuna.samplers.", "powerbert_cli.")


def check_folders(args: list[str]) -> None:
    """
    Raises:
        PowerbertError: a config below a folder that the command line names would run code.
    """
    for folder in _named(args):
        for path in sorted(Path(folder).rglob("*.y*ml")):
            for key, value in _what_runs(_content(path)):
                if not (isinstance(value, str) and value.startswith(_KNOWN) and "$" not in value):
                    raise PowerbertError(
                        f"{path}: {key}: {value} names code to run; configs from elsewhere may not; take the line "
                        "out, give it on the command line yourself, or name a folder that holds your configs alone"
                    )


def _named(args: list[str]) -> Iterator[str]:
    for flag, following in zip_longest(args, args[1:], fillvalue=""):
        name, given, value = flag.partition("=")
        # An empty name would be the current folder here; Hydra itself says what lacks.
        if name in _FLAGS and (folder := value if given else following):
            yield folder


def _content(path: Path) -> Any:
    import yaml

    try:
        return yaml.safe_load(path.read_text(encoding="utf-8"))
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise PowerbertError(f"{path}: is no YAML: {' '.join(str(error).split())}") from error


def _what_runs(content: Any) -> Iterator[tuple[str, Any]]:
    """Keys, however deep, whose values are called."""
    if isinstance(content, dict):
        for key, value in content.items():
            if str(key).rpartition(".")[2] in _RUNS and value is not None:
                yield str(key), value
            yield from _what_runs(value)
    elif isinstance(content, list):
        for value in content:
            yield from _what_runs(value)
