"""Configs below a folder that the command line names: they set keys of powerbert, and run no code.

Hydra calls what its own node names, launchers hand its settings to shells, resolvers make keys out of texts. So there
is one rule, whatever a plugin may come to understand: nothing of Hydra's, no key of instantiation, no interpolation but
plain references. Hydra's own settings stand on the command line.
"""

import os
import re
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from .errors import PowerbertError, nearest
from .store.home import IN_CONFIG

_FOLDERS = ("--config-dir", "-cd")
_NAMES = ("--config-name", "-cn")
_TAKE_A_VALUE = ("--cfg", "-c", "--package", "-p", *_NAMES, *_FOLDERS)
_MAY_TAKE_A_VALUE = ("--info", "-i")
_FLAGS = (
    *("--help", "-h", "--hydra-help", "--version", "--resolve", "--run", "-r", "--multirun", "-m"),
    *("--shell-completion", "-sc", *_MAY_TAKE_A_VALUE, *_TAKE_A_VALUE),
)
_REFERENCE = re.compile(r"\$\{[\w.\[\]]+\}|" + re.escape(IN_CONFIG))
# << stands for what is merged, which is looked at where it is.
_TAGS = {
    f"tag:yaml.org,2002:{name}"
    for name in ("str", "int", "float", "bool", "null", "timestamp", "map", "seq", "merge", "value")
}


def check_flags(args: list[str]) -> None:
    """Hydra's flags by their whole names only: an abbreviation would be a flag that is not checked.

    Raises:
        PowerbertError
    """
    for arg in args:
        name = arg.partition("=")[0]
        if name in ("--config-path", "-cp"):
            raise PowerbertError(f"{name} would take the shipped configs away; --config-dir=FOLDER adds your own")
        if arg.startswith("-") and name not in _FLAGS:
            raise PowerbertError(f"unknown flag {name}{nearest(name, _FLAGS)}; flags: {', '.join(_FLAGS)}")


def overrides_first(args: list[str]) -> list[str]:
    """KEY=VALUE before flags: Hydra's parser takes them in one piece only, users write them in any order."""
    overrides: list[str] = []
    flags: list[str] = []
    before = ""
    for arg in args:
        value_of_flag = before in _TAKE_A_VALUE or (before in _MAY_TAKE_A_VALUE and "=" not in arg)
        (flags if value_of_flag or arg.startswith("-") else overrides).append(arg)
        before = "" if value_of_flag else arg
    return [*overrides, *flags]


def check_folders(args: list[str], shipped: Path | None = None) -> None:
    """
    Args:
        shipped: powerbert's own configs.

    Raises:
        PowerbertError: names what is below a folder that the command line names, and may not be there.
    """
    try:
        folders = list(named_folders(args))
        for folder in folders:
            for path in _configs(folder):
                _check_file(path)
    except OSError as error:  # what cannot be listed may still be opened
        raise PowerbertError(f"{error.filename}: {error.strerror}") from error
    roots = [*folders, *([shipped] if shipped else [])]
    for name, value in _pairs(args):
        key = name.lstrip("+").partition("@")[0]
        group = key.startswith("hydra/") or any((root / key).is_dir() for root in roots)
        if (group or name in _NAMES) and _leads_out(value):
            raise PowerbertError(
                f"{name}={value}: must be a config's name; --config-dir names the folder that it is in"
            )


def _pairs(args: list[str]) -> Iterator[tuple[str, str]]:
    """Flags and keys with their values."""
    for arg, following in zip(args, [*args[1:], ""], strict=False):
        name, given, value = arg.partition("=")
        yield name, value if given else following


def named_folders(args: list[str]) -> Iterator[Path]:
    for name, value in _pairs(args):
        if name in _FOLDERS and value:  # no name would be the current folder here; Hydra itself says what lacks
            yield Path(value)
        if name.lstrip("+") == "hydra.searchpath":
            yield from map(_folder_of, _listed(f"{name}={value}"))


def _listed(override: str) -> list[str]:
    """The strings of KEY=[…] as Hydra reads them, quoted or escaped in any way; none of what it refuses."""
    from hydra.core.override_parser.overrides_parser import OverridesParser
    from hydra.errors import HydraException

    try:
        value: Any = OverridesParser.create().parse_override(override).value()
    except HydraException:
        return []
    return [str(one) for one in value] if isinstance(value, list) else []


