"""The user's home folder does not stand in artifacts: whose machine it was is nobody's business."""

import logging
import re
from pathlib import Path

IN_CONFIG = "${oc.env:HOME}"  # what a config says in its place, so that it still composes


def without_home(text: str, instead: str = "~") -> str:
    """The text with something else for the home folder wherever a path begins with it."""
    home = _home()
    if home is None or len(home.parts) < 2:  # that of some services is the root of all paths
        return text
    return re.sub(rf"(?<![\w./~-]){re.escape(str(home))}(?![\w.-])", lambda _: instead, text)


def with_home(override: str) -> str:
    """KEY=~/folder as it is meant: shells leave it alone in an argument, and Hydra's grammar has no ~ there."""
    home = _home()
    return override if home is None else re.sub(r"(?<=[=,\[])~(?=/|$)", lambda _: str(home), override)


def _home() -> Path | None:
    """None for a user without one, as containers start programs."""
    try:
        return Path.home()
    except RuntimeError:
        return None


class LogFormatter(logging.Formatter):
    """Of a run's log."""

    def format(self, record: logging.LogRecord) -> str:
        return without_home(super().format(record))
