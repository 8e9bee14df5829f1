"""Phones' own regions: which zone is meant, and one event of the phone's word and the server's."""

import json
from dataclasses import replace

import pytest
from shapely.geometry import box

from proximity.ingest.admission import Admission
from proximity.ingest.decode import Decoder, Read
from proximity.ingest.inbound import Inbound
from proximity.ingest.offsets import Offsets
from proximity.ingest.regions import MOST_REGIONS, RegionBook, ZoneNames
from proximity.model import Device, Fix, Transition
from proximity.phones.report import PhoneTransition, Region
from proximity.presence.engine import Engine
from proximity.presence.journal import Recorded, Replay
from proximity.site.model import Site, Zone
from tests.presence_shop import LAT, LON, PHONE, T0, batch, circle, fix, heard, kinds, place, run, shop, told

PARK = circle("park", 60)


def said(kind: str = "enter", **more: object) -> PhoneTransition:
    return PhoneTransition(kind, T0, **more)  # type: ignore[arg-type]


# -- which zone ---------------------------------------------------------------------------------------------------


def other_town(site: Site) -> Site:
    """The same shop 70 km to the east."""
    park = replace(PARK, site="mall", outline=box(3.35, 48.85, 3.36, 48.86), radius=None)
    return replace(site, id="mall", lon=LON + 1.0, zones=(park,))


@pytest.mark.parametrize(
    ("words", "region", "zone"),
    [
        ({"description": "park"}, None, "shop/park"),
        ({"description": " PARK "}, None, "shop/park"),
        ({"description": "shop/park"}, None, "shop/park"),
        ({"region": "park"}, None, "shop/park"),
        ({"description": "Home"}, None, None),
        ({}, None, None),
        ({"description": "door"}, None, None),  # an indoor zone is no region of a phone
        ({"description": "My shop"}, Region(LAT, LON, 100.0), "shop/park"),
        ({"description": "My shop"}, Region(LAT + 0.0002, LON, 60.0), "shop/park"),  # 22 m
        ({"description": "My shop"}, Region(LAT + 0.001, LON, 60.0), None),  # 111 m
        ({"description": "My town"}, Region(LAT, LON, 2000.0), None),
    ],
)
def test_the_zone_is_found_by_name_or_by_place(words: dict[str, str], region: Region | None, zone: str | None) -> None:
    assert ZoneNames([shop(PARK)]).match(said(**words), region, None) == zone


def test_a_name_that_two_stores_share_is_told_apart_by_the_place() -> None:
    names = ZoneNames([shop(PARK), other_town(shop())])
    word = said(description="park")
    assert names.match(word, None, None) is None
    assert names.match(word, None, fix(0, 50)) == "shop/park"
    assert names.match(word, None, Fix(PHONE, 48.855, 3.355, T0)) == "mall/park"
    assert names.match(said(description="mall/park"), None, fix(0, 50)) == "mall/park"


def test_zones_in_local_metres_are_found_too() -> None:
    yard = Zone("yard", "shop", "Yard", box(80, -30, 140, 30), outdoor=True)
    lat, lon = place(110, 0)
    assert ZoneNames([shop(yard)]).match(said(), Region(lat, lon, 50.0), None) == "shop/yard"
    nowhere = replace(shop(yard), lat=None, lon=None)
    assert ZoneNames([nowhere]).match(said(), Region(lat, lon, 50.0), None) is None


def test_the_book_finds_a_region_by_id_by_its_making_or_by_its_name() -> None:
    book, region = RegionBook(), Region(LAT, LON, 60.0, "My shop", "1f", 1700000001.0)
    book.tell(PHONE, region)
    for words in ({"region": "1F"}, {"region_made": 1700000001.0}, {"description": "my shop"}):
        assert book.find(PHONE, said(**words)) == region
    assert book.find("owntracks:bob/phone", said(region="1f")) is None
    moved = replace_region(region, LAT + 1.0)
    book.tell(PHONE, moved)
    assert book.find(PHONE, said(region="1f")) == moved
    book.keep([])
    assert book.find(PHONE, said(region="1f")) is None


def replace_region(region: Region, lat: float) -> Region:
    return Region(lat, region.lon, region.radius, region.description, region.region, region.made)


def test_the_book_is_bounded() -> None:
    book = RegionBook()
    for i in range(1000):
        book.tell(PHONE, Region(LAT, LON, 60.0, f"place {i}", f"{i}", 1.7e9 + i))
    assert book.find(PHONE, said(region="999")) is not None
    assert book.find(PHONE, said(region=f"{999 - 4 * MOST_REGIONS}")) is None


# -- from the message to the word -----------------------------------------------------------------------------------


