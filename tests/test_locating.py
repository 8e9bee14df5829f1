"""What every indoor method has to hold, and what each is for."""

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import pytest
import shapely
from hypothesis import given, settings
from hypothesis import strategies as st

from proximity.observations import Floats, Ints
from proximity.presence.locating.gridfilter import GridFilter
from proximity.presence.locating.learned import LearnedZones, Lesson
from proximity.presence.locating.neighbours import Neighbours
from proximity.presence.locating.pooled import Pooled
from proximity.presence.locating.slots import Slots, novelty
from proximity.presence.locating.survey import Survey, survey_of
from proximity.presence.locating.zonefilter import ZoneFilter
from proximity.presence.locator import TICK, Locator
from proximity.site.model import Anchor, Site, Wall, Zone

CORNERS = ((1.0, 1.0), (1.0, 7.0), (9.0, 7.0), (9.0, 1.0))
ANCHORS = tuple(
    Anchor(id=f"a{k}", site="shop", kind="gateway", zone="left" if x < 5 else "right", x=x, y=y)
    for k, (x, y) in enumerate(CORNERS)
)
ZONES = (
    Zone(id="left", site="shop", name="Left", outline=shapely.box(0, 0, 5, 8)),
    Zone(id="right", site="shop", name="Right", outline=shapely.box(5, 0, 10, 8)),
)
SHOP = Site(id="shop", name="Shop", timezone="UTC", zones=ZONES, anchors=ANCHORS)
LEFT, RIGHT = 0, 1


def heard_at(x: float, y: float, gain: float = 0.0) -> Floats:
    """(A,) dBm by free space, -60 at 1 m."""
    away = [math.sqrt((x - a) ** 2 + (y - b) ** 2 + 0.64) for a, b in CORNERS]
    return np.array([-60 - 20 * math.log10(d) + gain for d in away])


def survey() -> Survey:
    places = [(x, y) for x in np.arange(0.5, 10, 1.5) for y in np.arange(0.5, 8, 1.5)]
    rows = [
        (0, x, y, a, round(level) + wobble, 50.0)
        for x, y in places
        for a, level in enumerate(heard_at(x, y))
        for wobble in (-3, 0, 3)
    ]
    return survey_of(rows, len(ANCHORS))


def learned(site: Site) -> LearnedZones:
    moments = np.arange(0, 60, TICK)
    x = 1.0 + 8.0 * np.abs((moments / 30.0) % 2.0 - 1.0)
    anchor = np.tile(np.arange(4, dtype=np.int32), len(moments))
    rssi = np.concatenate([heard_at(each, 4.0) for each in x])
    return LearnedZones(site, [Lesson(np.repeat(moments, 4), anchor, rssi, moments, np.where(x < 5, LEFT, RIGHT))])


METHODS: dict[str, Callable[[], Locator]] = {
    "grid": lambda: GridFilter.for_site(SHOP),
    "grid with survey": lambda: GridFilter.for_site(SHOP, survey()),
    "zones": lambda: ZoneFilter.for_site(SHOP),
    "zones with survey": lambda: ZoneFilter.for_site(SHOP, survey()),
    "pooled grid": lambda: Pooled.grid(SHOP),
    "pooled grid with survey": lambda: Pooled.grid(SHOP, survey()),
    "pooled zones": lambda: Pooled.by_zone(SHOP),
    "neighbours": lambda: Neighbours.for_site(SHOP),
    "neighbours with survey": lambda: Neighbours.for_site(SHOP, survey()),
    "learned": lambda: learned(SHOP),
}
every_method = pytest.mark.parametrize("make", METHODS.values(), ids=METHODS.keys())


def slots(*numbers: int) -> Ints:
    return np.array(numbers, dtype=np.int32)


def hear(locator: Locator, now: float, places: dict[int, tuple[float, float]], gain: float = 0.0) -> None:
    """One tick in which all anchors hear each slot at its place."""
    slot = np.repeat(np.array(list(places), dtype=np.int32), 4)
    anchor = np.tile(np.arange(4, dtype=np.int32), len(places))
    locator.tick(now, slot, anchor, np.concatenate([heard_at(*place, gain) for place in places.values()]))


def stand(locator: Locator, places: dict[int, tuple[float, float]], seconds: int = 8, gain: float = 0.0) -> float:
    for now in range(1, seconds + 1):
        hear(locator, float(now), places, gain)
    return float(seconds)


