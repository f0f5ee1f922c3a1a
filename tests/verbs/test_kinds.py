"""Kinds of task, strategies and variants through whole commands, in this process."""

import json
import random
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hydra import compose, initialize_config_dir
from small import QUICK, SMALL, newest

from powerbert_cli.cli import conf_dir, dispatch
from powerbert_cli.settings.typed import from_config
from powerbert_cli.stages.tested import _as_in_the_file
from powerbert_cli.verbs import settings_of

TINY = ["epochs=1", "batch_size=8", "model.config.num_hidden_layers=2", "seq_len=32", "runtime.log_seconds=60"]


@pytest.fixture
def folder(here):
    (here / "data").mkdir()
    return here


def words(n: int, seed: int) -> str:
    return " ".join(random.Random(seed).choices(["sun", "rain", "wind", "snow", "fog"], k=n))


def rows(count: int, make) -> str:
    return "".join(json.dumps(make(i)) + "\n" for i in range(count))


def test_multiple_choice_from_the_original_and_the_hub_form(folder):
    """One passage with its questions in a row, or one question in a row; all the way to a bench."""

    def passage(i):
        options = [words(2, i + k) for k in range(4)]
        return {
            "article": words(20, i), "questions": ["what _ ?", "who ?"],
            "options": [options, options], "answers": ["A", "D"],
        }  # fmt: skip

    def question(i):
        return {
            "article": words(9 + i, i), "question": "why ?",
            "options": [words(2, i + k) for k in range(4)], "answer": "B",
        }  # fmt: skip

    Path("data/train.jsonl").write_text(rows(8, passage))
    Path("data/dev.json").write_text(json.dumps([question(i) for i in range(8)]))
    Path("data/test.jsonl").write_text(rows(3, question))
    race = ["task=race", "task.data_dir=data", *TINY]
    assert dispatch(["retrain", *race, "retention.lengths=[9,4]", "predict_test=true", "retrain.distill=0.5"]) == 0
    run = newest("retrain")
    assert json.loads((run / "model/config.json").read_text())["architectures"] == ["BertForMultipleChoice"]
    answers = pd.read_csv(run / "test_predictions.tsv", sep="\t")
    assert len(answers) == 3 and set(answers["prediction"]) <= set("ABCD")
    timed = [*QUICK, "bench.examples=8", f"model_dir={run / 'model'}"]
    assert dispatch(["bench", *race, *timed]) == 0
    assert (pd.read_csv(newest("bench") / "timing.csv")["flops_ratio"] >= 1).all()


def test_multi_label(folder):
    for name in ("train", "dev", "test"):
        Path(f"data/{name}.jsonl").write_text(
            rows(16, lambda i: {"text": words(5, i), "label": [["wet"], [], ["wet", "cold"]][i % 3]})
        )
    own = ["task=custom", "task.kind=multi_label", "task.data_dir=data", "task.label_names=[wet,cold,dark]"]
    assert dispatch(["sweep", *own, *TINY, "task.metric=f1", "lambda=1e-2", *QUICK]) == 0
    result = json.loads((newest("sweep") / "0/result.json").read_text())
    assert result["metric"] == "f1" and 0 <= result["confidence"] <= 1
    assert "label_2" in pd.read_csv(newest("sweep") / "0/predictions.csv")
    Path("data/test.jsonl").write_text(rows(2, lambda i: {"text": words(5, i)}))
    assert dispatch(["finetune", *own, *TINY, "task.metric=f1", "predict_test=true"]) == 0
    answers = pd.read_csv(newest("finetune") / "test_predictions.tsv", sep="\t", keep_default_na=False)
    assert all(set(filter(None, a.split(","))) <= {"wet", "cold", "dark"} for a in answers["prediction"])


