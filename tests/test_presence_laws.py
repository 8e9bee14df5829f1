"""What holds for any stream of observations."""

import re
from collections.abc import Callable, Sequence
from dataclasses import replace
from itertools import pairwise
from random import Random

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from shapely.geometry import Point, box

from proximity.model import DwellThreshold, Fix, Sighting, Transition
from proximity.presence import checkpoint
from proximity.presence.engine import Engine
from proximity.presence.fixes import ENTER_P, probability
from proximity.presence.locating.gridfilter import GridFilter
from proximity.presence.locating.zonefilter import ZoneFilter
from proximity.presence.locator import Locator
from proximity.presence.strongest import Strongest
from proximity.site.frames import to_degrees
from proximity.site.model import Site, Zone
from tests.presence_shop import INDOOR, LAT, LON, OWNERS, T0, batch, circle, shop

Row = Sighting | Fix
Switch = tuple[str, bool, float]
Said = tuple[str, str, str, bool, float]  # device, shopper, "<site>/<zone>", inside, event time
TAGS = ("ibeacon:ada", "ibeacon:ada2", "ibeacon:bob")
PHONES = ("owntracks:ada/phone", "owntracks:bob/phone")
FORGIVING = DwellThreshold(6.0, 4.0)
THRESHOLDS = {
    ("shop", zone): frozenset({DwellThreshold(2.0), DwellThreshold(7.5), FORGIVING})
    for zone in (*INDOOR, "park", "yard")
}
SITE = shop(circle("park", 40), circle("yard", 30, 50), Zone("store", "shop", "Store", box(0, 0, 15, 5)))
END = 400.0
Locate = Callable[[Site], Locator]
LOCATORS: dict[str, Locate] = {
    "strongest": Strongest.for_site,
    "zones": lambda site: ZoneFilter.for_site(site, None, None),
    "grid": lambda site: GridFilter.for_site(site, None, None),
}

sightings = st.builds(
    lambda zone, device, at, clear, heard_by: [
        Sighting(f"shop/g-{name}", device, (-60.0 if name == zone else -82.0 if clear else -66.0) - 0.5 * i, T0 + at)
        for i, name in enumerate(INDOOR)
        if heard_by >> i & 1 or name == zone
    ],
    zone=st.sampled_from(INDOOR),
    device=st.sampled_from(TAGS),
    at=st.integers(0, 600).map(lambda tenth: tenth / 10),
    clear=st.booleans(),
    heard_by=st.integers(0, 7),
)
stays = st.builds(
    lambda zone, device, start, length, every: [
        Sighting(f"shop/g-{name}", device, -60.0 if name == zone else -80.0, T0 + start + every * i)
        for i in range(length)
        for name in INDOOR
    ],
    zone=st.sampled_from(INDOOR),
    device=st.sampled_from(TAGS),
    start=st.integers(0, 500).map(lambda tenth: tenth / 10),
    length=st.integers(1, 12),
    every=st.sampled_from([0.5, 1.0, 3.0]),
)
positions = st.builds(
    lambda device, at, east, north, accuracy: [Fix(device, *_place(east, north), T0 + at, accuracy)],
    device=st.sampled_from(PHONES),
    at=st.integers(0, 600).map(lambda tenth: tenth / 10),
    east=st.integers(-120, 120),
    north=st.sampled_from([0, 0, 20, 60]),
    accuracy=st.sampled_from([None, 5.0, 10.0, 40.0]),
)
outages = st.lists(
    st.tuples(
        st.sampled_from([f"shop/g-{name}" for name in INDOOR]), st.booleans(), st.integers(0, 200).map(lambda s: T0 + s)
    ),
    max_size=8,
)
words = st.lists(
    st.builds(
        lambda phone, zone, inside, tenth: (phone, OWNERS.get(phone, phone), f"shop/{zone}", inside, T0 + tenth / 10),
        st.sampled_from(PHONES),
        st.sampled_from(["park", "yard"]),
        st.booleans(),
        st.integers(0, 600),
    ),
    max_size=6,
).map(lambda said: sorted(said, key=lambda word: word[4]))
streams = st.lists(st.one_of(sightings, stays, positions), max_size=25).map(
    lambda groups: sorted(_once([row for group in groups for row in group]), key=lambda row: row.at)
)


def _place(east: float, north: float) -> tuple[float, float]:
    lat, lon = to_degrees(LAT, LON, 0.0, np.array(float(east)), np.array(float(north)))
    return float(lat), float(lon)


def _once(rows: Sequence[Row]) -> list[Row]:
    """One row for each source, device and time: two that differ only in value are not two observations."""
    return list({(row.device, row.at, getattr(row, "anchor", None)): row for row in rows}.values())


