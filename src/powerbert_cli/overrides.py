"""The overrides of a command line as they are meant: names stay as they are written, and a model brings its task."""

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any, get_args

from . import foreign
from .errors import PowerbertError, nearest
from .settings.keys import keys_in
from .store.task_file import read_task
from .verbs import VERBS, settings_of

_NUMBER_LIKE = re.compile(r"[+-]?[\d.][\w.+-]*|[+-]?(inf|nan)", re.IGNORECASE)
_PLAIN = re.compile(r"[^,\[\](){}'\"\\$=]+")
# of a list: in quotes of either kind, or up to the next comma
_ENTRY = re.compile(r"""\s*"(?:\\.|[^"\\])*"\s*|\s*'(?:\\.|[^'\\])*'\s*|[^,'"]+""")


def meant(verb: str, args: list[str], conf: Path, folders: list[str]) -> list[str]:
    """The overrides of a command line as they are meant.

    Args:
        conf: folder of the shipped configs. folders: of configs that the command line names.

    Raises:
        PowerbertError
    """
    return with_task(verb, with_method(verb, as_written(verb, args), conf), conf, folders)


def quoted(text: str) -> str:
    """A text as Hydra's grammar reads it back, whatever it holds."""
    text = re.sub(r'(\\*)"', lambda found: found.group(1) * 2 + '\\"', text)
    text = re.sub(r"(\\+)\Z", lambda found: found.group(1) * 2, text)
    text = re.sub(r"(\\*)\$\{", lambda found: found.group(1) * 2 + "\\${", text)
    return f'"{text}"'


def as_written(verb: str, args: list[str]) -> list[str]:
    """The same overrides, with names that look like numbers in quotes: Hydra would read 2E11 as 200000000000.0."""
    names = set(_text_keys(settings_of(verb)))
    return [_as_written(arg, names) for arg in args]


def _as_written(arg: str, names: set[str]) -> str:
    key, given, value = arg.partition("=")
    if not given or key.lstrip("+") not in names:
        return arg
    inner = value[1:-1] if value.startswith("[") and value.endswith("]") else value
    entries = _ENTRY.findall(inner)
    if ",".join(entries) != inner or not any(map(_needs_quotes, entries)):
        return arg
    kept = ",".join(quoted(entry.strip()) if _needs_quotes(entry) else entry for entry in entries)
    return f"{key}={kept if inner is value else f'[{kept}]'}"


def _needs_quotes(entry: str) -> bool:
    """Whether Hydra's grammar would make a number of it, or has no such characters."""
    plain = _PLAIN.fullmatch(entry) is not None
    return plain and (bool(_NUMBER_LIKE.fullmatch(entry.strip())) or not entry.isascii())


def _text_keys(cls: type) -> Iterator[str]:
    """Keys whose values are texts or lists of texts."""
    for key in keys_in(cls):
        if {str, list[str]} & {key.kind, *get_args(key.kind)}:
            yield key.name


def check_names(folders: list[str], verb: str) -> None:
    """Names in YAML files that are not what they look like: 10:30 would be 630.

    Args:
        folders: of configs that the command line names.

    Raises:
        PowerbertError: names the file, the key and the quotes that keep it.
    """
    last = {key.rpartition(".")[2] for key in _text_keys(settings_of(verb))}
    for path, key, node in foreign.entries(folders):
        # of scalars those without quotes have no style
        if key in last and isinstance(node.value, str) and node.style is None and _is_other(node.value):
            raise PowerbertError(
                f"{path}: {key}: YAML reads {node.value} as a number, {_as_yaml(node.value)}; put it into quotes: "
                f"'{node.value}'"
            )


def _as_yaml(text: str) -> Any:
    from omegaconf import OmegaConf

    return OmegaConf.create(f"x: {text}").x


def _is_other(text: str) -> bool:
    """Whether YAML makes a number of it that is written otherwise."""
    if not _NUMBER_LIKE.fullmatch(text.replace(":", ".").replace("_", ".")):
        return False
    value = _as_yaml(text)
    return isinstance(value, int | float) and str(value) != text


