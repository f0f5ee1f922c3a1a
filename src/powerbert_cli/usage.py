"""Help texts: made from the typed settings and the shipped configs, without Hydra or torch."""

import difflib
import re
import textwrap
from collections.abc import Iterator
from importlib.metadata import PackageNotFoundError
from importlib.metadata import version as installed_version
from itertools import groupby
from pathlib import Path
from typing import Any

from .errors import brings, nearest
from .settings import former
from .settings.keys import Key, keys_in
from .verbs import PLAIN, VERBS, module_of, settings_of

WIDTH = 120
GROUPS = ("task", "model", "variant", "retention", "method", "grid")
FIRST = ("model_dir", "task", "model")  # in the short help
SCOPES = {"all": "every key but those of research", "research": "what only serves to check papers"}


def version() -> str:
    try:
        return installed_version("powerbert")
    except PackageNotFoundError:
        return "unknown"


def overview() -> str:
    """What `powerbert --help` prints."""
    width = max(map(len, VERBS))
    lines = [
        "powerbert: faster BERT-type encoders by progressive word-vector elimination.",
        "",
        "usage: powerbert VERB [KEY=VALUE ...]",
        "",
    ]
    lines += [f"  {verb:<{width}}  {module_of(verb).SUMMARY}" for verb in (*VERBS, *PLAIN)]
    lines += [
        "",
        "powerbert VERB --help     keys with meaning and default, examples",
        "powerbert VERB --plan     the stages: finished or to be made, and how long each took; nothing runs",
        "powerbert VERB --cfg job  the composed config; --info for how it was composed",
        "powerbert VERB -m         Hydra multirun; -sc install=bash for shell completion",
        "",
        "exit codes: 0 done, 1 failed (in a sweep: some job), 2 a mistake to mend, 130 Ctrl-C, 143 SIGTERM;",
        "after the last two the same command goes on from where it was.",
    ]
    return "\n".join(lines)


def verb_help(verb: str, conf: Path, scope: str = "") -> str:
    """What `powerbert VERB --help` prints.

    Args:
        scope: one of `SCOPES`, or "" for the keys that most people set.
    """
    keys = [key for key in keys_in(settings_of(verb)) if _shown(key, scope)]
    if not scope:
        keys.sort(key=lambda key: FIRST.index(key.path[0]) if key.path[0] in FIRST else len(FIRST))
    module = module_of(verb)
    lines = [f"powerbert {verb}: {module.SUMMARY}", ""]
    if not scope and (details := getattr(module, "DETAILS", "")):
        lines += [details, ""]
    lines += ["keys (KEY=VALUE; ${…} means: the value of that key):"]
    lines += list(_table(keys, shipped_defaults(verb, conf), scope)) or ["  none"]
    found = {
        name: options for name, options in groups(verb, conf).items() if (name == "variant") == (scope == "research")
    }
    lines += ["", "groups:"] if found else []
    for name, options in found.items():
        lines += _wrapped(f"  {name}=  ", ", ".join(_by_folder(options)))
    if not scope:
        lines += ["", "examples:", *(f"  {example}" for example in module.EXAMPLES)]
    lines += ["", *(f"powerbert {verb} --help {other:<9} {what}" for other, what in SCOPES.items() if other != scope)]
    return "\n".join([*lines, f"powerbert {verb} --hydra-help    Hydra's own flags"])


def _by_folder(options: list[str]) -> Iterator[str]:
    """Options, those of a folder with several together: paper/{cola, rte}."""
    for folder, names in groupby(options, lambda name: name.rpartition("/")[0]):
        found = [name.rpartition("/")[2] for name in names]
        if folder and len(found) > 1:
            yield f"{folder}/{{{', '.join(found)}}}"
        else:
            yield from (f"{folder}/{name}" if folder else name for name in found)


def _shown(key: Key, scope: str) -> bool:
    if scope:
        return key.research == (scope == "research")
    return key.common and not key.research


def _table(keys: list[Key], defaults: dict[str, Any], scope: str) -> Iterator[str]:
    """A line for each key; of a key's whole text as many as it takes."""
    width = max((len(key.name) for key in keys), default=0)
    for key in keys:
        head, default = f"  {key.name:<{width}}  ", f"[{_default(key, defaults)}]"
        yield from (
            _wrapped(head, f"{key.doc}{key.more if scope else ''} {default}")
            if scope
            else [f"{head}{key.doc} {default}"]
        )


def _wrapped(head: str, text: str) -> list[str]:
    return textwrap.wrap(
        text,
        WIDTH,
        initial_indent=head,
        subsequent_indent=" " * min(len(head), 40),
        break_long_words=False,
        break_on_hyphens=False,
    )


def _default(key: Key, defaults: dict[str, Any]) -> str:
    if key.node:
        return str(defaults.get(f"group {key.name}", ""))
    value: Any = defaults
    for part in key.name.split("."):
        if not isinstance(value, dict) or part not in value:
            return "set by the group"
        value = value[part]
    return _as_yaml(value)


def _as_yaml(value: Any) -> str:
    """As it would be given on the command line."""
    if value is None or isinstance(value, bool):
        return {None: "null", True: "true", False: "false"}[value]
    return f"[{','.join(map(_as_yaml, value))}]" if isinstance(value, list) else str(value)


def keys_of(verb: str, conf: Path) -> Iterator[tuple[str, str, str]]:
    """(key, meaning, default) of every key of a verb."""
    defaults = shipped_defaults(verb, conf)
    for key in keys_in(settings_of(verb)):
        yield key.name, key.doc + key.more, _default(key, defaults)


