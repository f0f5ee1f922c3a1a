"""The verbs as Python functions: the same stages as the command line's, and the page that explains them."""

import json
import re
from dataclasses import replace
from pathlib import Path

import pandas as pd
import pytest
from small import SMALL

from powerbert_cli import api
from powerbert_cli.cli import dispatch
from powerbert_cli.errors import PowerbertError


def test_functions_and_verbs_share_their_stages(here, tmp_path, monkeypatch):
    fine = api.finetune(api.settings("finetune", *SMALL))
    assert not fine.made and fine.value == fine.metrics["value"] and (fine.model_dir / "model.safetensors").is_file()
    assert dispatch(["search", *SMALL]) == 0
    given = api.settings("search", *SMALL)
    found = api.search(given)
    assert not found.made and len(found.retention.configuration) == 2
    other = api.search(replace(given, regularizer_weight=0.5))
    assert other.made and other.identity != found.identity
    short = api.retrain(api.settings("retrain", *SMALL))
    assert short.made and short.retention.configuration == found.retention.configuration
    model = api.load_shortened(short.model_dir)
    assert model.elimination == short.retention.elimination
    assert dispatch(["retrain", *SMALL]) == 0
    assert len(list(Path("outputs/stages").glob("retrain-*"))) == 1

    def stop(*given, **keys):
        raise KeyboardInterrupt

    monkeypatch.setattr("powerbert_cli.recipes.answered.answers", stop)
    timed = ["bench.rounds=3", "bench.examples=32", "bench.max_seconds=5", "bench.paddings=[sorted]"]
    with pytest.raises(KeyboardInterrupt):  # while answers are measured: the times are there
        api.bench(
            api.settings("bench", *SMALL, f"model_dir={short.model_dir}", "bench.accuracy=true", *timed),
            folder=tmp_path / "stopped",
        )
    assert (pd.read_csv(tmp_path / "stopped" / "timing.csv")["median_s"] > 0).all()


def test_bench_returns_the_timing_table_and_writes_it_where_it_is_told(here, tmp_path):
    given = api.settings("bench", *SMALL, "retention.lengths=[9,4]", "bench.rounds=3", "bench.examples=32")
    timed = api.bench(given)
    assert not list(tmp_path.rglob("timing.csv"))
    assert set(timed.timing["model"]) == {"plain", "full", "shortened"}
    assert timed.retention.configuration == (9, 4) == timed.model.elimination.retention.values
    api.bench(given, folder=tmp_path / "there")
    assert {path.name for path in (tmp_path / "there").iterdir()} == {"retention.json", "timing.csv", "timing.json"}


def test_a_bench_that_is_stopped_leaves_the_rounds_that_are_whole(here, tmp_path):
    given = api.settings("bench", *SMALL, "retention.lengths=[9,4]", "bench.examples=32", "bench.paddings=[sorted]")

    def stop(what, done, of):
        if what == "rounds" and done > 2.4:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        api.bench(given, folder=tmp_path / "stopped", told=stop)
    timing = pd.read_csv(tmp_path / "stopped" / "timing.csv")
    assert timing["rounds"].tolist() == [2] * 3 and {"load_average", "cores"} <= set(timing)


def test_bench_has_a_limit_on_its_time_and_says_who_was_left_out(here, tmp_path, caplog):
    """None at all: what decides is timed all the same, in the least rounds."""
    given = ["retention.lengths=[9,4]", "bench.examples=32", "bench.max_seconds=0"]
    with caplog.at_level("INFO"):
        timed = api.bench(api.settings("bench", *SMALL, *given), folder=tmp_path / "there").timing
    assert timed["model"].tolist() == ["plain", "full", "shortened"]
    assert (timed["rounds"] == 5).all() and timed["speedup_vs_best"].notna().all()
    said = caplog.text
    assert "contenders within bench.max_seconds=0: " in said and re.search(r"about bench.max_seconds=\d+ has all", said)
    assert "a round takes about" in said and "5 rounds with the answers" in said
    skipped = json.loads((tmp_path / "there" / "timing.json").read_text())["runs"][0]["skipped"]
    assert len(skipped) == 11 - len(timed) and "no time within bench.max_seconds=0" in skipped[0]["reason"]


def test_auto_is_settled(here):
    settings = api.settings("search", *SMALL, "seq_len=auto", "lr_soft=auto")
    assert settings.seq_len == 64 and isinstance(settings.lr_soft, float)


@pytest.mark.parametrize(
    ("verb", "override", "said"),
    [
        ("serch", "seed=0", "did you mean 'search'"),
        ("search", "lamda=3", "did you mean 'lambda'"),
        ("search", "lambda=abc", "lambda=abc must be a number"),
        ("search", "task=cora", "did you mean 'cola'"),
        ("bench", "model_dir=nowhere", "is no model directory"),
    ],
)
def test_mistakes_are_named_as_on_the_command_line(here, capfd, verb, override, said):
    with pytest.raises(PowerbertError, match=said) as error:
        api.settings(verb, override)
    assert dispatch([verb, override]) == 2
    assert str(error.value) in capfd.readouterr().err


def test_the_pages_code_runs(here, capsys):
    page = (Path(__file__).parents[1] / "docs" / "how-to" / "python.md").read_text(encoding="utf-8")
    (code,) = re.findall(r"```python\n(.*?)```", page, flags=re.S)
    smaller = [f'"{one}"' for one in SMALL[1:]]
    assert code.count('"output_dir=outputs"]') == 1
    exec(code.replace('"output_dir=outputs"]', f'"output_dir=outputs", {", ".join(smaller)}]'), {})
    assert "shortened" in capsys.readouterr().out and list(Path("outputs/stages").glob("retrain-*"))
