"""A given classifier that says something else than the task: followed, re-headed with a warning, or refused."""

import json
from pathlib import Path

import pandas as pd
import pytest
import torch
from hosts import make_host
from transformers import AutoModel, AutoModelForSequenceClassification, RobertaConfig, RobertaModel

from powerbert_cli.cli import dispatch
from powerbert_cli.kinds import KINDS
from powerbert_cli.models.classes import check_classes
from powerbert_cli.models.model_dir import save_model_dir
from powerbert_cli.models.weights import ModelError
from powerbert_cli.tasks.tokenizing import build_tokenizer

SMALL = ["task=custom", "task.data_dir=data", "epochs=1", "batch_size=8", "seq_len=16"]


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path("data").mkdir()
    for name in ("train", "dev"):
        rows = [{"text": f"a b c {i % 3}", "b": "d e", "label": i % 2} for i in range(16)]
        pd.DataFrame(rows).to_csv(f"data/{name}.csv", index=False)
    return tmp_path


def config_of(host, **changes):
    for name, value in changes.items():
        setattr(host.config, name, value)
    return host.config


def named(names):
    return {
        "num_labels": len(names),
        "id2label": dict(enumerate(names)),
        "label2id": {n: i for i, n in enumerate(names)},
    }


@pytest.mark.parametrize(
    "names, own",
    [
        (["neg", "pos"], ["neg", "pos"]),
        (["NEG", "POS"], ["neg", "pos"]),
        (["LABEL_0", "LABEL_1"], ["a", "b"]),
        (["neg", "pos"], ["0", "1"]),
    ],
)
def test_classes_that_agree(names, own):
    check_classes(config_of(make_host(), problem_type=None, **named(names)), KINDS["classification"](own, ""))


@pytest.mark.parametrize(
    "changes, kind, names, message",
    [
        (named(["neg", "pos"]), "classification", ["pos", "neg"], r"set task.label_names=\[neg,pos\]"),
        (named(["neg", "pos"]), "classification", ["bad", "good"], "its classes are neg, pos in this order"),
        (named(["a", "b", "c"]), "classification", ["a", "b"], "a classifier of 3 classes, the task has 2"),
        (named(["a"]), "classification", ["a", "b"], "a classifier of one output, the task has 2"),
        (named(["a", "b"]), "regression", None, "a classifier of 2 classes, the task has one value"),
        ({"problem_type": "multi_label_classification"}, "classification", ["a", "b"], "a model for multi_label"),
        ({"problem_type": "single_label_classification"}, "multi_label", ["a", "b"], "a model for single_label"),
        ({"problem_type": "regression", **named(["a"])}, "classification", ["a", "b"], "a model for regression"),
    ],
)
def test_classes_that_differ(changes, kind, names, message):
    config = config_of(make_host(), **{"problem_type": None, **changes})
    with pytest.raises(ModelError, match=message):
        check_classes(config, KINDS[kind](names, ""))


def save(name, host, texts=("a b c d e 0 1 2",)):
    save_model_dir(Path(name), host, build_tokenizer(texts, 90))


def changed(name, **changes):
    path = Path(name, "config.json")
    path.write_text(json.dumps({**json.loads(path.read_text()), **changes}))


def test_a_checkpoint_of_another_order_is_refused(folder, capfd):
    save("model", make_host())
    changed("model", id2label={"0": "neg", "1": "pos"}, label2id={"neg": 0, "pos": 1})
    own = ["model_dir=model", "retention.lengths=[9,5,2]", "task.label_names=[pos,neg]", "retrain.epochs=0"]
    assert dispatch(["retrain", *SMALL, *own]) == 2
    assert "model_dir=model: its classes are neg, pos in this order, the task's pos, neg" in capfd.readouterr().err
    assert dispatch(["bench", *SMALL, "task.label_names=[pos,neg]", "model_dir=model"]) == 2


def test_a_checkpoint_that_names_no_problem_has_the_tasks_loss(folder):
    """transformers would guess a problem from the labels' type; a multi-label task needs its own loss."""
    for name in ("train", "dev"):
        rows = [{"text": f"a b c {i % 3}", "label": [i % 2, 1, 0]} for i in range(16)]
        Path(f"data/{name}.csv").unlink()
        Path(f"data/{name}.jsonl").write_text("\n".join(map(json.dumps, rows)))
    save("model", make_host(num_labels=3))
    changed("model", problem_type=None)
    own = ["task.kind=multi_label", "task.metric=f1", "task.label_names=[a,b,c]", "model_dir=model"]
    assert dispatch(["retrain", *SMALL, *own, "retention.lengths=[9,5,2]"]) == 0
    model = max(Path("outputs/retrain").glob("*/*/model"))
    assert json.loads((model / "config.json").read_text())["problem_type"] == "multi_label_classification"


