"""report.html: one self-contained page of a run, or of several side by side. It reads run directories alone."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from ..store.artifacts import write_text
from .compared import compared, differences, front_of
from .facts import facts, jobs_of, json_of, pictures_of
from .words import BASELINE

NAME = "report.html"


def write_page(runs: Sequence[Path], path: Path) -> None:
    """Writes the page of one run directory, of a sweep's, or of several.

    Raises:
        PowerbertError: a folder is no run directory, or a file there is damaged; names it.
    """
    folders = [folder for run in runs for folder in jobs_of(run)]
    found = [facts(folder, path.parent) for folder in folders]
    pictures = [picture for run in runs if (run / "sweep.json").is_file() for picture in pictures_of(run)]
    # also a sweep of one job, whose page says what the sweep found
    several = len(found) > 1 or len(runs) > 1 or (runs[0] / "sweep.json").is_file()
    content: dict[str, Any] = {"runs": found, "several": several, "sweep_pictures": pictures, "baseline": BASELINE}
    if several:
        sweep = json_of(runs[0] / "sweep.json") if len(runs) == 1 else {}
        content |= _side_by_side(found, folders, sweep)
    write_text(path, _template().render(**content))


def _side_by_side(runs: list[dict[str, Any]], folders: Sequence[Path], sweep: dict[str, Any]) -> dict[str, Any]:
    beside = compared(runs, folders, sweep)
    columns = {"called": "names", "setting": "settings", "group": "groups", "best": "best"}
    rows = [{**_row(run), **{one: beside[of][i] for one, of in columns.items()}} for i, run in enumerate(runs)]
    same = [name for name in ("verb", "task", "metric") if len({row[name] for row in rows}) == 1]
    return {
        "differ": differences(runs),
        "front": front_of(rows),
        "rows": rows,
        "said": beside["said"],
        "same": {name: rows[0][name] for name in same if rows and rows[0][name]},
    }


def _template() -> Any:
    from jinja2 import Environment, FileSystemLoader, StrictUndefined

    loader = FileSystemLoader(Path(__file__).parent)
    made = Environment(loader=loader, autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True)
    return made.get_template("page.html.j2")


def _row(run: dict[str, Any]) -> dict[str, Any]:
    """What a table of several runs says of one."""
    metrics, fastest = run["metrics"], run["fastest"]
    return {
        "name": run["name"],
        "verb": run["verb"],
        "task": metrics.get("task") or run["settings"].get("task.name", ""),
        "metric": metrics.get("metric"),
        "value": metrics.get("value"),
        "interval": metrics.get("interval"),
        "drop": run["result"].get("drop"),
        "kept": run["kept"],
        "ms": fastest and fastest["ms"],
        "speedup": fastest and fastest["best"],
        "speedup_interval": fastest and fastest["best_interval"],
        "where": fastest and f"{fastest['where']}, {fastest['padding']}; {fastest['point']}",
        "doubt": run["doubt"],
    }