@every_method
def test_who_stands_in_a_zone_is_believed_there(make: Callable[[], Locator]) -> None:
    locator = make()
    locator.grow(2)
    now = stand(locator, {0: (1.5, 2.0), 1: (8.5, 6.0)})
    belief = locator.belief(slots(0, 1), now)
    assert belief.shape == (2, 3)
    assert belief[0, LEFT] > 0.7
    assert belief[1, RIGHT] > 0.7


@every_method
def test_belief_is_a_distribution_and_asking_changes_nothing(make: Callable[[], Locator]) -> None:
    locator = make()
    locator.grow(3)
    now = stand(locator, {0: (1.5, 2.0), 2: (5.0, 4.0)}, seconds=3)
    for later in (0.0, 0.25, 3.0, 500.0):
        belief = locator.belief(slots(0, 1, 2), now + later)
        assert (belief >= 0).all()
        np.testing.assert_allclose(belief.sum(axis=1), 1.0, rtol=1e-5)
        np.testing.assert_array_equal(belief, locator.belief(slots(0, 1, 2), now + later))


@every_method
def test_the_order_of_readings_in_a_tick_does_not_matter(make: Callable[[], Locator]) -> None:
    one, other = make(), make()
    slot, anchor = np.repeat(slots(0, 1), 6), np.array([0, 1, 2, 3, 3, 0] * 2, dtype=np.int32)
    rssi = np.array([-60, -70, -80, -75, -71, -66, -80, -79, -62, -63, -64, -90], dtype=np.float64)
    shuffled = np.random.default_rng(7).permutation(12)
    for locator, order in ((one, np.arange(12)), (other, shuffled)):
        locator.grow(2)
        for now in (1.0, 1.25, 4.0):
            locator.tick(now, slot[order], anchor[order], rssi[order])
    np.testing.assert_array_equal(one.belief(slots(0, 1), 4.0), other.belief(slots(0, 1), 4.0))


@every_method
def test_slots_do_not_disturb_one_another(make: Callable[[], Locator]) -> None:
    alone, crowd = make(), make()
    alone.grow(1)
    crowd.grow(300)
    places = {k: (0.5 + 9 * (k % 17) / 17, 0.5 + 7 * (k % 5) / 5) for k in range(300)}
    for now in (1.0, 2.0, 3.25):
        hear(alone, now, {0: places[0]})
        hear(crowd, now, places)
    np.testing.assert_allclose(alone.belief(slots(0), 3.25), crowd.belief(slots(0), 3.25), atol=1e-5)


@every_method
def test_a_cleared_slot_is_as_new_and_growing_keeps_the_rest(make: Callable[[], Locator]) -> None:
    locator, fresh = make(), make()
    locator.grow(2)
    fresh.grow(1)
    now = stand(locator, {0: (1.5, 2.0), 1: (1.5, 2.0)})
    before = locator.belief(slots(1), now)
    locator.clear(slots(0))
    locator.grow(50)
    np.testing.assert_array_equal(locator.belief(slots(1), now), before)
    np.testing.assert_array_equal(locator.belief(slots(0), now), fresh.belief(slots(0), now))
    assert np.isnan(locator.position(slots(0), now)).all()


@every_method
def test_a_checkpoint_goes_on_as_if_nothing_had_happened(make: Callable[[], Locator]) -> None:
    first, second = make(), make()
    first.grow(2)
    now = stand(first, {0: (1.5, 2.0), 1: (8.0, 3.0)})
    second.restore(first.state())
    for locator in (first, second):
        hear(locator, now + 1, {0: (3.0, 2.0)})
    np.testing.assert_array_equal(first.belief(slots(0, 1), now + 2), second.belief(slots(0, 1), now + 2))
    np.testing.assert_array_equal(first.position(slots(0, 1), now + 2), second.position(slots(0, 1), now + 2))


@every_method
def test_an_empty_tick_changes_nothing(make: Callable[[], Locator]) -> None:
    locator = make()
    locator.grow(1)
    before = locator.belief(slots(0), 1.0)
    locator.tick(1.0, slots(), slots(), np.empty(0))
    np.testing.assert_array_equal(locator.belief(slots(0), 1.0), before)


@pytest.mark.parametrize("name", ["grid", "zones", "pooled grid"])
def test_a_checkpoint_of_another_site_is_refused(name: str) -> None:
    other = Site(id="other", name="Other", timezone="UTC", zones=ZONES, anchors=ANCHORS[:3])
    makers: dict[str, Callable[[Site], Locator]] = {
        "grid": GridFilter.for_site,
        "zones": ZoneFilter.for_site,
        "pooled grid": Pooled.grid,
    }
    made = makers[name](other)
    with pytest.raises(ValueError, match="checkpoint"):
        METHODS[name]().restore(made.state())


