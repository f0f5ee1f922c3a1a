"""Pages of several runs: the best setting, names of points, axes, old files; and the page of a training."""

import html
import json
import re
import shutil
import subprocess

import pandas as pd
import pytest
from report_runs import make_run, timing

from powerbert_cli.jobs.gather import report_sweep
from powerbert_cli.report.chart import HEIGHT, WIDTH, beside, ends
from powerbert_cli.report.page import write_page
from powerbert_cli.report.settings_table import best_within
from powerbert_cli.report.verdict import verdict


def page_of(runs, path):
    write_page(runs, path)
    return html.unescape(path.read_text(encoding="utf-8"))


def job(folder, number, lam, seed, value, speed, task="rte", **more):
    """A finished job of a sweep, with the result that it leaves."""
    run = make_run(folder / str(number), value, 0.2 / speed, **{"lambda": lam, "seed": seed})
    result = {
        "sweep": "t", "job": number, "lambda": lam, "target": None, "seed": seed, "fold": None, "status": "ok",
        "overrides": {"lambda": str(lam), "seed": str(seed)}, "run_dir": str(run), "task": task, "metric": "accuracy",
        "curve": "power", "value": value, "baseline": 0.9, "drop": 0.9 - value, "drop_low": -0.01, "drop_high": 0.02,
        "confidence": 0.9, "kept_share": 0.4, "max_drop": 0.01, "retention": [32, 16], "flops_ratio": speed,
        "speed": speed, "speed_low": 0.9 * speed, "speed_high": 1.1 * speed, "doubt": None,
    }  # fmt: skip
    (run / "result.json").write_text(json.dumps({**result, **more}))
    return run


def sweep(folder, **more):
    """A lucky seed of λ=0.01 is the fastest job within the limit; by its mean the setting is not."""
    runs = [
        job(folder, 0, 1e-3, 0, 0.895, 1.4, **more), job(folder, 1, 1e-3, 1, 0.897, 1.5, **more),
        job(folder, 2, 1e-2, 0, 0.899, 2.0, **more), job(folder, 3, 1e-2, 1, 0.80, 2.1, **more),
    ]  # fmt: skip
    (folder / "sweep.json").write_text('{"token": "t"}')
    return runs


def marked(page):
    return re.findall(r'<tr class="best"><td><a [^>]*>([^<]*)</a> ★', page)


def test_page_console_and_json_name_one_best_setting(tmp_path, capfd):
    runs = sweep(tmp_path / "sweep")
    assert report_sweep(tmp_path / "sweep") == 0
    said = capfd.readouterr().out
    assert "its metric and drop are of dev, the rows that it was chosen on" in said
    last = said.rstrip().splitlines()[-1]
    assert last.startswith("λ=0.001 is 1.45 times as fast as the best plain model (95% interval ")
    assert " and loses 0.0040 accuracy on dev (95% interval -0.0087 to 0.0167)." in last
    assert json.loads((tmp_path / "sweep/sweep.json").read_text())["best"]["setting"] == "λ=0.001"
    own = html.unescape((tmp_path / "sweep/report.html").read_text())
    for page in (own, page_of(runs, tmp_path / "runs.html")):  # also of the runs one by one
        assert marked(page) == ["λ=0.001 seed 0", "λ=0.001 seed 1"] and last in page
        assert page.count('class="ring"') == 1


def test_the_toy_says_that_it_gains_little(tmp_path, capfd):
    sweep(tmp_path / "sweep", task="synthetic")
    report_sweep(tmp_path / "sweep")
    last = capfd.readouterr().out.rstrip().splitlines()[-1]
    assert "short texts, where elimination gains little: this only shows that everything runs." in last