def _engine(site: Site = SITE, switches: Sequence[Switch] = (), locate: Locate = Strongest.for_site) -> Engine:
    engine = Engine([site], THRESHOLDS, locate, now=T0 - 1)
    for anchor, online, at in switches:
        engine.gateway_state(anchor, online, at)
    return engine


def _all(
    rows: Sequence[Row],
    site: Site = SITE,
    switches: Sequence[Switch] = (),
    said: Sequence[Said] = (),
    locate: Locate = Strongest.for_site,
) -> list[Transition]:
    engine = _engine(site, switches, locate)
    for word in said:
        engine.region_state(*word)
    return engine.step(batch(rows), T0 + END).transitions


def _tell(engine: Engine, said: list[Said], watermark: float) -> None:
    """The words that were said up to then, and take them off the list."""
    while said and said[0][4] <= watermark:
        engine.region_state(*said.pop(0))


def _cut(rows: Sequence[Row], cuts: Sequence[int]) -> list[tuple[list[Row], float]]:
    """Pieces of a stream, each with a watermark that nothing after it is older than."""
    bounds = [0, *sorted(cut % (len(rows) + 1) for cut in cuts), len(rows)]
    pieces = []
    for start, end in pairwise(bounds):
        watermark = rows[end].at - 0.01 if end < len(rows) else T0 + END
        pieces.append((list(rows[start:end]), watermark))
    return pieces


@settings(max_examples=60, deadline=None)
@given(streams, words)
def test_enters_and_exits_alternate_and_dwells_lie_between(rows: list[Row], said: list[Said]) -> None:
    inside: dict[tuple[str, str], str] = {}
    ids = set()
    for one in _all(rows, said=said):
        key = (one.shopper, one.zone)
        assert one.id not in ids
        ids.add(one.id)
        if one.kind == "enter":
            assert key not in inside
            inside[key] = one.visit
        elif one.kind == "exit":
            assert inside.pop(key) == one.visit
        elif one.kind == "dwell":
            assert inside[key] == one.visit
            if not one.forgive:
                assert one.at == one.started + (one.dwell or 0.0)
        elif one.kind == "cross":
            assert key not in inside
        assert one.started <= one.at
    open_visits = {(shopper, zone) for shopper, zone in inside}
    engine = _engine()
    for word in said:
        engine.region_state(*word)
    engine.step(batch(rows), T0 + END)
    assert {(s, zone) for s in ("ada", "bob") for _, zone in engine.inside(s)} == {
        (shopper, zone) for shopper, zone in open_visits if shopper in ("ada", "bob")
    }


@settings(max_examples=60, deadline=None)
@given(streams, words)
def test_a_dwell_that_forgives_is_told_once_until_the_shopper_was_away_for_longer(
    rows: list[Row], said: list[Said]
) -> None:
    since: dict[tuple[str, str], float] = {}  # when the count began
    left: dict[tuple[str, str], float] = {}
    told: set[tuple[str, str]] = set()
    for one in _all(rows, said=said):
        key = (one.shopper, one.zone)
        if one.kind == "enter" and (key not in since or one.started > left[key] + FORGIVING.forgive):
            since[key] = one.started
            told.discard(key)
        elif one.kind == "exit":
            left[key] = one.at
        elif one.kind == "dwell" and one.forgive:
            assert key not in told
            assert one.at >= since[key] + FORGIVING.seconds
            told.add(key)


@settings(max_examples=60, deadline=None)
@given(streams, st.lists(st.integers(0, 300), max_size=6), outages, words)
def test_any_cut_into_batches_gives_the_same_transitions(
    rows: list[Row], cuts: list[int], switches: list[Switch], said: list[Said]
) -> None:
    engine, left, found = _engine(switches=switches), list(said), []
    for piece, watermark in _cut(rows, cuts):
        _tell(engine, left, watermark)
        found += engine.step(batch(piece), watermark).transitions
    assert found == _all(rows, switches=switches, said=said)


@settings(max_examples=40, deadline=None)
@given(streams, st.randoms(use_true_random=False), st.lists(st.integers(0, 300), max_size=4))
def test_a_permutation_within_the_reorder_window_changes_nothing(
    rows: list[Row], random: Random, cuts: list[int]
) -> None:
    engine = _engine()
    found = []
    for piece, watermark in _cut(rows, cuts):
        random.shuffle(piece)
        found += engine.step(batch(piece), watermark).transitions
    assert found == _all(rows)


@settings(max_examples=40, deadline=None)
@given(streams, st.lists(st.integers(0, 300), max_size=20), st.lists(st.integers(0, 300), max_size=3))
def test_duplicates_change_nothing(rows: list[Row], repeated: list[int], cuts: list[int]) -> None:
    again = sorted([*rows, *(rows[i % len(rows)] for i in repeated if rows)], key=lambda row: row.at)
    engine = _engine()
    steps = [engine.step(batch(piece), watermark) for piece, watermark in _cut(again, cuts)]
    assert [one for step in steps for one in step.transitions] == _all(rows)
    extra = len(again) - len(rows)
    assert sum(step.counts.get("duplicates", 0) + len(step.late) for step in steps) >= extra