SUBMISSIONS = {
    "cola": ("CoLA.tsv", {"0", "1"}), "sst2": ("SST-2.tsv", {"0", "1"}), "mrpc": ("MRPC.tsv", {"0", "1"}),
    "qqp": ("QQP.tsv", {"0", "1"}), "wnli": ("WNLI.tsv", {"0", "1"}), "stsb": ("STS-B.tsv", None),
    "rte": ("RTE.tsv", {"entailment", "not_entailment"}), "qnli": ("QNLI.tsv", {"entailment", "not_entailment"}),
    "mnli-m": ("MNLI-m.tsv", {"entailment", "neutral", "contradiction"}),
    "mnli-mm": ("MNLI-mm.tsv", {"entailment", "neutral", "contradiction"}),
}  # fmt: skip


@pytest.mark.parametrize("task", SUBMISSIONS)
def test_answers_as_each_glue_task_has_them(task):
    """Of every class; the file's name is that of the server."""
    with initialize_config_dir(str(conf_dir()), version_base="1.3"):
        settings = from_config(compose("finetune", overrides=[f"task={task}"]), settings_of("finetune")).task
    name, labels = SUBMISSIONS[task]
    assert settings.submission["file"] == name
    if labels is None:
        assert list(_as_in_the_file(np.array([[-1.0], [2.5], [7.0]]), None, settings)) == ["0.000", "2.500", "5.000"]
    else:
        logits = np.eye(len(settings.label_names))
        assert set(_as_in_the_file(logits, None, settings)) == labels and len(logits) == len(labels)


@pytest.mark.parametrize("task", ["cola", "rte", "stsb"])
def test_submission_file(folder, task):
    """Header, labels, one line for each test row in its order; answers do not depend on the batch."""
    single = task in ("cola", "sst2")
    columns = ["sentence"] if single else ["sentence1", "sentence2"]
    for name, count in (("train", 12), ("dev", 6), ("test", 9)):
        table = pd.DataFrame({column: [words(3 + i, i) for i in range(count)] for column in columns})
        if name != "test":
            table["label"] = [float(i % 5) if task == "stsb" else i % 2 for i in range(count)]
        table.to_csv(f"data/{name}.tsv", sep="\t", index=False)
    args = [f"task={task}", "task.data_dir=data", *TINY]
    assert dispatch(["finetune", *args, "predict_test=true"]) == 0
    name, labels = SUBMISSIONS[task]
    lines = (newest("finetune") / name).read_text().splitlines()
    assert lines[0] == "index\tprediction" and [line.split("\t")[0] for line in lines[1:]] == [*map(str, range(9))]
    answers = [line.split("\t")[1] for line in lines[1:]]
    if labels is None:
        assert all(0 <= float(answer) <= 5 for answer in answers)
    else:
        assert set(answers) <= labels


@pytest.mark.parametrize("strategy", ["head", "random", "threshold", "merge"])
def test_each_strategy_is_searched_and_retrained(folder, strategy):
    assert dispatch(["retrain", *SMALL, f"strategy={strategy}", "lambda=1e-2", "protect_separators=true"]) == 0
    found = json.loads((newest("retrain") / "model/retention.json").read_text())
    assert found["strategy"] == strategy and len(found["protected_tokens"]) == 1
    assert (found["thresholds"] is not None) == (strategy == "threshold")
    assert (found["random_order"] is not None) == (strategy == "random")


@pytest.mark.parametrize("variant", ["paper", "ibm"])
def test_variants(folder, variant):
    assert dispatch(["retrain", *SMALL, f"variant={variant}", "lambda=1e-2"]) == 0
    found = json.loads((newest("retrain") / "retention.json").read_text())
    assert found["pad_queries"] is True and found["diagonal"] is (variant == "paper")
    history = pd.read_csv(newest("retrain") / "history.csv")
    assert ("eval_ibm" in history) == (variant == "ibm")
    stages = [json.loads(p.read_text()) for p in Path("outputs/stages").glob("retrain-*/stage.json")]
    searches = {path.name.removeprefix("search-") for path in Path("outputs/stages").glob("search-*")}
    assert (stages[0]["settings"]["start"] in searches) == (variant == "ibm")