def test_a_sweep_of_one_job_says_what_it_found_too(tmp_path, capfd):
    job(tmp_path / "sweep", 0, 1e-3, 0, 0.895, 1.4)
    (tmp_path / "sweep/sweep.json").write_text('{"token": "t"}')
    assert report_sweep(tmp_path / "sweep") == 0
    last = capfd.readouterr().out.rstrip().splitlines()[-1]
    page = html.unescape((tmp_path / "sweep/report.html").read_text())
    assert last in page and "<h1>1 run</h1>" in page
    (tmp_path / "sweep/sweep.json").write_text('{"token": "t"}')  # of one that was stopped before a job was done
    assert "<h1>0 runs</h1>" in page_of([tmp_path / "sweep"], tmp_path / "none.html")


def test_a_verdict_for_each_end():
    one = {"setting": "λ=1", "metric": "f1", "drop": -0.02, "drop_low": -0.03, "drop_high": 0.01, "max_drop": 0.01}
    assert verdict({**one, "speed": 0}, [one]) == (
        "λ=1 has no speed that counts and gains 0.0200 f1 on dev (95% interval -0.0100 to 0.0300)."
    )
    assert "2.00 times as fast as the best plain model, in times not to be trusted, and" in verdict(
        {**one, "speed": 2.0, "doubt": "busy"}, [one]
    )
    assert verdict(None, [one]).startswith("No setting stays within 0.01 of the baseline")
    assert best_within([]) is None


def test_a_sweep_of_an_earlier_version_makes_a_page(tmp_path):
    """Without settings, limits, classes or a choice in its files."""
    runs = sweep(tmp_path / "sweep")
    for run in runs:
        old = json.loads((run / "result.json").read_text())
        for name in ("max_drop", "confidence", "kept_share", "speed", "doubt", "curve"):
            del old[name]
        (run / "result.json").write_text(json.dumps(old))
    results = [json.loads((run / "result.json").read_text()) for run in runs]
    for content in ({"results": results}, {"results": results, "best": results[0]}, {"results": results, "best": None}):
        (tmp_path / "sweep/sweep.json").write_text(json.dumps(content))
        page = page_of([tmp_path / "sweep"], tmp_path / "sweep/report.html")
        assert "λ=0.001 seed 0" in page and "Class by class" not in page and "times as fast as the best" not in page


def test_points_have_the_names_of_their_settings(tmp_path):
    sweep(tmp_path / "sweep")
    report_sweep(tmp_path / "sweep")
    page = (tmp_path / "sweep/report.html").read_text()
    assert re.findall(r'<text class="name"[^>]*>([^<]*)</text>', page) == ["λ=0.001", "λ=0.01"]
    runs = [make_run(tmp_path / name, value, seed=seed) for name, value, seed in (("a", 0.9, 0), ("b", 0.8, 1))]
    page = page_of(runs, tmp_path / "runs.html")  # that no sweep made
    assert re.findall(r'<text class="name"[^>]*>([^<]*)</text>', page) == ["seed=0", "seed=1"] and not marked(page)


def test_an_axis_ends_where_its_metric_does(tmp_path):
    assert ends([0.98, 1.0], "accuracy")[1] == 1.0 and ends([0.0, 0.01], "f1")[0] == 0.0
    assert ends([-1.0, 1.0], "matthews") == (-1.0, 1.0) and ends([1.0, 2.0])[1] > 2.0
    runs = [make_run(tmp_path / name, value, seed=seed) for name, value, seed in (("a", 1.0, 0), ("b", 0.99, 1))]
    page = page_of(runs, tmp_path / "runs.html")
    assert max(map(float, re.findall(r'text-anchor="end">([\d.]+)<', page))) <= 1.0


def test_labels_lie_on_no_other_and_in_the_picture():
    """Where there is no room a letter stands in, and the legend has the name."""
    places = [(180 + 6 * i, 100 + 4 * (i % 3)) for i in range(24)]
    names = [f"λ=0.00{i} flops=0.{i}" for i in range(24)]
    labels, legend = beside(places, names)
    boxes = [(one["x"], one["y"] - 11, one["x"] + 6.4 * len(one["text"]), one["y"]) for one in labels]
    apart = [not (a[0] < b[2] and b[0] < a[2] and a[1] < b[3] and b[1] < a[3])
             for i, a in enumerate(boxes) for b in boxes[:i] if len(labels[i]["text"]) > 1]  # fmt: skip
    assert all(apart) and all(box[0] >= 0 and box[2] <= WIDTH and box[3] <= HEIGHT for box in boxes)
    assert {one["text"] for one in labels} == (set(names) - set(legend.values())) | set(legend)


