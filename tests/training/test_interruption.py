"""A training that SIGTERM or Ctrl-C stops, at any step, goes on to the very result that it would have had."""

import logging
import os
import signal

import pytest
import torch
from hosts import described, make_host
from trainings import plan
from transformers import TrainerCallback

from powerbert_cli.encoder.searching import SoftExtractModel
from powerbert_cli.encoder.shortened import ShortenedModel
from powerbert_cli.errors import Interrupted, Terminated
from powerbert_cli.settings import RetrainStage
from powerbert_cli.training.classifier import train_classifier
from powerbert_cli.training.controller import Controller
from powerbert_cli.training.soft_search import search_retention

OPEN = described(None, 16)
RELATIVE = described(None, 16, kind="relative", fractions=(0.6, 0.3, 0.1))


class SignalAt(TrainerCallback):
    """Sends a signal in each of these steps."""

    def __init__(self, *steps, number=signal.SIGTERM, times=1):
        self.steps, self.number, self.times = list(steps), number, times

    def on_step_begin(self, args, state, control, **kwargs):
        if state.global_step + 1 in self.steps:
            self.steps.remove(state.global_step + 1)
            for _ in range(self.times):
                os.kill(os.getpid(), self.number)


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
        except (Interrupted, Terminated) as error:
            assert str(error).startswith("the training is saved at step ")
            stops += 1


@pytest.mark.parametrize(("step", "number"), [(1, "INT"), (4, "TERM"), (6, "INT"), (9, "TERM")])
def test_a_signal_in_a_retraining(step, number, material, tmp_path, caplog):
    caplog.set_level(logging.INFO)
    whole = retrained(material, tmp_path / "whole", [])
    assert "resumed" not in caplog.text
    number = getattr(signal, f"SIG{number}")
    stopped, stops = until_done(retrained, material, tmp_path / "stopped", SignalAt(step, number=number))
    assert stops == 1
    assert (whole.logits == stopped.logits).all()
    assert f"resumed at step {step} of 12" in caplog.text


def test_ctrl_c_says_what_is_saved_and_a_second_one_ends_at_once(material, tmp_path, capfd):
    with pytest.raises(Interrupted, match="^the training is saved at step 2 of 12$"):
        retrained(material, tmp_path / "once", [SignalAt(2, number=signal.SIGINT)])
    assert "Ctrl-C again ends it at once" in capfd.readouterr().err
    with pytest.raises(KeyboardInterrupt) as caught:
        retrained(material, tmp_path / "twice", [SignalAt(2, number=signal.SIGINT, times=2)])
    assert not isinstance(caught.value, Interrupted)
    assert not list((tmp_path / "twice").glob("checkpoint-*"))


def test_a_job_that_ignores_ctrl_c_goes_on_ignoring_it(material, tmp_path):
    """As a shell starts those behind &."""
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        retrained(material, tmp_path, [SignalAt(2, number=signal.SIGINT)])
    finally:
        signal.signal(signal.SIGINT, before)


def test_a_training_whose_folder_goes_says_nothing_of_saving(material, tmp_path):
    with pytest.raises(KeyboardInterrupt) as caught:
        model = ShortenedModel(make_host(), RELATIVE)
        callbacks = [SignalAt(2, number=signal.SIGINT)]
        train_classifier(model, material, plan(resumes=False), tmp_path, callbacks)
    assert not isinstance(caught.value, Interrupted)


def test_sigterm_several_times_in_a_search(material, tmp_path):
    whole, r, masses = searched(material, tmp_path / "whole", [])
    (stopped, r_stopped, masses_stopped), stops = until_done(
        searched, material, tmp_path / "stopped", SignalAt(2, 5, 8)
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


def test_signals_are_given_back(material, tmp_path):
    before = [signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT)]
    retrained(material, tmp_path, [])
    assert [signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT)] == before
