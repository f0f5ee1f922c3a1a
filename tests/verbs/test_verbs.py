"""Whole commands as a user runs them; in this process where starting one of its own shows nothing more."""

import json
import os
import re
import signal
import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest
from small import QUICK, SMALL, newest

from powerbert_cli.cli import dispatch
from powerbert_cli.verbs import VERBS

POWERBERT = [sys.executable, "-m", "powerbert_cli"]


def powerbert(folder, *args, check=True, env=None):
    done = subprocess.run(
        [*POWERBERT, *args], cwd=folder, capture_output=True, text=True, timeout=280, env={**os.environ, **(env or {})}
    )
    assert not check or done.returncode == 0, done.stdout + done.stderr
    return done


def newest_run(folder: Path, verb: str) -> Path:
    return newest(verb, folder)


def names(folder):
    return {path.name for path in folder.iterdir()}


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """One output folder for all tests here, so that finished stages serve several."""
    return tmp_path_factory.mktemp("runs")


@pytest.fixture
def ran(folder, monkeypatch, capfd):
    """Runs a command in this process, in that folder; gives what it said."""

    def run(*args, code=0):
        monkeypatch.chdir(folder)
        found = dispatch(list(args))
        out, err = capfd.readouterr()
        assert found == code, out + err
        return out + err

    return run


def test_overview(ran):
    assert all(verb in ran() for verb in VERBS)
    assert ran() == ran("--help")


@pytest.mark.parametrize("verb", VERBS)
def test_cfg_and_info(ran, verb):
    config, info = (ran(verb, *flags) for flags in (("--cfg", "job"), ("--info", "defaults")))
    if verb == "predict":  # has no task
        assert "model_dir: null" in config and "predict" in info
    else:
        assert "seq_len: ${task.published.seq_len}" in config and "synthetic" in info


def test_completion(folder):
    """In processes of their own: Hydra's completion leaves logging as it wants it."""

    def complete(line):
        return powerbert(
            folder, "-sc", "query=bash", env={"COMP_LINE": line, "COMP_POINT": str(len(line))}
        ).stdout.split()

    assert complete("powerbert s") == ["search", "sweep", "study"]
    assert "task=rte" in complete("powerbert search task=r")
    assert "lambda=" in complete("powerbert search lamb")
    assert "hydra_bash_completion" in powerbert(folder, "-sc", "install=bash").stdout


def test_finetune_then_search_then_retrain_then_bench(folder, ran):
    """Each verb uses what the one before it finished, and writes all its artifacts."""
    ran("finetune", *SMALL)
    run = newest_run(folder, "finetune")
    assert {
        "config.yaml",
        "environment.json",
        "metrics.json",
        "history.csv",
        "predictions.csv",
        "classes.csv",
        "finetune.log",
        "report.html",
    } <= names(run)
    metrics = json.loads((run / "metrics.json").read_text())
    assert {"task", "split", "metric", "value", "interval", "n", "seed"} <= set(metrics) and metrics["n"] == 32

    said = ran("search", *SMALL, "lambda=1e-2")
    assert "is finished already, using it" in said
    assert "loss" in said and "λ·Σj·mass" in said
    run = newest_run(folder, "search")
    found = json.loads((run / "retention.json").read_text())
    assert found["lambda"] == 1e-2 and len(found["lengths"]) == 2 and found["task"] == "synthetic"
    assert {f"mass_{j}" for j in (1, 2)} <= set(pd.read_csv(run / "history.csv").columns)

    ran("retrain", *SMALL, "retention.lengths=[20,5]")
    run = newest_run(folder, "retrain")
    assert {"config.json", "model.safetensors", "tokenizer.json", "retention.json"} <= names(run / "model")
    assert json.loads((run / "model" / "retention.json").read_text())["lengths"] == [20, 5]

    ran("bench", *SMALL, f"model_dir={run / 'model'}", "bench.rounds=3", "bench.examples=32")
    timing = pd.read_csv(newest_run(folder, "bench") / "timing.csv")
    promised = (
        "contender shortened engine padding precision batch_size threads median_s p95_s examples_per_s speedup "
        "speedup_low speedup_high flops_ratio efficiency peak_memory_mb"
    )
    assert list(timing.columns)[:16] == promised.split()
    assert len(timing) == 11 and timing["median_s"].gt(0).all()


