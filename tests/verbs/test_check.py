"""powerbert check: what it finds in rows, and that what it says of them is true."""

import json
import signal
from pathlib import Path

import pandas as pd
import pytest

from powerbert_cli.cli import dispatch
from powerbert_cli.report.check_report import say_check
from powerbert_cli.report.pays_table import pays_from, say_pays_of

COLUMN = ["task.text_columns=[sentence]"]
SMALL = ["model=tiny", "model.config.num_hidden_layers=2", "epochs=2", "batch_size=8", "seq_len=8", "check.steps=2"]


def checked(capfd, *overrides):
    assert dispatch(["check", *SMALL, "hydra.run.dir=run", *overrides]) == 0, capfd.readouterr().err
    return json.loads(Path("run/check.json").read_text()), capfd.readouterr().out


def write(train, dev):
    for name, rows in (("train", train), ("dev", dev)):
        lines = [f"{text}\t{label}" for text, label in rows]
        Path(f"data/{name}.tsv").write_text("sentence\tlabel\n" + "\n".join(lines) + "\n")


def test_rows_are_counted_and_what_spoils_a_result_is_named(folder, capfd):
    train = [(f"word{i} " * 3, i % 2) for i in range(20)] + [("twice", 0), ("twice", 1), ("same", 1), ("same", 1)]
    write([*train, ("", 0), ("long " * 30, 1)], [("twice", 0), ("new", 1), ("other", 1)])
    found, said = checked(capfd, "task=custom", *COLUMN, "task.data_dir=data", "task.label_names=[no,yes]")
    assert found["splits"]["train"] == {
        "rows": 26, "labels": {"0": 12, "1": 14}, "empty": 1, "repeated": 2, "conflicts": 1,
    }  # fmt: skip
    assert found["splits"]["dev"]["labels"] == {"0": 1, "1": 2} and found["overlap"] == 1
    assert found["lengths"]["100"] == 32  # 30 words, [CLS] and [SEP]
    assert found["cut"] == 1 / 26
    assert "no 12, yes 14" in said
    for warning in (
        "1 dev rows have a text",
        "1 training texts",
        "1 rows of train have no text",
        "class 0, 1 has fewer",
    ):
        assert warning in said
    assert (
        Path("run/lengths.png").read_bytes().startswith(b"\x89PNG") and "lengths" in Path("run/report.html").read_text()
    )
    assert not list(Path("outputs").glob("stages/*"))  # nothing is kept of the timed steps


def test_the_stages_times_follow_from_a_step_and_their_epochs(folder, capfd):
    write([(f"word{i}", i % 2) for i in range(40)], [("new", 1), ("other", 0)])
    found, said = checked(
        capfd, "task=custom", *COLUMN, "task.data_dir=data", "task.label_names=[no,yes]", "search.epochs=4"
    )
    seconds = found["seconds"]
    epoch = 5 * seconds["step"] + 2 * seconds["dev_row"]  # 40 rows in batches of 8
    assert seconds["finetune"] == pytest.approx(2 * epoch) and seconds["search"] == pytest.approx(4 * epoch)
    low, high = seconds["step_range"]
    assert low <= seconds["step"] <= high
    ends = [2 * (5 * step + 2 * seconds["dev_row"]) for step in (low, high)]
    assert seconds["ranges"]["finetune"] == pytest.approx(ends)
    for stage in ("reading the rows", "reading 40 training texts", "timing 2 training steps"):
        assert f"check: {stage}" in said
    assert "search and re-training are estimated from a fine-tuning step" in said


def found_of(steps, **load):
    """Of a check with these ends of a step's seconds."""
    split = {"rows": 90, "labels": {}, "empty": 0, "repeated": 0, "conflicts": 0}
    ranges = {name: [60 * end for end in steps] for name in ("finetune", "search", "retrain")}
    return {
        "splits": {"train": split, "dev": split}, "overlap": 0, "lengths": {"100": 9}, "seq_len": 16, "cut": 0.0,
        "search": {"regularizer": "decoupled"}, "load": {"average": 1.0, "cores": 2, "threads": 2, **load},
        "pays": [], "seconds": {"step_range": list(steps), "ranges": ranges},
    }  # fmt: skip


@pytest.mark.parametrize(
    ("found", "said", "doubt"),
    [
        (found_of((2.0, 2.2)), "finetune 2 min, search", ""),
        (
            found_of((2.0, 26.0)),
            "finetune 2 min to 26 min, search",
            "very different times (2000 to 26000 ms",
        ),
        (found_of((2.0, 2.0), average=5.0), "a step takes 2000 ms", "the load average was 5.0 on 2 cores"),
        (found_of((2.0, 2.0), average=None), "a step takes 2000 ms", ""),
    ],
)
def test_an_estimate_is_a_range_and_noise_is_called_noise(found, said, doubt, capfd):
    say_check(found, None, 0.01)
    out = capfd.readouterr().out
    assert said in out and ("do not trust the times" in out) == bool(doubt) and doubt in out


