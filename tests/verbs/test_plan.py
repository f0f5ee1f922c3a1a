"""powerbert VERB --plan: what would run, and nothing runs."""

import os
import re
from pathlib import Path

import pytest
from small import SMALL

from powerbert_cli.cli import dispatch


def said(capfd, *args, code=0):
    assert dispatch([*args, "--plan"]) == code
    out, err = capfd.readouterr()
    return re.findall(r"(\w+)-[0-9a-f]{16}\s+(finished|to be made)", out) if code == 0 else err


def test_the_stages_in_order_and_nothing_else(here, capfd):
    before = sorted(path for path in Path().rglob("*") if path.is_file())
    plan = said(capfd, "retrain", *SMALL, "compress.layers=1", "retrain.distill=0.5", "lambda=1e-2")
    assert plan == [
        *[("finetune", "finished"), ("compress", "to be made"), ("search", "to be made")],
        *[("teacher", "to be made"), ("retrain", "to be made")],
    ]
    assert sorted(path for path in Path().rglob("*") if path.is_file()) == before


def test_each_job_of_a_multirun_and_each_fold(here, capfd):
    assert len(said(capfd, "search", "-m", *SMALL, "lambda=1e-2,2e-2")) == 4
    assert [name for name, _ in said(capfd, "sweep", *SMALL, "lambda=1e-2")] == [
        *["finetune", "retrain", "search", "retrain"]
    ]
    assert len(said(capfd, "finetune", *SMALL, "task.folds=3")) == 3
    assert not list(Path("outputs").glob("s*/2*"))


def test_lists_are_shown_as_they_are_written(here, capfd):
    """And not taken for rich's markup."""
    assert dispatch(["sweep", *SMALL, "lambda=1e-2", "bench.paddings=[sorted,packed]", "--plan"]) == 0
    assert "bench.paddings=[sorted,packed]" in capfd.readouterr().out


def test_where_nothing_has_to_be_trained_there_is_no_stage(here, capfd):
    assert said(capfd, "bench", *SMALL, "retention.lengths=[9,4]") == []


@pytest.mark.parametrize(
    ("args", "message"),
    [
        (["export"], "it runs no stages; those that do: finetune"),
        (["search", "lambda=-1"], "lambda=-1.0 must be a number"),
        (["retrain", "searcher=calibrate", "target.flops=0.5", "compress.ffn=auto"], "there is no plan before them"),
        (["sweep", "experiment=pareto"], "this sweeper chooses each job by those before it"),
    ],
)
def test_what_has_no_plan(here, capfd, args, message):
    if "pareto" in str(args):
        pytest.importorskip("hydra_plugins.hydra_optuna_sweeper")
    found = said(capfd, *args, code=2)
    assert message in found and "Error executing" not in found and "Traceback" not in found
    assert os.listdir("outputs") == ["stages"]


def test_what_the_verb_would_make_anew_or_refuse(here, capfd):
    assert said(capfd, "finetune", *SMALL) == [("finetune", "finished")]
    assert said(capfd, "finetune", *SMALL, "fresh=true") == [("finetune", "to be made")]
    assert "this verb takes one: set task.fold=0" in said(capfd, "search", *SMALL, "task.folds=3", code=2)
    assert said(capfd, "finetune", *SMALL, "output_dir=nowhere") == [("finetune", "to be made")]
    assert not Path("nowhere").exists()


def test_trials_are_said(here, capfd):
    assert dispatch(["search", *SMALL, "target.max_drop=0.1", "lambda=1e-2", "--plan"]) == 0
    assert "it also makes its trials, up to target.trials" in capfd.readouterr().out
