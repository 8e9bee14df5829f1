"""Ids that are derived from what caused them."""

import re

from hypothesis import given
from hypothesis import strategies as st

from proximity.model import child_id, dated_id, derive_id

parts = st.lists(st.text(max_size=5) | st.integers() | st.floats(allow_nan=False), max_size=4)


def told_apart(some: list[str | int | float]) -> list[str]:
    return [str(one) for one in some]


@given(parts, parts)
def test_the_same_parts_give_the_same_id_and_others_another(
    some: list[str | int | float], others: list[str | int | float]
) -> None:
    same = told_apart(some) == told_apart(others)
    assert (derive_id(*some) == derive_id(*others)) is same
    assert (dated_id(7.0, *some) == dated_id(7.0, *others)) is same
    assert (child_id("parent", *some) == child_id("parent", *others)) is same
    for one in (derive_id(*some), dated_id(1.7e9, *some), child_id(derive_id(*some), *others)):
        assert re.fullmatch("[0-9a-f]{26}", one)


def test_ids_stay_what_they_are() -> None:
    """They are stored, and compared with what is derived again years later."""
    assert derive_id("a", 1, 2.5) == "cedd59602e81ebcae0997999e6"
    assert dated_id(1_764_155_040.25, "lyon", "coffee", "ada") == "6926dea0022e123b27a7736989"
    assert child_id(dated_id(1_764_155_040.25, "lyon", "coffee", "ada"), "enter", "") == "6926dea0251a1b7edd2fcc661c"


@given(st.floats(0, 4e9), st.floats(0, 4e9))
def test_dated_ids_follow_the_order_of_seconds_and_their_children_stand_with_them(one: float, other: float) -> None:
    first, second = dated_id(one, "x"), dated_id(other, "x")
    if int(one) != int(other):
        assert (first < second) == (one < other)
        assert (child_id(first, "exit") < child_id(second, "enter")) == (one < other)
    assert child_id(child_id(first, "enter"), "rule")[:8] == first[:8]
