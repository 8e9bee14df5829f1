"""Many fences that change: the index finds what measuring every fence finds, and an edit costs the same among many."""

import sys
from collections.abc import Callable

import msgspec
import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from shapely.geometry import MultiPoint, MultiPolygon, Point, box

from proximity.model import Fix
from proximity.observations import Floats
from proximity.presence import boxes
from proximity.presence.boxes import Boxes
from proximity.presence.engine import Engine
from proximity.presence.fixes import enough, verdicts
from proximity.presence.geofences import Fences, earth
from proximity.presence.outlines import shapes_of
from proximity.site.frames import to_degrees
from proximity.site.model import Site, Zone
from tests.presence_shop import PHONE, T0, batch, kinds, run

UNKNOWN = np.full(1, np.nan)


def zone(name: str, lon: float, lat: float, radius: float = 100.0) -> Zone:
    return Zone(name, "s", name, Point((lon + 180.0) % 360.0 - 180.0, lat), "wgs84", True, radius=radius)


def site(*zones: Zone) -> Site:
    return Site("s", "S", "UTC", lat=0.0, lon=0.0, zones=zones)


def put(index: Boxes, number: int, west: float, south: float, east: float, north: float) -> None:
    index.put(np.array([number]), np.array([[west, south, east, north]]))


def met(one: Floats, other: Floats) -> bool:
    """Whether two boxes meet, on a round Earth."""
    turns = (-360.0, 0.0, 360.0)
    level = one[1] <= other[3] and other[1] <= one[3]
    return level and any(one[0] + turn <= other[2] and other[0] <= one[2] + turn for turn in turns)


edits = st.lists(
    st.one_of(
        st.tuples(st.integers(0, 30), st.integers(-40, 40), st.integers(-30, 30), st.integers(1, 12)),
        st.integers(0, 30),
        st.none(),
    ),
    max_size=40,
)
ways = st.lists(
    st.tuples(st.integers(-50, 50), st.integers(-40, 40), st.integers(-15, 15), st.integers(-15, 15), st.booleans()),
    min_size=1,
    max_size=20,
)


@settings(max_examples=80)
@given(edits, ways, st.sampled_from([0.0, 100.0, 180.0, -179.999]))
def test_whatever_is_put_and_removed_the_index_finds_what_is_there(
    edits: list[tuple[int, int, int, int] | int | None], ways: list[tuple[int, int, int, int, bool]], middle: float
) -> None:
    """Boxes of some tenths of a thousandth of a degree; questions between the edits fill the neighbourhoods."""
    index, there = Boxes(), {}
    lon = np.array([(middle + x / 1e4 + 180.0) % 360.0 - 180.0 for x, *_ in ways])
    lat = np.array([y / 1e4 for _, y, *_ in ways])
    back = np.array([(dx / 1e4, dy / 1e4) if moved else (np.nan, np.nan) for *_, dx, dy, moved in ways])
    lon_before, lat_before = (lon + back[:, 0] + 180.0) % 360.0 - 180.0, lat + back[:, 1]
    for step, edit in enumerate([*edits, None]):
        if isinstance(edit, tuple):
            number, x, y, size = edit
            if number in there:
                index.remove(np.array([number]))
            there[number] = np.array([middle + x / 1e4, y / 1e4, middle + (x + size) / 1e4, (y + size) / 1e4])
            put(index, number, *there[number].tolist())
        elif isinstance(edit, int) and edit in there:
            index.remove(np.array([edit]))
            del there[edit]
        if edit is None or step % 7 == 0:
            which, number_found = index.near(lat, lon, lat_before, lon_before)
            found = list(zip(which.tolist(), number_found.tolist(), strict=True))
            assert len(set(found)) == len(found)
            dx, dy = np.nan_to_num(back).T
            spans = np.column_stack(
                [lon + np.minimum(dx, 0), lat + np.minimum(dy, 0), lon + np.maximum(dx, 0), lat + np.maximum(dy, 0)]
            )
            sure = {(i, n) for i, span in enumerate(spans) for n, one in there.items() if met(span, one)}
            eased = spans + np.array([-1e-9, -1e-9, 1e-9, 1e-9])  # a touch may be lost or won by rounding
            tight = spans + np.array([1e-9, 1e-9, -1e-9, -1e-9])
            assert {(i, n) for i, n in sure if met(tight[i], there[n])} <= set(found)
            assert all(met(eased[i], there[n]) for i, n in found)


