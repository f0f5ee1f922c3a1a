"""A training that SIGTERM stops, at whatever step, goes on to the very result that it would have had."""

import os
import signal

import pytest
import torch
from hosts import described, make_host
from trainings import plan
from transformers import TrainerCallback

from powerbert_cli.encoder.searching import SoftExtractModel
from powerbert_cli.encoder.shortened import ShortenedModel
from powerbert_cli.errors import Terminated
from powerbert_cli.settings import RetrainStage
from powerbert_cli.training.classifier import train_classifier
from powerbert_cli.training.controller import Controller
from powerbert_cli.training.soft_search import search_retention

OPEN = described(None, 16)
RELATIVE = described(None, 16, kind="relative", fractions=(0.6, 0.3, 0.1))


class SigtermAt(TrainerCallback):
    def __init__(self, *steps):
        self.steps = list(steps)

    def on_step_begin(self, args, state, control, **kwargs):
        if state.global_step + 1 in self.steps:
            self.steps.remove(state.global_step + 1)
            os.kill(os.getpid(), signal.SIGTERM)


def retrained(material, folder, callbacks):
    """Six steps in each of two epochs; with dropout, and lengths drawn at random."""
    options = RetrainStage(
        epochs=2,
        lr=1e-3,
        distill=0.0,
        temperature=2.0,
        distill_cls=0.0,
        patient=0.0,
        patient_layers="skip",
        patient_norm=True,
        gradual=0.0,
        train_once=True,
    )
    return train_classifier(ShortenedModel(make_host(), RELATIVE), material, plan(epochs=2), folder, callbacks, options)


def searched(material, folder, callbacks):
    controller = Controller(lambda masses: masses.mean() / 16, 1.0, 0.5, 1e-2)
    model = SoftExtractModel(make_host(), OPEN)
    given = (model, material, plan(epochs=2), 1e-2, 0.05, False, folder, callbacks)
    found = search_retention(*given, controller=controller)
    return found.trained, found.retention_parameters, found.masses


def until_done(train, material, folder, callback):
    stops = 0
    while True:
        try:
            return train(material, folder, [callback]), stops
        except Terminated:
            stops += 1


@pytest.mark.parametrize("step", [1, 4, 6, 9])
def test_sigterm_in_a_retraining(step, material, tmp_path):
    whole = retrained(material, tmp_path / "whole", [])
    stopped, stops = until_done(retrained, material, tmp_path / "stopped", SigtermAt(step))
    assert stops == 1
    assert (whole.logits == stopped.logits).all()


def test_sigterm_several_times_in_a_search(material, tmp_path):
    whole, r, masses = searched(material, tmp_path / "whole", [])
    (stopped, r_stopped, masses_stopped), stops = until_done(
        searched, material, tmp_path / "stopped", SigtermAt(2, 5, 8)
    )
    assert stops == 3
    assert (whole.logits == stopped.logits).all() and torch.equal(r, r_stopped) and masses == masses_stopped
    columns = [name for name in whole.history if name.startswith(("mass_", "lambda", "share", "goal", "integral"))]
    assert len(columns) == 7
    assert whole.history[columns].equals(stopped.history[columns])


def test_checkpoints_within_an_epoch_go_by_the_clock(material, tmp_path):
    """Killed without notice, a run goes on from the last of them."""

    class Killed(BaseException):
        pass

    class KillAt(TrainerCallback):
        def on_step_begin(self, args, state, control, **kwargs):
            if state.global_step == 4:
                raise Killed

    def train(folder, *callbacks):
        model = ShortenedModel(make_host(), RELATIVE)
        return train_classifier(model, material, plan(epochs=1, save_minutes=1e-9), folder, callbacks)

    with pytest.raises(Killed):
        train(tmp_path / "killed", KillAt())
    assert (tmp_path / "killed" / "checkpoint-4").is_dir()
    assert (train(tmp_path / "killed").logits == train(tmp_path / "whole").logits).all()


def test_sigterm_is_given_back(material, tmp_path):
    before = signal.getsignal(signal.SIGTERM)
    retrained(material, tmp_path, [])
    assert signal.getsignal(signal.SIGTERM) is before
