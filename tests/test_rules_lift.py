"""Lift and its intervals, against values from the papers and from other programs."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rules import lift


def test_a_share_and_its_interval() -> None:
    # Newcombe, Statistics in Medicine 17 (1998), table I, method 3: 81/263, 15/148, 0/20, 1/29.
    for reached, of, low, high in ((81, 263, 0.2553, 0.3662), (15, 148, 0.0624, 0.1605), (0, 20, 0.0, 0.1611), (1, 29, 0.0061, 0.1718)):  # fmt: skip  # noqa: E501
        found = lift.share(reached, of)
        assert found.value == reached / of
        assert (found.low, found.high) == pytest.approx((low, high), abs=5e-5)


def test_a_difference_and_its_interval() -> None:
    # Newcombe, Statistics in Medicine 17 (1998) 873-890, table II, method 10.
    for counts, low, high in (
        ((56, 70, 48, 80), 0.0524, 0.3339),
        ((9, 10, 3, 10), 0.1705, 0.8090),
        ((6, 7, 2, 7), 0.0582, 0.8062),
        ((5, 56, 0, 29), -0.0381, 0.1926),
        ((0, 10, 0, 10), -0.2775, 0.2775),
        ((10, 10, 0, 10), 0.6075, 1.0),
    ):
        found = lift.difference(*counts)
        assert (found.low, found.high) == pytest.approx((low, high), abs=5e-5)


def test_how_much_more_often() -> None:
    found = lift.ratio(120, 1000, 100, 1000)
    assert found is not None
    assert found.value == pytest.approx(0.2)
    # Katz: exp(ln 1.2 ± 1.96 × sqrt(1/120 − 1/1000 + 1/100 − 1/1000))
    assert (found.low, found.high) == pytest.approx((-0.0657, 0.5413), abs=1e-3)
    assert lift.ratio(0, 10, 5, 10) is None
    assert lift.ratio(5, 10, 0, 10) is None


def test_a_split_that_is_no_chance() -> None:
    assert lift.split_chance({"a": 500, "b": 500}, {"a": 0.5, "b": 0.5}) == pytest.approx(1.0)
    # chi-squared 4.0 with one degree of freedom: p = 0.0455
    assert lift.split_chance({"a": 450, "b": 550 - 40}, {"a": 0.5, "b": 0.5}) == pytest.approx(0.0528, abs=1e-3)
    lost = lift.split_chance({"holdout": 60, "everybody": 900}, {"holdout": 0.1, "everybody": 0.9})
    assert lost is not None
    assert lost < lift.SUSPICIOUS
    assert lift.split_chance({}, {"a": 0.5, "b": 0.5}) is None
    assert lift.split_chance({"a": 5}, {"a": 1.0}) is None


@pytest.mark.parametrize("wrong", [(0, 0), (5, 4), (-1, 4)])
def test_what_is_no_share(wrong: tuple[int, int]) -> None:
    with pytest.raises(ValueError, match="is no share"):
        lift.share(*wrong)


counts = st.integers(1, 10_000).flatmap(lambda of: st.tuples(st.integers(0, of), st.just(of)))


@given(counts, counts)
def test_the_estimate_lies_in_its_interval(one: tuple[int, int], other: tuple[int, int]) -> None:
    for found in (lift.share(*one), lift.difference(*one, *other), lift.ratio(*one, *other)):
        if found is not None:
            assert found.low - 1e-12 <= found.value <= found.high + 1e-12


@given(counts, counts)
def test_the_other_way_round_it_is_the_other_way_round(one: tuple[int, int], other: tuple[int, int]) -> None:
    there, back = lift.difference(*one, *other), lift.difference(*other, *one)
    assert (there.value, there.low, there.high) == pytest.approx((-back.value, -back.high, -back.low))