@pytest.mark.parametrize("gain", [-9.0, -3.0, 0.0, 3.0, 9.0])
@pytest.mark.parametrize("place", [(2.0, 2.0), (5.0, 4.0), (8.5, 6.5)])
def test_the_grid_finds_the_place_whatever_the_power_of_the_tag(gain: float, place: tuple[float, float]) -> None:
    locator = GridFilter.for_site(SHOP, survey())
    locator.grow(1)
    now = stand(locator, {0: place}, seconds=20, gain=gain)
    assert math.dist(locator.position(slots(0), now)[0], place) < 1.0


def test_the_grid_forgets_with_time_but_not_at_once() -> None:
    locator = GridFilter.for_site(SHOP, survey())
    locator.grow(1)
    now = stand(locator, {0: (1.5, 4.0)})
    certain = [locator.belief(slots(0), now + later)[0, LEFT] for later in (0.0, 2.0, 8.0, 60.0)]
    assert certain[0] > 0.95
    assert certain == sorted(certain, reverse=True)
    assert 0.3 < certain[-1] < 0.6


def test_nobody_walks_through_a_wall() -> None:
    walled = Site(
        id="shop",
        name="Shop",
        timezone="UTC",
        zones=ZONES,
        anchors=ANCHORS,
        walls=(Wall(5.0, -9.0, 5.0, 19.0, loss=0.0),),
    )
    certain = []
    for site in (SHOP, walled):
        locator = GridFilter.for_site(site, survey())
        locator.grow(1)
        now = stand(locator, {0: (3.5, 4.0)}, seconds=15)
        certain.append(locator.belief(slots(0), now + 30.0)[0])
    assert certain[0][LEFT] < 0.8, "in half a minute he may have walked to the other side"
    assert certain[1][LEFT] > certain[0][LEFT] + 0.15, "a wall between the zones keeps him"


HALL = Site(
    id="hall",
    name="Hall",
    timezone="UTC",
    zones=(
        Zone(id="left", site="hall", name="Left", outline=shapely.box(0, 0, 50, 6)),
        Zone(id="right", site="hall", name="Right", outline=shapely.box(50, 0, 100, 6)),
    ),
    anchors=tuple(
        Anchor(id=f"h{k}", site="hall", kind="gateway", x=x, y=y) for k, (x, y) in enumerate(((2, 1), (2, 5), (98, 3)))
    ),
)


@pytest.mark.parametrize("make", [GridFilter.for_site, ZoneFilter.for_site], ids=["grid", "zones"])
@pytest.mark.parametrize("alive", [True, False], ids=["alive", "perhaps off"])
def test_silence_is_evidence_if_the_anchor_hears_others(make: Callable[[Site], Locator], alive: bool) -> None:
    """Both tags are heard by the left anchors, faintly; the right one hears neither, or it hears slot 1."""
    believed = []
    for right_hears_another in (alive, False):
        locator = make(HALL)
        locator.grow(2)
        for now in range(1, 20):
            if right_hears_another:
                locator.tick(float(now), slots(1), slots(2), np.array([-70.0]))
            locator.tick(now + 0.25, slots(0, 0), slots(0, 1), np.array([-94.0, -94.0]))
        believed.append(locator.belief(slots(0), 19.25)[0, LEFT])
    if alive:
        with_silence, without = (p / (1 - p) for p in believed)
        assert with_silence > 1.3 * without
    else:
        assert believed[0] == believed[1]


def test_zones_without_places_follow_the_anchors_zone() -> None:
    bare = tuple(Anchor(id=a.id, site="shop", kind="gateway", zone=a.zone) for a in ANCHORS)
    locator = ZoneFilter.for_site(Site(id="shop", name="Shop", timezone="UTC", zones=ZONES, anchors=bare))
    locator.grow(1)
    now = stand(locator, {0: (1.5, 4.0)})
    assert locator.belief(slots(0), now)[0, LEFT] > 0.9
    assert np.isnan(locator.position(slots(0), now)).all()


def test_zones_return_to_doubt_when_nothing_is_heard() -> None:
    locator = ZoneFilter.for_site(SHOP)
    locator.grow(1)
    now = stand(locator, {0: (1.5, 4.0)})
    certain = [locator.belief(slots(0), now + later)[0, LEFT] for later in (0.0, 5.0, 20.0, 60.0)]
    assert certain == sorted(certain, reverse=True)
    assert certain[0] > 0.9
    assert certain[-1] < 0.55


