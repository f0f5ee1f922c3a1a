"""Terminals, homes and jobs that are not as usual, and mistakes that are found before hours are spent."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
from small import SMALL

from powerbert_cli.cli import dispatch


def test_all_failed_jobs_of_a_multirun_are_named(folder, capfd):
    assert dispatch(["finetune", "-m", "seed=-1,0,-2", *SMALL]) == 1
    out, err = capfd.readouterr()
    assert "fine-tuned: synthetic dev accuracy" in out
    assert err.splitlines()[0] == "powerbert: 2 of 3 jobs failed:" and "Traceback" not in err
    assert [line.split()[0] for line in err.splitlines()[1:]] == ["0", "2"]
    assert all(f"seed=-{n}" in line for n, line in zip((1, 2), err.splitlines()[1:], strict=True))


def test_a_test_file_that_is_missing_or_wrong_is_found_first(folder, capfd):
    own = ["finetune", "task=custom", "task.data_dir=data", "task.text_columns=[sentence]", "predict_test=true"]
    assert dispatch(own) == 2
    assert "predict_test=true needs a test.* file in task.data_dir=data" in capfd.readouterr().err
    (folder / "data" / "test.tsv").write_text("sentense\na\n")
    assert dispatch(own) == 2
    assert "data/test.tsv has no column 'sentence' (did you mean 'sentense'?)" in capfd.readouterr().err
    assert not (folder / "outputs" / "stages").exists()
    assert dispatch([*own, "task.max_test=1"]) == 2  # answers have the rows' own numbers
    assert "predict_test=true answers every test row" in capfd.readouterr().err


@pytest.mark.parametrize("encoding", ["ascii", "cp1252"])
def test_terminals_that_do_not_show_every_letter(folder, encoding):
    env = {**os.environ, "PYTHONIOENCODING": encoding, "PYTHONUTF8": "0", "LC_ALL": "C"}
    done = subprocess.run([sys.executable, "-m", "powerbert_cli", "search", "--help"], env=env, capture_output=True)
    assert done.returncode == 0 and b"Traceback" not in done.stderr, done.stderr
    assert "?" in done.stdout.decode(encoding)  # in place of λ


def test_a_user_without_a_home(folder, monkeypatch):
    def none():
        raise RuntimeError("Could not determine home directory.")

    monkeypatch.setattr(Path, "home", none)
    assert dispatch(["finetune", *SMALL]) == 0