def test_what_dropping_brings_is_measured_before_any_training(folder, capfd):
    write([(f"word{i} " * 6, i % 2) for i in range(40)], [("new", 1), ("other", 0)])
    given = ["task=custom", *COLUMN, "task.data_dir=data", "task.label_names=[no,yes]"]
    found, said = checked(capfd, *given)
    sizes = [one["batch_size"] for one in found["pays"] if one["engine"] == "eager"]
    assert len(sizes) == 3 and sizes[0] == 1 and sizes == sorted(sizes)
    for one in found["pays"]:
        assert one["flops"] == pytest.approx(0.5, abs=0.1) and one["low"] < one["speedup"] < one["high"]
    assert "what dropping word-vectors to 0." in said and "engine=eager precision=fp32: " in said


def test_it_pays_from_where_all_larger_batches_show_it():
    def of(*lows):
        return [
            {"engine": "eager", "precision": "fp32", "batch_size": n, "low": low}
            for n, low in zip((1, 8, 32), lows, strict=True)
        ]

    assert pays_from(of(0.9, 1.1, 1.2), "eager", "fp32") == "it pays from batches of 8 on"
    assert pays_from(of(1.1, 0.9, 1.2), "eager", "fp32") == "it pays from batches of 32 on"
    assert pays_from(of(1.1, 1.2, 0.9), "eager", "fp32") == "that it pays is not shown"


def test_a_bench_of_several_sizes_says_from_which_on_it_pays(capfd):
    """In the first padding that all sizes have; of elimination alone, not of all that sets the encoder apart."""
    rows = [
        {"engine": "eager", "precision": "fp32", "padding": padding, "batch_size": size, "threads": 2, "seq_len": 64,
         "elimination": ratio, "elimination_low": ratio - 0.1, "elimination_high": ratio + 0.1, "speedup": 9.0}
        for size, padding, ratio in ((1, "max", 7.0), (1, "sorted", 0.9), (8, "sorted", 1.3), (8, "packed", 1.2))
    ]  # fmt: skip
    say_pays_of(pd.DataFrame(rows))
    said = capfd.readouterr().out
    assert "brings by itself (95%), sorted, ℓ=64, 2 threads" in said
    assert "0.90 (95% 0.80 to 1.00)" in said and "1.30 (95% 1.20 to 1.40)" in said and "9.0" not in said
    assert "engine=eager precision=fp32: it pays from batches of 8 on" in said
    say_pays_of(pd.DataFrame(rows[2:]))
    assert not capfd.readouterr().out


def test_rows_of_a_single_batch_have_the_time_of_its_step(folder, capfd):
    write([("word", 0), ("words", 1)], [("new", 1), ("other", 0)])
    found, said = checked(capfd, "task=custom", *COLUMN, "task.data_dir=data", "task.label_names=[no,yes]")
    times = found["seconds"]
    assert times["step"] > 0 and times["step_range"] == [times["step"]] * 2 and "nan" not in said


def test_how_far_a_search_can_go(folder, capfd):
    """Warm-up and decay: half the steps times the peak, about."""
    write([(f"word{i}", i % 2) for i in range(40)], [("new", 1), ("other", 0)])
    given = ["task=custom", *COLUMN, "task.data_dir=data", "task.label_names=[no,yes]"]
    found, said = checked(capfd, *given, "lr_soft=0.01")
    assert found["search"]["steps"] == 10 and found["search"]["reach"] == pytest.approx(0.05, abs=0.01)
    assert "no retention parameter can come down to 0" in said
    _, said = checked(capfd, *given, "lr_soft=auto")
    assert "no retention parameter" not in said


@pytest.mark.parametrize(("kind", "label"), [("regression", "{}.5"), ("multi_label", "0,1")])
def test_other_kinds(kind, label, folder, capfd):
    write([(f"word{i}", label.format(i)) for i in range(16)], [(f"new{i}", label.format(i)) for i in range(3)])
    names = "task.label_names=null" if kind == "regression" else "task.label_names=[a,b]"
    metric = "spearman" if kind == "regression" else "f1"
    found, _ = checked(
        capfd, "task=custom", *COLUMN, "task.data_dir=data", f"task.kind={kind}", names, f"task.metric={metric}"
    )
    labels = found["splits"]["train"]["labels"]
    assert labels == ({"least": 0.5, "mean": 8.0, "most": 15.5} if kind == "regression" else {"0": 0, "1": 16})


def test_ctrl_c_ends_it_and_says_that_nothing_is_kept(folder, capfd, monkeypatch):
    """Its training is in a folder that goes."""
    monkeypatch.setattr(
        "powerbert_cli.recipes.check._Clock.on_step_begin", lambda *_, **__: signal.raise_signal(signal.SIGINT)
    )
    args = ["task=custom", "task.data_dir=data", "task.label_names=[no,yes]", *COLUMN, "hydra.run.dir=run"]
    assert dispatch(["check", *SMALL, *args]) == 130
    err = capfd.readouterr().err
    assert "powerbert: interrupted: nothing is kept; the same command begins anew" in err and "saved" not in err
