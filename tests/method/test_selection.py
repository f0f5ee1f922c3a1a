import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from powerbert_cli.method.selection import select, select_counts, significance_order


def test_keeps_the_highest_in_the_order_of_the_text():
    scores = torch.tensor([[0.0, 5.0, 1.0, 9.0, 3.0]])
    assert select(scores, 3, None).tolist() == [[0, 1, 3]]  # [CLS], then 9 and 5
    assert select(scores, 3, None, protected=0).tolist() == [[1, 3, 4]]
    assert significance_order(scores, None).tolist() == [[0, 3, 1, 4, 2]]


def test_padding_comes_last_whatever_its_score():
    scores = torch.tensor([[0.0, 1.0, 2.0, 99.0, 99.0]])
    mask = torch.tensor([[True, True, True, False, False]])
    assert significance_order(scores, mask).tolist() == [[0, 2, 1, 3, 4]]
    assert select(scores, 4, mask).tolist() == [[0, 1, 2, 3]]


def test_ties_keep_the_order_of_the_text():
    assert significance_order(torch.ones(1, 6), None).tolist() == [[0, 1, 2, 3, 4, 5]]


@pytest.mark.parametrize("keep", [0, 6])
def test_impossible_keep(keep):
    with pytest.raises(ValueError, match="must be between 1 and the 5"):
        select(torch.ones(1, 5), keep, None)


def test_counts_of_each_input_and_what_fills_comes_last():
    scores = torch.tensor([[0.0, 5.0, 1.0, 9.0], [0.0, 1.0, 5.0, 2.0]])
    index, real = select_counts(scores, torch.tensor([3, 1]), 3, None)
    assert index[0].tolist() == [0, 1, 3] and real.tolist() == [[True] * 3, [True, False, False]]
    assert index[1].tolist() == [0, 2, 3]  # ranks 0, then 1 and 2, which fill


@given(st.lists(st.floats(-10, 10, width=32), min_size=2, max_size=20), st.integers(1, 20), st.integers(0, 10))
def test_invariants(values, keep, padding):
    """What is kept is the same with and without padding behind, holds [CLS], and is the best."""
    keep = min(keep, len(values))
    scores = torch.tensor([values])
    kept = select(scores, keep, None)[0].tolist()
    padded = torch.cat([scores, torch.full((1, padding), 100.0)], dim=1)
    mask = torch.arange(padded.shape[1])[None] < len(values)
    assert select(padded, keep, mask)[0].tolist() == kept
    assert kept == sorted(set(kept)) and kept[0] == 0
    dropped = [v for i, v in enumerate(values) if i not in kept]
    assert not dropped or keep == 1 or min(values[i] for i in kept[1:]) >= max(dropped)
