import pytest
import torch
from hosts import described
from hypothesis import given
from hypothesis import strategies as st

from powerbert_cli.method.elimination import Sizes, choose, draw_random_order, from_keys, shield_of, to_keys
from powerbert_cli.method.retention import RetentionError
from powerbert_cli.method.selection import passing_counts, select_counts


def chosen(elimination, j, scores, mask=None, shield=None):
    now = torch.full((len(scores),), scores.shape[1]) if mask is None else mask.sum(1)
    return choose(elimination, j, scores, mask, shield, Sizes(now, now))


def test_lengths_by_hand():
    scores = torch.tensor([[0.0, 5.0, 1.0, 9.0]])
    index, real, counts = chosen(described((3, 1), 4), 0, scores)
    assert index.tolist() == [[0, 1, 3]] and counts.tolist() == [3] and real is None


def test_thresholds_by_hand():
    """Scores over their mean of 2: 0.5, 2, 0.5, 1 and, with padding, mean 3: 1, 0.33, 1.67."""
    scores = torch.tensor([[1.0, 4.0, 1.0, 2.0], [3.0, 1.0, 5.0, 99.0]])
    mask = torch.tensor([[True] * 4, [True, True, True, False]])
    elimination = described(None, 4, "threshold", thresholds=(1.0, 3.0))
    index, real, counts = chosen(elimination, 0, scores, mask)
    assert index[0].tolist() == [0, 1, 3] and real.tolist() == [[True] * 3, [True, True, False]]
    assert index[1][:2].tolist() == [0, 2] and counts.tolist() == [3, 2]
    index, real, _ = chosen(elimination, 1, scores, mask)  # nothing reaches 3: [CLS] alone stays
    assert index.tolist() == [[0], [0]] and real is None


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
    index, *_ = chosen(described((3,), 5, protected_tokens=(3,)), 0, scores, shield=shield)
    assert index.tolist() == [[0, 2, 4]]
    first = described((3,), 5, protected_until=3)
    assert first.shield(ids).tolist() == [[True, True, False, False, False]] and first.shields
    both = described((3,), 5, protected_until=3, protected_tokens=(3,))
    assert both.shield(ids).tolist() == [[True, True, True, False, True]]
    assert described((3,), 5).shield(ids) is None and not described((3,), 5).shields
    assert from_keys(to_keys(first)) == first and "protected_until" not in to_keys(described((3,), 5))
    by_threshold = described(None, 5, "threshold", thresholds=(2.0,), protected_tokens=(3,))
    assert chosen(by_threshold, 0, scores, shield=shield)[0].tolist() == [[0, 2, 4]]


def test_head_and_random_look_at_positions_alone():
    positions = torch.tensor([[0, 2, 5]])
    head = described((2,), 6, "head").ranking.priority[positions]
    assert head.argsort(descending=True).tolist() == [[0, 1, 2]]
    random = described((2,), 6, "random", random_order=(0, 5, 1, 2, 3, 4)).ranking.priority[positions]
    assert random.argsort(descending=True).tolist() == [[0, 2, 1]]  # 5 comes before 2 in the order


def test_random_order_is_drawn_from_the_seed():
    assert draw_random_order(32, 1) == draw_random_order(32, 1) != draw_random_order(32, 2)
    assert sorted(draw_random_order(32, 1)) == list(range(32))


@pytest.mark.parametrize(
    ("keys", "message"),
    [
        ({"lengths": (4, 5)}, r"retention\[1\]=5 exceeds retention\[0\]=4"),
        ({}, "strategy=attention needs a retention configuration"),
        ({"lengths": (4, 3), "strategy": "best"}, "strategy='best' is none of"),
        ({"lengths": (4, 3), "strategy": "random", "random_order": (0, 1)}, "each of the 8 positions once"),
        ({"kind": "relative"}, "needs one fraction for each layer"),
        ({"kind": "relative", "fractions": (0.5, 0.6)}, r"fractions\[1\]=0.6 exceeds fractions\[0\]=0.5"),
        ({"kind": "relative", "fractions": (1.5, 0.6)}, r"fractions\[0\]=1.5 must be a number above 0"),
        ({"lengths": (4, 3), "kind": "relative", "fractions": (0.5, 0.4)}, "has fractions, not lengths"),
        ({"lengths": (4, 3), "fractions": (0.5, 0.4)}, "has lengths, not fractions"),
        ({"strategy": "threshold", "thresholds": (0.5, 0.6), "kind": "relative"}, "has no relative retention"),
        ({"lengths": (4, 3), "kind": "some"}, "kind='some' is none of"),
        ({"strategy": "threshold"}, "needs one threshold for each layer"),
        ({"strategy": "threshold", "thresholds": (0.5,)}, "1 thresholds, the model has 2 layers"),
        ({"strategy": "threshold", "thresholds": (0.5, float("nan"))}, r"thresholds\[1\]=nan must be a number"),
    ],
)
def test_what_does_not_fit(keys, message):
    with pytest.raises(RetentionError, match=message):
        from_keys({"seq_len": 8, **keys}).checked(2)


def test_keys_and_back():
    for keys in (
        {"seq_len": 8, "lengths": (4, 3)},
        {"seq_len": 8, "fractions": (0.5, 0.4), "kind": "relative", "strategy": "merge", "protected": 2},
        {"seq_len": 4, "lengths": (4, 3), "strategy": "random", "random_order": (0, 2, 1, 3)},
        {"seq_len": 8, "lengths": (4, 3), "strategy": "head", "protected_tokens": (3,)},
        {"seq_len": 8, "thresholds": (0.5, 0.6), "strategy": "threshold", "diagonal": False, "pad_queries": True},
    ):
        elimination = from_keys(keys)
        written = to_keys(elimination)
        assert from_keys(written) == elimination and {name: written[name] for name in keys} == keys


@given(
    st.lists(st.floats(0.125, 10, width=32), min_size=2, max_size=12),
    st.floats(0, 3),
    st.integers(0, 5),
)
def test_thresholds_never_depend_on_padding(values, threshold, padding):
    scores = torch.tensor([values])
    elimination = described(None, 64, "threshold", thresholds=(threshold,))
    alone, *_ = chosen(elimination, 0, scores)
    padded = torch.cat([scores, torch.full((1, padding), 50.0)], dim=1)
    mask = torch.arange(padded.shape[1])[None] < len(values)
    index, *_ = chosen(elimination, 0, padded, mask)
    assert index.tolist() == alone.tolist()
