"""What is timed where there is no time for all, and what is said of it beforehand."""

import re

import pytest
import torch
from contending import contenders_of
from hosts import described

from powerbert_cli.bench import plan as planning
from powerbert_cli.bench.plan import Allowance, deciding, duration, plan, schedule
from powerbert_cli.bench.timing import PAUSE, WARM_UP_PASSES, Contender, probe
from powerbert_cli.encoder.shortened import ShortenedModel


def contender(model, engine, seconds, precision="fp32", padding="sorted"):
    made = Contender(model, engine, padding, precision, run=lambda **batch: None, batches=[], flops=1.0)
    made.expected_s = seconds - PAUSE
    return made


FIELD = [
    contender("plain", "eager", 4.0, padding="max"),
    contender("full", "eager", 3.0, padding="max"),
    contender("shortened", "eager", 2.0, padding="max"),
    contender("plain", "eager", 2.0),
    contender("full", "eager", 1.7, padding="packed"),
    contender("full", "eager", 1.5),
    contender("shortened", "eager", 1.0),
    contender("plain", "onnx", 1.0),
    contender("shortened", "onnx", 1.2),
    contender("plain", "onnx", 0.5, "int8"),
    contender("shortened", "onnx", 0.6, "int8"),
]


def names(contenders):
    return [(c.model, c.engine, c.precision, c.padding) for c in contenders]


def test_the_fastest_plain_and_shortened_decide_in_float32_too():
    assert names(deciding(FIELD)) == [
        ("plain", "onnx", "int8", "sorted"),
        ("full", "eager", "fp32", "sorted"),
        ("shortened", "onnx", "int8", "sorted"),
        ("plain", "onnx", "fp32", "sorted"),
        ("shortened", "eager", "fp32", "sorted"),
    ]
    assert deciding([contender("full", "eager", 1.0)]) and deciding([]) == []


def test_those_that_decide_are_timed_whatever_the_time_and_the_others_as_they_fit():
    passes = WARM_UP_PASSES + 5
    timed, left_out, needed = plan(FIELD, left=0, rounds=15)
    assert len(timed) == 5 and len(left_out) == 6 and needed == pytest.approx(passes * 18.5)
    timed, left_out, _ = plan(FIELD, left=passes * 9.6, rounds=15)
    assert {c.padding for c in left_out} == {"max"} and len(timed) == 8  # each with what it is compared with
    assert plan(FIELD, left=needed, rounds=15)[1] == []


def test_answers_take_time_too_once_for_each_model_engine_and_precision():
    def answering(c):
        return 10.0 if c.precision == "int8" else 0.0

    without, with_them = (plan(FIELD, 0, 15, *more)[2] for more in ((), (answering,)))
    assert with_them - without == pytest.approx(20.0)


def test_the_time_is_said_beforehand():
    found = schedule(FIELD[:3], left=90, rounds=15, answering=lambda c: 0.0)
    assert (found.round_s, found.least, found.most) == (pytest.approx(9.0), 5, 10)
    assert str(found) == "a round takes about 9.0 s, 5 to 10 rounds with the answers 45 s to 90 s"
    assert str(schedule(FIELD[:3], 0, 15, lambda c: 0.0)).endswith("5 rounds with the answers 45 s")
    assert [duration(s) for s in (0.42, 90, 1320, 11000)] == ["0.4 s", "90 s", "22 min", "3.1 h"]


def test_several_points_share_the_time(monkeypatch):
    now = [0.0]
    monkeypatch.setattr(planning.time, "monotonic", lambda: now[0])
    allowance = Allowance(90, 3)
    allowance.begin()
    now[0] = 10
    assert allowance.left == 20 and allowance.would_do(50) == 180
    allowance.end()
    allowance.begin()
    assert allowance.left == 40  # what the first one left


def test_a_probe_foretells_a_pass(host, rows, place):
    contenders, _ = contenders_of(ShortenedModel(host, described((8, 5, 2), 16)), rows, place, paddings=("sorted",))
    heard = []
    ready, too_large = probe(contenders, "cpu", lambda *said: heard.append(said))
    assert ready == contenders and not too_large and all(c.expected_s > 0 and not c.calls for c in ready)
    assert heard == [("first batches", number, 3) for number in range(3)]

    def too_large_for_memory(**batch):
        raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB")

    contenders[1].run = too_large_for_memory
    assert probe(contenders, "cpu") == ([contenders[0], contenders[2]], [contenders[1]])
    assert re.match("plain|full|shortened", contenders[0].model)