def test_search_under_targets_and_relative_retrain(folder, ran):
    """Without training for a share of FLOPs, then re-trained with all that can be added; the reports say how close."""
    ran("search", *SMALL, "searcher=calibrate", "target.flops=0.4", "retention.kind=relative")
    run = newest_run(folder, "search")
    report = json.loads((run / "target.json").read_text())
    assert 0.35 < report["share"] <= 0.4 and report["cost"] == "FLOPs"
    found = json.loads((run / "retention.json").read_text())
    assert found["kind"] == "relative" and found["lengths"] is None and len(found["fractions"]) == 2
    assert {"cost", "harm", "shares"} == set(pd.read_csv(run / "tried.csv").columns)
    assert (run / "model" / "retention.json").is_file()  # usable as it is

    options = ["retrain.distill=0.5", "research.retrain.distill_cls=0.1", "research.retrain.gradual=0.5"]
    said = ran("retrain", *SMALL, f"retention.path={run / 'retention.json'}", *options)
    assert "(relative)" in said and "an input's own word-vectors" in said
    model = newest_run(folder, "retrain") / "model"
    assert json.loads((model / "retention.json").read_text())["fractions"] == found["fractions"]

    ran("bench", *SMALL, f"model_dir={model}", *QUICK)
    timing = pd.read_csv(newest_run(folder, "bench") / "timing.csv").set_index(["padding", "model"])
    assert timing.loc[("sorted", "shortened"), "flops_ratio"] > 2


@pytest.mark.slow
def test_a_measured_speed_up_as_target(folder):
    powerbert(folder, "search", "experiment=smoke", "target.speedup=1.2", "research.word_vector_cost=latency")
    report = json.loads((newest_run(folder, "search") / "target.json").read_text())
    assert 1 <= len(report["tried"]) <= 4 and report["tried"][0]["speedup"] > 0
    assert report["cost"] == "seconds by the latency table"


@pytest.mark.slow
def test_a_limit_on_the_drop_is_bisected_and_finished_trials_serve_again(folder):
    target = ["experiment=smoke", "retention.kind=relative", "target.max_drop=0.3", "target.confidence=0.1"]
    done = powerbert(folder, "search", *target, "target.trials=2")
    report = json.loads((newest_run(folder, "search") / "target.json").read_text())
    assert [one["lambda"] for one in report["tried"]] == [1e-3, 4e-3]
    assert {"drop", "interval", "confidence", "within", "retention"} <= set(report["tried"][0])
    done = powerbert(folder, "search", *target, "target.trials=3")
    assert done.stdout.count("is finished already, using it") >= 6  # fine-tune, plain, two searches and re-trainings


@pytest.mark.slow
def test_train_once_then_evolution(folder):
    args = ["experiment=smoke", "retention.kind=relative"]
    powerbert(folder, "retrain", *args, "retention.fractions=[0.5,0.3,0.2,0.1]", "research.retrain.train_once=true")
    model = newest_run(folder, "retrain") / "model"
    small = ["research.evolutionary.population=4", "research.evolutionary.generations=2", "calibrate.examples=8"]
    done = powerbert(folder, "search", *args, f"model_dir={model}", "searcher=evolutionary", "target.flops=0.5", *small)
    assert (
        "search: model is measured on dev, not trained" in done.stderr + done.stdout
    )  # the checkpoint's folder, not the preset
    assert json.loads((newest_run(folder, "search") / "retention.json").read_text())["model"] == "model"
    report = json.loads((newest_run(folder, "search") / "target.json").read_text())
    assert 0.45 < report["share"] <= 0.5


def test_sweep_with_a_failing_job(folder, ran):
    """λ=-1 fails alone: the table has the other one, the exit code tells."""
    said = ran("sweep", *SMALL, "lambda=1e-2,-1", *QUICK, code=1)
    run = newest_run(folder, "sweep")
    table = pd.read_csv(run / "sweep.csv")
    assert table["status"].tolist() == ["failed", "ok"]
    assert (run / "sweep.png").read_bytes().startswith(b"\x89PNG")
    assert "<h1>1 runs</h1>" not in (page := (run / "report.html").read_text()) and "How far each word comes" in page
    assert "λ=-1" in said and "must be a number ≥ 0" in said
    assert "baseline, in metric (the better of the fine-tuned plain model and the one trained as long)" in said


