"""The runner: stages in their order, each once, and anew where what it was made of is another."""

from dataclasses import dataclass
from types import SimpleNamespace
from typing import ClassVar

import pytest

from powerbert_cli.stages.context import Context
from powerbert_cli.stages.inputs import Inputs
from powerbert_cli.stages.runner import Runner

COMMON = {"versions": {}, "train": "t", "tokenizer": "k", "seq_len": 8}
MADE = []


@dataclass(frozen=True, kw_only=True)
class First(Inputs):
    STAGE: ClassVar[str] = "first"
    weights: bytes = b"weights"
    name: str = "a"

    def decides(self):
        return {"name": self.name}  # as on a machine where the same settings give other weights

    def make(self, making):
        MADE.append("first")
        (making.result / "model").mkdir()
        (making.result / "model" / "model.safetensors").write_bytes(self.weights)


@dataclass(frozen=True, kw_only=True)
class Second(Inputs):
    STAGE: ClassVar[str] = "second"
    start: Inputs

    def make(self, making):
        MADE.append("second")
        read = (making.model_dir(self.start) / "model.safetensors").read_bytes()
        (making.result / "read").write_bytes(read)


@pytest.fixture
def runner(tmp_path):
    MADE.clear()
    heard = []
    events = SimpleNamespace(made=lambda stage, folder: heard.append(stage))
    context = Context(SimpleNamespace(output_dir=str(tmp_path), device="cpu"), events)

    def new():
        found = Runner(context)
        found.heard = heard
        return found

    return new


def test_each_is_made_after_those_before_it_and_once(runner):
    goal = Second(**COMMON, start=First(**COMMON))
    one = runner()
    stage = one.run(goal)
    assert MADE == ["first", "second"] == one.heard
    assert (stage.folder / "read").read_bytes() == b"weights" and stage.made and stage.identity == goal.identity
    assert one.run(goal) is stage
    assert not runner().run(goal).made and MADE == ["first", "second"]


def test_fresh_is_of_the_goal_alone(runner):
    goal = Second(**COMMON, start=First(**COMMON))
    runner().run(goal)
    assert runner().run(goal, fresh=True).made and MADE == ["first", "second", "second"]


def test_a_stage_whose_start_was_made_anew_with_other_weights_is_made_anew(runner):
    runner().run(Second(**COMMON, start=First(**COMMON)))
    runner().run(First(**COMMON), fresh=True)  # the same weights come out
    assert not runner().run(Second(**COMMON, start=First(**COMMON))).made
    other = First(**COMMON, weights=b"others")
    runner().run(other, fresh=True)
    goal = Second(**COMMON, start=other)
    (first, second) = runner().plan([goal])
    assert first.finished and not second.finished
    assert (runner().run(goal).folder / "read").read_bytes() == b"others"


def test_the_plan_says_what_is_there_and_runs_nothing(runner):
    first = First(**COMMON)
    goals = [Second(**COMMON, start=first), Second(**{**COMMON, "seq_len": 9}, start=first)]
    assert [(step.inputs.STAGE, step.finished) for step in runner().plan(goals)] == [
        *(("first", False), ("second", False), ("second", False))
    ]
    assert not MADE
    runner().run(goals[0])
    plan = runner().plan(goals)
    assert [step.finished for step in plan] == [True, True, False]
    assert plan[1].folder == runner().run(goals[0]).folder and plan[0].seconds >= 0 and plan[2].seconds is None