class Says:
    """A filter of one opinion."""

    def __init__(self, site: Site, *belief: float) -> None:
        self.zones: Sequence[str] = [zone.id for zone in site.zones]
        self._belief = np.array([belief])

    def grow(self, capacity: int) -> None: ...

    def clear(self, slots: Ints) -> None: ...

    def tick(self, now: float, slot: Ints, anchor: Ints, rssi: Floats) -> None: ...

    def belief(self, slots: Ints, now: float) -> Floats:
        return np.repeat(self._belief, len(slots), axis=0)

    def position(self, slots: Ints, now: float) -> Floats:
        return np.full((len(slots), 2), 4.0)

    def state(self) -> Mapping[str, Any]:
        return {}

    def restore(self, state: Mapping[str, Any]) -> None: ...


def pooled_with(site: Site, *belief: float) -> Floats:
    """What comes of a filter's opinion when the left anchors are by far the loudest."""
    locator = Pooled(site, Says(site, *belief), (0.5, 0.5))
    locator.grow(1)
    for now in (1.0, 2.0, 3.0):
        locator.tick(now, slots(0, 0, 0, 0), slots(0, 1, 2, 3), np.array([-50.0, -50.0, -80.0, -80.0]))
    assert locator.position(slots(0), 3.0).tolist() == [[4.0, 4.0]], "places are the filter's"
    return np.asarray(locator.belief(slots(0), 3.0)[0])


def test_where_the_filter_doubts_the_loudest_decides() -> None:
    assert pooled_with(SHOP, 0.45, 0.55, 0.0)[LEFT] > 0.9


def test_how_likely_it_is_to_be_in_no_zone_is_the_filters() -> None:
    found = pooled_with(SHOP, 0.2, 0.2, 0.6)
    assert found[-1] == pytest.approx(0.6)
    assert found.sum() == pytest.approx(1.0)


def test_of_zones_without_an_anchor_the_filter_alone_judges() -> None:
    shelf = Zone(id="shelf", site="shop", name="Shelf", outline=shapely.box(4, 3, 6, 5))
    site = Site(id="shop", name="Shop", timezone="UTC", zones=(*ZONES, shelf), anchors=ANCHORS)
    found = pooled_with(site, 0.1, 0.2, 0.7, 0.0)
    assert found[2] == pytest.approx(0.7)
    assert found[LEFT] > found[RIGHT]
    one_zone = Site(id="shop", name="Shop", timezone="UTC", zones=(*ZONES, shelf), anchors=ANCHORS[:2])
    assert pooled_with_two(one_zone, 0.1, 0.2, 0.7, 0.0).tolist() == [0.1, 0.2, 0.7, 0.0]


def pooled_with_two(site: Site, *belief: float) -> Floats:
    """The same with the left anchors only: there is nothing to compare."""
    locator = Pooled(site, Says(site, *belief), (0.5, 0.5))
    locator.grow(1)
    locator.tick(1.0, slots(0, 0), slots(0, 1), np.array([-50.0, -50.0]))
    return np.asarray(locator.belief(slots(0), 1.0)[0])


def test_learning_needs_two_zones() -> None:
    lesson = Lesson(np.array([1.0]), slots(0), np.array([-60.0]), np.array([1.0]), np.array([LEFT]))
    for lessons in ([], [lesson]):
        with pytest.raises(ValueError, match="at least two zones"):
            LearnedZones(SHOP, lessons)


def test_neighbours_need_something_to_be_near_to() -> None:
    with pytest.raises(ValueError, match="neither a survey nor anchors"):
        Neighbours.for_site(Site(id="shop", name="Shop", timezone="UTC", zones=ZONES))


@given(gaps=st.lists(st.floats(0.05, 30.0), min_size=2, max_size=6), copies=st.integers(1, 5))
@settings(max_examples=50, deadline=None)
def test_more_packets_in_the_same_time_never_count_for_more_than_time_allows(gaps: list[float], copies: int) -> None:
    """However many readings of one pair come in a tick, together they weigh as one."""
    store = Slots({"heard": np.full(1, -np.inf)})
    store.grow(1)
    now = 100.0
    for gap in gaps:
        now += gap
        several = novelty(store["heard"], np.zeros(copies, np.int32), np.zeros(copies, np.int32), now)
        one = novelty(store["heard"], slots(0), slots(0), now)
        assert several.sum() == pytest.approx(one[0])
        assert 0.0 < one[0] <= 1.0
        store["heard"][0, 0] = now