def test_auto_settles_seq_len_and_lr_soft(folder, capfd):
    assert (
        dispatch(["search", *SMALL, "seq_len=auto", "lr_soft=auto", "lambda=1e-2", "research.regularizer=decoupled"])
        == 0
    )
    out = capfd.readouterr().out
    assert "99% ≤" in out and "seq_len=auto: ℓ=64" in out and "which adds up to 10 over 2 steps" in out
    config = (newest("search") / "config.yaml").read_text()
    assert "seq_len: 64" in config and "auto" not in config.partition("lr_soft:")[2].splitlines()[0]
    assert (newest("search") / "search.png").read_bytes().startswith(b"\x89PNG")


def test_the_same_command_gives_the_same_to_the_last_digit(folder):
    args = ["retrain", *SMALL, "lambda=3e-3"]
    found = []
    for where in ("one", "two"):
        assert dispatch([*args, f"output_dir={where}"]) == 0
        run = max(Path(where, "retrain").glob("*/*"))
        found.append([(run / name).read_text() for name in ("metrics.json", "predictions.csv")])
        found[-1].append(json.loads((run / "retention.json").read_text())["masses"])
    assert found[0] == found[1]


def test_published_table_says_what_is_known(folder, capfd):
    sizes = ["num_hidden_layers=12", "hidden_size=32", "num_attention_heads=2", "intermediate_size=64"]
    small = [
        *(f"+model.config.{size}" for size in sizes),
        "batch_size=4",
        *QUICK,
        "bench.examples=4",
        "bench.paddings=[max]",
    ]
    assert dispatch(["bench", "experiment=paper/table1", *small]) == 0
    table = pd.read_csv(max(Path("outputs/bench").glob("*/*/published.csv"))).set_index("task")
    assert table["measured"].notna().sum() == 2 and table.loc["CoLA", "measured"] > 0
    assert capfd.readouterr().out.count("not published") == 9


@pytest.mark.parametrize("how", [["retention=full"], ["strategy=random", "retention=full"]])
def test_full_retention_without_re_training_is_the_fine_tuned_model(folder, how):
    args = SMALL
    assert dispatch(["retrain", *args, *how, "retrain.epochs=0"]) == 0
    assert dispatch(["finetune", *args]) == 0
    found = [json.loads((newest(verb) / "metrics.json").read_text()) for verb in ("retrain", "finetune")]
    assert found[0] == found[1]


def test_what_keeps_everything_has_nothing_to_search(folder, capfd):
    assert dispatch(["search", "retention=full"]) == 2
    assert "search finds a retention configuration, it takes none" in capfd.readouterr().err


def test_a_task_without_dev_rows_is_measured_on_its_test_split_once(folder, capfd):
    """Held-back rows choose; the test split has its own file, line and place in a sweep's report."""
    for name, count in (("train", 40), ("test", 10)):
        table = pd.DataFrame(
            {"text": [words(3 + i % 5, i) for i in range(count)], "label": [i % 2 for i in range(count)]}
        )
        table.to_csv(f"data/{name}.csv", index=False)
    own = ["task=custom", "task.data_dir=data", *TINY, "epochs=2"]
    assert dispatch(["finetune", *own]) == 0
    out = capfd.readouterr().out
    assert "no dev split of its own: 8 of 40 training rows are held back for it" in out
    assert "the best of 2 epochs on these rows)" in out
    assert "on the test split, which nothing was chosen on: custom test accuracy" in out
    run = newest("finetune")
    assert json.loads((run / "metrics.json").read_text())["n"] == 8
    test = json.loads((run / "test_metrics.json").read_text())
    assert (test["n"], test["split"], test["best_of_epochs"]) == (10, "test", None)
    sweep = ["lambda=1e-2", "bench.rounds=3", "bench.examples=8", "bench.paddings=[sorted]", "bench.max_drop=0.9"]
    assert dispatch(["sweep", *own, *sweep]) == 0
    out = capfd.readouterr().out
    assert out.count("on the test split, which nothing was chosen on: accuracy") == 1
    assert "its metric and drop are of dev" not in out
    assert len(list(Path("outputs/stages").glob("tested-*"))) >= 2  # of shortened models, and one of the plain one


