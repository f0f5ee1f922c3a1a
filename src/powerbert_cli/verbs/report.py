"""powerbert report: one page of one run, of a sweep, or of several runs side by side. Needs no config."""

from collections.abc import Sequence
from pathlib import Path

from ..errors import PowerbertError

SUMMARY = "one page to look at, of one run, of a sweep, or of several runs: report RUN …"
HELP = """powerbert report RUN [RUN …] [output=FILE]

One self-contained HTML page of run directories: what was done and the command for it, metrics with their
intervals, retention by layer, times, environment, files. Of several runs, or of the jobs of a sweep, also a
table that can be sorted, metric against speed-up, and the settings that differ.

  output=FILE   where the page goes; without it RUN/report.html of one run, and ./report.html of several

examples:
  powerbert report outputs/retrain/DAY/TIME
  powerbert report outputs/sweep/DAY/TIME output=front.html
  powerbert report outputs/retrain/DAY/* output=runs.html
"""


def run(args: Sequence[str]) -> Path:
    """Writes the page; returns its path.

    Raises:
        PowerbertError: a folder is missing or is no run directory, or a file there is damaged.
    """
    from jinja2 import UndefinedError

    from ..report.page import NAME, write_page

    outputs = [arg.partition("=")[2] for arg in args if arg.startswith("output=")]
    runs = [Path(arg) for arg in args if not arg.startswith("output=")]
    if not runs:
        raise PowerbertError("report needs one run directory or more: powerbert report RUN …")
    for folder in runs:
        if not folder.is_dir():
            raise PowerbertError(f"{folder}: is no folder; give the run directory that a verb named at its end")
    default = runs[0] / NAME if len(runs) == 1 else Path(NAME)
    path = Path(outputs[-1]) if outputs and outputs[-1] else default
    try:
        write_page(runs, path)
    except (KeyError, TypeError, ValueError, UndefinedError) as error:  # of a damaged file, or of another version's
        named = ", ".join(map(str, runs))
        raise PowerbertError(
            f"{named}: a file there is not as this version writes it ({type(error).__name__}: {error}); run the verb "
            "again, or leave that run out"
        ) from error
    return path
