"""What of a gateway is covered, whatever order it comes in."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proximity.ingest import offsets as numbering
from proximity.ingest.offsets import Boot, Offsets

GATEWAY = Boot("lyon", "shelf-1", "b1")


def covered(offsets: Offsets) -> tuple[int, list[int], int]:
    one = offsets.changed()[GATEWAY]
    return one.seq, sorted(one.ahead), one.messages


def test_a_gap_holds_the_word_back_until_it_is_filled() -> None:
    offsets = Offsets()
    assert offsets.take(GATEWAY, 1, 10)
    assert offsets.take(GATEWAY, 3, 10)
    assert covered(offsets) == (1, [3], 2)
    assert not offsets.take(GATEWAY, 3, 10)
    assert offsets.take(GATEWAY, 2, 10)
    assert covered(offsets) == (3, [], 3)


def test_a_repeat_has_no_effect_but_is_answered_again() -> None:
    offsets = Offsets({GATEWAY: (5, [])})
    assert offsets.changed() == {}
    assert not offsets.take(GATEWAY, 4, 1)
    assert covered(offsets) == (5, [], 0)


def test_what_a_full_spool_gave_up_is_waited_for_no_longer() -> None:
    offsets = Offsets({GATEWAY: (5, [9, 11])})
    offsets.give_up_below(GATEWAY, 9)
    assert covered(offsets) == (9, [11], 0)
    offsets.give_up_below(GATEWAY, 3)
    assert covered(offsets) == (9, [11], 0)
    offsets.give_up_below(Boot("lyon", "other", "b"), 100)
    assert set(offsets.changed()) == {GATEWAY}


def test_a_gap_that_nobody_can_fill_any_more_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(numbering, "MOST_AHEAD", 3)
    offsets = Offsets()
    for seq in (10, 20, 21, 30):
        assert offsets.take(GATEWAY, seq, 1)
    assert covered(offsets) == (10, [20, 21, 30], 4)


def test_after_a_commit_nothing_is_left_to_tell() -> None:
    offsets = Offsets()
    offsets.take(GATEWAY, 1, 10)
    offsets.settle()
    assert offsets.changed() == {}
    offsets.take(GATEWAY, 2, 5)
    assert covered(offsets) == (2, [], 1)


@given(st.permutations(range(1, 30)), st.lists(st.integers(1, 29)))
def test_any_order_with_any_repeats_covers_everything_once(order: list[int], repeats: list[int]) -> None:
    offsets = Offsets()
    new = sum(offsets.take(GATEWAY, seq, 1) for seq in [*order[:15], *repeats, *order[15:], *repeats])
    assert new == 29
    assert covered(offsets) == (29, [], 29)
