"""Trackers: a training is followed, what a run found arrives, and a tracker that fails harms nothing."""

import contextlib
import json
import os
import re

import pandas as pd
import pytest
from hosts import described, make_host
from report_runs import make_run, timing
from small import SMALL
from trainings import plan
from transformers import TrainerCallback

from powerbert_cli.cli import dispatch
from powerbert_cli.encoder.shortened import ShortenedModel
from powerbert_cli.report import tracking
from powerbert_cli.report.tracking import found_in, leave, tracked
from powerbert_cli.training.classifier import train_classifier


@pytest.fixture(autouse=True)
def without_a_server():
    """The user's own environment plays no part, and what a tracker sets in it goes again."""
    before = dict(os.environ)
    for name in [name for name in os.environ if name.startswith(("MLFLOW_", "WANDB_"))]:
        del os.environ[name]
    os.environ["WANDB_MODE"] = "offline"
    yield
    os.environ.clear()
    os.environ.update(before)


def train(name, material, tmp_path, title="finetune-1a"):
    with tracked(name, title, tmp_path) as callbacks:
        model = ShortenedModel(make_host(), described((8, 5, 2), 16))
        return train_classifier(model, material, plan(epochs=2), tmp_path / "checkpoints", callbacks)


@pytest.fixture
def mlflow():
    return pytest.importorskip("mlflow")


def events(folder):
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    found = EventAccumulator(str(folder))
    found.Reload()
    return found


def mlflow_runs(mlflow, tmp_path):
    mlflow.set_tracking_uri((tmp_path / "mlruns").as_uri())
    return {run.info.run_name: run for run in mlflow.search_runs(search_all_experiments=True, output_format="list")}


def test_what_a_tracker_shows_of_a_run(tmp_path):
    run = make_run(tmp_path / "retrain" / "day" / "time")
    found = found_in(run, tmp_path)
    assert found.title == "retrain/day/time"
    assert found.numbers == pytest.approx(
        {
            "dev/accuracy": 0.9,
            "dev/accuracy_low": 0.8,
            "dev/accuracy_high": 0.95,
            "retention/kept_share": 0.375,
            "bench/plain/eager/fp32/sorted/b32-l64/ms": 200.0,
            "bench/plain/eager/fp32/sorted/b32-l64/speedup_vs_best": 1.0,
            "bench/plain/eager/fp32/sorted/b32-l64/speedup_vs_best_low": 0.95,
            "bench/plain/eager/fp32/sorted/b32-l64/speedup_vs_best_high": 1.05,
            "bench/shortened/eager/fp32/sorted/b32-l64/ms": 100.0,
            "bench/shortened/eager/fp32/sorted/b32-l64/speedup": 2.0,
            "bench/shortened/eager/fp32/sorted/b32-l64/speedup_low": 1.8,
            "bench/shortened/eager/fp32/sorted/b32-l64/speedup_high": 2.2,
            "bench/shortened/eager/fp32/sorted/b32-l64/speedup_vs_best": 2.0,
            "bench/shortened/eager/fp32/sorted/b32-l64/speedup_vs_best_low": 1.9,
            "bench/shortened/eager/fp32/sorted/b32-l64/speedup_vs_best_high": 2.1,
            "bench/speedup_vs_best": 2.0,
            "bench/speedup_vs_best_low": 1.9,
            "bench/speedup_vs_best_high": 2.1,
        }
    )
    assert found.settings["task.name"] == "rte"
    assert {path.name for path in found.files} == {
        *("config.yaml", "metrics.json", "retention.json", "timing.csv", "words.json")
    }


def test_a_speed_whose_answers_do_not_count_is_no_figure(tmp_path):
    run = make_run(tmp_path / "time")
    timing(0.02, precision="int8", within=(True, False)).to_csv(run / "timing.csv", index=False)
    found = found_in(run, tmp_path).numbers
    where = "bench/shortened/eager/int8/sorted/b32-l64"
    assert found[f"{where}/ms"] == pytest.approx(20.0) and found[f"{where}/within_max_drop"] == 0
    assert not {f"{where}/speedup", f"{where}/speedup_vs_best", "bench/speedup_vs_best"} & set(found)


@pytest.mark.extras
def test_tensorboard_follows_a_training(material, tmp_path):
    pytest.importorskip("tensorboard")
    trained = train("tensorboard", material, tmp_path)
    found = events(tmp_path / "tensorboard" / "finetune-1a")
    seen = [event.value for event in found.Scalars("eval/accuracy")]
    assert seen == pytest.approx(trained.history["eval_accuracy"].dropna().tolist())


@pytest.mark.extras
def test_tensorboard_has_what_a_run_found(tmp_path):
    pytest.importorskip("tensorboard")
    run = make_run(tmp_path / "retrain" / "time")
    leave("tensorboard", run, tmp_path)
    found = events(tmp_path / "tensorboard" / "retrain" / "time")
    assert found.Scalars("dev/accuracy")[0].value == pytest.approx(0.9)
    table = found.Tensors("timing/text_summary")[0].tensor_proto.string_val[0].decode()
    assert re.search(r"\| plain \| False \| [^|]+ \| 0.2 \|", table)