def training(folder, kind="classification", names=("bad", "good"), **columns):
    run = make_run(folder, task={"name": "own", "kind": kind, "label_names": list(names) if names else None})
    (run / "timing.csv").unlink()
    (run / ".hydra/hydra.yaml").write_text("hydra: {job: {name: finetune}}")
    history = {"loss": [0.7, None, 0.4, None], "eval_loss": [None, 0.6, None, 0.5], "epoch": [0.5, 1.0, 1.5, 2.0],
               "eval_accuracy": [None, 0.8, None, 1.0]}  # fmt: skip
    pd.DataFrame(history).to_csv(run / "history.csv", index=False)
    pd.DataFrame(columns).to_csv(run / "predictions.csv", index=False)
    return run


def test_the_page_of_a_training_has_curves_and_classes(tmp_path):
    run = training(tmp_path / "a", label=[0, 0, 1, 1], prediction=[0, 1, 1, 1])
    page = page_of([run], run / "report.html")
    assert page.count("<polyline") == 3 and "dev accuracy by epoch" in page  # two losses, one metric
    assert re.search(r'bad</td><td class="n">1.000</td><td class="n">0.500</td><td class="n">0.667</td>', page)
    assert "Which class is taken for which" in page
    assert "baseline</b>" in page and "contender in time" in page
    several = training(tmp_path / "b", "multi_label", label_0=[1, 0], label_1=[1, 1], prediction_0=[1, 1],
                       prediction_1=[0, 1])  # fmt: skip
    page = page_of([several], several / "report.html")
    assert "good</td>" in page and "Which class is taken" not in page
    values = training(tmp_path / "c", "regression", None, label=[0.1, 0.5, 0.9], prediction=[0.2, 0.5, 0.7])
    page = page_of([values], values / "report.html")
    assert page.count('class="dot"') == 3 and "Class by class" not in page


def test_short_names_are_explained_where_they_stand(tmp_path):
    run = make_run(tmp_path / "a")
    page = page_of([run], run / "report.html")
    assert "<dt>plain</dt>: <dd>transformers' own model</dd>" in page
    assert "<dt>sorted</dt>" in page and "<dt>packed</dt>" not in page  # which do not stand there


WIDE = """<script>onload = () => { const over = [...document.querySelectorAll("body *")].filter(one =>
one.getBoundingClientRect().right > innerWidth + 1 && !one.closest(".wide, .picture") && !one.closest("svg"));
document.title = [document.documentElement.scrollWidth <= innerWidth, over.length].join() }</script></body>"""


@pytest.mark.skipif(shutil.which("chromium") is None, reason="needs Chromium")
def test_nothing_is_wider_than_the_window(tmp_path):
    """Tables scroll in boxes of their own, here at the least width that a headless window has."""
    runs = [make_run(tmp_path / f"a-run-with-a-long-name-{i}", 0.9 - i / 100, seed=i) for i in range(8)]
    timing(0.1, padding="longest").to_csv(runs[0] / "timing.csv", index=False)
    page = tmp_path / "runs.html"
    write_page(runs, page)
    page.write_text(page.read_text(encoding="utf-8").replace("</body>", WIDE), encoding="utf-8")
    for width in (500, 1280):
        browser = ["chromium", "--headless", "--no-sandbox", "--no-first-run", "--disable-gpu", "--disable-sync"]
        where = [f"--user-data-dir={tmp_path}/profile", f"--window-size={width},900", "--dump-dom", f"file://{page}"]
        shown = subprocess.run([*browser, *where], capture_output=True, text=True, timeout=60, check=True).stdout
        assert "<title>true,0</title>" in shown