def with_method(verb: str, args: list[str], conf: Path) -> list[str]:
    """The overrides of compress, with what its method removes, and how far, in place of the method's name.

    For the verbs that train, conf/method also says what is kept of word-vectors and how it is trained.

    Raises:
        PowerbertError: there is no such method.
    """
    import yaml

    names = [arg.partition("=")[2] for arg in args if arg.partition("=")[0].lstrip("+") == "method"]
    if verb != "compress" or not names:
        return args
    path = conf / "method" / f"{Path(names[-1]).name}.yaml"
    if not path.is_file():
        known = sorted(one.stem for one in path.parent.glob("*.yaml"))
        raise PowerbertError(f"method={names[-1]} is none of {', '.join(known)}{nearest(names[-1], known)}")
    content = yaml.safe_load(path.read_text(encoding="utf-8"))
    removed = [
        f"{node}.{key}={_as_value(value)}"
        for node in ("compress", "target")
        for key, value in (content.get(node) or {}).items()
    ]
    others = [arg for arg in args if arg.partition("=")[0].lstrip("+") != "method"]
    return [*removed, *others]


def with_task(verb: str, args: list[str], conf: Path, folders: list[str]) -> list[str]:
    """The overrides, and before them those of the task of the model or the folder that they name, where they name none.

    Args:
        conf: folder of the shipped configs. folders: of configs that the command line names.

    Raises:
        PowerbertError: a model is named whose task is not known.
    """
    if verb not in VERBS or verb == "predict":
        return args
    given = {key.lstrip("+"): value for key, found, value in (arg.partition("=") for arg in args) if found}
    chooses, own = _of_experiment(given.get("experiment", ""), [conf, *map(Path, folders)])
    if "task" in given or chooses:
        return args
    takes_model = "model_dir" in {key.name for key in keys_in(settings_of(verb))}
    named = given.get("model_dir", "null").strip("'\"") if takes_model else "null"
    named = "" if named == "null" else named
    implied: list[str] = []
    if named:
        each = [_of_model(one, given, conf) for one in named.split(",")]  # several are jobs of a sweep
        if any(one != each[0] for one in each):
            raise PowerbertError(f"model_dir={named}: these models have different tasks; set task=NAME, or give one")
        implied = each[0]
    if not named and given.get("task.data_dir") not in (None, "null", ""):
        implied = [f"task={_own_task(given.get('task.kind'))}"]
    elif not named and given.get("model.name_or_path") not in (None, "null", ""):
        raise PowerbertError(
            f"model.name_or_path={given['model.name_or_path']}: no task is given; set task=NAME, or "
            "task.data_dir=FOLDER with your train.* and dev.* files"
        )
    # what an experiment says of the task goes before what the model says
    implied = [one for one in implied if one.partition("=")[0].removeprefix("task.").partition(".")[0] not in own]
    return [*implied, *args]


def _of_experiment(names: str, folders: list[Path], depth: int = 0) -> tuple[bool, set[str]]:
    """Whether an experiment, or one that it builds on, chooses the task; and which keys of the task it sets itself."""
    import yaml

    chooses, keys = False, set[str]()
    for name in names.strip("[]").split(","):
        for folder in folders:
            path = folder / "experiment" / f"{name.strip(chr(34) + chr(39) + ' ').removesuffix('.yaml')}.yaml"
            if not name.strip() or not path.is_file() or depth > 9:
                continue
            try:
                content = yaml.safe_load(path.read_text(encoding="utf-8"))
            except (yaml.YAMLError, UnicodeDecodeError):
                continue  # is named elsewhere
            content = content if isinstance(content, dict) else {}
            keys |= set(content["task"]) if isinstance(content.get("task"), dict) else set()
            for entry in content.get("defaults") or ():
                if isinstance(entry, str):
                    below = _of_experiment(entry.rpartition("/")[2], folders, depth + 1)
                    chooses, keys = chooses or below[0], keys | below[1]
                elif isinstance(entry, dict):
                    chooses = chooses or any(str(one).split()[-1].strip("/") == "task" for one in entry)
    return chooses, keys


