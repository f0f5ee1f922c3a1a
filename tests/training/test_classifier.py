"""What can be added to re-training."""

from types import SimpleNamespace

import datasets
import pytest
import torch
from hosts import described, make_host, make_signal_host
from trainings import plan

from powerbert_cli.compress.layers import patient_states
from powerbert_cli.encoder.shortened import ShortenedModel
from powerbert_cli.kinds.media import taught
from powerbert_cli.settings import RetrainStage
from powerbert_cli.tasks.batches import Answers
from powerbert_cli.tasks.batches import answers as answers_of
from powerbert_cli.training.classifier import (
    RetrainTrainer,
    distillation_loss,
    patient_loss,
    train_classifier,
    with_teacher,
)

SHORT = described((8, 5, 2), 16)
RELATIVE = described(None, 16, kind="relative", fractions=(0.6, 0.3, 0.1))


def options(**changes):
    off = {
        "distill": 0.0,
        "temperature": 2.0,
        "distill_cls": 0.0,
        "patient": 0.0,
        "patient_layers": "skip",
        "patient_norm": True,
        "gradual": 0.0,
        "train_once": False,
    }
    return RetrainStage(epochs=1, lr=1e-3, **{**off, **changes})


def test_distillation_loss_by_hand():
    """Logits 0, ln 3 have probabilities 1/4, 3/4; against 1/2, 1/2: KL = ½ ln 2 + ½ ln ⅔. At T = 1."""
    teacher, student = torch.zeros(1, 2), torch.tensor([[0.0, 3.0]]).log().nan_to_num(neginf=0.0)
    expected = 0.5 * torch.tensor(2.0).log() + 0.5 * torch.tensor(2 / 3).log()
    torch.testing.assert_close(distillation_loss(student, teacher, 1.0, None), expected)
    assert distillation_loss(student, student, 2.0, None).abs() < 1e-7
    assert distillation_loss(torch.tensor([[3.0]]), torch.tensor([[1.0]]), 2.0, "regression") == 4.0
    assert distillation_loss(student, student, 2.0, "multi_label_classification").abs() < 1e-7


def test_gradient_keeps_its_size_whatever_the_temperature():
    teacher, sizes = torch.tensor([[2.0, -1.0, 0.5]]), []
    for temperature in (10.0, 20.0):
        student = torch.zeros(1, 3, requires_grad=True)
        distillation_loss(student, teacher, temperature, None).backward()
        sizes.append(student.grad.norm())
    torch.testing.assert_close(sizes[0], sizes[1], rtol=0.1, atol=0)