def test_bench_with_random_weights(folder, ran):
    """The weights are not trained; the published configuration brings its own ℓ."""
    small = ["num_hidden_layers=12", "hidden_size=32", "num_attention_heads=2", "intermediate_size=64"]
    sizes = [f"+model.config.{size}" for size in small]
    few = ["batch_size=4", "bench.rounds=3", "bench.examples=4", "bench.paddings=[sorted]"]
    ran("bench", "model=bert-base-random", "retention=paper/rte", *sizes, *few)
    timing = json.loads((newest_run(folder, "bench") / "timing.json").read_text())
    assert timing["runs"][0]["seq_len"] == 256 and timing["elimination"]["lengths"][:2] == [153, 125]


def test_own_files_regression(folder, ran):
    data = folder / "own"
    data.mkdir()
    for name in ("train", "dev"):
        (data / f"{name}.csv").write_text("body,score\n" + "".join(f'"a, {"b " * i}",{i / 4}\n' for i in range(16)))
    own = ["task=custom", f"task.data_dir={data}", "task.text_columns=[body]", "task.label_column=score"]
    own += ["task.kind=regression", "task.label_names=null", "task.metric=spearman"]
    ran("finetune", *own, "epochs=1", "batch_size=8")
    metrics = json.loads((newest_run(folder, "finetune") / "metrics.json").read_text())
    assert metrics["metric"] == "spearman" and "pearson" in metrics


@pytest.mark.skipif(os.name == "nt", reason="POSIX signals")
def test_ctrl_c_leaves_with_130_and_the_next_run_goes_on(folder, ran):
    args = ["finetune", "seed=5", "task.synthetic.train=320", "epochs=3", "runtime.log_seconds=0.1"]
    args += ["model.config.num_hidden_layers=2", "task.synthetic.dev=32"]
    job = subprocess.Popen(
        [*POWERBERT, *args],
        cwd=folder,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),  # a shell's background job ignores it
    )
    for line in job.stdout:
        if "epoch 1." in line:
            break
    job.send_signal(signal.SIGINT)
    _, err = job.communicate(timeout=60)
    assert job.returncode == 130 and "Traceback" not in err
    [saved] = re.findall(r"powerbert: interrupted: the training is saved (at step \d+ of \d+); the same command", err)
    said = ran(*args)
    assert f"resumed {saved}" in said and "epoch 0." not in said


@pytest.mark.slow
def test_optuna_looks_for_a_front_over_targets(folder):
    pytest.importorskip("hydra_plugins.hydra_optuna_sweeper")
    small = ["task.synthetic.train=64", "task.synthetic.dev=32", "epochs=1", "calibrate.examples=4"]
    quick = ["bench.paddings=[sorted]", "bench.rounds=3", "bench.examples=32", "bench.max_seconds=1"]
    done = powerbert(folder, "sweep", "experiment=pareto", *small, *quick, "hydra.sweeper.n_trials=2")
    run = newest_run(folder, "sweep")
    table = pd.read_csv(run / "sweep.csv")
    assert len(table) == 2 and table["setting"].str.contains("flops=").all() and table["on_front"].any()
    assert (run / "optimization_results.yaml").is_file() and "of the baseline" in done.stdout


@pytest.mark.slow
def test_an_optuna_study_goes_on(folder):
    """Two trials of two, then one more for three; the last table has all; other settings are refused."""
    pytest.importorskip("hydra_plugins.hydra_optuna_sweeper")
    small = ["task.synthetic.train=64", "task.synthetic.dev=32", "epochs=1", "calibrate.examples=4"]
    quick = ["bench.paddings=[sorted]", "bench.rounds=3", "bench.examples=32", "bench.max_seconds=1"]
    study = ["hydra.sweeper.storage=sqlite:///studies/front.db", "hydra.sweeper.study_name=front"]
    args = ["sweep", "experiment=pareto", *small, *quick, *study]
    powerbert(folder, *args, "hydra.sweeper.n_trials=2")
    first = pd.read_csv(newest_run(folder, "sweep") / "sweep.csv")
    again = powerbert(folder, *args, "hydra.sweeper.n_trials=3")
    table = pd.read_csv(newest_run(folder, "sweep") / "sweep.csv")
    assert "study front has 2 of 3 trials" in again.stdout
    assert len(first) == 2 and len(table) == 3 and set(first["run_dir"]) < set(table["run_dir"])
    assert table["setting"].nunique() == 3  # the third was not drawn as the first was
    other = powerbert(folder, *args, "seq_len=32", check=False)
    assert other.returncode == 2
    assert "hydra.sweeper.study_name=front: the study in sqlite:///studies/front.db is one of other" in other.stderr
