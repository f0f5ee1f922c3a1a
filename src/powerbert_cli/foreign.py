"""Configs from folders that a user names: they may set keys, not run code.

Hydra instantiates whatever a config calls `_target_`, Python's logging what it calls `class` or `()`, it opens the
files that a config names, and some launchers run its commands; a task file from elsewhere must not come with a program
of its own. What it may name is listed here, name by name.
"""

import re
from collections.abc import Iterator
from itertools import zip_longest
from pathlib import Path
from typing import Any

from .errors import PowerbertError, nearest

_FOLDERS = ("--config-dir", "-cd", "--config-path", "-cp")
_FLAGS = (
    *("--help", "-h", "--hydra-help", "--version", "--cfg", "-c", "--resolve", "--package", "-p", "--run", "-r"),
    *("--multirun", "-m", "--shell-completion", "-sc", "--info", "-i", "--config-name", "-cn", *_FOLDERS),
)
# Values of these keys are called, imported, run by a shell, or files that logging empties.
_RUNS = {
    *("job_logging", "hydra_logging", "handlers", "formatters", "filename"),
    *("_target_", "class", "()", "factory", "custom_search_space", "searchpath", "listener", "queue"),
    *("setup", "python", "srun_args", "additional_parameters", "runtime_env", "env_set"),
}
_INTERPOLATION = re.compile(r"\$\{(?:(?:oc\.env|hydra|now):[^${}]*|[\w.\[\]]+)\}")
# What the shipped configs name, and Hydra's and Optuna's own parts that a sweep of one's own may choose.
_SAMPLERS = ("CmaEsSampler", "GridSampler", "MOTPESampler", "NSGAIISampler", "RandomSampler", "TPESampler")
ALLOWED = {
    *("powerbert_cli.jobs.gather.SweepReport", "powerbert_cli.jobs.gather.PublishedReport"),
    *("powerbert_cli.jobs.failures.FailedJobs", "powerbert_cli.store.home.LogFormatter"),
    *("powerbert_cli.report.console.ConsoleHandler", "powerbert_cli.report.console.ErrorHandler"),
    "hydra._internal.core_plugins.basic_launcher.BasicLauncher",
    "hydra._internal.core_plugins.basic_sweeper.BasicSweeper",
    "hydra_plugins.hydra_joblib_launcher.joblib_launcher.JoblibLauncher",
    "hydra_plugins.hydra_submitit_launcher.submitit_launcher.LocalLauncher",
    "hydra_plugins.hydra_submitit_launcher.submitit_launcher.SlurmLauncher",
    "hydra_plugins.hydra_ray_launcher.ray_launcher.RayLauncher",
    "hydra_plugins.hydra_optuna_sweeper.optuna_sweeper.OptunaSweeper",
    *(f"optuna.samplers.{name}" for name in _SAMPLERS),
}


def check_flags(args: list[str]) -> None:
    """Hydra's flags by their whole names only: an abbreviation would be a flag that is not checked.

    Raises:
        PowerbertError
    """
    for arg in args:
        name = arg.partition("=")[0]
        if arg.startswith("-") and name not in _FLAGS:
            raise PowerbertError(f"unknown flag {name}{nearest(name, _FLAGS)}; flags: {', '.join(_FLAGS)}")


def check_folders(args: list[str]) -> None:
    """
    Raises:
        PowerbertError: a config below a folder that the command line names would run code.
    """
    for folder in named_folders(args):
        for path in sorted(Path(folder).rglob("*.y*ml")):
            for key, value in _entries(_content(path)):
                if not _harmless(key.rpartition(".")[2], value):
                    raise PowerbertError(
                        f"{path}: {key}: {value} names code to run; configs from elsewhere may not; take the line "
                        "out, give it on the command line yourself, or name a folder that holds your configs alone"
                    )


def _harmless(key: str, value: Any) -> bool:
    if key == "trust_remote_code":
        return value is False
    if isinstance(value, str):
        if re.match(r"\s*(ext|cfg)://", value):  # logging imports what these name
            return False
        if "$" in _INTERPOLATION.sub("", value):  # a resolver may make keys out of a text, which are not seen here
            return False
    return key not in _RUNS or value is None or (isinstance(value, str) and value in ALLOWED)


def named_folders(args: list[str]) -> Iterator[str]:
    for flag, following in zip_longest(args, args[1:], fillvalue=""):
        name, given, value = flag.partition("=")
        # An empty name would be the current folder here; Hydra itself says what lacks.
        if name in _FOLDERS and (folder := value if given else following):
            yield folder
        if name.lstrip("+") == "hydra.searchpath":
            yield from re.findall(r"(?:file://)?([^\s,\[\]'\"]+)", value)


def _content(path: Path) -> Any:
    import yaml

    try:
        return yaml.safe_load(path.read_text(encoding="utf-8"))
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise PowerbertError(f"{path}: is no YAML: {' '.join(str(error).split())}") from error


def _entries(content: Any) -> Iterator[tuple[str, Any]]:
    """Every key with its value, however deep; entries of a list have the key of the list."""
    if isinstance(content, dict):
        for key, value in content.items():
            yield str(key), value
            yield from _entries(value)
            if isinstance(value, list):
                yield from ((str(key), entry) for entry in value if isinstance(entry, str))
    elif isinstance(content, list):
        for value in content:
            yield from _entries(value)
