"""The page of a run and of several: what it says, that it is whole in itself, and that it works in a browser."""

import html
import json
import re
import shutil
import subprocess

import pandas as pd
import pytest
import yaml
from report_runs import EVIL, make_run, timing

from powerbert_cli.cli import dispatch
from powerbert_cli.errors import PowerbertError
from powerbert_cli.report.model_card import write_model_card
from powerbert_cli.report.page import write_page


def page_of(runs, path):
    write_page(runs, path)
    return path.read_text(encoding="utf-8")


def test_a_run_says_what_was_done_and_found(tmp_path):
    run = make_run(tmp_path / "day" / "time")
    page = page_of([run], run / "report.html")
    said = html.unescape(page)
    assert "powerbert retrain task=rte 'task.label_names=[a b]'" in said
    assert "0.9000" in page and "0.8000 to 0.9500" in page
    assert "37.5%" in page  # (32 + 16) of 2 · 64
    assert "2.00×" in page  # 0.2 s against 0.1 s
    assert "95% 1.90 to 2.10; eager, fp32, sorted, batch 32, ℓ=64, 2 threads: 320 inputs a second" in said
    assert 'width: 50.00%"></div></div><span>32' in page
    assert 'href="timing.csv"' in page


BEYOND = {"precision": "int8", "within": (True, False)}


def test_a_speed_whose_answers_do_not_count_is_listed_and_not_advertised(tmp_path):
    """int8 at 10 times, beyond max_drop, beside float32 at 2."""
    run = make_run(tmp_path / "a", model={"name_or_path": "org/base"})
    both = pd.concat([timing(0.1), timing(0.02, **BEYOND)])
    both.to_csv(run / "timing.csv", index=False)
    said = html.unescape(page_of([run], run / "report.html"))
    assert "2.00×" in said and "10.00×" not in said
    assert "shortened*" in said and "its speed does not count" in said
    write_model_card(run)
    card = (run / "model" / "README.md").read_text()
    assert "2.00 (95% 1.90 to 2.10) times as fast" in card and "10.00" not in card
    other = make_run(tmp_path / "b", value=0.8)
    said = html.unescape(page_of([run, other], tmp_path / "runs.html"))
    assert "10.00 (9.50 to 10.50)</title>" not in said and "2.00 (1.90 to 2.10)</title>" in said
    timing(0.02, **BEYOND).to_csv(run / "timing.csv", index=False)  # nothing counts
    assert "as fast as the fastest plain model here" not in page_of([run], run / "report.html")


def test_times_that_are_not_to_be_trusted_are_called_so(tmp_path):
    run = make_run(tmp_path / "a", model={"name_or_path": "org/base"})
    timing(0.1, load_average=9.0, cores=2).to_csv(run / "timing.csv", index=False)
    page = page_of([run], run / "report.html")
    assert "Do not trust these times: the load average was 9.0 on 2 cores" in page
    assert "not to be trusted, see the run" in page_of([run, make_run(tmp_path / "b")], tmp_path / "runs.html")
    write_model_card(run)
    assert "| times | do not trust these times: " in (run / "model" / "README.md").read_text()


def test_a_table_of_an_earlier_version_makes_a_page(tmp_path):
    run = make_run(tmp_path / "a")
    old = timing(0.1).drop(columns=["speedup_vs_best_low", "speedup_vs_best_high", "within_max_drop"])
    old.to_csv(run / "timing.csv", index=False)
    said = html.unescape(page_of([run], run / "report.html"))
    assert "2.00×" in said and "1.80..2.20" in said and "95% 1.90" not in said


def test_words_are_shaded_by_the_layer_that_they_reached(tmp_path):
    page = page_of([run := make_run(tmp_path / "a")], run / "report.html")
    shades = re.findall(r'title="layer (\d)" style="background: rgba\(var\(--word\), ([\d.]+)\)', page)
    assert shades == [("2", "0.750"), ("1", "0.375"), ("0", "0.000")]


def test_texts_and_settings_are_escaped_and_nothing_is_loaded(tmp_path):
    page = page_of([run := make_run(tmp_path / "a")], run / "report.html")
    assert EVIL not in page and html.escape(EVIL).replace("&#x27;", "&#39;") in page
    assert not re.search(r"(?:src|href)=\"(?:https?:)?//", page) and "@import" not in page
    assert "default-src 'none'" in page


def test_several_runs_are_laid_side_by_side(tmp_path):
    runs = [make_run(tmp_path / name, value, seconds, seed=seed) for name, value, seconds, seed in
            (("a", 0.9, 0.1, 0), ("b", 0.85, 0.05, 1), ("c", 0.84, 0.1, 1))]  # fmt: skip
    page = page_of(runs, tmp_path / "runs.html")
    assert "<h1>3 runs</h1>" in page and 'href="b/timing.csv"' in page
    differ = page.split("What differs")[1].split("</table>")[0]
    assert "seed" in differ and "note" not in differ
    colours = re.findall(r'<circle .* fill="var\(--(\w+)\)"', page)
    assert colours == ["bar", "bar", "other"]  # the third is beaten in both