def read(*messages: dict[str, object]) -> Read:
    topic = "owntracks/ada/phone/event"
    decoder = Decoder(Offsets({}), lambda _device: None)
    return decoder.read([Inbound(topic, json.dumps(message).encode(), T0) for message in messages])


CROSSED = {"_type": "transition", "event": "enter", "tst": T0, "desc": "Park", "rid": "1f", "wtst": 1700000001}


def test_a_transition_of_a_phone_becomes_a_word_about_a_zone() -> None:
    admission = Admission([shop(PARK)], [Device(PHONE, "ada", "owntracks")])
    _, words, counts = admission.admit(read(CROSSED, {**CROSSED, "event": "leave"}, {**CROSSED, "desc": "Home"}), T0)
    assert words == [(PHONE, "ada", "shop/park", True, T0), (PHONE, "ada", "shop/park", False, T0)]
    assert counts["identity", "unknown_region"] == 1


def test_a_region_is_known_by_its_place_once_the_phone_has_told_of_it() -> None:
    waypoint = {"_type": "waypoint", "desc": "My shop", "lat": LAT, "lon": LON, "rad": 80, "rid": "1f", "tst": 17e8}
    crossed = {**CROSSED, "desc": "My shop"}
    admission = Admission([shop(PARK)], [Device(PHONE, "ada", "owntracks")])
    assert admission.admit(read(crossed), T0)[1] == []
    told = {"_type": "waypoints", "waypoints": [{**waypoint, "rid": "2a"}, waypoint, {"desc": "no place"}]}
    assert [word.zone for word in admission.admit(read(told, crossed), T0)[1]] == ["shop/park"]


def test_the_word_of_a_phone_of_nobody_is_dropped() -> None:
    admission = Admission([shop(PARK)], [])
    _, words, counts = admission.admit(read(CROSSED), T0)
    assert words == []
    assert counts["identity", "nobody"] == 1


# -- one event --------------------------------------------------------------------------------------------------------


def timeline(
    *rows: Fix | tuple[float, bool], end: float = 200.0, zones: tuple[Zone, ...] = (PARK,)
) -> list[Transition]:
    """Fixes, and words about the park: (second, inside). Each comes when it was made."""
    engine, found = Engine([shop(*zones)], now=T0 - 1), []
    for row in sorted(rows, key=lambda one: one.at - T0 if isinstance(one, Fix) else one[0]):
        if isinstance(row, Fix):
            found += run(engine, row.at - T0, [row]).transitions
        else:
            engine.region_state(PHONE, "ada", "shop/park", row[1], T0 + row[0])
            found += run(engine, row[0]).transitions
    return [*found, *run(engine, end).transitions]


def test_the_phones_word_alone_is_a_visit() -> None:
    enter, left = timeline((10, True), (100, False))
    assert (enter.kind, enter.at, enter.observed, enter.device) == ("enter", T0 + 10, T0 + 10, PHONE)
    assert enter.initial
    assert (left.kind, left.cause, left.at, left.observed) == ("exit", "left", T0 + 103, T0 + 100)
    assert left.visit == enter.visit


@pytest.mark.parametrize(
    "rows",
    [
        [(10, True), fix(12, 0), fix(60, 0), fix(100, 200)],  # the phone first
        [fix(10, 0), (12, True), (14, True), fix(100, 200)],  # the server first, and the phone twice
        [fix(10, 55), (10, True), fix(100, 200)],  # the message's own fix, at the edge
        [fix(10, 0), fix(50, 0), fix(100, 200), (104, False), (105, False)],  # the server knew before
        [(10, True), (100, False), fix(104, 200)],
        [(10, True), fix(98, 0), (100, False), fix(104, 200)],  # the way out of it is no way through it
        [(10, True), fix(50, 66), (100, False)],  # a fix that tells little ends nothing
    ],
)
def test_the_phones_word_and_the_servers_are_one_event(rows: list[Fix | tuple[float, bool]]) -> None:
    assert kinds(timeline(*rows)) == [("enter", "park"), ("exit", "park")]


def test_a_word_that_the_last_fix_clearly_speaks_against_changes_nothing() -> None:
    assert timeline(fix(10, 500), (12, True)) == []
    assert kinds(timeline(fix(10, 0), (12, False))) == [("enter", "park")]
    assert told(timeline(fix(10, 500), (90, True))) == [(90, "enter", "park", "confirmed")]  # that fix is old