def _of_model(value: str, given: dict[str, str], conf: Path) -> list[str]:
    """Overrides with which a verb has the task of a finished model."""
    from .settings.folders import folder_of

    folder = folder_of(value)
    if folder is None or not (folder / "config.json").is_file():
        return []  # is refused with the other settings
    found = read_task(folder)
    if found is None:
        if given.get("task.data_dir") in (None, "null", ""):
            raise PowerbertError(
                f"model_dir={value}: says nothing of its task; give the folder with your train.* and dev.* files, "
                "task.data_dir=FOLDER, or set task=NAME"
            )
        implied, kind = _kind_of(folder), given.get("task.kind")
        if kind is not None and f"task.kind={kind}" not in implied:
            implied = []  # it is told apart
        named = kind or next((one.partition("=")[2] for one in implied if one.startswith("task.kind=")), None)
        implied = [f"task={_own_task(named)}", *implied, "seq_len=auto"]
    else:
        _check_kind(value, str(found.task.get("kind")), given.get("task.kind"))
        implied = [*_as_overrides(found.task, conf), f"seq_len={found.seq_len}"]
    return implied[:-1] if {"seq_len", "experiment"} & set(given) else implied


def _own_task(kind: str | None) -> str:
    """The config of a task of one's own of this kind."""
    from .kinds import KINDS

    return KINDS[kind].TASK if kind in KINDS else "custom"


def _check_kind(model: str, own: str, wanted: str | None) -> None:
    """
    Raises:
        PowerbertError: a model is asked for a kind of task that its head does not answer.
    """
    from .kinds import KINDS

    heads = [KINDS[kind].HEAD for kind in (own, wanted) if kind in KINDS]
    if len(set(heads)) > 1:
        raise PowerbertError(
            f"model_dir={model}: is for task.kind={own}, not task.kind={wanted}; give a model of that kind, or leave "
            "task.kind out"
        )


def _kind_of(folder: Path) -> list[str]:
    """What the config of a classifier of others says of its task."""
    try:
        config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return []
    if not isinstance(config, dict):
        return []  # is refused where the model is loaded
    if any(str(name).endswith("ForQuestionAnswering") for name in config.get("architectures") or ()):
        return ["task.kind=question_answering", "task.label_names=null", "task.label_column=answers"]
    if any(str(name).endswith("ForImageClassification") for name in config.get("architectures") or ()):
        return ["task.kind=image_classification"]
    if any(str(name).endswith("ForCTC") for name in config.get("architectures") or ()):
        return ["task.kind=speech_recognition"]
    if "conv_kernel" in config:
        return ["task.kind=audio_classification"]
    problem, names = config.get("problem_type"), config.get("id2label")
    names = names if isinstance(names, dict) else {}
    if problem == "regression" or (problem is None and len(names) == 1):
        return ["task.kind=regression", "task.label_names=null", "task.metric=spearman"]
    return ["task.kind=multi_label"] if problem == "multi_label_classification" else []


def _as_overrides(task: dict[str, Any], conf: Path) -> list[str]:
    """A task as the shipped one of its name, or custom, with all that differs from that."""
    import yaml

    name = task.get("name")
    known_name = isinstance(name, str) and name.isprintable() and Path(name).name == name
    shipped = str(name) if known_name and (conf / "task" / f"{name}.yaml").is_file() else "custom"
    known = yaml.safe_load((conf / "task" / f"{shipped}.yaml").read_text(encoding="utf-8"))
    return [f"task={shipped}", *_differences(task, known, "task.")]


def _differences(values: dict[str, Any], known: dict[str, Any], within: str) -> Iterator[str]:
    for key, value in values.items():
        if key not in known:
            continue  # of another version
        if isinstance(value, dict) and isinstance(known[key], dict):
            yield from _differences(value, known[key], f"{within}{key}.")
        elif value != known[key]:
            yield f"{within}{key}={_as_value(value)}"


def _as_value(value: Any) -> str:
    if isinstance(value, str):
        return quoted(value)
    if isinstance(value, list):
        return f"[{','.join(map(_as_value, value))}]"
    if isinstance(value, dict):
        return f"{{{','.join(f'{key}:{_as_value(one)}' for key, one in value.items())}}}"
    return (
        {None: "null", True: "true", False: "false"}[value]
        if value is None or value is True or value is False
        else repr(value)
    )
