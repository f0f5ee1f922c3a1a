import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from powerbert_cli.method.elimination import (
    Elimination,
    choose,
    draw_random_order,
    position_scores,
    shield_of,
)
from powerbert_cli.method.retention import RetentionError
from powerbert_cli.method.selection import passing_counts, select_counts


def test_lengths_by_hand():
    scores = torch.tensor([[0.0, 5.0, 1.0, 9.0]])
    index, mask = choose(Elimination((3, 1), 4), 0, scores, None, None)
    assert index.tolist() == [[0, 1, 3]] and mask is None


def test_thresholds_by_hand():
    """Scores over their mean of 2: 0.5, 2, 0.5, 1 and, with padding, mean 3: 1, 0.33, 1.67."""
    scores = torch.tensor([[1.0, 4.0, 1.0, 2.0], [3.0, 1.0, 5.0, 99.0]])
    mask = torch.tensor([[True] * 4, [True, True, True, False]])
    elimination = Elimination(None, 4, "threshold", thresholds=(1.0, 3.0))
    index, kept = choose(elimination, 0, scores, mask, None)
    assert index[0].tolist() == [0, 1, 3] and kept[0].all()
    assert index[1][kept[1]].tolist() == [0, 2]
    index, kept = choose(elimination, 1, scores, mask, None)  # nothing reaches 3: [CLS] alone stays
    assert index.tolist() == [[0], [0]] and kept is None


def test_without_protection_the_best_one_stays():
    scores = torch.tensor([[1.0, 3.0, 2.0]])
    counts = passing_counts(scores > 10, None, protected=0, shield=None)
    index, _ = select_counts(scores, counts, int(counts.max()), None, protected=0)
    assert index.tolist() == [[1]]


def test_a_shield_keeps_separators():
    ids = torch.tensor([[2, 7, 3, 8, 3]])
    shield = shield_of(ids, (3,))
    assert shield.tolist() == [[False, False, True, False, True]] and shield_of(ids, ()) is None
    scores = torch.tensor([[9.0, 5.0, 0.0, 4.0, 0.0]])
    index, _ = choose(Elimination((3,), 5, protected_tokens=(3,)), 0, scores, None, shield)
    assert index.tolist() == [[0, 2, 4]]
    by_threshold = Elimination(None, 5, "threshold", thresholds=(2.0,), protected_tokens=(3,))
    assert choose(by_threshold, 0, scores, None, shield)[0].tolist() == [[0, 2, 4]]


def test_head_and_random_look_at_positions_alone():
    positions = torch.tensor([[0, 2, 5]])
    head = position_scores(Elimination((2,), 6, "head"), positions, None)
    assert head.argsort(descending=True).tolist() == [[0, 1, 2]]
    order = (0, 5, 1, 2, 3, 4)
    priority = -torch.tensor(order).argsort()
    random = position_scores(Elimination((2,), 6, "random", random_order=order), positions, priority)
    assert random.argsort(descending=True).tolist() == [[0, 2, 1]]  # 5 comes before 2 in the order


def test_random_order_is_drawn_from_the_seed():
    assert draw_random_order(32, 1) == draw_random_order(32, 1) != draw_random_order(32, 2)
    assert sorted(draw_random_order(32, 1)) == list(range(32))


@pytest.mark.parametrize(
    ("elimination", "message"),
    [
        (Elimination((4, 5), 8), r"retention\[1\]=5 exceeds retention\[0\]=4"),
        (Elimination(None, 8), "strategy=attention needs a retention configuration"),
        (Elimination((4, 3), 8, "best"), "strategy='best' is none of"),
        (Elimination((4, 3), 8, "random", random_order=(0, 1)), "each of the 8 positions once"),
        (Elimination(None, 8, kind="relative"), "needs one fraction for each layer"),
        (Elimination(None, 8, kind="relative", fractions=(0.5, 0.6)), r"fractions\[1\]=0.6 exceeds fractions\[0\]=0.5"),
        (Elimination(None, 8, kind="relative", fractions=(1.5, 0.6)), r"fractions\[0\]=1.5 must be a number above 0"),
        (Elimination((4, 3), 8, kind="relative", fractions=(0.5, 0.4)), "has fractions, not lengths"),
        (Elimination((4, 3), 8, fractions=(0.5, 0.4)), "has lengths, not fractions"),
        (Elimination(None, 8, "threshold", (0.5, 0.6), kind="relative"), "has no relative retention"),
        (Elimination((4, 3), 8, kind="some"), "kind='some' is none of"),
        (Elimination(None, 8, "threshold"), "needs one threshold for each layer"),
        (Elimination(None, 8, "threshold", thresholds=(0.5,)), "1 thresholds, the model has 2 layers"),
        (Elimination(None, 8, "threshold", thresholds=(0.5, float("nan"))), r"thresholds\[1\]=nan must be a number"),
    ],
)
def test_what_does_not_fit(elimination, message):
    with pytest.raises(RetentionError, match=message):
        elimination.checked(2)


@given(
    st.lists(st.floats(0.125, 10, width=32), min_size=2, max_size=12),
    st.floats(0, 3),
    st.integers(0, 5),
)
def test_thresholds_never_depend_on_padding(values, threshold, padding):
    scores = torch.tensor([values])
    elimination = Elimination(None, 64, "threshold", thresholds=(threshold,))
    alone, _ = choose(elimination, 0, scores, None, None)
    padded = torch.cat([scores, torch.full((1, padding), 50.0)], dim=1)
    mask = torch.arange(padded.shape[1])[None] < len(values)
    index, kept = choose(elimination, 0, padded, mask, None)
    assert (index[0] if kept is None else index[0][kept[0]]).tolist() == alone[0].tolist()