def test_a_word_older_than_what_is_known_changes_nothing() -> None:
    engine = Engine([shop(PARK)], now=T0)
    run(engine, 60, [fix(50, 500)])
    engine.region_state(PHONE, "ada", "shop/park", True, T0 + 40)
    step = run(engine, 61)
    assert step.transitions == []
    assert step.counts["regions_overtaken"] == 1
    engine.region_state(PHONE, "ada", "shop/park", True, T0 + 55)
    engine.region_state(PHONE, "ada", "shop/park", False, T0 + 58)
    engine.region_state(PHONE, "ada", "shop/park", True, T0 + 55)  # the broker sent it again
    assert run(engine, 90).transitions == []


def test_words_that_come_hours_late_or_from_the_future_freeze_nothing() -> None:
    engine = Engine([shop(PARK)], now=T0)
    run(engine, 3600)
    engine.region_state(PHONE, "ada", "shop/park", True, T0 + 10)
    engine.region_state(PHONE, "ada", "shop/park", True, T0 + 99_999)
    step = run(engine, 3601)
    assert (step.counts["late_regions"], step.counts["clamped"]) == (1, 1)
    assert kinds(step.transitions) == [("enter", "park")]
    assert kinds(run(engine, 3640, [fix(3620, 300)]).transitions) == [("exit", "park")]


def test_words_about_indoor_zones_and_zones_that_are_gone_are_counted() -> None:
    engine = Engine([shop(PARK)], now=T0)
    for zone in ("shop/door", "shop/nowhere"):
        engine.region_state(PHONE, "ada", zone, True, T0 + 1)
    step = run(engine, 5)
    assert (step.transitions, step.counts) == ([], {"regions": 1, "regions_without_fence": 1})


def test_a_visit_by_word_survives_a_restart_an_edit_and_a_map_and_ends_by_silence() -> None:
    site = shop(PARK)
    engine = Engine([site], now=T0)
    engine.region_state(PHONE, "ada", "shop/park", True, T0 + 10)
    engine.region_state(PHONE, "ada", "shop/park", True, T0 + 30)  # held beyond the watermark
    assert kinds(run(engine, 20).transitions) == [("enter", "park")]
    restarted = Engine([site])
    restarted.restore(engine.checkpoint())
    assert run(restarted, 40).transitions == []
    (where,) = restarted.whereabouts("ada")
    assert (where.zones, where.lat, where.site) == (("park",), None, None)
    assert restarted.set_sites([shop(circle("park", 90))], T0 + 50).transitions == []
    (exit_,) = run(restarted, 2000).transitions
    assert (exit_.cause, exit_.observed) == ("silence", T0 + 30)


def test_the_journal_of_presence_has_the_words_too() -> None:
    first = Recorded([shop(PARK)], now=T0)
    kept = first.snapshot()
    first.region_state(PHONE, "ada", "shop/park", True, T0 + 10)
    first.step(batch([fix(5, 70)]), T0 + 20)
    entry = first.entry()
    assert entry is not None
    second = Recorded([shop(PARK)], now=T0)
    second.resume(kept)
    (step,) = Replay(second, [shop(PARK)]).tell(entry)
    assert kinds(step.transitions) == [("enter", "park")]
    assert second.whereabouts() == first.whereabouts()


def test_a_phone_that_changes_hands_and_one_that_is_forgotten() -> None:
    engine = Engine([shop(PARK)], now=T0)
    engine.region_state(PHONE, "ada", "shop/park", True, T0 + 1)
    run(engine, 5)
    engine.region_state(PHONE, "bob", "shop/park", True, T0 + 6)
    step = run(engine, 8)
    assert [(one.kind, one.shopper, one.cause) for one in step.transitions] == [
        ("exit", "ada", "erased"),
        ("enter", "bob", "confirmed"),
    ]
    engine.region_state(PHONE, "bob", "shop/park", False, T0 + 20)
    assert kinds(engine.forget("bob", T0 + 9).transitions) == [("exit", "park")]
    assert run(engine, 40).transitions == []


def test_beacon_and_word_for_one_place_are_one_visit() -> None:
    """A tag in the shop and a phone whose own region is the shop's park, which a gateway covers too."""
    site = shop(replace(PARK, outdoor=True))
    site = replace(site, anchors=(*site.anchors[1:], replace(site.anchors[0], zone="park")))
    engine = Engine([site], now=T0)
    engine.region_state(PHONE, "ada", "shop/park", True, T0 + 1)
    found = run(engine, 30, heard("door", 2, 30)).transitions
    engine.region_state(PHONE, "ada", "shop/park", False, T0 + 31)
    found += run(engine, 40, heard("door", 31, 40)).transitions
    assert kinds(found) == [("enter", "park")]  # the tag is still there
    assert kinds(run(engine, 100).transitions) == [("exit", "park")]
