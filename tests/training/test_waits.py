"""How often a training reads a number off the device: each time a GPU is waited for, and Python with it."""

from collections import Counter

import pytest
from hosts import described, make_host
from torch.utils._python_dispatch import TorchDispatchMode
from trainings import plan
from transformers import TrainerCallback

from powerbert_cli.encoder.searching import SoftExtractModel, SoftThresholdModel
from powerbert_cli.training.soft_search import search_retention


class Reads(TorchDispatchMode, TrainerCallback):
    """Numbers that are read between the beginnings of two steps, one of which logs nothing."""

    def __init__(self):
        super().__init__()
        self.of_step = Counter()
        self.step = 0

    def on_step_begin(self, args, state, control, **kwargs):
        self.step = state.global_step

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        if func.name() == "aten::_local_scalar_dense":
            self.of_step[self.step] += 1
        return func(*args, **(kwargs or {}))


@pytest.mark.parametrize("kind", [SoftExtractModel, SoftThresholdModel])
def test_a_search_step_reads_no_more_with_more_layers(material, tmp_path, kind):
    found = []
    for layers in (2, 4):
        how = described(None, 16, "threshold" if kind is SoftThresholdModel else "attention", layers=layers)
        reads = Reads()
        with reads:
            model = kind(make_host(num_hidden_layers=layers), how)
            search_retention(model, material, plan(), 0.05, 0.01, False, tmp_path / str(layers), [reads])
        found.append(reads.of_step[3])
    few, more = found
    assert few == more <= 8  # of lengths on the CPU too; masses alone were L + 3 once
