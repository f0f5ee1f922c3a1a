"""What a timing shows while it runs."""

import io

import pytest
from rich.console import Console

from powerbert_cli.report import progress
from powerbert_cli.report.progress import TimingProgress


@pytest.fixture
def lines(monkeypatch):
    said = []
    monkeypatch.setattr(progress.log, "info", lambda text, *values: said.append(text % values))
    return said


def test_plain_lines_where_the_output_is_no_terminal(lines, monkeypatch):
    now = [0.0]
    monkeypatch.setattr(progress.time, "monotonic", lambda: now[0])
    with TimingProgress(10) as told:
        for second in range(25):
            now[0] = second
            told("rounds", second / 10, 5)
    assert lines == ["bench: rounds, 1 of 5", "bench: rounds, 2 of 5"]


def test_a_bar_on_a_terminal_that_is_gone_afterwards(lines, monkeypatch):
    screen = io.StringIO()
    monkeypatch.setattr(progress, "console", Console(file=screen, force_terminal=True, width=80))
    with pytest.raises(KeyboardInterrupt), TimingProgress(0) as told:
        told("warm-up", 1, 3)
        raise KeyboardInterrupt
    assert "bench: warm-up" in screen.getvalue() and "1 of 3" in screen.getvalue() and not lines
    assert told.bar is None
