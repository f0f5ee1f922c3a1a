import torch

from powerbert_cli.method.significance import attention_weights, normalise, significance


def test_column_sums_over_heads_and_queries_by_hand():
    """Two heads of 2 × 2; the columns add up to 0.9 + 0.4 + 0.5 + 0.2 and what is left of 4."""
    attention = torch.tensor([[[[0.9, 0.1], [0.4, 0.6]], [[0.5, 0.5], [0.2, 0.8]]]])
    assert torch.allclose(significance(attention), torch.tensor([[2.0, 2.0]]))
    attention[0, 0, 0] = torch.tensor([1.0, 0.0])
    assert torch.allclose(significance(attention), torch.tensor([[2.1, 1.9]]))


def test_padding_queries_do_not_count():
    attention = torch.tensor([[[[0.9, 0.1, 0.0], [0.4, 0.6, 0.0], [0.0, 1.0, 0.0]]]])
    mask = torch.tensor([[True, True, False]])
    assert torch.allclose(significance(attention, mask), torch.tensor([[1.3, 0.7, 0.0]]))


def test_weights_equal_the_full_matrix():
    """The reference is the softmax of all scaled scores."""
    generator = torch.Generator().manual_seed(0)
    q, k = (torch.randn(5, 4, 40, 8, generator=generator) for _ in range(2))
    mask = torch.arange(40) < torch.tensor([40, 3, 17, 40, 25])[:, None]
    scores = (q @ k.transpose(-1, -2) / 8**0.5).masked_fill(~mask[:, None, None], float("-inf"))
    expected = significance(scores.softmax(-1), mask)
    assert torch.allclose(significance(attention_weights(q, k, mask), mask), expected, atol=1e-5)
    assert torch.allclose(expected.sum(-1), 4 * mask.sum(-1).float())  # H times the real queries


def test_no_gradient():
    q = torch.randn(1, 2, 4, 8, requires_grad=True)
    assert not significance(attention_weights(q, q)).requires_grad
    assert not significance((q @ q.mT).softmax(-1)).requires_grad


def test_switches_of_the_authors_code_by_hand():
    attention = torch.tensor([[[[0.9, 0.1, 0.0], [0.4, 0.6, 0.0], [0.0, 1.0, 0.0]]]])
    mask = torch.tensor([[True, True, False]])
    assert torch.allclose(significance(attention, mask, diagonal=False), torch.tensor([[0.4, 0.1, 0.0]]))
    assert torch.allclose(significance(attention, mask, pad_queries=True), torch.tensor([[1.3, 1.7, 0.0]]))


def test_weights_with_a_bias_and_switches():
    generator = torch.Generator().manual_seed(0)
    q, k = (torch.randn(3, 2, 9, 8, generator=generator) for _ in range(2))
    mask = torch.arange(9) < torch.tensor([9, 3, 7])[:, None]
    for shape in ((1, 2, 9, 9), (3, 1, 9, 9)):
        bias = torch.randn(shape, generator=generator)
        scores = (q @ k.transpose(-1, -2) / 8**0.5 + bias).masked_fill(~mask[:, None, None], float("-inf"))
        expected = significance(scores.softmax(-1), mask, diagonal=False, pad_queries=True)
        found = significance(attention_weights(q, k, mask, bias), mask, diagonal=False, pad_queries=True)
        assert torch.allclose(found, expected, atol=1e-5)


def test_normalised_significance_has_mean_1_over_the_real_ones():
    scores, mask = torch.tensor([[1.0, 3.0, 50.0]]), torch.tensor([[True, True, False]])
    assert normalise(scores, mask)[0, :2].tolist() == [0.5, 1.5]
    assert normalise(scores[:, :2]).tolist() == [[0.5, 1.5]]