def test_bench_measures_the_answers_of_what_is_not_exact(folder, few_bits, capfd):
    pytest.importorskip("onnxruntime")
    own = [*SMALL, *QUICK, "bench.models=[shortened]"]
    engines = ["bench.engines=[eager,onnx]", "bench.precisions=[fp32,int8]"]
    assert dispatch(["bench", *own, f"model_dir={few_bits}", *engines]) == 0
    timing = pd.read_csv(newest("bench") / "timing.csv").set_index("contender")
    exact = timing[timing["precision"] == "fp32"]
    inexact = timing[timing["precision"] != "fp32"]
    assert len(inexact) == 2 and exact["value"].isna().all() and inexact["value"].between(0, 1).all()
    assert inexact["answers_differ"].between(0, 1).all() and (inexact["logits_differ"] > 0).all()
    assert "answers on dev" in capfd.readouterr().out
    record = json.loads((newest("bench") / "timing.json").read_text())["runs"][0]
    assert len(record["calls_s"]["shortened/sorted/eager/fp32"][0]) == 1  # one batch of 32
    assert dispatch(["bench", *own, "bench.accuracy=true", "retention.lengths=[9,4]"]) == 0  # weights not trained
    assert "value" not in pd.read_csv(newest("bench") / "timing.csv")


def test_a_shortened_model_is_timed_with_its_own_tokenizer(folder, capfd):
    """Whatever model the other keys would make: a vocabulary of its own cuts texts into other word-pieces."""

    def mean_length(*args):
        assert dispatch(["bench", *SMALL, *QUICK, "bench.models=[shortened]", *args]) == 0
        return json.loads((newest("bench") / "timing.json").read_text())["runs"][0]["mean_length"]

    assert dispatch(["retrain", *SMALL, "model.vocab_size=45", "retention.lengths=[40,20]"]) == 0
    run = newest("retrain")
    own = mean_length("model.vocab_size=45", "retention.lengths=[40,20]")
    assert mean_length(f"model_dir={run / 'model'}") == own != mean_length("retention.lengths=[40,20]")
    capfd.readouterr()
    assert dispatch(["bench", *SMALL, f"model_dir={run / 'model'}", "seq_len=128"]) == 2
    assert "seq_len=128 exceeds ℓ=64 of model_dir=" in capfd.readouterr().err
    assert dispatch(["sweep", *SMALL, "lambda=1e-2", f"model_dir={run / 'model'}"]) == 2
    assert "a sweep shortens models of its own" in capfd.readouterr().err


def test_thresholds_are_not_timed_with_weights_that_are_not_trained(folder, capfd):
    assert dispatch(["search", *SMALL, "strategy=threshold", "lambda=1e-2"]) == 0
    run = newest("search")
    table = pd.read_csv(run / "thresholds.csv")
    assert list(table) == ["layer", "threshold", "expected", "kept"] and (table["expected"] >= 1).all()
    own = [*SMALL, "strategy=threshold", *QUICK]
    for given in ("retention.thresholds=[0.5,1]", f"retention.path={run}/retention.json"):
        assert dispatch(["bench", *own, given]) == 2
        assert "depends on the weights; give trained ones with model_dir=MODEL" in capfd.readouterr().err
    own.append(f"retention.path={run}/retention.json")
    assert dispatch(["bench", *own, f"model_dir={run / 'model'}", "retrain.epochs=0"]) == 0
