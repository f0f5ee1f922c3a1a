"""Measured speed-ups beside published ones."""

import pandas as pd
from report_runs import timing

from powerbert_cli.report.published import write_and_say


def test_a_padding_that_there_was_no_time_for_is_not_timed(tmp_path, capfd):
    more = {"flops_ratio": 2.5, "efficiency": 0.8, "elimination": None}
    for name, padding in (("there", "max"), ("lacks", "sorted")):
        timing(0.1, **more).assign(padding=padding).to_csv(tmp_path / f"{name}.csv", index=False)
    rows = [{"task": name, "speedup": 4.5, "retention": name} for name in ("there", "lacks")]
    write_and_say(tmp_path, rows, {name: tmp_path / f"{name}.csv" for name in ("there", "lacks")}, borrowed=False)
    measured = pd.read_csv(tmp_path / "published.csv")["measured"]
    assert measured[0] == 2.0 and pd.isna(measured[1])
    assert "not timed" in capfd.readouterr().out
