"""The parts of the zone filter: beliefs in two bytes, the chain in closed form, ages in ticks."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from proximity.presence.choice import Beside, locator_for
from proximity.presence.locating import gains, zonefilter
from proximity.presence.locating.packed import pack, unpack
from proximity.presence.locating.zonefilter import ALIVE, LONGEST, STAY, ZoneFilter, _Move
from proximity.presence.locator import TICK
from proximity.site.model import Anchor, PresenceOptions
from tests.presence_shop import circle, shop

FLOATS = st.lists(st.floats(0.0, 1.0, width=32), min_size=1, max_size=40)


def ints(*values: int) -> np.ndarray:
    return np.array(values, dtype=np.int32)


@given(FLOATS)
def test_two_bytes_hold_a_probability_to_one_part_in_four_thousand(values: list[float]) -> None:
    exact = np.array(values, dtype=np.float32)
    told = unpack(pack(exact))
    assert (np.abs(told - exact) <= np.maximum(exact * 2.0**-12, 2.0**-31)).all()
    assert (pack(told) == pack(exact)).all()
    assert (np.diff(told[np.argsort(exact)]) >= 0.0).all(), "the order stays"


def test_nothing_and_everything_are_held() -> None:
    assert unpack(pack(np.array([1.0], dtype=np.float32))).tolist() == [1.0]
    assert unpack(pack(np.array([0.0], dtype=np.float32))).tolist() == [2.0**-31]


def chained(belief: np.ndarray, reachable: np.ndarray, ticks: int) -> np.ndarray:
    """(G, Z) after so many ticks, step by step."""
    leave = -np.expm1(-TICK / STAY)
    step = np.tile(np.where(reachable, leave / max(reachable.sum() - 1, 1), 0.0), (len(reachable), 1))
    np.fill_diagonal(step, 0.0)
    np.fill_diagonal(step, 1.0 - step.sum(axis=1))
    return np.asarray(belief @ np.linalg.matrix_power(step, ticks))


@pytest.mark.parametrize("ticks", [1, 2, 3, 7, 40, LONGEST])
@pytest.mark.parametrize("reachable", [[True] * 4, [True, False, True, True], [True, True], [True]])
def test_the_chain_in_closed_form_is_the_chain_step_by_step(ticks: int, reachable: list[bool]) -> None:
    known = np.array(reachable)
    rng = np.random.default_rng(ticks)
    belief = rng.random((len(gains.GAINS), len(known))) * known
    belief /= belief.sum()
    seconds = np.array([ticks * TICK])
    expected = chained(belief, known, ticks)
    expected = gains.drifted(expected.astype(np.float32).T, np.full(len(known), seconds[0])).T
    moved = _Move(known).forward(belief.reshape(1, -1).astype(np.float32), seconds).reshape(belief.shape)
    moved /= moved.sum()
    np.testing.assert_allclose(moved, expected / expected.sum(), rtol=1e-3, atol=1e-6)


def test_after_an_hour_a_zone_filter_knows_no_more_than_at_first() -> None:
    locator = ZoneFilter(shop())
    locator.grow(2)
    locator.tick(1.0, ints(0, 0), ints(0, 1), np.array([-50.0, -80.0]))
    sure = locator.belief(ints(0), 1.0)[0]
    assert sure[0] == sure.max()
    assert sure[0] > 2.0 * locator.belief(ints(1), 1.0)[0, 0]
    np.testing.assert_allclose(locator.belief(ints(0), 3_600.0)[0], locator.belief(ints(1), 3_600.0)[0], atol=0.05)


@pytest.mark.parametrize("pause", [LONGEST * TICK, 10 * LONGEST * TICK])
def test_an_anchor_that_heard_long_ago_tells_as_much_as_one_that_never_did(pause: float) -> None:
    """Of what it hears now; before that it was off, so its silence told nothing."""
    then, never = ZoneFilter(shop()), ZoneFilter(shop())
    for locator in (then, never):
        locator.grow(1)
    then.tick(0.0, ints(0), ints(0), np.array([-60.0]))
    assert pause > ALIVE
    for locator in (then, never):
        locator.tick(pause, ints(0), ints(0), np.array([-60.0]))
    assert then.state()["heard"].tolist() == never.state()["heard"].tolist()


def test_a_large_tick_is_worked_on_in_parts_and_comes_to_the_same() -> None:
    rng = np.random.default_rng(5)
    many, one = ZoneFilter(shop()), ZoneFilter(shop())
    many._block, count = 7, 40
    slot = np.repeat(np.arange(count, dtype=np.int32), 3)
    anchor = np.tile(ints(0, 1, 2), count)
    for locator in (many, one):
        locator.grow(count)
    for now in (0.0, 0.25, 1.0):
        heard = rng.random(len(slot)) < 0.7
        rssi = rng.uniform(-90, -50, int(heard.sum()))
        for locator in (many, one):
            locator.tick(now, slot[heard], anchor[heard], rssi)
    slots = np.arange(count, dtype=np.int32)
    np.testing.assert_allclose(many.belief(slots, 2.0), one.belief(slots, 2.0), atol=1e-3)


def test_likelihoods_too_small_for_a_float_are_told_apart_still(monkeypatch: pytest.MonkeyPatch) -> None:
    """The careful way, which is taken for them, comes to the same where both are possible."""
    rng = np.random.default_rng(7)
    quick, careful = ZoneFilter(shop()), ZoneFilter(shop())
    slot, anchor = np.repeat(ints(0, 1, 2, 3), 3), np.tile(ints(0, 1, 2), 4)
    for locator in (quick, careful):
        locator.grow(4)
    for now in range(5):
        rssi = rng.uniform(-90, -50, len(slot))
        quick.tick(float(now), slot, anchor, rssi)
        with monkeypatch.context() as patch:
            patch.setattr(zonefilter, "FAINT", np.inf)
            careful.tick(float(now), slot, anchor, rssi)
    slots = ints(0, 1, 2, 3)
    np.testing.assert_allclose(quick.belief(slots, 5.0), careful.belief(slots, 5.0), rtol=1e-3, atol=1e-6)


def test_a_locator_beside_a_filter_is_restored_with_all_it_knows() -> None:
    site = shop(circle("park", 60), presence=PresenceOptions(locator="zones"))
    site = replace(site, anchors=(*site.anchors, Anchor("g-park", "shop", "gateway", "park")))
    one, other = locator_for(site), locator_for(site)
    assert isinstance(one, Beside)
    assert one.zones[-1] == "park"
    one.grow(2)
    one.tick(1.0, ints(0, 0, 1), ints(0, 1, 3), np.array([-60.0, -70.0, -50.0]))
    other.restore(one.state())
    belief = other.belief(ints(0, 1), 2.0)
    assert (belief == one.belief(ints(0, 1), 2.0)).all()
    assert belief.argmax(axis=1).tolist() == [0, len(one.zones) - 1]
