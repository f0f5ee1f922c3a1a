from dataclasses import replace

import datasets
import pandas as pd
import pytest
import torch
from hosts import described, make_host
from trainings import plan
from transformers import TrainerCallback

from powerbert_cli.encoder.searching import SoftExtractModel
from powerbert_cli.encoder.shortened import ShortenedModel
from powerbert_cli.errors import PowerbertError
from powerbert_cli.method.soft_extract import learning_rates
from powerbert_cli.stages.trained import epochs_of
from powerbert_cli.training import run as training_run
from powerbert_cli.training.checkpoints import last_whole, seal
from powerbert_cli.training.classifier import train_classifier
from powerbert_cli.training.run import balanced_weights, shared
from powerbert_cli.training.soft_search import search_retention
from powerbert_cli.training.trainer import ReproducibleTrainer, arguments

OPEN, SHORT = described(None, 16), described((8, 5, 2), 16)


def test_the_authors_selection_metric_is_used(material, tmp_path):
    trained = train_classifier(ShortenedModel(make_host(), SHORT), material, plan(best_by="ibm"), tmp_path)
    assert (trained.history["eval_ibm"].dropna() == trained.history["eval_accuracy"].dropna()).all()


def test_the_same_seed_gives_the_same_result(material, tmp_path):
    runs = [
        search_retention(SoftExtractModel(make_host(), OPEN), material, plan(), 0.05, 0.1, False, tmp_path / str(i))
        for i in (0, 1)
    ]
    assert torch.equal(runs[0].retention_parameters, runs[1].retention_parameters)
    assert (runs[0].trained.logits == runs[1].trained.logits).all()


def test_padding_of_batches_does_not_change_the_result(material, tmp_path):
    logits = []
    for padding in ("longest", "max"):
        model = ShortenedModel(make_host(), SHORT)
        for module in model.modules():
            if hasattr(module, "p"):
                module.p = 0.0
        model.config.hidden_dropout_prob = model.config.attention_probs_dropout_prob = 0.0
        trained = train_classifier(model, material, plan(training={"padding": padding}), tmp_path / padding)
        logits.append(torch.tensor(trained.logits))
    assert torch.allclose(*logits, atol=1e-3)


def test_a_stopped_training_goes_on_from_its_checkpoint(material, tmp_path):
    """Two epochs in one go, and two with a stop after the first, end with the same logits."""
    whole = train_classifier(ShortenedModel(make_host(), SHORT), material, plan(epochs=2), tmp_path / "whole")

    class Stop(TrainerCallback):
        def on_save(self, args, state, control, **kwargs):
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        train_classifier(ShortenedModel(make_host(), SHORT), material, plan(epochs=2), tmp_path / "two", [Stop()])
    second = train_classifier(ShortenedModel(make_host(), SHORT), material, plan(epochs=2), tmp_path / "two")
    assert (whole.logits == second.logits).all()


def test_the_best_epoch_is_kept(material, tmp_path):
    trained = train_classifier(
        ShortenedModel(make_host(), described((16,) * 3, 16)), material, plan(epochs=3), tmp_path
    )
    per_epoch = trained.history["eval_accuracy"].dropna()
    assert isinstance(trained.history, pd.DataFrame) and len(per_epoch) == 3
    assert (trained.logits.argmax(-1) == material.labels).mean() == pytest.approx(per_epoch.max())


@pytest.mark.parametrize("lr", [3e-3, 0.3])  # the last epoch is the best one, and an earlier one is
def test_dev_is_answered_once_an_epoch(material, tmp_path, monkeypatch, lr):
    """The answers of the epoch that is kept are those of its weights, without answering once more."""
    loops, whole = [], ReproducibleTrainer.evaluation_loop
    monkeypatch.setattr(
        ReproducibleTrainer, "evaluation_loop", lambda self, *a, **k: loops.append(1) or whole(self, *a, **k)
    )
    model = ShortenedModel(make_host(), SHORT)
    found = train_classifier(model, material, plan(lr=lr, epochs=3), tmp_path)
    best = int(found.history["eval_accuracy"].dropna().argmax())
    assert len(loops) == 3 and (best < 2) == (lr == 0.3), best
    again = train_classifier(model, material, plan(epochs=0), tmp_path / "again")
    assert (found.logits == again.logits).all()


def test_learning_rates_match_the_trainers_schedule():
    """transformers' own linear schedule with warm-up."""
    from transformers import get_linear_schedule_with_warmup

    optimizer = torch.optim.SGD([torch.zeros(1, requires_grad=True)], lr=0.2)
    schedule = get_linear_schedule_with_warmup(optimizer, 3, 30)
    theirs = []
    for _ in range(30):
        theirs.append(schedule.get_last_lr()[0])
        optimizer.step()
        schedule.step()
    assert learning_rates(30, 0.1, 0.2).tolist() == pytest.approx(theirs)


def checkpoint(folder, step, sealed=True):
    path = folder / f"checkpoint-{step}"
    path.mkdir()
    (path / "model.safetensors").write_bytes(b"weights" * step)
    if sealed:
        seal(path)
    return path


