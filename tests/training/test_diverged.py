"""A training whose numbers are no longer finite stops, and leaves nothing to go on from."""

import numpy as np
import pytest
import torch
from hosts import described, make_host
from small import SMALL
from trainings import NO_PATIENCE, plan

from powerbert_cli.cli import dispatch
from powerbert_cli.encoder.searching import SoftExtractModel
from powerbert_cli.encoder.shortened import ShortenedModel
from powerbert_cli.settings import RetrainStage
from powerbert_cli.training.classifier import train_classifier
from powerbert_cli.training.diverged import Diverged, check_finite
from powerbert_cli.training.soft_search import search_retention

FULL, OPEN, SHORT = described((16,) * 3, 16), described(None, 16), described((8, 5, 2), 16)
OPTIONS = RetrainStage(
    epochs=1, lr=1e30, distill=0.0, temperature=1.0, distill_cls=0.0, **NO_PATIENCE, gradual=0.0, train_once=True
)  # fmt: skip


@pytest.mark.parametrize("elimination, options", [(FULL, None), (SHORT, None), (SHORT, OPTIONS)])
def test_a_loss_that_is_not_finite_names_the_step(elimination, options, material, tmp_path):
    model = ShortenedModel(make_host(), elimination)
    with pytest.raises(
        Diverged, match=r"the loss of step [2-6]/6 is (nan|infinite); lower the learning rate \(lr=1e\+30"
    ):
        train_classifier(model, material, plan(lr=1e30), tmp_path, options=options)
    assert not list(tmp_path.glob("checkpoint-*"))


def test_a_search_names_its_own_rates(material, tmp_path):
    with pytest.raises(Diverged, match=r"or lower lr_soft=0.01 or λ=1e\+38"):
        search_retention(SoftExtractModel(make_host(), OPEN), material, plan(), 1e38, 0.01, False, tmp_path)


def test_logits_are_looked_at_where_nothing_is_trained(material, tmp_path):
    model = ShortenedModel(make_host(), SHORT)
    with torch.no_grad():
        model.host.classifier.bias.fill_(float("nan"))
    with pytest.raises(Diverged, match="the logits after step 0/0 are nan in part; the model was not trained here"):
        train_classifier(model, material, plan(epochs=0), tmp_path)


def test_numbers_and_arrays():
    check_finite([1.0, -2.0], "x", "y")
    with pytest.raises(Diverged, match="^x is infinite; y$"):
        check_finite(float("-inf"), "x", "y")
    with pytest.raises(Diverged, match="^x are nan in part; y$"):
        check_finite(np.array([[0.0, np.nan]]), "x", "y")


REGRESSION = ["task.kind=regression", "task.label_names=null", "task.metric=spearman"]


@pytest.mark.parametrize(
    "args, said",
    [
        (["finetune", "lr=1e8"], "powerbert: finetune: the training diverged: the loss of step"),
        (["finetune", "lr=1e8", *REGRESSION], "powerbert: finetune: the training diverged: the loss of step"),
        (["search", "search.lr=1e8"], "powerbert: search λ=0.001: the training diverged: the loss of step"),
        (["retrain", "retention.lengths=[20,6]", "retrain.lr=1e8"], "powerbert: retrain: the training diverged"),
        (["sweep", "lambda=1e-2", "retrain.lr=1e8", "epochs=1"], "the training diverged"),
    ],
)  # fmt: skip
def test_the_command_fails_and_keeps_no_stage(args, said, tmp_path, capsys):
    code = dispatch([*args[:1], *SMALL, "batch_size=8", *args[1:], f"output_dir={tmp_path}"])
    errors = capsys.readouterr().err.strip().splitlines()
    assert code == 1 and said in errors[-1] and "lower the learning rate" in errors[-1]
    failed = args[0] if args[0] != "sweep" else "retrain"
    assert not list(tmp_path.glob(f"stages/{failed}-*")) and not list(tmp_path.glob("stages/.*.work/checkpoints/*-*"))
