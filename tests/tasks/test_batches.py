"""Every row once in each epoch, in an order of seed and epoch, however a batch is shared out."""

import pytest

from powerbert_cli.errors import PowerbertError
from powerbert_cli.tasks.epochs import EpochBatches


def batches(monkeypatch, rows, batch_size, accumulation=1, processes=1, epoch=0, lengths=None):
    """The micro-batches of each process."""
    found = []
    for process in range(processes):
        monkeypatch.setenv("RANK", str(process))
        monkeypatch.setenv("WORLD_SIZE", str(processes))
        sampler = EpochBatches(rows, batch_size, accumulation, 7, lengths)
        sampler.set_epoch(epoch)
        found.append(list(sampler))
        assert len(found[-1]) == len(sampler)
    return found


def optimiser_steps(of_processes, accumulation):
    """The rows of each step, sorted, from all its micro-batches and processes."""
    steps = []
    for start in range(0, len(of_processes[0]), accumulation):
        parts = [part for own in of_processes for part in own[start : start + accumulation]]
        assert max(map(len, parts)) - min(map(len, parts)) <= 1
        steps.append(sorted(row for part in parts for row in part))
    return steps


@pytest.mark.parametrize("rows", [24, 21, 18])
@pytest.mark.parametrize("lengths", [None, [3 + i % 5 for i in range(24)]])
def test_the_rows_of_a_step_do_not_depend_on_how_they_are_shared_out(monkeypatch, rows, lengths):
    lengths = lengths and lengths[:rows]
    whole = optimiser_steps(batches(monkeypatch, rows, 8, lengths=lengths), 1)
    assert sorted(row for step in whole for row in step) == list(range(rows))
    for accumulation, processes in ((2, 1), (1, 2), (4, 1), (2, 2)):
        shared = batches(monkeypatch, rows, 8, accumulation, processes, lengths=lengths)
        assert optimiser_steps(shared, accumulation) == whole


def test_a_process_has_the_micro_batches_that_one_process_has_one_after_the_other(monkeypatch):
    [alone] = batches(monkeypatch, 24, 8, accumulation=2)
    first, second = batches(monkeypatch, 24, 8, processes=2)
    assert alone == [part for pair in zip(first, second, strict=True) for part in pair]


def test_each_epoch_has_an_order_of_its_own(monkeypatch):
    orders = [batches(monkeypatch, 24, 8, epoch=epoch)[0] for epoch in (0, 1, 0)]
    assert orders[0] == orders[2] != orders[1]


def test_a_last_batch_that_is_too_small_to_share_out(monkeypatch):
    with pytest.raises(PowerbertError, match="25 training rows leave 1 for the last batch .*; set task.max_train=24"):
        batches(monkeypatch, 25, 8, processes=2)


@pytest.mark.parametrize("rows, batch_size, accumulation", [(7, 4, 2), (14, 8, 4), (11, 8, 4), (10, 8, 4)])
def test_an_uneven_last_batch_has_no_empty_part(monkeypatch, rows, batch_size, accumulation):
    for own in batches(monkeypatch, rows, batch_size, accumulation, processes=2):
        assert all(own)
    both = batches(monkeypatch, rows, batch_size, accumulation, processes=2)
    assert len(both[0]) == len(both[1])
    assert sorted(row for own in both for part in own for row in part) == list(range(rows))
