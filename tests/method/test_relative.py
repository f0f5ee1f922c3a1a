"""Retention relative to an input's own length."""

import math
from fractions import Fraction

import torch
from hosts import described
from hypothesis import given
from hypothesis import strategies as st

from powerbert_cli.method import soft_extract
from powerbert_cli.method.elimination import Sizes, between, choose, drawn_between
from powerbert_cli.method.retention import check_fractions, fractions_from_masses, quota

HALF = described(None, 8, kind="relative", fractions=(0.5, 0.25)).checked(2)


def test_quota_by_hand():
    assert [quota(0.5, n) for n in (1, 2, 3, 8)] == [1, 1, 2, 4]
    assert quota(0.1, 30) == 3  # 0.1 · 30 is a little more than 3 in binary fractions
    assert quota(0.25, torch.tensor([8, 9])).tolist() == [2, 3]


@given(st.integers(1, 10_000), st.integers(1, 600))
def test_quota_is_the_ceiling_of_the_exact_product(parts, n):
    assert quota(parts / 10_000, n) == math.ceil(Fraction(parts, 10_000) * n)


def test_each_input_keeps_its_own_share_by_hand():
    """Four real word-vectors keep two of them, two keep one: [CLS]."""
    scores = torch.tensor([[0.0, 5.0, 1.0, 9.0], [0.0, 7.0, 99.0, 99.0]])
    mask = torch.tensor([[True] * 4, [True, True, False, False]])
    index, real, counts = choose(HALF, 0, scores, mask, None, Sizes(mask.sum(1), mask.sum(1)))
    assert index[0].tolist() == [0, 3] and real.tolist() == [[True, True], [True, False]]
    assert index[1, 0] == 0 and counts.tolist() == [2, 1]


def test_without_padding_there_is_no_mask():
    four = torch.tensor([4])
    index, real, _ = choose(HALF, 0, torch.tensor([[0.0, 5.0, 1.0, 9.0]]), None, None, Sizes(four, four))
    assert index.tolist() == [[0, 3]] and real is None


def test_the_shares_are_of_the_input_not_of_what_is_left():
    """The second layer gets 4 of 8 and keeps a quarter of 8."""
    scores = torch.tensor([[0.0, 5.0, 1.0, 9.0]])
    index, *_ = choose(HALF, 1, scores, None, None, Sizes(torch.tensor([8]), torch.tensor([4])))
    assert index.tolist() == [[0, 3]]
    assert HALF.kept(8) == (4, 2) and HALF.kept(5) == (3, 2)


def test_kept_share():
    assert HALF.retention.share(8) == 0.375 and described((4, 2), 8).retention.share(8) == 6 / 16
    assert described(None, 8, "threshold", (0.5,)).retention.share(8) is None


def test_fractions_from_masses_round_up_and_do_not_rise():
    assert fractions_from_masses([6.0, 7.0, 0.0], 8) == (0.75, 0.75, 0.0001)
    assert fractions_from_masses([8 / 3], 8) == (0.3334,)
    assert fractions_from_masses([1e-9], 8) == (0.0001,)


def test_fractions_have_four_decimals():
    assert check_fractions((1, 0.33333, 1e-9)) == (1.0, 0.3333, 0.0001)


def test_relative_soft_extract_by_hand():
    """Two parts of the ranks, three word-vectors: the middle one lies half in each."""
    r, order = torch.tensor([0.8, 0.2], requires_grad=True), torch.tensor([[0, 2, 1]])
    factors = soft_extract.factors_by_relative_rank(r, order, torch.tensor([3]), protected=0)
    torch.testing.assert_close(factors[0], torch.tensor([0.8, 0.2, 0.5]))
    factors.sum().backward()
    torch.testing.assert_close(r.grad, torch.tensor([1.5, 1.5]))


def test_relative_soft_extract_scales_padding_away_and_spares_protected_ranks():
    order = torch.tensor([[0, 1, 2, 3]])
    factors = soft_extract.factors_by_relative_rank(torch.zeros(5), order, torch.tensor([3]), protected=1)
    assert factors.tolist() == [[1.0, 0.0, 0.0, 0.0]]


@given(st.integers(1, 40), st.integers(1, 20), st.integers(0, 2**20))
def test_the_factors_of_any_length_add_up_to_its_share(n, parts, seed):
    generator = torch.Generator().manual_seed(seed)
    r, order = torch.rand(parts, generator=generator), torch.randperm(n, generator=generator)[None]
    factors = soft_extract.factors_by_relative_rank(r, order, torch.tensor([n]), protected=0)
    torch.testing.assert_close(factors.sum(), n * r.mean(), atol=1e-4, rtol=1e-4)
    if n == parts:
        torch.testing.assert_close(factors, soft_extract.factors_by_rank(r, order))


def test_between_full_and_the_configuration():
    assert HALF.keeping_all().retention.values == (1.0, 1.0) and between(HALF, 1.0) == HALF
    assert between(HALF, 0.5).retention.values == (0.75, 0.625)
    assert between(described((4, 2), 8), 0.5).retention.values == (6, 5)


@given(st.integers(0, 2**20))
def test_drawn_configurations_lie_between(seed):
    for own in (HALF, described((4, 2), 8)):
        drawn = drawn_between(own, torch.Generator().manual_seed(seed)).checked(2)
        every = zip(*(one.retention.values for one in (own, drawn, own.keeping_all())), strict=True)
        assert all(low <= value <= high for low, value, high in every)
