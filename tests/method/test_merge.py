import torch
from hypothesis import given
from hypothesis import strategies as st

from powerbert_cli.method.merge import merge_dropped


def test_by_hand():
    """[0, 1] is dropped and most like [0, 2], which stands for two already: (2 · [0, 2] + [0, 1]) / 3."""
    vectors = torch.tensor([[[1.0, 0.0], [0.0, 2.0], [0.0, 1.0]]])
    merged, weights = merge_dropped(vectors, torch.tensor([[0, 1]]), None, torch.tensor([[1.0, 2.0, 1.0]]))
    assert torch.allclose(merged, torch.tensor([[[1.0, 0.0], [0.0, 5 / 3]]]))
    assert weights.tolist() == [[1.0, 3.0]]


def test_padding_is_merged_into_nothing_and_takes_nothing():
    vectors = torch.tensor([[[1.0, 0.0], [0.0, 1.0], [9.0, 9.0]]])
    weights = torch.tensor([[1.0, 1.0, 0.0]])
    merged, after = merge_dropped(vectors, torch.tensor([[0, 1]]), None, weights)
    assert merged.tolist() == vectors[:, :2].tolist() and after.tolist() == [[1.0, 1.0]]
    filled = torch.tensor([[True, False]])  # the input has one real kept word-vector, the other place is filling
    merged, after = merge_dropped(vectors, torch.tensor([[0, 2]]), filled, weights)
    assert merged[0, 0].tolist() == [0.5, 0.5] and after.tolist() == [[2.0, 0.0]]


@given(st.integers(2, 10), st.integers(1, 10), st.integers(0, 99))
def test_weights_and_weighted_sum_are_kept(n, keep, seed):
    generator = torch.Generator().manual_seed(seed)
    vectors = torch.randn(2, n, 4, generator=generator)
    weights = torch.randint(1, 5, (2, n), generator=generator).float()
    index = torch.stack([torch.randperm(n, generator=generator)[: min(keep, n)].sort().values for _ in range(2)])
    merged, after = merge_dropped(vectors, index, None, weights)
    assert torch.allclose(after.sum(1), weights.sum(1))
    assert torch.allclose((merged * after[..., None]).sum(1), (vectors * weights[..., None]).sum(1), atol=1e-4)