@settings(max_examples=40, deadline=None)
@given(streams, st.lists(st.integers(0, 300), max_size=4), outages, words, st.sampled_from(list(LOCATORS)))
def test_a_checkpoint_and_a_restore_at_any_point_change_nothing(
    rows: list[Row], cuts: list[int], switches: list[Switch], said: list[Said], method: str
) -> None:
    locate = LOCATORS[method]
    engine, left, found = _engine(switches=switches, locate=locate), list(said), []
    for piece, watermark in _cut(rows, cuts):
        _tell(engine, left, watermark)
        found += engine.step(batch(piece), watermark).transitions
        kept = engine.checkpoint()
        engine = Engine([SITE], THRESHOLDS, locate)
        engine.restore(kept)
        assert engine.checkpoint() == kept
    assert found == _all(rows, switches=switches, said=said, locate=locate)


@settings(max_examples=20, deadline=None)
@given(streams, st.lists(st.integers(0, 300), max_size=6), st.sampled_from(["zones", "grid"]))
def test_any_cut_gives_the_same_with_every_locator(rows: list[Row], cuts: list[int], method: str) -> None:
    engine, found = _engine(locate=LOCATORS[method]), []
    for piece, watermark in _cut(rows, cuts):
        found += engine.step(batch(piece), watermark).transitions
    assert found == _all(rows, locate=LOCATORS[method])


@settings(max_examples=30, deadline=None)
@given(streams, st.floats(-180, 180), st.sampled_from([0.0, 30.0, 90.0, 211.0]))
def test_neither_longitude_nor_the_turn_of_the_store_matters(rows: list[Row], shift: float, bearing: float) -> None:
    """Fences in local metres, and fixes made from local metres: another longitude and bearing give the same."""

    def world(lon: float, turn: float) -> list[tuple[str, str, float]]:
        park = Zone("park", "shop", "Park", Point(0.0, 0.0), outdoor=True, radius=40.0)
        yard = Zone("yard", "shop", "Yard", box(20, -30, 80, 30), outdoor=True)
        site = replace(shop(park, yard), lon=lon, bearing=turn)
        moved: list[Row] = []
        for row in rows:
            if isinstance(row, Fix):
                east, north = (row.lon - LON) * 73_000.0, (row.lat - LAT) * 111_200.0
                lat, there = to_degrees(LAT, lon, turn, np.array(east), np.array(north))
                moved.append(Fix(row.device, float(lat), float(there), row.at, row.accuracy))
            else:
                moved.append(row)
        return [(one.kind, one.zone, one.at) for one in _all(moved, site)]

    lon = (LON + shift + 180.0) % 360.0 - 180.0
    assert world(lon, bearing) == world(LON, 0.0)


@settings(max_examples=40, deadline=None)
@given(st.floats(5, 100), st.floats(2, 200), st.integers(0, 2**32 - 1))
def test_more_accurate_fixes_do_not_lower_the_right_answer(depth: float, accuracy: float, seed: int) -> None:
    noise = np.random.default_rng(seed).normal(0.0, 1.0, 4000)
    coarse = probability(depth + noise * accuracy / 1.515, np.full(4000, accuracy)).mean()
    fine = probability(depth + noise * accuracy / 3.03, np.full(4000, accuracy / 2.0)).mean()
    assert fine >= coarse - 0.01
    assert fine > ENTER_P - 0.1


@settings(max_examples=30, deadline=None)
@given(streams, st.integers(0, 300), st.sampled_from(["door", "park", "yard"]))
def test_edits_and_erasure_leave_nothing_open_behind(rows: list[Row], cut: int, zone: str) -> None:
    engine = _engine()
    (first, watermark), *rest = _cut(rows, [cut])
    steps = [engine.step(batch(first), watermark)]
    smaller = replace(SITE, zones=tuple(one for one in SITE.zones if one.id != zone))
    steps.append(engine.set_sites([smaller], watermark))
    steps += [engine.step(batch(piece), mark) for piece, mark in rest]
    steps.append(engine.forget("ada", T0 + END))
    inside: set[tuple[str, str]] = set()
    for one in (one for step in steps for one in step.transitions if one.kind in ("enter", "exit")):
        (inside.add if one.kind == "enter" else inside.remove)((one.shopper, one.zone))
    assert not [key for key in inside if key[0] == "ada" or key[1] == zone]
    assert engine.inside("ada") == []
    assert not re.search(r"\bada", repr(checkpoint.unpack(engine.checkpoint())))
    assert all(one.shopper != "ada" for one in engine.whereabouts())
