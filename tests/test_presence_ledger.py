"""Changes taken all at once and shopper by shopper come to the same; stays, changes and dwells as columns."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from shapely.geometry import box

from proximity.errors import BadMessage
from proximity.model import DwellThreshold, Fix, Sighting, Transition, Visit
from proximity.observations import Batch
from proximity.presence.catalogue import Catalogue
from proximity.presence.engine import Engine
from proximity.presence.ledger import Ledger
from proximity.presence.people import Devices, Shoppers
from proximity.presence.stays import Stays
from proximity.presence.visits import CAUSES, TABLE, Changes, Claims, Event, Phase
from proximity.site.model import Zone
from tests.presence_shop import INDOOR, OWNERS, PHONE, T0, TAG, circle, fix, heard, kinds, run, shop

SITE = shop(circle("park", 40), circle("yard", 30, 50), Zone("store", "shop", "Store", box(0, 0, 15, 5)))
PLAIN = shop()
PEOPLE = {**OWNERS, **{f"ibeacon:{i}": f"shopper-{i}" for i in range(4)}}
THRESHOLDS = {
    ("shop", zone): frozenset({DwellThreshold(2.0), DwellThreshold(5.0, 4.0)}) for zone in (*INDOOR, "park", "store")
}

stays_of_tags = st.builds(
    lambda zone, device, start, length: heard(zone, start / 4, start / 4 + length, device=device),
    st.sampled_from(INDOOR),
    st.sampled_from([device for device in PEOPLE if device != PHONE]),
    st.integers(0, 80),
    st.integers(2, 9),
)
stays_of_phones = st.builds(
    lambda start, east: [fix(start / 4 + 4 * i, east) for i in range(3)], st.integers(0, 80), st.integers(-90, 90)
)
crowds = st.lists(st.one_of(stays_of_tags, stays_of_phones), max_size=16)


class Single(Ledger):
    """Looks at each shopper by himself, whatever happens to him."""

    def _plain(self, changes: Changes) -> tuple[Changes, Changes, Changes]:
        return Changes.none(), Changes.none(), changes


def lived(rows: Sequence[Sequence[Sighting | Fix]], site: Any, ledger: type[Ledger]) -> tuple[list[Any], list[Any]]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("proximity.presence.engine.Ledger", ledger)
        engine = Engine([site], THRESHOLDS, now=T0 - 1.0)
    flat = list({(one.device, one.at, getattr(one, "anchor", "")): one for some in rows for one in some}.values())
    sightings = [one for one in flat if isinstance(one, Sighting)]
    fixes = [one for one in flat if isinstance(one, Fix)]
    step = engine.step(Batch.of(sightings, fixes, PEOPLE), T0 + 14.0)
    step.add(engine.forget("ada", T0 + 15.0))
    step.add(engine.set_sites([site], T0 + 400.0))
    return step.transitions, sorted(step.visits, key=lambda one: (one.id, one.ended or 0.0))


@settings(max_examples=60, deadline=None)
@given(crowds, st.sampled_from([SITE, PLAIN]))
def test_all_at_once_and_one_by_one_come_to_the_same(rows: list[list[Sighting | Fix]], site: Any) -> None:
    assert lived(rows, site, Ledger) == lived(rows, site, Single)


def test_a_crowd_that_enters_in_one_instant_is_told_by_name() -> None:
    rows = [heard("door", 0, 4, device=f"ibeacon:{i}") for i in (3, 1, 2, 0)]
    told, visits = lived(rows, PLAIN, Ledger)
    enters = [one for one in told if one.kind == "enter"]
    assert [one.shopper for one in enters] == [f"shopper-{i}" for i in range(4)]
    assert len({one.at for one in enters}) == 1
    assert {one.id for one in visits} == {one.visit for one in enters}


def test_a_second_device_keeps_the_visit_open() -> None:
    engine = Engine([shop()])
    rows = heard("door", 0, 6), heard("till", 6, 12), heard("door", 0, 12, device="ibeacon:ada2")
    told = run(engine, 11, *rows).transitions
    assert kinds(told) == [("enter", "door")], "the other device is in the zone still, and surer of it"
    (visit,) = engine.visits("ada")
    assert (visit.zone, visit.ended) == ("door", None)
    assert engine.visits("bob") == []


def test_a_claim_that_enters_and_leaves_in_one_instant_changes_nothing() -> None:
    claims, devices, shoppers = Claims(), Devices(), Shoppers()
    ledger = Ledger(OneZone(), devices, shoppers, claims)
    row = claims.take(1)
    claims.device[row], claims.zone[row] = devices.numbers([TAG]), 0
    devices.shopper[claims.device[row]] = shoppers.numbers(["ada"])
    claims.phase[row] = Phase.ARRIVING
    changes = claims.happen(row, Event.CONFIRMED) + claims.happen(row, Event.ELSEWHERE)
    assert [(one.kind, one.cause) for one in changes] == [("enter", "confirmed"), ("exit", "moved")]
    result = ledger.apply(T0, changes)
    assert (result.transitions, result.visits, ledger.visits()) == ([], [], [])


class OneZone(Catalogue):
    """A catalogue of a single zone."""

    def name(self, zone: int) -> tuple[str, str]:
        return "shop", "door" if zone == 0 else "nowhere"


def test_chains_of_stays_and_claims() -> None:
    claims, shoppers = Claims(), Shoppers()
    stays = Stays(shoppers, claims)
    ada = int(shoppers.numbers(["ada"])[0])
    a, b, c, d = claims.take(4).tolist()
    for claim, zone in ((a, 7), (b, 7), (c, 8), (d, 7)):
        stays.back(ada, zone, claim)
    seven, eight = stays.find(ada, 7), stays.find(ada, 8)
    assert sorted(stays.of(ada)) == sorted([seven, eight])
    assert sorted(stays.claims_of(seven)) == sorted([a, b, d])
    assert [stays.unback(claim) for claim in (b, d, a)] == [False, False, True]
    assert stays.claims_of(seven) == []
    stays.drop(seven)
    assert stays.of(ada) == [eight]
    assert (stays.find(ada, 7), claims.stay[[a, b, c, d]].tolist()) == (-1, [-1, -1, eight, -1])


@pytest.mark.parametrize(("phase", "event", "after", "kind", "cause"), TABLE)
def test_what_happens_to_claims_is_what_the_table_says(
    phase: Phase, event: Event, after: Phase, kind: str | None, cause: str | None
) -> None:
    claims = Claims()
    rows = claims.take(3)
    claims.phase[rows] = phase
    told = list(claims.happen(rows, event))
    assert claims.phase[rows].tolist() == [after] * 3
    assert [(one.row, one.kind, one.cause) for one in told] == [(row, kind, cause) for row in rows.tolist() if kind]


def test_changes_add_up() -> None:
    one = Changes(np.array([1], dtype=np.int32), np.array([True]), np.array([CAUSES.index("confirmed")], np.int8))
    two = Changes(np.array([2], dtype=np.int32), np.array([False]), np.array([CAUSES.index("silence")], np.int8))
    both = Changes.none() + one + Changes.none() + two
    assert [(each.row, each.kind, each.cause) for each in both] == [(1, "enter", "confirmed"), (2, "exit", "silence")]
    assert len(both) == 2


def test_devices_that_send_no_fix_have_no_place() -> None:
    engine = Engine([shop(circle("park", 60))])
    run(engine, 3, *(heard("door", 0, 3, device=device) for device in PEOPLE))
    places = engine._devices.places
    assert len(places.rows()) == 1, "the blank one"
    run(engine, 9, [fix(8, 0.0)])
    assert len(places.rows()) == 2
    engine.forget("ada", T0 + 10)
    assert len(places.rows()) == 1


def test_the_checkpoint_of_an_earlier_release_is_given_up_by_name() -> None:
    engine = Engine([shop()])
    data = engine.checkpoint()
    with pytest.raises(BadMessage, match="version 1 is unknown"):
        engine.restore(data[:4] + b"\x01" + data[5:])


@pytest.mark.parametrize("value", [Transition, Visit])
def test_what_holds_nothing_is_not_walked_by_the_garbage_collector(value: Any) -> None:
    assert value.__struct_config__.gc is False