def _folder_of(entry: str) -> Path:
    scheme, found, path = entry.rpartition("://")
    if found and scheme != "file":
        raise PowerbertError(f"hydra.searchpath: {entry}: must be a folder")
    return Path(path)


def _files(folder: Path) -> Iterator[Path]:
    """All files below a folder, which holds nothing but files and folders that are there themselves."""
    for entry in sorted(os.scandir(folder), key=lambda one: one.name) if folder.is_dir() else ():
        path = folder / entry.name
        if not entry.name.isprintable() or "\\" in entry.name:
            raise _refused(folder, f"the name {entry.name!r} has characters that no config needs")
        if _of_hydra(entry.name):
            raise _refused(path, "its name is that of Hydra's own node")
        if entry.is_dir(follow_symlinks=False):
            yield from _files(path)
        elif entry.is_file(follow_symlinks=False):
            yield path
        else:
            raise _refused(path, "is a link or a device, not a file or a folder")


def entries(folders: Iterable[str | Path]) -> Iterator[tuple[Path, str, Any]]:
    """Every key's node of the configs below folders: (file, key, node of YAML)."""
    for folder in folders:
        for path in _configs(Path(folder)):
            yield from ((path, key, node) for key, node, _ in _nodes(_read(path)[1]))


def _configs(folder: Path) -> Iterator[Path]:
    return (path for path in _files(folder) if path.suffix.lower() in (".yaml", ".yml"))


def _read(path: Path) -> tuple[str, Any]:
    """A config's text, and its root node."""
    import yaml

    try:
        text = path.read_text(encoding="utf-8")
        return text, yaml.compose(text, Loader=yaml.SafeLoader)
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise PowerbertError(f"{path}: is no YAML: {' '.join(str(error).split())}") from error


def _check_file(path: Path) -> None:
    text, root = _read(path)
    for line in text.splitlines():
        if re.match(r"\s*#\s*@", line) and (_of_hydra(line) or "$" in line):
            raise _refused(path, f"{line.strip()}: names Hydra's own node")
    for key, node, in_defaults in _nodes(root):
        if why := _why_not(key, node, in_defaults):
            raise _refused(path, f"{key}: {why}" if key else why)


def _nodes(root: Any) -> Iterator[tuple[str, Any, bool]]:
    """Every key and value, each with its key and whether it is in a defaults list."""
    import yaml

    seen: set[tuple[int, str, bool]] = set()  # anchors make one node of many, or of itself
    waiting = [("", root, False)] if root else []
    while waiting:
        key, node, in_defaults = waiting.pop()
        if (id(node), key, in_defaults) in seen:
            continue
        seen.add((id(node), key, in_defaults))
        yield key, node, in_defaults
        if isinstance(node, yaml.SequenceNode):
            waiting += [(key, one, in_defaults) for one in reversed(node.value)]
        elif isinstance(node, yaml.MappingNode):
            for name, value in node.value:
                yield str(name.value), name, in_defaults
                waiting.append((str(name.value), value, in_defaults or name.value == "defaults"))


def _why_not(key: str, node: Any, in_defaults: bool) -> str | None:
    text = node.value if isinstance(node.value, str) else ""
    if node.tag not in _TAGS:
        return f"the tag {node.tag} is none that a setting needs"
    if _of_hydra(key) or (in_defaults and _of_hydra(text)):
        return "names Hydra's own node"
    if any(part.startswith("_") for part in key.split(".")):
        return "keys with _ in front have a meaning to Hydra"
    if "${" in _REFERENCE.sub("", text):
        return f"{text}: only references such as ${{task.name}} are taken"
    if in_defaults and ("$" in text or _leads_out(text)):
        return f"{text}: must name a group and its option"
    if key.rpartition(".")[2] == "trust_remote_code" and text not in (key, "false"):
        return "must be false"
    return None


def _of_hydra(name: str) -> bool:
    return "hydra" in name.casefold()


def _leads_out(name: str) -> bool:
    """Whether a config's name leads out of the folders that configs are looked for in."""
    return ".." in name or "//" in name or "\\" in name


def _refused(path: Path, why: str) -> PowerbertError:
    return PowerbertError(
        f"{path}: {why}; a folder of your own holds configs that set keys of powerbert and nothing else: "
        "what is Hydra's stands on the command line"
    )
