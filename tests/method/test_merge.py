import torch
from hypothesis import given
from hypothesis import strategies as st

from powerbert_cli.method.merge import merge_dropped, proportional


def test_by_hand():
    """[0, 1] is dropped and most like [0, 2], which stands for two already: (2 · [0, 2] + [0, 1]) / 3."""
    vectors = torch.tensor([[[1.0, 0.0], [0.0, 2.0], [0.0, 1.0]]])
    merged, weights = merge_dropped(vectors, torch.tensor([[0, 1]]), None, torch.tensor([[1.0, 2.0, 1.0]]))
    assert torch.allclose(merged, torch.tensor([[[1.0, 0.0], [0.0, 5 / 3]]]))
    assert weights.tolist() == [[1.0, 3.0]]


def test_cls_takes_in_none():
    """[2, 0] is most like [CLS], and goes into the one other that is kept."""
    vectors = torch.tensor([[[1.0, 0.0], [0.0, 2.0], [2.0, 0.0]]])
    merged, weights = merge_dropped(vectors, torch.tensor([[0, 1]]), None, torch.ones(1, 3))
    assert merged.tolist() == [[[1.0, 0.0], [1.0, 1.0]]] and weights.tolist() == [[1.0, 2.0]]


def test_where_cls_alone_is_kept_the_dropped_are_lost():
    vectors, weights = torch.tensor([[[1.0, 0.0], [0.0, 2.0], [2.0, 0.0]]]), torch.ones(1, 3)
    merged, after = merge_dropped(vectors, torch.tensor([[0]]), None, weights)
    assert merged.tolist() == [[[1.0, 0.0]]] and after.tolist() == [[1.0]]
    filled = torch.tensor([[True, False]])  # the second place is filled up with a word-vector that is dropped
    merged, after = merge_dropped(vectors, torch.tensor([[0, 1]]), filled, weights)
    assert merged[0, 0].tolist() == [1.0, 0.0] and after[0, 0] == 1


def test_a_key_counts_as_often_as_it_stands_for():
    """softmax(x + log s) is that over each key s times."""
    scores, counts = torch.tensor([0.3, -1.0, 2.0]), torch.tensor([1.0, 3.0, 2.0])
    each = scores.repeat_interleave(counts.long()).softmax(dim=0)
    expected = torch.tensor([part.sum() for part in each.split(counts.long().tolist())])
    assert torch.allclose((scores + proportional(counts)).softmax(dim=0), expected)
    assert proportional(torch.tensor([0.0])).item() == 0  # of padding: finite


def test_padding_is_merged_into_nothing_and_takes_nothing():
    vectors = torch.tensor([[[5.0, 5.0], [1.0, 0.0], [0.0, 1.0], [9.0, 9.0]]])
    weights = torch.tensor([[1.0, 1.0, 1.0, 0.0]])
    merged, after = merge_dropped(vectors, torch.tensor([[0, 1, 2]]), None, weights)
    assert merged.tolist() == vectors[:, :3].tolist() and after.tolist() == [[1.0, 1.0, 1.0]]
    filled = torch.tensor([[True, True, False]])  # the input has two real kept word-vectors, the last place is filling
    merged, after = merge_dropped(vectors, torch.tensor([[0, 1, 3]]), filled, weights)
    assert merged[0, 1].tolist() == [0.5, 0.5] and after.tolist() == [[1.0, 2.0, 0.0]]


@given(st.integers(2, 10), st.integers(2, 10), st.integers(0, 99))
def test_weights_and_weighted_sum_are_kept(n, keep, seed):
    generator = torch.Generator().manual_seed(seed)
    vectors = torch.randn(2, n, 4, generator=generator)
    weights = torch.randint(1, 5, (2, n), generator=generator).float()
    others = [1 + torch.randperm(n - 1, generator=generator)[: min(keep, n) - 1].sort().values for _ in range(2)]
    index = torch.stack([torch.cat([torch.zeros(1, dtype=torch.long), one]) for one in others])
    merged, after = merge_dropped(vectors, index, None, weights)
    assert torch.allclose(after.sum(1), weights.sum(1))
    assert torch.allclose((merged * after[..., None]).sum(1), (vectors * weights[..., None]).sum(1), atol=1e-4)
