import pytest
from hypothesis import given
from hypothesis import strategies as st

from powerbert_cli.method.retention import RetentionError, check_lengths, lengths_from_masses

RTE = (153, 125, 111, 105, 85, 80, 72, 48, 35, 27, 22, 5)


def test_published_configuration_passes():
    assert check_lengths(list(RTE), 256, 12) == RTE


@pytest.mark.parametrize(
    ("lengths", "message"),
    [
        ([9, 10, 3], r"retention\[1\]=10 exceeds retention\[0\]=9; must be non-increasing"),
        ([9, 3], "2 lengths, the model has 3 layers"),
        ([9, 3, 2, 1], "4 lengths, the model has 3 layers"),
        ([9, 3, 0], r"retention\[2\]=0 is below 1"),
        ([9, 3.0, 1], r"retention\[1\]=3.0 is not an integer"),
        ([9, True, 1], r"retention\[1\]=True is not an integer"),
        ([65, 3, 1], r"retention\[0\]=65 exceeds seq_len=64"),
    ],
)
def test_rules(lengths, message):
    with pytest.raises(RetentionError, match=message):
        check_lengths(lengths, 64, 3)


def test_lengths_are_ceilings_that_never_grow():
    assert lengths_from_masses([17.2, 20.0, 3.00001, 0.2], 64) == (18, 18, 3, 1)


@given(st.lists(st.floats(0, 64), min_size=1, max_size=24))
def test_lengths_from_masses_are_always_valid(masses):
    lengths = lengths_from_masses(masses, 64)
    assert check_lengths(lengths, 64) == lengths


def test_floor_as_in_the_authors_code():
    assert lengths_from_masses([7.9, 5.0001, 0.3], 16, "floor") == (7, 5, 1)
    assert lengths_from_masses([7.99999, 5.0, 0.3], 16, "floor") == (8, 5, 1)
    assert lengths_from_masses([7.2, 5.0, 0.3], 16) == (8, 5, 1)