def test_a_teachers_answers_are_in_the_order_of_the_rows(material):
    teacher = ShortenedModel(make_host(), described((16, 16, 16), 16))
    answers = answers_of(teacher, material.train, material.collator("longest"), 4, states=(-1,))
    assert answers.logits.shape == (24, 2) and answers.first.shape == (24, 1, 32)
    with torch.no_grad():
        for row, logits in zip(material.train, answers.logits, strict=True):
            alone = teacher(torch.tensor([row["input_ids"]])).logits[0]
            torch.testing.assert_close(alone, torch.from_numpy(logits), atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize("elimination", [SHORT, RELATIVE])
def test_a_student_of_soft_labels_alone_comes_nearer_to_its_teacher(elimination, material, tmp_path):
    """With distill=1 the labels are not used at all."""
    teacher = ShortenedModel(make_host(), described((16, 16, 16), 16))
    with torch.no_grad():
        teacher.host.classifier.weight *= 20  # surer than the student is at first
    collate = material.collator("longest")
    answers = answers_of(teacher, material.train, collate, 4, states=(-1,))
    student = ShortenedModel(make_host(), elimination)

    def distance():
        found = answers_of(student, material.train, collate, 4)
        return float(distillation_loss(torch.tensor(found.logits), torch.tensor(answers.logits), 1.0, None))

    before, wrong = distance(), material.train.map(lambda row: {"labels": 1 - row["labels"]})
    given = plan(batch_size=2)
    changed = type(material)(wrong, material.dev, material.processor, material.seq_len, material.kind)
    train_classifier(student, changed, given, tmp_path, options=options(distill=1.0, distill_cls=0.1), teacher=answers)
    assert distance() < 0.7 * before


def test_beyond_a_clips_own_frames_nothing_is_distilled():
    """Models of `feat_extract_norm=group` have no mask that says where these end."""
    host = make_signal_host("wav2vec2, letters").eval()
    trainer, model = object.__new__(RetrainTrainer), ShortenedModel(host, described((24, 24, 24), 24))
    trainer.options, trainer.model = options(distill=1.0), model
    trainer.accelerator = SimpleNamespace(unwrap_model=lambda model: model)
    sound, lengths = torch.randn(2, 400), [18, 5]
    output = model(input_values=sound)
    said = torch.randn(2, 18, output.logits.shape[2]).numpy()

    def loss(beyond):
        said[1, 5:] = beyond
        rows = datasets.Dataset.from_dict({"audio": [b"", b""], "length": lengths})
        teacher = taught([*with_teacher(rows, Answers(said, None))])
        assert set(teacher) == {"teacher_logits", "teacher_length"}
        return trainer._with_teacher(torch.zeros(()), output, {"input_values": sound}, teacher).item()

    kept = torch.tensor([[True] * 18, [True] * 5 + [False] * 13])
    wanted = distillation_loss(output.logits[kept], torch.tensor(said)[kept], 2.0, None)
    assert loss(0.0) == loss(9.0) == pytest.approx(wanted.item())


def test_patient_loss_by_hand():
    """[3, 4] is [0.6, 0.8] of length 1: (0.4² + 0.8²) / 2; as they are (2² + 4²) / 2."""
    student, teacher = torch.tensor([[[3.0, 4.0]]]), torch.tensor([[[1.0, 0.0]]])
    assert float(patient_loss(student, teacher, True)) == pytest.approx(0.4)
    assert float(patient_loss(student, teacher, False)) == pytest.approx(10.0)


@pytest.mark.parametrize("also", [{}, {"distill_cls": 0.1, "distill": 0.5}])
def test_a_patient_students_layers_come_nearer(also, material, tmp_path):
    """A student of two of three layers: its first imitates the teacher's second."""
    states = patient_states(3, 2, "skip")
    teacher, student = ShortenedModel(make_host(), described((16,) * 3, 16)), make_host(num_hidden_layers=2)
    collate, wanted = material.collator("longest"), (*states, *([-1] if also else []))
    answers = answers_of(teacher, material.train, collate, 4, states=wanted)
    student = ShortenedModel(student, described((16,) * 2, 16))

    def distance():
        found = answers_of(student, material.train, collate, 4, states=(1,)).first
        return float(patient_loss(torch.from_numpy(found), torch.from_numpy(answers.first[:, :1]), True))

    before = distance()
    chosen = options(patient=100.0, **also)
    train_classifier(student, material, plan(epochs=4, batch_size=2), tmp_path, options=chosen, teacher=answers)
    assert distance() < 0.8 * before


def configurations_of_a_training(material, folder, chosen):
    """The configuration of each training pass."""
    model, seen = ShortenedModel(make_host(), RELATIVE), []
    model.register_forward_pre_hook(
        lambda module, args: seen.append(module.elimination.retention.values) if module.training else None
    )
    train_classifier(model, material, plan(epochs=2), folder, options=chosen)
    assert model.elimination == RELATIVE.checked(3)
    return seen


def test_gradual_shortening_ends_at_the_configuration(material, tmp_path):
    """12 steps, in the first 6 of which it shrinks."""
    seen = configurations_of_a_training(material, tmp_path, options(gradual=0.5))
    assert len(seen) == 12
    assert seen[2] == (0.8, 0.65, 0.55) and seen[6:] == [RELATIVE.retention.values] * 6  # half way after 3 of 6
    assert [fractions[0] for fractions in seen[:6]] == sorted((fractions[0] for fractions in seen[:6]), reverse=True)


def test_train_once_trains_full_shortest_and_one_between(material, tmp_path):
    seen = configurations_of_a_training(material, tmp_path / "a", options(train_once=True))
    assert len(seen) == 3 * 12
    assert set(seen[0::3]) == {(1.0, 1.0, 1.0)} and set(seen[1::3]) == {RELATIVE.retention.values}
    assert len(set(seen[2::3])) > 6
    assert seen == configurations_of_a_training(material, tmp_path / "b", options(train_once=True))


def test_options_that_are_off_are_no_part_of_an_identity():
    assert options().decides() == {"epochs": 1, "lr": 1e-3}
    assert options(distill=0.5).decides() == {"epochs": 1, "lr": 1e-3, "distill": 0.5, "temperature": 2.0}
    assert options(distill=0.5, gradual=0.2).plain() == options()
