"""Which of several zones a device is in: the sequential test, zones within zones, and who is outside."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace
from itertools import pairwise
from typing import Any

import numpy as np
import pytest
from shapely.geometry import box

from proximity.model import Sighting
from proximity.observations import Batch, Floats, Ints
from proximity.presence.catalogue import nesting
from proximity.presence.choice import Beside, chosen, locator_for
from proximity.presence.contest import CLEAR, ROUNDING, Rivals, clearness, ripe, stay
from proximity.presence.engine import Engine
from proximity.presence.locating.pooled import Pooled
from proximity.presence.locator import Probabilities
from proximity.presence.outside import Outside
from proximity.presence.strongest import Strongest
from proximity.presence.visits import Event
from proximity.site.model import Anchor, LocatorName, PresenceOptions, Site, Wall, Zone
from tests.presence_shop import T0, TAG, batch, circle, heard, kinds, shop, told

STORE = Zone("store", "shop", "Store", box(0, 0, 15, 5))


# -- the sequential test ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("p", "beat", "rate"),
    [(0.5, 0.5, 0.0), (20 / 21, 1 / 21, 1.0), (1.0, 0.0, 1.0), (1 / 21, 20 / 21, -1.0), (0.0, 0.0, 0.0)],
)
def test_clearness_is_the_logarithm_of_the_odds_and_bounded(p: float, beat: float, rate: float) -> None:
    assert clearness(np.array([p]), np.array([beat])) == pytest.approx([rate])


def test_a_lead_is_ripe_when_what_is_left_of_enter_after_has_passed_at_its_rate() -> None:
    lead, rate = np.array([0.4, 0.5, 0.5, 1.2, 0.9]), np.array([1.0, 1.0, 0.25, 1.0, -0.5])
    found = ripe(lead, rate, np.full(5, 100.0), np.ones(5))
    assert found == pytest.approx([math.inf, 100.5, 102.0, 100.0, math.inf], abs=10 * ROUNDING)


class Said:
    """A locator that is told what to believe: rows of (zones + none), one a tick, the last one for ever after."""

    def __init__(self, site: Site, beliefs: list[list[float]]) -> None:
        self.zones: Sequence[str] = tuple(zone.id for zone in site.zones)
        self._beliefs, self._turn = np.array(beliefs, dtype=np.float64), -1

    def grow(self, capacity: int) -> None: ...

    def clear(self, slots: Ints) -> None: ...

    def tick(self, now: float, slot: Ints, anchor: Ints, rssi: Floats) -> None:
        self._turn = min(self._turn + 1, len(self._beliefs) - 1)

    def belief(self, slots: Ints, now: float) -> Probabilities:
        return np.repeat(self._beliefs[[self._turn]], len(slots), axis=0)

    def position(self, slots: Ints, now: float) -> Floats:
        return np.full((len(slots), 2), np.nan)

    def state(self) -> Mapping[str, Any]:
        return {"turn": self._turn}

    def restore(self, state: Mapping[str, Any]) -> None:
        self._turn = state["turn"]


def visits(beliefs: list[list[float]], site: Site | None = None) -> list[tuple[float, str, str, str]]:
    """What becomes of one belief a second."""
    site = site or shop()
    rows = [Sighting("shop/g-door", TAG, -60.0, T0 + t) for t in range(len(beliefs))]
    engine = Engine([site], locator=lambda one: Said(one, beliefs), now=T0 - 1)
    return told(engine.step(batch(rows), T0 + len(beliefs) - 0.75).transitions)


SURE, MAYBE = [0.97, 0.03, 0.0, 0.0], [0.6, 0.4, 0.0, 0.0]
OTHER, PERHAPS = [0.03, 0.97, 0.0, 0.0], [0.45, 0.55, 0.0, 0.0]


def test_strong_evidence_takes_over_at_once() -> None:
    assert visits([SURE, SURE, SURE, OTHER, OTHER]) == [
        (1.0, "enter", "door", "confirmed"),
        (3.0, "exit", "door", "moved"),
        (3.0, "enter", "aisle", "confirmed"),
    ]


def test_weak_evidence_takes_longer_and_gets_there() -> None:
    changes = visits([SURE, SURE, SURE, *[PERHAPS] * 30])
    assert [one[1:3] for one in changes] == [("enter", "door"), ("exit", "door"), ("enter", "aisle")]
    waited = changes[-1][0] - 3.0
    odds = CLEAR / math.log(0.55 / 0.45)
    assert odds - 2.0 <= waited <= odds + 1.0  # the first weak second counts, too


def test_evidence_to_and_fro_changes_nothing() -> None:
    assert visits([SURE, SURE, *[MAYBE, PERHAPS] * 40]) == [(1.0, "enter", "door", "confirmed")]


def test_where_four_zones_meet_the_likeliest_is_entered() -> None:
    even = [0.32, 0.31, 0.31, 0.06]
    assert [one[1:3] for one in visits([even] * 10)] == [("enter", "door")]


def test_of_two_equal_zones_one_is_entered() -> None:
    assert [one[1:3] for one in visits([[0.5, 0.5, 0.0, 0.0]] * 10)] == [("enter", "door")]


def test_nowhere_ends_a_visit_after_leave_after() -> None:
    gone = [0.02, 0.01, 0.01, 0.96]
    assert visits([SURE, SURE, *[gone] * 8]) == [(1.0, "enter", "door", "confirmed"), (5.0, "exit", "door", "left")]


def test_a_rather_unlikely_zone_is_kept_while_nothing_else_is_likelier_by_far() -> None:
    doubt = [0.15, 0.05, 0.05, 0.75]
    assert visits([SURE, SURE, *[doubt] * 30]) == [(1.0, "enter", "door", "confirmed")]


def test_a_place_between_zones_counts_for_less_than_a_zone() -> None:
    assert [one[1:3] for one in visits([[0.4, 0.0, 0.0, 0.6]] * 4)] == [("enter", "door")]
    assert visits([[0.1, 0.0, 0.0, 0.9]] * 10) == []


def test_enter_after_is_honoured_however_clear_it_is() -> None:
    site = shop()
    slow = replace(site, zones=(site.zones[0], replace(site.zones[1], enter_after=4.0), site.zones[2]))
    changes = visits([SURE, SURE, SURE, *[OTHER] * 10], slow)
    assert changes[-1] == (6.0, "enter", "aisle", "confirmed")


def test_an_outer_zone_goes_on_while_those_within_change() -> None:
    site = shop(STORE)
    door, aisle, gone = [0.95, 0.05, 0.0, 0.0, 0.0], [0.03, 0.97, 0.0, 0.0, 0.0], [0.0, 0.0, 0.0, 0.0, 1.0]
    between = [0.1, 0.1, 0.0, 0.8, 0.0]  # in the store, and in none of its zones
    changes = visits([door, door, aisle, aisle, *[between] * 6, *[gone] * 6], site)
    assert [one[1:] for one in changes] == [
        ("enter", "door", "confirmed"),
        ("enter", "store", "confirmed"),
        ("exit", "door", "moved"),
        ("enter", "aisle", "confirmed"),
        ("exit", "aisle", "left"),
        ("exit", "store", "left"),
    ]


def test_rivals_know_what_excludes_what() -> None:
    site = shop(STORE)
    rivals = Rivals(nesting(site.zones))
    belief = np.array([[0.5, 0.2, 0.0, 0.2, 0.1]])
    assert rivals.nowhere(belief) == pytest.approx(np.array([[0.3, 0.3, 0.3, 0.1]]))
    p = belief[:, :-1] @ nesting(site.zones)
    inside = np.array([[False, True, False, True]])
    assert rivals.to_beat(p, rivals.nowhere(belief), *np.nonzero(inside)) == pytest.approx(
        np.array([[0.2, 0.3, 0.2, 0.1]])
    )


def test_a_visit_is_backed_while_it_is_likelier_than_nowhere() -> None:
    codes = stay(np.array([0.5, 0.4, 0.2]), np.array([0.5, 0.6, 0.8]))
    assert codes.tolist() == [Event.LIKELY_IN, Event.UNSURE, Event.LIKELY_OUT]


# -- outside ----------------------------------------------------------------------------------------------------------


def walled() -> Site:
    corners = [(0, 0), (15, 0), (15, 5), (0, 5), (0, 0)]
    walls = tuple(Wall(*a, *b, 12.0) for a, b in pairwise(corners))
    return replace(shop(), walls=walls)


def test_faint_everywhere_is_outside_and_louder_never_speaks_for_it() -> None:
    outside = Outside(walled())
    chance = outside.chance(np.arange(-110.0, -20.0).astype(np.float32))
    assert (np.diff(chance) <= 0).all()
    assert chance[10] > 0.9  # -100 dBm
    assert chance[60] < 0.01  # -50 dBm


def test_walls_make_it_easier_to_tell() -> None:
    faint = np.array([-90.0], dtype=np.float32)
    assert Outside(walled()).chance(faint) > Outside(shop()).chance(faint)


@pytest.mark.parametrize(
    "site",
    [
        replace(shop(), anchors=shop().anchors[:2]),
        replace(shop(), anchors=tuple(Anchor(a.id, a.site, a.kind, a.zone) for a in shop().anchors)),
        replace(shop(), zones=()),
    ],
)
def test_a_site_that_knows_too_little_does_not_tell(site: Site) -> None:
    outside = Outside(site)
    assert not outside.known
    assert outside.chance(np.array([-100.0], dtype=np.float32)) == [0.0]


def test_loudness_keeps_the_loudest_and_fades() -> None:
    outside = Outside(walled())
    before = np.array([-60.0, np.nan], dtype=np.float32)
    anchor, rssi = np.array([0, 1, 2], dtype=np.int32), np.array([-80.0, -75.0, -90.0])
    assert outside.loudness(before, np.array([2.0, 0.0]), anchor, rssi, np.array([0, 2])) == pytest.approx([-68, -90])


@pytest.mark.parametrize("locator", ["zones", "grid"])
def test_somebody_heard_through_the_wall_is_in_no_zone(locator: LocatorName) -> None:
    site = replace(walled(), presence=PresenceOptions(locator=locator))
    rows = [
        Sighting(f"shop/{anchor.id}", TAG, -95.0 - 2.0 * i, T0 + t)
        for t in range(60)
        for i, anchor in enumerate(site.anchors)
    ]
    assert Engine([site]).step(batch(rows), T0 + 60).transitions == []
    inside = Engine([site]).step(batch(heard("door", 0, 20)), T0 + 20).transitions
    assert kinds(inside) == [("enter", "door")]


# -- which locator ----------------------------------------------------------------------------------------------------


def having(locator: LocatorName, site: Site | None = None) -> Site:
    return replace(site or shop(), presence=PresenceOptions(locator=locator))


NO_PLACES = replace(shop(), anchors=tuple(Anchor(a.id, a.site, a.kind, a.zone) for a in shop().anchors))
TWO_FLOORS = replace(shop(), zones=(*shop().zones[:2], replace(shop().zones[2], floor=1)))


@pytest.mark.parametrize(
    ("site", "name", "kind"),
    [
        (having("auto"), "zones", Pooled),
        (having("zones"), "zones", Pooled),
        (having("grid"), "grid", Pooled),
        (having("strongest"), "strongest", Strongest),
        (having("auto", NO_PLACES), "strongest", Strongest),
        (having("auto", TWO_FLOORS), "strongest", Strongest),
        (having("grid", NO_PLACES), "strongest", Strongest),
        (having("auto", replace(shop(), zones=())), "strongest", Strongest),
    ],
)
def test_a_site_gets_the_locator_it_asks_for_or_has_what_it_takes_for(site: Site, name: str, kind: type) -> None:
    assert chosen(site) == name
    assert isinstance(locator_for(site), kind)


def test_a_gateway_at_the_car_park_counts_beside_a_filter() -> None:
    site = having("auto", shop(circle("park", 60)))
    site = replace(site, anchors=(*site.anchors, Anchor("g-park", "shop", "gateway", "park")))
    assert isinstance(locator_for(site), Beside)
    there = [Sighting("shop/g-park", TAG, -55.0, T0 + t) for t in range(5)]
    step = Engine([site]).step(batch(there, heard("door", 10, 25)), T0 + 25)
    assert [one for one in kinds(step.transitions) if one[0] == "enter"] == [("enter", "park"), ("enter", "door")]


@pytest.mark.parametrize("locator", ["auto", "strongest", "zones", "grid"])
@pytest.mark.parametrize("cut", [3.0, 10.0, 14.5])
@pytest.mark.parametrize("beside", [False, True])
def test_cuts_and_restarts_change_nothing_with_any_locator(locator: LocatorName, cut: float, beside: bool) -> None:
    site = having(locator, shop(circle("park", 60)))
    if beside:
        site = replace(site, anchors=(*site.anchors, Anchor("g-park", "shop", "gateway", "park")))
    rows = [*heard("door", 0, 10), *heard("aisle", 10, 20), *heard("till", 20, 30, device="ibeacon:bob")]
    rows.sort(key=lambda row: row.at)
    whole = Engine([site]).step(batch(rows), T0 + 90).transitions
    assert {one.zone for one in whole} >= {"door", "aisle", "till"}
    engine = Engine([site])
    found = engine.step(batch([row for row in rows if row.at <= T0 + cut]), T0 + cut).transitions
    again = Engine([site])
    again.restore(engine.checkpoint())
    assert again.checkpoint() == engine.checkpoint()
    found = [*found, *again.step(batch([row for row in rows if row.at > T0 + cut]), T0 + 90).transitions]
    assert found == whole


@pytest.mark.parametrize(("before", "after"), [("strongest", "grid"), ("zones", "strongest"), ("grid", "zones")])
def test_another_locator_goes_on_from_the_last_readings(before: LocatorName, after: LocatorName) -> None:
    engine = Engine([having(before)])
    assert kinds(engine.step(batch(heard("door", 0, 10)), T0 + 10).transitions) == [("enter", "door")]
    kept = engine.checkpoint()
    assert engine.set_sites([having(after)], T0 + 10).transitions == []
    assert engine.step(batch(heard("door", 10, 15)), T0 + 15).transitions == []
    restarted = Engine([having(after)])
    restarted.restore(kept)
    assert restarted.step(batch(heard("door", 10, 15)), T0 + 15).transitions == []
    assert restarted.inside("ada") == [("shop", "door")]
    assert restarted.step(Batch(), T0 + 16).transitions == []