def test_many_boxes_and_many_questions_agree_with_looking_at_each() -> None:
    rng = np.random.default_rng(5)
    low = rng.uniform([-20, -20], [20, 20], (3000, 2))
    there = np.column_stack([low, low + rng.uniform(0.001, 0.5, (3000, 2))])
    index = Boxes()
    for some in np.array_split(np.arange(3000), 37):
        index.put(some, there[some])
    gone = rng.permutation(3000)[:1700]
    index.remove(gone)
    assert len(index) == 1300
    there[gone] = np.nan
    for _ in range(3):  # the second time from the neighbourhoods
        lat, lon = rng.uniform(-20, 20, 500), rng.uniform(-20, 20, 500)
        none = np.full(500, np.nan)
        found = set(zip(*(column.tolist() for column in index.near(lat, lon, none, none)), strict=True))
        inside = (there[:, 0] <= lon[:, None]) & (lon[:, None] <= there[:, 2])
        inside &= (there[:, 1] <= lat[:, None]) & (lat[:, None] <= there[:, 3])
        assert found == set(zip(*(axis.tolist() for axis in np.nonzero(inside)), strict=True))


def test_neighbourhoods_are_forgotten_before_they_fill_the_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(boxes, "MOST_POOLED", 50)
    index = Boxes()
    put(index, 0, -1.0, -1.0, 1.0, 1.0)
    rng = np.random.default_rng(1)
    for _ in range(20):
        lat, lon = rng.uniform(-1, 1, (2, 40))
        which, number = index.near(lat, lon, np.full(40, np.nan), np.full(40, np.nan))
        assert which.tolist() == list(range(40))
        assert not number.any()
    assert index._cells._filled <= 50 + 40


@pytest.mark.parametrize("lon", [179.9995, -179.9995, 12.0])
def test_a_way_over_the_antimeridian_crosses_like_any_other(lon: float) -> None:
    """At 30 s a fix, 100 m circles, a car: through the middle between two fixes, neither of them inside."""
    engine = Engine([site(zone("gate", lon, 10.0), zone("side", lon, 10.01))])
    west, east = (lon - 0.002 + 180) % 360 - 180, (lon + 0.002 + 180) % 360 - 180
    step = run(engine, 60, [Fix(PHONE, 10.0, west, T0, 10.0), Fix(PHONE, 10.0, east, T0 + 30, 10.0)])
    assert kinds(step.transitions) == [("cross", "gate")]


def test_a_way_through_one_part_of_a_multipolygon_crosses_it_once() -> None:
    parts = MultiPolygon([box(0.001, -0.001, 0.002, 0.001), box(0.003, -0.001, 0.004, 0.001)])
    one = Zone("twins", "s", "Twins", parts, "wgs84", True)
    over = [Fix(PHONE, 0.0001, 0.0, T0, 10.0), Fix(PHONE, 0.0001, 0.005, T0 + 30, 10.0)]
    assert kinds(run(Engine([site(one)]), 60, over).transitions) == [("cross", "twins")]
    beside = [msgspec.structs.replace(fix, lat=0.002) for fix in over]
    assert run(Engine([site(one)]), 60, beside).transitions == []
    between = [Fix(PHONE, -0.002, 0.0025, T0, 10.0), Fix(PHONE, 0.002, 0.0025, T0 + 30, 10.0)]
    assert run(Engine([site(one)]), 60, between).transitions == []


def test_a_circle_in_local_metres_stands_where_the_store_says() -> None:
    at = Site("s", "S", "UTC", lat=48.0, lon=2.0, bearing=90.0)  # the y axis points east
    yard = Zone("yard", "s", "Yard", Point(0.0, 200.0), outdoor=True, radius=50.0)
    fences = Fences(shapes_of({0: yard}, {"s": at}))
    there = earth(np.array([48.0]), np.array([2.0 + 200.0 / 74_628.0]))
    assert fences.inward(there, np.array([0]))[0] == pytest.approx(50.0, abs=0.2)


@pytest.mark.parametrize(("lat", "radius"), [(88.5, 100.0), (-88.5, 100.0), (87.9, 400_000.0)])
def test_a_circle_near_or_round_a_pole_is_refused(lat: float, radius: float) -> None:
    with pytest.raises(ValueError, match=r"zone ice: .* pole"):
        Engine([site(zone("ice", 0.0, lat, radius))])