def shipped_defaults(verb: str, conf: Path) -> dict[str, Any]:
    """The keys of a verb, with those of its parts, as they are written; its groups as `group NAME`."""
    return _defaults_in(conf, verb)


def _defaults_in(conf: Path, name: str) -> dict[str, Any]:
    import yaml

    content = yaml.safe_load((conf / f"{name}.yaml").read_text(encoding="utf-8"))
    merged: dict[str, Any] = {}
    for entry in content.pop("defaults", []):
        if isinstance(entry, dict):
            given = {group.lstrip("/"): value for group, value in entry.items() if not group.startswith("override")}
            merged |= {f"group {group}": value for group, value in given.items()}
        elif entry != "_self_":
            merged = _merged(merged, _defaults_in(conf, entry))
    content.pop("hydra", None)
    return _merged(merged, content)


def _merged(below: dict[str, Any], above: dict[str, Any]) -> dict[str, Any]:
    """Both, nodes together."""
    merged = dict(below)
    for name, value in above.items():
        both = isinstance(value, dict) and isinstance(merged.get(name), dict)
        merged[name] = _merged(merged[name], value) if both else value
    return merged


def groups(verb: str, conf: Path) -> dict[str, list[str]]:
    """Config groups of a verb and their options."""
    wanted = [name.removeprefix("group ") for name in shipped_defaults(verb, conf) if name.startswith("group ")]
    wanted += ["method"] if verb == "compress" else []
    return {
        group: sorted(
            str(path.relative_to(conf / group).with_suffix(""))
            for path in (conf / group).rglob("*.yaml")
            if group != "experiment" or _serves(path, verb, wanted)
        )
        for group in wanted
    }


def _serves(experiment: Path, verb: str, has: list[str]) -> bool:
    """An experiment with a grid of its own is for `sweep`, one with jobs of its own for `bench`, others for all that
    have the groups whose option it chooses."""
    import yaml

    content = yaml.safe_load(experiment.read_text(encoding="utf-8"))
    chosen = [name.removeprefix("override /") for entry in content.get("defaults", ()) for name in entry]
    if any(name in GROUPS and name not in has for name in chosen):
        return False
    return "grid" in chosen or verb == "bench" or "hydra" not in content


def unknown_verb(verb: str) -> str:
    known = (*VERBS, *PLAIN)
    return f"unknown verb '{verb}'{nearest(verb, known)}; verbs: {', '.join(known)}"


def explain_hydra(error: Exception, verb: str, args: list[str], conf: Path) -> str:
    """One line for an error of Hydra or OmegaConf, with the nearest name for a wrong one."""
    text = str(error)
    missing_key = re.search(r"Key '([^']+)' is not in struct", text) or re.search(r"Could not override '([^']+)'", text)
    if missing_key:
        within = getattr(error.__cause__, "full_key", None)  # of KEY={…} the key inside
        name = within or missing_key.group(1)
        given = [arg.partition("=")[0].lstrip("+~") for arg in args]
        full = next((key for key in given if key.split(".")[-1] == name or key.startswith(f"{name}.")), name)
        for one in (full, name):
            if said := former.now_called(one) or former.INSTEAD.get((verb, one)):
                return said
        known = [key.name for key in keys_in(settings_of(verb))]
        by_last = {key.rpartition(".")[2]: key for key in known}
        close = difflib.get_close_matches(full, known, n=1, cutoff=0.6)
        close = close or [by_last[last] for last in difflib.get_close_matches(name, by_last, n=1, cutoff=0.75)]
        hint = f" (did you mean '{close[0]}'?)" if close else ""
        return f"unknown key '{full}'{hint or _of_others(full)}; 'powerbert {verb} --help all' lists the keys"
    unread = getattr(error, "override", None)  # of Hydra's OverrideParseException
    if isinstance(unread, str):
        return (
            f"{unread} cannot be read as KEY=VALUE; a value with brackets, braces, quotes or the like goes into quotes "
            """of its own: KEY='"VALUE"'"""
        )
    swept = re.search(r"Ambiguous value for argument '([^'=]+)=([^',]+)", text)
    if swept:
        return (
            f"{swept.group(1)} has several values: with -m, or in a sweep, each is a job of its own, while this shows "
            f"or runs one job; give one, for example {swept.group(1)}={swept.group(2)}"
        )
    missing_option = re.search(r"Could not find '([^']+)'", text)
    if missing_option:
        listed = re.search(r"Available options in '([^']+)':((?:\n\t\S+)*)", text)
        group = listed.group(1) if listed else missing_option.group(1).partition("/")[0]
        option = missing_option.group(1).removeprefix(f"{group}/")
        options = groups(verb, conf).get(group) or (listed.group(2).split() if listed else [])
        return f"unknown {group} '{option}'{nearest(option, options)}; there are: {', '.join(options)}"
    return " ".join(text.split("\n")[0].split())


def _of_others(name: str) -> str:
    """That other verbs have a key."""
    having = [verb for verb in VERBS if name in {key.name for key in keys_in(settings_of(verb))}]
    return f", which {', '.join(having)} have" if having else ""


def missing_plugin(error: Exception) -> str | None:
    """What to install where a launcher or sweeper is asked for whose plugin is not there; None for other errors."""
    plugin = re.search(r"Unknown plugin class : 'hydra_plugins\.hydra_([a-z]+)_(launcher|sweeper)", str(error))
    if not plugin:
        return None
    name, kind = plugin.groups()
    return f"hydra/{kind}: the plugin hydra-{name}-{kind} is not installed: {brings(name)}"
