"""Gathers a sweep's own jobs into one table and one picture, when Hydra has run them all."""

import json
import sys
import uuid
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from hydra.experimental.callback import Callback

TOKEN, RESULT = "sweep.json", "result.json"


def sweep_token(folder: Path) -> str:
    """The token of the sweep that writes into this folder now."""
    return str(json.loads((folder / TOKEN).read_text(encoding="utf-8"))["token"])


class SweepReport(Callback):
    """Hydra callback of the verb `sweep`.

    The token written at the start is repeated in each job's result, so that results of an
    earlier sweep in the same folder are never taken for this one's. A study in persistent storage
    keeps its token: what earlier calls found is gathered too.
    """

    def on_multirun_start(self, config: Any, **kwargs: Any) -> None:
        from ..errors import PowerbertError
        from ..store.artifacts import write_json
        from .optuna_study import go_on

        self.folder = Path(config.hydra.sweep.dir)
        try:
            token, earlier = go_on(config) or (uuid.uuid4().hex, [])
            self.earlier = [Path(folder) for folder in earlier]
            write_json(self.folder / TOKEN, {"token": token})
        except PowerbertError as error:
            print(f"powerbert: {error}", file=sys.stderr)
            raise SystemExit(2) from error
        except OSError as error:
            print(f"powerbert: {self.folder}: {error.strerror}; set output_dir=FOLDER", file=sys.stderr)
            raise SystemExit(2) from error

    def on_multirun_end(self, config: Any, **kwargs: Any) -> None:
        code = report_sweep(self.folder, self.earlier)
        if (self.folder / "sweep.csv").is_file():
            from ..report.tracking import leave

            leave(config.tracking, self.folder, Path(config.output_dir))
        if code:
            raise SystemExit(code)  # an ordinary exception of a callback is only a warning to Hydra


class PublishedReport(Callback):
    """Hydra callback of `bench experiment=paper/table1` and `table2`: lays what was measured beside what was published.

    Args:
        rows: the published table: task, baseline and shortened metric, speedup, and the option of
            the group `retention` that has its configuration, or null if it is not known.
        borrowed: the configurations are of another model than the table's.
    """

    def __init__(self, rows: list[dict[str, Any]], borrowed: bool) -> None:
        self.rows = rows
        self.borrowed = borrowed

    def on_multirun_end(self, config: Any, **kwargs: Any) -> None:
        from omegaconf import OmegaConf

        from ..report.published import write_and_say

        folder = Path(config.hydra.sweep.dir)
        timings = {}
        for path in folder.glob("*/timing.csv"):
            choices = OmegaConf.load(path.parent / ".hydra" / "hydra.yaml").hydra.runtime.choices
            timings[choices["retention"]] = path
        if not timings:
            return
        write_and_say(folder, [dict(row) for row in self.rows], timings, self.borrowed)


def report_sweep(folder: Path, earlier: Sequence[Path] = ()) -> int:
    """Writes sweep.csv, sweep.json, sweep.png and report.html from the jobs' results, and shows them; last what they
    say, in one sentence.

    Args:
        earlier: folders of earlier calls of the same study.

    Returns:
        0 if all jobs succeeded; 2 if all failed by an error of the user; else 1.
    """
    token = sweep_token(folder)
    paths = (path for one in (*earlier, folder) for path in one.glob(f"*/{RESULT}"))
    found = [json.loads(path.read_text(encoding="utf-8")) for path in paths]
    # Python's sort is stable: the jobs of an earlier call stay before those of this one that have the same number
    results = sorted((result for result in found if result["sweep"] == token), key=lambda result: result["job"])
    failed = [result for result in results if result["status"] != "ok"]
    if len(failed) == len(results):
        reasons = list(dict.fromkeys(result["reason"] for result in failed))
        print(f"powerbert: every job failed: {'; '.join(reasons)}", file=sys.stderr)
        return 2 if failed and all(result["user_error"] for result in failed) else 1
    from ..report.console import console
    from ..report.page import NAME, write_page
    from ..report.sweep_table import write_and_say

    said = write_and_say(folder, results)
    write_page([folder], folder / NAME)
    console.print(f"page: {folder / NAME}")
    console.print(said)
    return 1 if failed else 0