@settings(max_examples=60)
@given(
    st.lists(st.tuples(st.integers(-2000, 2000), st.integers(-2000, 2000)), min_size=3, max_size=8, unique=True),
    st.lists(
        st.tuples(st.integers(-3000, 3000), st.integers(-3000, 3000), st.sampled_from([3.0, 20.0, 90.0])), min_size=1
    ),
)
def test_what_is_sure_without_measuring_gives_the_same_evidence(
    corners: list[tuple[int, int]], places: list[tuple[int, int, float]]
) -> None:
    outline = MultiPoint(corners).convex_hull
    assume(outline.area > 0)
    yard = Zone("yard", "s", "Yard", outline, outdoor=True)
    fences = Fences(shapes_of({0: yard}, {"s": Site("s", "S", "UTC", lat=48.0, lon=2.0)}))
    x, y, accuracy = np.array(places, dtype=np.float64).T
    place, row = earth(*to_degrees(48.0, 2.0, 0.0, x, y)), np.zeros(len(x), dtype=np.int64)
    margin = np.full(len(x), 15.0)
    exact, bound = fences.inward(place, row), fences.inward(place, row, enough(accuracy, margin))
    width = fences.width[row]
    code, p = verdicts(exact, accuracy, width, margin)
    same, q = verdicts(bound, accuracy, width, margin)
    assert code.tolist() == same.tolist()
    assert p == pytest.approx(q, abs=1e-12)
    assert (np.sign(exact) == np.sign(bound)).all()
    assert (np.abs(bound) <= np.abs(exact) + 0.05).all()


def calls(work: Callable[[], object]) -> int:
    """How many functions `work` calls."""
    count = 0

    def profile(_frame: object, event: str, _arg: object) -> None:
        nonlocal count
        count += event in ("call", "c_call")

    sys.setprofile(profile)
    try:
        work()
    finally:
        sys.setprofile(None)
    return count


def many(count: int) -> list[Zone]:
    return [zone(f"z{i}", 0.003 * (i % 100), 0.003 * (i // 100)) for i in range(count)]


@pytest.mark.parametrize("change", ["add", "edit", "remove"])
def test_an_edit_among_many_fences_is_no_more_work_than_among_few(change: str) -> None:
    def work(count: int) -> int:
        zones = many(count)
        engine = Engine([site(*zones)])
        run(engine, 10, [Fix(PHONE, 0.0, 0.00001, T0, 10.0)])
        if change == "add":
            zones.append(zone("new", 0.0, 0.0005))
        elif change == "edit":
            zones[count // 2] = zone(f"z{count // 2}", 0.0, 0.0005)
        else:
            del zones[count // 2]
        edited = site(*zones)
        return calls(lambda: engine.set_sites([edited], T0 + 20))

    few, lots = work(300), work(9000)
    assert lots < few + 9000 / 4  # nothing is done for each fence


def test_edits_come_to_the_same_as_a_new_start() -> None:
    """Fences that come, go and change while a phone stands among them."""
    rng = np.random.default_rng(2)
    zones = {f"z{i}": zone(f"z{i}", *rng.uniform(-0.004, 0.004, 2).tolist()) for i in range(40)}
    engine = Engine([site(*zones.values())], now=T0 - 1)
    run(engine, 5, [Fix(PHONE, 0.0, 0.00001, T0 + 1, 10.0)])
    for turn in range(60):
        name = f"z{rng.integers(0, 60)}"
        if rng.random() < 0.3:
            zones.pop(name, None)
        else:
            zones[name] = zone(name, *rng.uniform(-0.004, 0.004, 2).tolist())
        engine.set_sites([site(*zones.values())], T0 + 6 + turn)
        fresh = Engine([site(*zones.values())], now=T0 - 1)
        run(fresh, 5, [Fix(PHONE, 0.0, 0.00001, T0 + 1, 10.0)])
        lately = {(where, each) for where, each in engine.inside("ada")}
        sure = set(fresh.inside("ada"))
        assert sure <= lately  # an edit keeps those inside who are not rather outside
    again = Engine([site(*zones.values())])
    again.restore(engine.checkpoint())
    move = batch([Fix(PHONE, 0.0, 0.02, T0 + 200, 10.0), Fix(PHONE, 0.0, 0.02, T0 + 204, 10.0)])
    assert again.step(move, T0 + 260).transitions == engine.step(move, T0 + 260).transitions
    assert engine.inside("ada") == []