@pytest.mark.parametrize("names", [["a", "b", "c"], ["1", "0"]])
def test_a_classifier_of_other_classes_gets_a_new_head_with_a_warning(folder, capfd, names):
    """Of another number, or of the same in another order."""
    host = make_host(num_labels=2)
    save("model", host)
    changed("model", id2label={"0": "0", "1": "1"} if len(names) == 3 else {"0": "no", "1": "yes"})
    own = [f"task.label_names=[{','.join(names)}]", "model.name_or_path=model", "finetune.lr=1e-12", "seed=5"]
    if len(names) == 3:
        for name in ("train", "dev"):
            rows = [{"text": f"a b {i}", "label": i % 3} for i in range(9)]
            pd.DataFrame(rows).to_csv(f"data/{name}.csv", index=False)
    assert dispatch(["finetune", *SMALL, *own]) == 0
    assert "its head is made anew" in capfd.readouterr().out
    made = AutoModelForSequenceClassification.from_pretrained(max(Path("outputs/finetune").glob("*/*/model")))
    assert made.config.num_labels == len(names)
    before = dict(host.bert.named_parameters())
    assert all(torch.allclose(p, before[n], atol=1e-6) for n, p in made.bert.named_parameters())
    if len(names) == 2:
        # the same rows and weights, but the classes as they are called there: another stage, with the head as it was
        assert dispatch(["finetune", *SMALL, *own, "task.label_names=[no,yes]"]) == 0
        assert "made anew" not in capfd.readouterr().out
        assert len(list(Path("outputs/stages").glob("finetune-*"))) == 2
        assert not torch.allclose(made.classifier.weight, host.classifier.weight, atol=1e-3)


def test_a_classifier_of_the_same_classes_keeps_its_head(folder, capfd):
    host = make_host(num_labels=2)
    save("model", host)
    assert dispatch(["finetune", *SMALL, "model.name_or_path=model", "finetune.lr=1e-12"]) == 0
    assert "made anew" not in capfd.readouterr().out
    made = AutoModelForSequenceClassification.from_pretrained(max(Path("outputs/finetune").glob("*/*/model")))
    assert torch.allclose(made.classifier.weight, host.classifier.weight, atol=1e-6)


def roberta(**changes):
    sizes = {"hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 64}
    config = RobertaConfig(**{**sizes, "vocab_size": 100, "max_position_embeddings": 40, "pad_token_id": 0, **changes})
    return RobertaModel(config)


def test_token_types_beyond_the_models_are_left_out(folder):
    """RoBERTa with BERT's tokenizer, as klue/roberta has: pairs would ask for a second type."""
    save("model", roberta(type_vocab_size=1))
    assert dispatch(["finetune", *SMALL, "task.text_columns=[text,b]", "model.name_or_path=model"]) == 0


@pytest.mark.parametrize("changes", [{"pad_token": None}, {"padding_side": "left"}])
def test_tokenizers_that_are_not_as_usual(folder, changes):
    """The answers of a tokenizer that pads on the left, or has no PAD, are those of one that is as usual."""
    found = []
    for name, own in (("usual", {}), ("other", changes)):
        save(name, AutoModel.from_config(make_host().config))
        path = Path(name, "tokenizer_config.json")
        path.write_text(json.dumps({**json.loads(path.read_text()), **own}))
        args = [f"model.name_or_path={name}", "training.group_by_length=false", f"output_dir=out-{name}"]
        assert dispatch(["finetune", *SMALL, *args]) == 0
        found.append(pd.read_csv(next(Path(f"out-{name}").glob("finetune/*/*/predictions.csv"))))
    pd.testing.assert_frame_equal(*found, check_exact=False, atol=1e-5)


def test_a_model_without_the_id_that_its_positions_count_from(folder, capfd):
    save("model", roberta(type_vocab_size=1))
    changed("model", pad_token_id=None)
    assert dispatch(["finetune", *SMALL, "model.name_or_path=model"]) == 2
    assert "config.json of this roberta has no pad_token_id" in capfd.readouterr().err