def test_a_folder_that_is_no_run_is_named(tmp_path, capsys):
    with pytest.raises(PowerbertError, match=r"empty: is no run directory"):
        (tmp_path / "empty").mkdir()
        write_page([tmp_path / "empty"], tmp_path / "x.html")
    run = make_run(tmp_path / "a")
    (run / "metrics.json").write_text("{")
    assert dispatch(["report", str(run)]) == 2
    assert "metrics.json: is no JSON" in capsys.readouterr().err
    other = make_run(tmp_path / "other")
    (other / "timing.csv").write_text("contender,seconds\nplain,1\n")
    assert dispatch(["report", str(other)]) == 2
    assert "other: a file there is not as this version writes it" in capsys.readouterr().err
    assert dispatch(["report", str(tmp_path / "none")]) == 2
    assert "none: is no folder" in capsys.readouterr().err
    assert dispatch(["report"]) == 2


def test_the_command_writes_beside_one_run_or_where_it_is_told(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    a, b = make_run(tmp_path / "a"), make_run(tmp_path / "b")
    assert dispatch(["report", str(a)]) == 0 and (a / "report.html").is_file()
    assert dispatch(["report", str(a), str(b)]) == 0 and (tmp_path / "report.html").is_file()
    assert dispatch(["report", str(a), str(b), "output=x/y.html"]) == 0 and (tmp_path / "x" / "y.html").is_file()
    assert dispatch(["report", "--help"]) == 0 and "output=FILE" in capsys.readouterr().out


def test_the_card_of_a_model_says_how_good_and_how_fast(tmp_path):
    run = make_run(tmp_path / "a", task={"name": "a|b", "kind": "classification"}, model={"name_or_path": "org/base"})
    write_model_card(run)
    _, matter, text = (run / "model" / "README.md").read_text().split("---\n", 2)
    about = yaml.safe_load(matter)
    assert about["base_model"] == "org/base" and about["tags"] == ["powerbert"]
    assert about["model-index"][0]["results"][0]["metrics"] == [{"type": "accuracy", "value": 0.9}]
    rows = dict(re.findall(r"^\| ([^|]+) \| (.*) \|$", text, flags=re.M))
    assert rows["task"] == r"a\|b" and rows["word-vectors kept by layer"] == "32, 16 (37.5%)"
    assert rows["accuracy on dev"] == "0.9000 (95% interval 0.8000 to 0.9500, n=9, seed 0)"
    assert rows["speed"] == (
        "320 inputs a second, 2.00 (95% 1.90 to 2.10) times as fast as the fastest plain model timed beside it "
        "(eager, fp32, sorted, batch 32, ℓ=64, 2 threads)"
    )


@pytest.mark.parametrize(
    ("kind", "library", "is_for"),
    [
        ("classification", "transformers", "text-classification"),
        ("token_classification", "transformers", "token-classification"),
        ("question_answering", "transformers", "question-answering"),
        ("embedding", "sentence-transformers", "feature-extraction"),
        ("ranking", "sentence-transformers", "text-ranking"),
    ],
)
def test_the_card_says_what_the_hub_finds_a_model_by(kind, library, is_for, tmp_path):
    write_model_card(run := make_run(tmp_path / "a", task={"name": "a", "kind": kind}))
    about = yaml.safe_load((run / "model" / "README.md").read_text().split("---\n")[1])
    assert (about["library_name"], about["pipeline_tag"]) == (library, is_for)
    assert about["model-index"][0]["results"][0]["task"]["type"] == is_for
    assert ("sentence-similarity" in about["tags"]) == (kind == "embedding")


def test_the_card_says_which_plain_model_the_loss_is_against(tmp_path):
    run = make_run(tmp_path / "a")
    lost = {"drop": 0.01, "baseline": 0.91, "drop_low": 0.0, "drop_high": 0.02}
    (run / "result.json").write_text(json.dumps(lost))
    write_model_card(run)
    text = (run / "model" / "README.md").read_text()
    assert "that is the better of the fine-tuned model and the one trained as long" in text


def test_a_folder_of_this_machine_is_no_base_model_on_the_hub(tmp_path):
    run = make_run(tmp_path / "a", model={"name_or_path": str(tmp_path)})
    write_model_card(run)
    assert "base_model:" not in (run / "model" / "README.md").read_text()


@pytest.mark.skipif(shutil.which("chromium") is None, reason="needs Chromium")
def test_a_click_on_a_heading_sorts_in_a_browser(tmp_path):
    runs = [make_run(tmp_path / name, value) for name, value in (("a", 0.9), ("b", 0.95), ("c", 0.7))]
    page = page_of(runs, tmp_path / "runs.html")
    value = "[...document.querySelectorAll('th button')].find(button => button.textContent == 'value')"
    click = f"<script>{value}.click()</script></body>"
    (tmp_path / "clicked.html").write_text(page.replace("</body>", click), encoding="utf-8")
    quiet = ["background-networking", "component-update", "sync", "gpu"]
    browser = ["chromium", "--headless", "--no-sandbox", "--no-first-run", *(f"--disable-{what}" for what in quiet)]
    shown = subprocess.run(
        [*browser, f"--user-data-dir={tmp_path}/profile", "--dump-dom", f"file://{tmp_path}/clicked.html"],
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    ).stdout
    assert re.findall(r'<td class="n">(0\.\d{4})</td>', shown.split("</tbody>")[0]) == ["0.7000", "0.9000", "0.9500"]
