"""The errors that a user can cause and mend; `cli` prints them as one line and leaves with 2."""

import difflib
from collections.abc import Iterable


class PowerbertError(Exception):
    """Something the user can mend: the message names the key, the value, the rule, the way out.

    Attributes:
        exit_code: 2 is a mistake in what was given; 1 is work that failed.
    """

    exit_code = 2


class Interrupted(KeyboardInterrupt):
    """Ctrl-C came while something was under way that could be saved; says what was."""


class Terminated(BaseException):
    """SIGTERM came; not an Exception, so that it ends all jobs of a sweep and not one."""


def brings(extra: str) -> str:
    """The command that installs one of the package's extras; powerbert is installed from its sources."""
    return f"pip install '.[{extra}]' in powerbert's source folder"


def alike(word: str, known: Iterable[str]) -> list[str]:
    """The known word most like this one, or none."""
    return difflib.get_close_matches(word, list(known), n=1, cutoff=0.6)


def nearest(word: str, known: Iterable[str]) -> str:
    """` (did you mean 'x'?)` for the known word most like this one, or that begins much like it, or nothing."""
    names = list(known)
    beginnings = {name.split("_")[0]: name for name in reversed(names)}
    close = alike(word, names) or [beginnings[one] for one in alike(word, beginnings)]
    return f" (did you mean '{close[0]}'?)" if close else ""