def test_a_checkpoint_that_was_cut_short_or_damaged_is_passed_over(tmp_path):
    """100 was never sealed, a file of 60 was truncated, one of 70 changed; 20 is whole, and older than they are."""
    for step in (9, 20, 60, 70):
        checkpoint(tmp_path, step)
    checkpoint(tmp_path, 100, sealed=False)
    (tmp_path / "checkpoint-60" / "model.safetensors").write_bytes(b"weights")
    (tmp_path / "checkpoint-70" / "model.safetensors").write_bytes(b"Weights" * 70)
    assert last_whole(tmp_path) == str(tmp_path / "checkpoint-20")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["checkpoint-20", "checkpoint-9"]
    assert last_whole(tmp_path / "none") is None


def test_evaluation_is_length_sorted_and_answers_in_the_order_of_the_rows(material, tmp_path):
    model = ShortenedModel(make_host(), SHORT)
    lengths_seen = []
    model.register_forward_pre_hook(
        lambda module, args, given: lengths_seen.append(given["input_ids"].shape[1]), with_kwargs=True
    )
    trained = train_classifier(model, material, plan(epochs=0), tmp_path)
    assert trained.rows is material.dev
    assert lengths_seen == sorted(lengths_seen, reverse=True)
    with torch.no_grad():
        for row, logits in zip(material.dev, trained.logits, strict=True):
            torch.testing.assert_close(
                model(input_ids=torch.tensor([row["input_ids"]])).logits[0].double(),
                torch.from_numpy(logits),
                atol=1e-5,
                rtol=1e-4,
            )


def out_of_memory_above(largest, monkeypatch):
    """As a device that holds `largest` examples; gives the sizes that it was given."""
    from transformers import Trainer

    step, sizes = Trainer.training_step, []

    def training_step(self, model, inputs, *args):
        sizes.append(len(inputs["input_ids"]))
        if sizes[-1] > largest:
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB")
        return step(self, model, inputs, *args)

    monkeypatch.setattr(Trainer, "training_step", training_step)
    return sizes


def test_out_of_memory_halves_the_micro_batch_not_the_batch(material, tmp_path, monkeypatch):
    said = []  # from the logger itself: what other tests leave at the root logger plays no part
    monkeypatch.setattr(training_run.log, "warning", lambda text, *values: said.append(text % values))

    def train(folder, **changes):
        model = ShortenedModel(make_host(), SHORT)
        model.config.hidden_dropout_prob = model.config.attention_probs_dropout_prob = 0.0
        return train_classifier(model, material, plan(batch_size=8, **changes), folder)

    expected = train(tmp_path / "expected", training={"accumulation": 4})
    sizes = out_of_memory_above(2, monkeypatch)
    found = train(tmp_path / "found")
    assert sizes == [8, 4] + [2] * 12
    assert (found.logits == expected.logits).all()
    assert "2 micro-batches of 4 for each batch of 8" in said[0]
    assert "4 micro-batches of 2 for each batch of 8" in said[1]


def test_out_of_memory_with_single_examples_is_an_error(material, tmp_path, monkeypatch):
    out_of_memory_above(0, monkeypatch)
    with pytest.raises(PowerbertError, match="of one example of up to 16 word-pieces; lower seq_len"):
        train_classifier(ShortenedModel(make_host(), SHORT), material, plan(batch_size=6), tmp_path)


def test_balanced_classes_count_alike(material, tmp_path):
    """12 rows of class 0 and 4 of class 1: n / (C · n_c) is 2/3 and 2; the loss is the mean over rows."""
    rows = material.train.select([i for i, label in enumerate(material.train["labels"]) if label == 0][:12])
    ones = material.train.select([i for i, label in enumerate(material.train["labels"]) if label == 1][:4])
    few = replace(material, train=datasets.concatenate_datasets([rows, ones]))
    weights = balanced_weights(few)
    assert weights.tolist() == pytest.approx([2 / 3, 2])
    model = ShortenedModel(make_host(), SHORT)
    given = shared(few, plan(training={"class_weights": "balanced"}), [])
    trainer = ReproducibleTrainer(model=model, args=arguments(plan(), tmp_path, None), **given)
    batch = few.collator("longest")([dict(few.train[i]) for i in (0, 13)])
    batch = {name: batch[name] for name in ("input_ids", "attention_mask", "labels")}
    model.train()
    torch.manual_seed(0)
    outputs, loss = trainer.answer(model, batch)
    each = torch.nn.functional.cross_entropy(outputs.logits, batch["labels"], reduction="none")
    assert loss.item() == pytest.approx((each * torch.tensor([2 / 3, 2])).mean().item(), rel=1e-5)
    model.eval()
    assert trainer.answer(model, batch)[1].item() == pytest.approx(model(**batch).loss.item())


def test_a_training_stops_early_and_alike_after_a_stop(material, tmp_path):
    """At a learning rate of 0 no epoch is better than the first: with a patience of 2 there are three."""
    still = plan(epochs=9, lr=1e-30, training={"early_stopping": 2})
    trained = train_classifier(ShortenedModel(make_host(), SHORT), material, still, tmp_path / "whole")
    assert trained.history["eval_accuracy"].count() == 3

    class Stop(TrainerCallback):
        def on_save(self, args, state, control, **kwargs):
            if state.epoch == 2:
                raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        train_classifier(ShortenedModel(make_host(), SHORT), material, still, tmp_path / "two", [Stop()])
    again = train_classifier(ShortenedModel(make_host(), SHORT), material, still, tmp_path / "two")
    assert again.history["eval_accuracy"].count() == 3
    assert epochs_of(trained) == epochs_of(again) == 3  # it is the best of these, not of nine
