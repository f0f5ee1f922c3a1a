"""Help texts: made from the typed settings and the shipped configs, without Hydra or torch."""

import difflib
import re
import textwrap
from collections.abc import Iterator
from importlib.metadata import PackageNotFoundError
from importlib.metadata import version as installed_version
from pathlib import Path
from typing import Any

from .errors import nearest
from .settings import VERBS, former
from .settings.keys import Key, keys_in

WIDTH = 120
GROUPS = ("task", "model", "variant", "retention", "method", "grid")
FIRST = ("model_dir", "task", "model")  # in the short help
SCOPES = {"all": "every key but those of research", "research": "what only serves to check papers"}

SUMMARY = {
    "check": "look at a task's rows before hours are spent: labels, lengths, duplicates, time on this machine",
    "finetune": "fine-tune a classifier and measure it on dev",
    "compress": "remove layers, heads and feed-forward neurons of the fine-tuned model, without training",
    "search": "learn with soft-extract layers how many word-vectors each layer must keep",
    "retrain": "re-train with extract layers that really drop the rest; write a model directory",
    "bench": "time the shortened model against the plain one, alternating in one process",
    "sweep": "search, re-train and bench for several λ; end with one table and one picture",
    "export": "write the shortened model as ONNX Runtime or OpenVINO loads it, for inputs of any size",
    "predict": "answer rows of a file or of standard input with a finished model directory",
    "study": "the paper's Figure 2, Figure 3b and Table 3 for a task and a model, as table and picture",
}
PLAIN = {
    "report": "one page to look at, of one run, of a sweep, or of several runs: report RUN …",
    "push": "a finished model directory to the hub, with its card: push RUN/model OWNER/NAME",
}
EXAMPLES = {
    "check": ["powerbert check task=custom task.data_dir=FOLDER model.name_or_path=MODEL seq_len=auto"],
    "finetune": ["powerbert finetune", "powerbert finetune task=rte task.data_dir=FOLDER model.name_or_path=FOLDER"],
    "compress": [
        "powerbert compress target.flops=0.6",
        "powerbert compress method=kcm target.flops=0.7",
        "powerbert compress compress.ffn=0.4 model_dir=RUN/model",
        "powerbert compress compress.heads=0.5 compress.widths=layer compress.ffn=0.5",
    ],
    "search": [
        "powerbert search lambda=3e-3",
        "powerbert search task=rte lambda=3e-4 model_dir=RUN/model",
        "powerbert search -m lambda=1e-4,3e-4",
        "powerbert search searcher=calibrate retention.kind=relative target.flops=0.5",
    ],
    "retrain": [
        "powerbert retrain",
        "powerbert retrain retention.path=RUN/retention.json",
        "powerbert retrain retention.lengths=[20,12,6,2]",
        "powerbert retrain method=kcm target.flops=0.7",
    ],
    "bench": [
        "powerbert bench",
        "powerbert bench model=bert-base-random retention=paper/cola batch_size=32 precision=bf16",
        "powerbert bench model_dir=RUN/model bench.engines=[eager,compile,onnx,openvino]",
        "powerbert bench model_dir=RUN/model bench.batch_sizes=[1,32] bench.threads=[1,2] bench.profile=true",
    ],
    "sweep": [
        "powerbert sweep",
        "powerbert sweep task=rte lambda=1e-4,3e-4,1e-3",
        "powerbert sweep lambda=1e-3 seed=0,1,2",
        "powerbert sweep experiment=paper/figure6 task=cola model=bert-base",
    ],
    "export": [
        "powerbert export model_dir=RUN/model",
        "powerbert export model_dir=RUN/model engine=openvino precision=int8",
    ],
    "predict": [
        "powerbert predict model_dir=RUN/model input=texts.csv output=answers.csv",
        "zcat texts.jsonl.gz | powerbert predict model_dir=RUN/model predict.input_format=jsonl | head",
        "powerbert predict model_dir=RUN/model input=texts.parquet output=answers.parquet engine=onnx precision=int8",
    ],
    "study": [
        "powerbert study name=similarity model_dir=RUN/model",
        "powerbert study name=information",
        "powerbert study name=selection retention.lengths=[20,12,6,2]",
    ],
}
DETAILS = {
    "check": "Reads the rows as the other verbs do, and trains for a few steps to time them. Nothing is kept of that.",
    "compress": "Later verbs take compress.* too: what it names is removed first, then word-vectors are eliminated.",
    "search": "Without model_dir= the finished fine-tune of the same settings is used, or made.",
    "retrain": "Without a retention configuration that of the finished search of the same settings is used, or made.",
    "bench": "With given lengths or fractions nothing is trained: speed does not depend on the weights; thresholds\n"
    "need trained ones. Speed-ups are against transformers' model, and of elimination alone.\n"
    "Here precision is that of timing; models are trained in training.precision.",
    "export": "engine=onnx needs pip install 'powerbert[onnx]', engine=openvino pip install 'powerbert[openvino]'.\n"
    "The file's answers on dev are compared with PyTorch's.",
    "predict": "On standard output a line has the label and the probability of each class.\n"
    "Messages go to standard error. A run that was stopped begins anew.",
    "study": "similarity and information look at the fine-tuned model; selection re-trains one model a strategy.",
    "sweep": "Fine-tunes once, and trains the plain model as long as a shortened one for the baseline. Needs no -m.",
}


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
    lines += [f"  {verb:<{width}}  {SUMMARY[verb]}" for verb in VERBS]
    lines += [f"  {name:<{width}}  {what}" for name, what in PLAIN.items()]
    lines += [
        "",
        "powerbert VERB --help     keys with meaning and default, examples",
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
    keys = [key for key in keys_in(VERBS[verb]) if _shown(key, scope)]
    if not scope:
        keys.sort(key=lambda key: FIRST.index(key.path[0]) if key.path[0] in FIRST else len(FIRST))
    lines = [f"powerbert {verb}: {SUMMARY[verb]}", ""]
    if verb in DETAILS and not scope:
        lines += [DETAILS[verb], ""]
    lines += ["keys (KEY=VALUE; ${…} means: the value of that key):"]
    lines += list(_table(keys, shipped_defaults(verb, conf), scope)) or ["  none"]
    found = {
        name: options for name, options in groups(verb, conf).items() if (name == "variant") == (scope == "research")
    }
    lines += ["", "groups:"] if found else []
    for name, options in found.items():
        lines += _wrapped(f"  {name}=  ", ", ".join(options))
    if not scope:
        lines += ["", "examples:", *(f"  {example}" for example in EXAMPLES[verb])]
    lines += ["", *(f"powerbert {verb} --help {other:<9} {what}" for other, what in SCOPES.items() if other != scope)]
    return "\n".join([*lines, f"powerbert {verb} --hydra-help    Hydra's own flags"])


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
    for key in keys_in(VERBS[verb]):
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
        name = missing_key.group(1)
        full = next((arg.split("=")[0] for arg in args if arg.split("=")[0].lstrip("+~").split(".")[-1] == name), name)
        for one in (full, str(getattr(error, "full_key", None)), name):
            if said := former.now_called(one.lstrip("+~")) or former.INSTEAD.get((verb, one.lstrip("+~"))):
                return said
        known = [key.name for key in keys_in(VERBS[verb])]
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
    having = [verb for verb, cls in VERBS.items() if name in {key.name for key in keys_in(cls)}]
    return f", which {', '.join(having)} have" if having else ""


def missing_plugin(error: Exception) -> str | None:
    """What to install where a launcher or sweeper is asked for whose plugin is not there; None for other errors."""
    plugin = re.search(r"Unknown plugin class : 'hydra_plugins\.hydra_([a-z]+)_(launcher|sweeper)", str(error))
    if not plugin:
        return None
    name, kind = plugin.groups()
    return f"hydra/{kind}: the plugin hydra-{name}-{kind} is not installed; pip install 'powerbert[{name}]' brings it"
