"""task.json of a model directory: what the model was trained to answer; task.local.json: where its rows are.

The second names folders of this machine: `push` leaves it out. Neither decides an output. Reads and writes JSON alone,
so that a command line can be completed before anything heavy is imported.
"""

import json
import os
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from ..errors import PowerbertError
from .home import with_home, without_home

NAME, LOCAL = "task.json", "task.local.json"
SCHEMA = "powerbert/task"
_OF_THIS_MACHINE = ("data_dir",)


class TaskFileError(PowerbertError):
    """A task.json that cannot be used."""


@dataclass(frozen=True)
class TaskFile:
    """
    Attributes:
        task: the settings of the task, as `settings.TaskSettings` names them.
        seq_len: ℓ.
    """

    task: dict[str, Any]
    seq_len: int

    @property
    def text_columns(self) -> list[str]:
        return list(self.task["text_columns"])

    @property
    def data_dir(self) -> str | None:
        """Where its rows were; None if that is not known here."""
        found = self.task.get("data_dir")
        return found if isinstance(found, str) else None

    def write(self, folder: Path) -> None:
        """Writes both files into a model directory."""
        shipped = {name: value for name, value in self.task.items() if name not in _OF_THIS_MACHINE}
        _write(folder / NAME, {"schema": SCHEMA, "seq_len": self.seq_len, "task": shipped})
        local = {name: self.task[name] for name in _OF_THIS_MACHINE if self.task.get(name)}
        if local:
            _write(folder / LOCAL, {"task": {name: without_home(os.path.abspath(v)) for name, v in local.items()}})


def of_settings(task: Any, seq_len: int) -> TaskFile:
    """
    Args:
        task: a `TaskSettings`.
    """
    return TaskFile(asdict(task), seq_len)


def read_task(folder: str | Path) -> TaskFile | None:
    """The task of a model directory; None if the directory says nothing of it.

    Raises:
        TaskFileError: the file is damaged.
    """
    path = Path(folder) / NAME
    if not path.is_file():
        return None
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        task, seq_len, columns = dict(content["task"]), content["seq_len"], content["task"]["text_columns"]
        texts = isinstance(columns, list) and len(columns) in (1, 2) and all(isinstance(one, str) for one in columns)
        if not texts or type(seq_len) is not int or seq_len < 1:
            raise ValueError("text_columns must be one or two names, seq_len a whole number from 1")
    except (OSError, ValueError, KeyError, TypeError, RecursionError) as error:
        raise TaskFileError(
            f"{path}: is not as powerbert writes it ({error}); take the model from its run again"
        ) from error
    local = Path(folder) / LOCAL
    if local.is_file():
        try:
            own = json.loads(local.read_text(encoding="utf-8"))["task"]
            task |= {
                name: with_home(f"={own[name]}")[1:] for name in _OF_THIS_MACHINE if isinstance(own.get(name), str)
            }
        except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
            raise TaskFileError(f"{local}: is not as powerbert writes it ({error}); remove it") from error
    return TaskFile(task, seq_len)


def _write(path: Path, content: dict[str, Any]) -> None:
    from .artifacts import write_json

    write_json(path, content)
