"""A run directory as a verb leaves it, for what reads run directories."""

import json

import pandas as pd

EVIL = "<script>alert('x')</script>"


def timing(seconds, within=(None, None), **more):
    """Of a plain and a shortened contender."""
    rows = [
        {"model": model, "shortened": model == "shortened", "contender": f"{model}/sorted/eager/fp32", "median_s": s,
         "speedup": 0.2 / s, "speedup_low": 0.18 / s, "speedup_high": 0.22 / s, "examples_per_s": 32 / s,
         "speedup_vs_best": 0.2 / s, "speedup_vs_best_low": 0.19 / s, "speedup_vs_best_high": 0.21 / s,
         "engine": "eager", "precision": "fp32", "padding": "sorted", "batch_size": 32, "seq_len": 64, "threads": 2,
         "within_max_drop": held, **more}
        for model, s, held in (("plain", 0.2, within[0]), ("shortened", seconds, within[1]))
    ]  # fmt: skip
    return pd.DataFrame(rows)


def make_run(folder, value=0.9, seconds=0.1, **settings):
    folder.mkdir(parents=True)
    (folder / ".hydra").mkdir()
    (folder / ".hydra" / "hydra.yaml").write_text("hydra: {job: {name: retrain}}")
    (folder / ".hydra" / "overrides.yaml").write_text('- task=rte\n- "task.label_names=[a b]"\n')
    (folder / "config.yaml").write_text(json.dumps({"task": {"name": "rte"}, "note": EVIL, **settings}))
    metrics = {"task": "rte", "split": "dev", "metric": "accuracy", "value": value, "interval": [0.8, 0.95], "n": 9}
    (folder / "metrics.json").write_text(json.dumps({**metrics, "seed": 0}))
    (folder / "retention.json").write_text(json.dumps({"seq_len": 64, "lengths": [32, 16], "fractions": None}))
    words = [[{"word": EVIL, "layer": 2}, {"word": "plot", "layer": 1}, {"word": "the", "layer": 0}]]
    (folder / "words.json").write_text(json.dumps({"layers": 2, "texts": words}))
    timing(seconds).to_csv(folder / "timing.csv", index=False)
    return folder