@pytest.mark.extras
def test_mlflow_follows_trainings_and_has_what_a_run_found(mlflow, material, tmp_path):
    train("mlflow", material, tmp_path)
    train("mlflow", material, tmp_path / "again", title="retrain-2b")
    leave("mlflow", make_run(tmp_path / "retrain" / "time"), tmp_path)
    runs = mlflow_runs(mlflow, tmp_path)
    assert set(runs) == {"finetune-1a", "retrain/time"}
    assert set(mlflow_runs(mlflow, tmp_path / "again")) == {"retrain-2b"}
    assert all(run.info.status == "FINISHED" for run in runs.values())
    assert "eval_accuracy" in runs["finetune-1a"].data.metrics
    found = runs["retrain/time"]
    assert found.data.metrics["dev/accuracy"] == 0.9 and found.data.params["task.name"] == "rte"
    files = list((tmp_path / "mlruns").rglob("artifacts/timing.csv"))
    assert len(files) == 1 and len(pd.read_csv(files[0])) == 2


@pytest.mark.extras
def test_a_training_that_fails_is_a_failed_run(mlflow, material, tmp_path):
    with pytest.raises(ZeroDivisionError), tracked("mlflow", "search-3c", tmp_path) as callbacks:
        mlflow.set_experiment("powerbert")
        callbacks[1]._ml_flow.start_run(run_name="search-3c")
        raise ZeroDivisionError
    assert mlflow.active_run() is None
    assert mlflow_runs(mlflow, tmp_path)["search-3c"].info.status == "FAILED"


@pytest.mark.extras
def test_a_run_of_a_notebook_stays_open(mlflow, material, tmp_path):
    os.environ["MLFLOW_ALLOW_FILE_STORE"] = "true"
    mlflow.set_tracking_uri((tmp_path / "mlruns").as_uri())
    mlflow.set_experiment("powerbert")
    with mlflow.start_run(run_name="mine") as own:
        train("mlflow", material, tmp_path)
        assert mlflow.active_run().info.run_id == own.info.run_id
    assert set(mlflow_runs(mlflow, tmp_path)) == {"mine"}


@pytest.mark.extras
def test_wandb_writes_into_the_output_folder(material, tmp_path):
    pytest.importorskip("wandb")
    train("wandb", material, tmp_path)
    leave("wandb", make_run(tmp_path / "retrain" / "time"), tmp_path)
    assert len(list((tmp_path / "wandb").glob("offline-run-*"))) == 2


def test_a_tracker_that_fails_is_a_warning(tmp_path, monkeypatch):
    said = []
    monkeypatch.setattr(tracking.log, "warning", lambda text, *values: said.append(text % values))

    def unreachable(*_):
        raise OSError("no server")

    monkeypatch.setitem(tracking._LEAVE, "mlflow", unreachable)
    run = make_run(tmp_path / "time")
    leave("mlflow", run, tmp_path)
    assert said == [f"tracking=mlflow failed: no server; all that the run found is in {run}"]


@pytest.mark.extras
def test_a_sweep_leaves_its_table(tmp_path):
    pytest.importorskip("tensorboard")
    table = pd.DataFrame({"lambda": [0.1, 0.2], "value": [0.9, 0.8], "setting": ["a|b", "c"]})
    (tmp_path / "sweep").mkdir()
    table.to_csv(tmp_path / "sweep" / "sweep.csv", index=False)
    (tmp_path / "sweep" / "sweep.json").write_text(json.dumps({"results": []}))
    leave("tensorboard", tmp_path / "sweep", tmp_path)
    found = events(tmp_path / "tensorboard" / "sweep")
    text = found.Tensors("sweep/text_summary")[0].tensor_proto.string_val[0].decode()
    assert "| 0.1 | 0.9 | a\\|b |" in text


def test_a_command_tells_a_tracker_of_its_trainings_and_of_its_run(here, monkeypatch):
    """Whichever it is: here one that keeps what it is told."""
    followed, left = [], []

    class Follows(TrainerCallback):
        def on_log(self, args, state, control, logs=None, **kwargs):
            followed.append((args.run_name, logs))

    monkeypatch.setattr(tracking, "find_spec", lambda name: name)
    monkeypatch.setitem(tracking._TRAININGS, "mlflow", lambda title, folder: contextlib.nullcontext(Follows()))
    monkeypatch.setitem(tracking._LEAVE, "mlflow", lambda found, folder: left.append(found))
    assert dispatch(["retrain", *SMALL, "retention.lengths=[9,4]", "tracking=mlflow"]) == 0
    (stage,) = (path for path in here.glob("outputs/stages/retrain-*") if path.is_dir())
    assert {title for title, _ in followed} == {stage.name}
    (run,) = left
    evaluated = [logs["eval_accuracy"] for _, logs in followed if "eval_accuracy" in logs]
    assert max(evaluated) == run.numbers["dev/accuracy"] and run.title.startswith("retrain/")


@pytest.mark.extras
def test_a_command_with_a_tracker(tmp_path):
    pytest.importorskip("tensorboard")
    small = ["epochs=1", "task.max_train=64", "task.max_dev=32", "device=cpu"]
    assert dispatch(["finetune", *small, f"output_dir={tmp_path}", "tracking=tensorboard"]) == 0
    folder = tmp_path / "tensorboard"
    training, run = next(folder.glob("finetune-*")), next(folder.glob("finetune/*/*"))
    assert events(training).Scalars("eval/accuracy")[-1].value == events(run).Scalars("dev/accuracy")[0].value


def test_an_unknown_tracker_and_a_missing_package(tmp_path, capsys, monkeypatch):
    assert dispatch(["finetune", "tracking=tensorbord", f"output_dir={tmp_path}"]) == 2
    assert (
        "tracking=tensorbord is none of tensorboard, mlflow, wandb (did you mean 'tensorboard'?)"
        in capsys.readouterr().err
    )
    monkeypatch.setattr(tracking, "find_spec", lambda name: None)
    assert dispatch(["finetune", "tracking=wandb", f"output_dir={tmp_path}"]) == 2
    assert "tracking=wandb needs a package: pip install '.[wandb]'" in capsys.readouterr().err
