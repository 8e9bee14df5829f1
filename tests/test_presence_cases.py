"""The cases that presence has to get right, by number. 13 is half at the loader of sites."""

from dataclasses import replace

import numpy as np
import pytest
import shapely
from shapely.geometry import Point, Polygon, box

from proximity.model import DwellThreshold, Fix, Sighting
from proximity.observations import Batch
from proximity.presence.engine import Engine
from proximity.presence.outlines import shapes_of
from proximity.site.model import Anchor, PresenceOptions, Zone
from tests.presence_shop import (
    LAT,
    LON,
    PHONE,
    T0,
    TAG,
    anchors,
    circle,
    fix,
    heard,
    kinds,
    place,
    ring,
    run,
    shop,
    told,
    without,
)


def test_case_01_late_and_out_of_order_observations_never_move_state_back() -> None:
    engine = Engine([shop(circle("park", 60))])
    assert kinds(run(engine, 20, heard("door", 0, 20), [fix(1, 500)]).transitions) == [("enter", "door")]
    too_late = run(engine, 21, heard("till", 2, 6), heard("door", 20, 21), [fix(-200, 0)])
    assert too_late.transitions == []
    assert {one.anchor for one in too_late.late} == {"shop/g-door", "shop/g-aisle", "shop/g-till", None}
    assert len(too_late.late) == 13  # 4 s by 3 gateways, and the fix
    assert engine.inside("ada") == [("shop", "door")]


def test_case_01_a_little_late_still_counts_with_its_own_time() -> None:
    engine = Engine([shop(circle("park", 60))])
    run(engine, 10)
    step = run(engine, 12, heard("door", 6, 10), heard("door", 10.5, 12), [fix(-60, 0, 5)])
    assert step.late == []
    enters = {one.zone: one for one in step.transitions}
    assert set(enters) == {"door", "park"}
    assert enters["park"].observed == T0 - 60
    assert enters["door"].started == T0 + 9.2  # the newest of those that came too late for their own ticks
    assert all(one.at > T0 + 10 for one in step.transitions)


def test_case_01_a_fix_older_than_the_last_goes_to_history() -> None:
    engine = Engine([shop(circle("park", 60))])
    run(engine, 10, [fix(9, 0)])
    step = run(engine, 12, [fix(5, 900)])
    assert step.transitions == []
    assert [(one.device, one.at) for one in step.late] == [(PHONE, T0 + 5)]


def test_case_02_duplicates_have_no_effect() -> None:
    engine = Engine([shop(circle("park", 60))])
    rows: list[Sighting | Fix] = [*heard("door", 0, 4), fix(1, 0)]
    first = run(engine, 3.5, rows)
    before = engine.whereabouts()
    again = run(engine, 3.75, rows[-4:], rows[-4:])
    assert again.transitions == []
    assert again.visits == []
    assert again.counts["duplicates"] >= 4
    assert engine.whereabouts() == before
    assert len(first.transitions) == 2


def test_case_03_a_fix_worse_than_the_fence_confirms_but_never_ends_a_visit_alone() -> None:
    engine = Engine([shop(circle("kiosk", 15))])
    assert told(run(engine, 1, [fix(0, 0)]).transitions) == [(0, "enter", "kiosk", "confirmed")]
    assert run(engine, 40, [fix(30, 2, accuracy=80)]).transitions == []
    assert run(engine, 100, [fix(60 + t, 90, accuracy=80) for t in range(30)]).transitions == []  # within the accuracy
    assert run(engine, 140, [fix(130, 400, accuracy=80)]).transitions == []
    left = run(engine, 180, [fix(160, 400, accuracy=80)])
    assert told(left.transitions) == [(160, "exit", "kiosk", "left")]


def test_case_03_an_accurate_fix_ends_it_alone() -> None:
    engine = Engine([shop(circle("kiosk", 15))])
    run(engine, 1, [fix(0, 0)])
    step = run(engine, 60, [fix(30, 60, accuracy=10)])
    assert told(step.transitions) == [(33, "exit", "kiosk", "left")]
    assert step.transitions[0].observed == T0 + 30


@pytest.mark.parametrize("accuracy", [None, 0.0, float("nan"), -1.0, float("inf")])
def test_case_03_unknown_accuracy_is_not_perfect(accuracy: float | None) -> None:
    engine = Engine([shop(circle("park", 60))])
    assert run(engine, 1, [fix(0, 55, accuracy=accuracy)]).transitions == []  # 5 m inside the edge tells nothing
    assert kinds(run(engine, 40, [fix(30, 0, accuracy=accuracy)]).transitions) == [("enter", "park")]
    assert run(engine, 120, [fix(60, 120, accuracy=accuracy), fix(90, 120, accuracy=accuracy)]).transitions == []


@pytest.mark.parametrize(("radius", "accuracy"), [(12, 20), (21, 30), (15, 10)])
def test_case_03_small_shops_are_noticed(radius: float, accuracy: float) -> None:
    engine = Engine([shop(circle("kiosk", radius))])
    step = run(engine, 60, [fix(0, 1, 1, accuracy=accuracy), fix(20, -2, 1, accuracy=accuracy)])
    assert kinds(step.transitions) == [("enter", "kiosk")]


def test_case_04_a_teleport_is_held_until_the_next_fix_agrees() -> None:
    engine = Engine([shop(circle("park", 60), circle("mall", 200, 20_000))])
    run(engine, 1, [fix(0, 0)])
    held = run(engine, 19, [fix(10, 20_000)])
    assert held.transitions == []
    assert held.counts["held_jumps"] == 1
    step = run(engine, 30, [fix(20, 20_010)])
    assert told(step.transitions) == [(20, "enter", "mall", "confirmed"), (23, "exit", "park", "left")]
    assert all(one.jumped for one in step.transitions)


def test_case_04_a_teleport_that_nobody_confirms_changes_nothing() -> None:
    engine = Engine([shop(circle("park", 60), circle("mall", 200, 20_000))])
    run(engine, 1, [fix(0, 0)])
    assert run(engine, 40, [fix(10, 20_000), fix(20, 5), fix(30, 3)]).transitions == []
    assert engine.inside("ada") == [("shop", "park")]


def test_case_05_first_observation_inside_is_initial() -> None:
    engine = Engine([shop(circle("park", 60))])
    (enter,) = run(engine, 1, [fix(0, 0)]).transitions
    assert enter.initial
    (enter,) = run(engine, 10, heard("door", 1, 4)).transitions
    assert not enter.initial  # the shopper was known before


def test_case_05_first_observation_outside_is_no_exit() -> None:
    engine = Engine([shop(circle("park", 60))])
    assert run(engine, 60, [fix(0, 500), fix(20, 400)]).transitions == []
    (enter,) = run(engine, 90, [fix(70, 0)]).transitions
    assert not enter.initial


def test_case_06_jitter_at_the_edge_is_one_enter() -> None:
    rng = np.random.default_rng(6)
    engine = Engine([shop(circle("park", 60))])
    fixes = [fix(t, 57 + rng.normal(0, 7), rng.normal(0, 7), accuracy=10) for t in range(600)]
    assert kinds(run(engine, 600, fixes).transitions) == [("enter", "park")]


@pytest.mark.parametrize("seed", range(5))
def test_case_06_jitter_near_the_next_zone_is_one_enter(seed: int) -> None:
    rng = np.random.default_rng(seed)
    rows = [
        Sighting(f"shop/g-{name}", TAG, level + float(rng.normal(0, 3)), T0 + t + 0.3 * i)
        for t in range(120)
        for i, (name, level) in enumerate((("door", -63.0), ("aisle", -70.0)))
    ]
    transitions = run(Engine([shop()]), 120, rows).transitions
    assert kinds(transitions) == [("enter", "door")]


def test_case_07_dwell_fires_once_by_event_time_without_an_observation() -> None:
    thresholds = {("shop", "park"): frozenset({DwellThreshold(60.0), DwellThreshold(300.0)})}
    engine = Engine([shop(circle("park", 60))], thresholds)
    run(engine, 5, [fix(0.1, 0)])
    assert engine.next_due() == T0 + 60.25
    (dwell,) = run(engine, 299, []).transitions
    assert (dwell.kind, dwell.at, dwell.observed, dwell.dwell) == ("dwell", T0 + 60.1, T0 + 60.1, 60.0)
    assert told(run(engine, 800, [fix(500, 0)]).transitions) == [(300.1, "dwell", "park", "threshold")]


def test_case_07_exit_cancels_dwell() -> None:
    engine = Engine([shop()], {("shop", "door"): frozenset({DwellThreshold(40.0)})})
    step = run(engine, 120, heard("door", 0, 15))
    assert kinds(step.transitions) == [("enter", "door"), ("exit", "door")]


def test_case_07_and_17_dwell_survives_a_restart() -> None:
    thresholds = {("shop", "door"): frozenset({DwellThreshold(30.0)})}
    engine = Engine([shop()], thresholds)
    (enter,) = run(engine, 20, heard("door", 0, 20)).transitions
    restarted = Engine([shop()], thresholds)
    restarted.restore(engine.checkpoint())
    (dwell,) = run(restarted, 40, heard("door", 20, 40)).transitions
    assert (dwell.kind, dwell.visit, dwell.at) == ("dwell", enter.visit, enter.started + 30)


def test_case_08_silence_ends_a_visit_at_the_time_last_seen() -> None:
    step = run(Engine([shop()]), 60, heard("door", 0, 10))
    exit_, ended = step.transitions[-1], step.visits[-1]
    assert (exit_.kind, exit_.cause) == ("exit", "silence")
    assert ended.ended == ended.last_seen == exit_.observed == T0 + 9.2
    assert exit_.at == T0 + 29.25


def test_case_08_a_last_will_is_no_exit() -> None:
    engine = Engine([shop()])
    run(engine, 10, heard("door", 0, 10))
    for anchor in anchors():
        engine.gateway_state(f"shop/{anchor.id}", online=False, at=T0 + 10)
    assert run(engine, 25, []).transitions == []


def test_case_08_a_stationary_tag_heard_every_30_s_stays() -> None:
    engine = Engine([shop(presence=PresenceOptions(exit_after=40))])
    assert kinds(run(engine, 3600, heard("door", 0, 3600, every=30)).transitions) == [("enter", "door")]


def test_case_08_the_time_to_wait_adapts_to_the_device() -> None:
    engine = Engine([shop()])  # 20 s of silence, and a tag that is heard every 15 s, two of four times
    rows = [one for one in heard("door", 0, 900, every=15) if round((one.at - T0) / 15) % 4 < 2]
    transitions = run(engine, 900, heard("door", -60, 0, every=15), rows).transitions
    assert kinds(transitions) == [("enter", "door")]


def test_case_09_visits_are_held_while_their_gateways_are_down() -> None:
    engine = Engine([shop()])
    run(engine, 10, heard("door", 0, 10), heard("till", 0, 10, device="ibeacon:bob"))
    for anchor in anchors():
        engine.gateway_state(f"shop/{anchor.id}", online=False, at=T0 + 11)
    held = run(engine, 200, [])
    assert held.transitions == []
    assert held.counts["held_by_gateway"] == 2
    for anchor in anchors():
        engine.gateway_state(f"shop/{anchor.id}", online=True, at=T0 + 200)
    assert run(engine, 215, heard("door", 201, 215)).transitions == []
    (exit_,) = run(engine, 225, heard("door", 215, 225)).transitions  # bob did not come back with the gateways
    assert (exit_.shopper, exit_.cause) == ("bob", "silence")


def test_case_09_the_hold_has_an_end() -> None:
    engine = Engine([shop()])
    run(engine, 10, heard("door", 0, 10))
    for anchor in anchors():
        engine.gateway_state(f"shop/{anchor.id}", online=False, at=T0 + 10)
    (exit_,) = run(engine, 1000, []).transitions
    assert (exit_.cause, exit_.at) == ("gateway_down", T0 + 309.25)


def test_case_09_a_short_restart_is_not_silence() -> None:
    engine = Engine([shop()])
    run(engine, 10, heard("door", 0, 10))
    for anchor in anchors():
        engine.gateway_state(f"shop/{anchor.id}", online=False, at=T0 + 10)
        engine.gateway_state(f"shop/{anchor.id}", online=True, at=T0 + 28)
    assert run(engine, 47, heard("door", 40, 47)).transitions == []


@pytest.mark.parametrize("passing", [-40.0, 0.0, 30.0])
def test_case_10_passing_through_between_two_fixes(passing: float) -> None:
    engine = Engine([shop(circle("park", 60))])
    step = run(engine, 120, [fix(t, -410 + 13.9 * t, passing) for t in (0, 15, 45, 75)])
    assert kinds(step.transitions) == [("cross", "park")]
    (cross,) = step.transitions
    assert cross.at == T0 + 45
    assert 26 <= cross.started - T0 <= 33  # when it was nearest to the middle


@pytest.mark.parametrize(
    "fixes",
    [
        [fix(0, -200, 80), fix(30, 200, 80)],  # passes beside
        [fix(0, -200), fix(400, 200)],  # too long ago: nobody knows the way
        [fix(0, -200, accuracy=150), fix(30, 200, accuracy=150)],  # anywhere
        [fix(0, -9000), fix(30, 9000), fix(31, 9010)],  # faster than the site's top speed
    ],
)
def test_case_10_a_way_that_is_not_plausible_is_no_crossing(fixes: list[Fix]) -> None:
    assert run(Engine([shop(circle("park", 60))]), 500, fixes).transitions == []


def test_case_10_crossing_polygons() -> None:
    outline = ring(place(-60, -60), place(60, -60), place(60, 60), place(-60, 60))
    hole = ring(place(-58, -58), place(58, -58), place(58, 58), place(-58, 58))
    square = Zone("park", "shop", "Park", outline, frame="wgs84", outdoor=True)
    rim = replace(square, outline=outline.difference(hole))
    way = [fix(0, -200, accuracy=10), fix(30, 200, accuracy=10)]
    assert kinds(run(Engine([shop(square)]), 60, way).transitions) == [("cross", "park")]
    assert run(Engine([shop(rim)]), 60, way).transitions == []  # 2 m of rim are less than the accuracy tells


def test_case_11_nested_zones_are_independent_and_exits_come_first() -> None:
    store = Zone("store", "shop", "Store", box(0, 0, 15, 5))
    step = run(Engine([shop(store)]), 60, heard("door", 0, 10), heard("till", 10, 20))
    assert kinds(step.transitions) == [
        ("enter", "door"),
        ("enter", "store"),
        ("exit", "door"),
        ("enter", "till"),
        ("exit", "store"),
        ("exit", "till"),
    ]
    assert step.transitions[2].at == step.transitions[3].at


def test_case_11_overlapping_fences_are_independent() -> None:
    engine = Engine([shop(circle("a", 60), circle("b", 60, 80))])
    way = [fix(10 * i, x) for i, x in enumerate((0, 40, 80, 200, 300))]
    assert kinds(run(engine, 100, way).transitions) == [("enter", "a"), ("enter", "b"), ("exit", "a"), ("exit", "b")]


def test_case_12_a_polygon_split_at_the_antimeridian_is_one_fence() -> None:
    halves = shapely.MultiPolygon([box(179.999, -0.001, 180.0, 0.001), box(-180.0, -0.001, -179.999, 0.001)])
    zone = Zone("line", "shop", "Line", halves, frame="wgs84", outdoor=True)
    engine = Engine([shop(zone)])
    on_the_seam = [Fix(PHONE, 0.0, lon, T0 + t, 20.0) for t, lon in enumerate((-180.0, 180.0, 179.9999, -179.9999))]
    assert kinds(run(engine, 30, on_the_seam).transitions) == [("enter", "line")]
    away = [Fix(PHONE, 0.0, -179.997, T0 + 40, 20.0)]
    assert kinds(run(engine, 60, away).transitions) == [("exit", "line")]


@pytest.mark.parametrize("lon", [179.9999, -179.9999, 180.0, 0.0, 90.0])
def test_case_12_a_circle_on_any_longitude(lon: float) -> None:
    zone = Zone("isle", "shop", "Isle", Point(lon, 10.0), frame="wgs84", outdoor=True, radius=100.0)
    engine = Engine([shop(zone)])
    east = (lon + 0.0005 + 180.0) % 360.0 - 180.0  # 55 m
    far = (lon + 0.003 + 180.0) % 360.0 - 180.0  # 330 m
    step = run(engine, 60, [Fix(PHONE, 10.0, east, T0, 10.0), Fix(PHONE, 10.0, far, T0 + 20, 10.0)])
    assert kinds(step.transitions) == [("enter", "isle"), ("exit", "isle")]


@pytest.mark.parametrize(
    ("outline", "reason"),
    [
        (Polygon([(0, 80), (90, 80), (180, 80), (-90, 80)]), "180° of longitude"),
        (box(0, 87, 1, 89), "pole"),
    ],
)
def test_case_12_rings_round_a_pole_are_refused(outline: Polygon, reason: str) -> None:
    zone = Zone("ice", "shop", "Ice", outline, frame="wgs84", outdoor=True)
    with pytest.raises(ValueError, match=reason):
        shapes_of({0: zone}, {"shop": shop()})


def test_case_13_winding_and_repeated_points_do_not_matter() -> None:
    corners = [place(-60, -60), place(60, -60), place(60, 60), place(60, 60), place(-60, 60)]
    for points in (corners, corners[::-1]):
        zone = Zone("park", "shop", "Park", ring(*points), frame="wgs84", outdoor=True)
        step = run(Engine([shop(zone)]), 60, [fix(0, 40, 40), fix(20, 150)])
        assert kinds(step.transitions) == [("enter", "park"), ("exit", "park")]


def test_case_14_an_observation_from_the_future_is_clamped_and_freezes_nothing() -> None:
    engine = Engine([shop(circle("park", 60))])
    step = run(engine, 10, heard("door", 0, 10), [fix(9, 500), fix(50_000, 500)])
    assert step.counts["clamped"] == 1
    (enter,) = run(engine, 30, heard("door", 10, 30), [fix(20, 0)]).transitions
    assert (enter.kind, enter.zone, enter.observed) == ("enter", "park", T0 + 20)
    run(engine, 31, [Sighting("shop/g-door", TAG, -60.0, T0 + 1e6)])
    moved = run(engine, 50, heard("till", 31, 50))
    assert kinds(moved.transitions) == [("exit", "door"), ("enter", "till")]


def test_case_15_a_fence_edited_while_people_are_inside() -> None:
    near, far = circle("park", 60), circle("park", 60, 500)
    thresholds = {("shop", "park"): frozenset({DwellThreshold(120.0)})}
    engine = Engine([shop(near)], thresholds)
    (enter,) = run(engine, 10, [fix(0, 0), fix(1, 500, device="owntracks:bob/phone")]).transitions
    grown = engine.set_sites([shop(circle("park", 70))], T0 + 50)
    assert grown.transitions == []
    (dwell,) = run(engine, 130, []).transitions
    assert (dwell.at, dwell.visit) == (enter.started + 120, enter.visit)
    moved = engine.set_sites([shop(far)], T0 + 140)
    assert [(one.kind, one.cause, one.device) for one in moved.transitions] == [
        ("exit", "zone_changed", PHONE),
        ("enter", "zone_changed", "owntracks:bob/phone"),
    ]
    assert all(one.at == T0 + 140 for one in moved.transitions)


def test_case_15_an_indoor_zone_edited_while_people_are_inside() -> None:
    engine = Engine([shop()])
    run(engine, 10, heard("door", 0, 10))
    site = shop()
    moved = replace(
        site, anchors=(replace(site.anchors[0], zone="aisle"), replace(site.anchors[1], zone="door"), site.anchors[2])
    )
    step = engine.set_sites([moved], T0 + 10)
    assert told(step.transitions) == [(10, "exit", "door", "zone_changed"), (10, "enter", "aisle", "zone_changed")]
    assert engine.set_sites([moved], T0 + 11).transitions == []


def test_case_16_a_removed_zone_ends_its_visits_once_and_for_good() -> None:
    site = shop(circle("park", 60))
    engine = Engine([site])
    run(engine, 10, heard("door", 0, 10), [fix(0, 0)])
    step = engine.set_sites([without(without(site, "park"), "door")], T0 + 10)
    assert sorted(told(step.transitions)) == [
        (10, "exit", "door", "zone_removed"),
        (10, "exit", "park", "zone_removed"),
    ]
    assert [one.cause for one in step.visits] == ["zone_removed", "zone_removed"]
    late = run(engine, 30, heard("door", 8, 12), [fix(9, 0), fix(12, 0)])
    assert [one for one in late.transitions if one.zone in ("door", "park")] == []
    assert engine.set_sites([], T0 + 40).transitions == []


def test_case_17_a_restart_repeats_nothing_and_loses_nothing() -> None:
    engine = Engine([shop(circle("park", 60))])
    run(engine, 10, heard("door", 0, 12), [fix(0, 0)])  # some are held beyond the watermark
    restarted = Engine([shop(circle("park", 60))])
    restarted.restore(engine.checkpoint())
    assert restarted.watermark == T0 + 10
    assert run(restarted, 20, []).transitions == []
    assert restarted.inside("ada") == [("shop", "door"), ("shop", "park")]
    assert told(run(restarted, 40, []).transitions) == [(31.25, "exit", "door", "silence")]


def test_case_17_what_changed_during_a_restart_is_told_after_it() -> None:
    site = shop(circle("park", 60), circle("yard", 60))
    engine = Engine([site])
    run(engine, 10, heard("door", 0, 10), [fix(0, 0)])
    restarted = Engine([without(shop(circle("park", 60, 500), circle("yard", 60)), "door")])
    restarted.restore(engine.checkpoint())
    step = run(restarted, 11, [])
    assert sorted(told(step.transitions)) == [
        (10, "exit", "door", "zone_removed"),
        (10, "exit", "park", "zone_changed"),
    ]


@pytest.mark.parametrize(
    ("row", "name"),
    [
        (Fix(PHONE, 0.0, 0.0, T0, 5.0), "null_island"),
        (Fix(PHONE, 91.0, 2.0, T0, 5.0), "bad_position"),
        (Fix(PHONE, 48.0, 181.0, T0, 5.0), "bad_position"),
        (Fix(PHONE, float("nan"), 2.0, T0, 5.0), "bad_position"),
        (Fix(PHONE, 48.0, float("inf"), T0, 5.0), "bad_position"),
        (Fix(PHONE, LAT, LON, float("nan"), 5.0), "bad_time"),
        (Fix(PHONE, LAT, LON, 0.0, 5.0), "bad_time"),
        (Sighting("shop/g-door", TAG, 0.0, T0), "bad_rssi"),
        (Sighting("shop/g-door", TAG, -127.0, T0), "bad_rssi"),
        (Sighting("shop/g-door", TAG, 20.0, T0), "bad_rssi"),
        (Sighting("shop/g-door", TAG, float("nan"), T0), "bad_rssi"),
        (Sighting("shop/g-door", TAG, -60.0, float("nan")), "bad_time"),
        (Sighting("shop/nowhere", TAG, -60.0, T0), "unknown_anchor"),
    ],
)
def test_case_18_bad_observations_are_dropped_and_counted(row: Fix | Sighting, name: str) -> None:
    step = run(Engine([shop(circle("park", 1000))]), 5, [row])
    assert step.counts[name] == 1
    assert step.transitions == []
    assert step.late == []


@pytest.mark.parametrize("first", ["phone", "server"])
def test_case_19_the_phones_own_transition_and_the_servers_are_one_event(first: str) -> None:
    engine, transitions = Engine([shop(circle("park", 60))], now=T0 - 1), []
    for second, inside in ((10, True), (100, False)):
        at = second if first == "phone" else second + 4
        rows = [fix(second + (2 if first == "phone" else 0), 0 if inside else 200)]
        engine.region_state(PHONE, "ada", "shop/park", inside, T0 + at)
        transitions += run(engine, second + 20, rows).transitions
    assert kinds(transitions) == [("enter", "park"), ("exit", "park")]
    assert len({one.visit for one in transitions}) == 1


def place_with_both() -> Engine:
    """A park that a gateway hears into, and that phones tell positions in."""
    site = shop(circle("park", 60))
    return Engine([replace(site, anchors=(*site.anchors, Anchor("g-park", "shop", "gateway", "park")))])


def tag_in_park(start: float, end: float) -> list[Sighting]:
    return [Sighting("shop/g-park", TAG, -60.0, T0 + t) for t in np.arange(start, end).tolist()]


@pytest.mark.parametrize(
    ("rows", "wanted"),
    [
        # the phone enters first and leaves first: the tag is still heard, and its silence is the end
        ([fix(0, 0), fix(30, 200), *tag_in_park(10, 60)], [(0, "enter", "confirmed"), (79, "exit", "silence")]),
        # the tag enters first and leaves first: the phone's way out is the end
        ([*tag_in_park(0, 20), fix(10, 0), fix(90, 200)], [(1, "enter", "confirmed"), (93, "exit", "left")]),
        # out by the phone, in again by the tag before that is over: one visit
        ([fix(0, 0), fix(30, 200), *tag_in_park(30, 40)], [(0, "enter", "confirmed"), (59, "exit", "silence")]),
        # each alone
        (tag_in_park(0, 10), [(1, "enter", "confirmed"), (29, "exit", "silence")]),
        ([fix(0, 0), fix(30, 200)], [(0, "enter", "confirmed"), (33, "exit", "left")]),
    ],
)
def test_case_20_in_by_either_and_out_when_both_agree(
    rows: list[Sighting | Fix], wanted: list[tuple[float, str, str]]
) -> None:
    found = run(place_with_both(), 300, rows).transitions
    assert [(at, kind, cause) for at, kind, _, cause in told(found)] == wanted
    assert len({one.visit for one in found}) == 1


def test_case_20_beacon_and_fence_for_one_place() -> None:
    engine = place_with_both()
    (enter,) = run(engine, 5, [Sighting("shop/g-park", TAG, -60.0, T0 + t) for t in range(5)]).transitions
    assert (enter.zone, enter.device) == ("park", TAG)
    assert run(engine, 40, [fix(6, 0)]).transitions == []  # the tag falls silent, the phone is still there
    assert engine.inside("ada") == [("shop", "park")]
    (exit_,) = run(engine, 80, [fix(60, 200)]).transitions
    assert (exit_.kind, exit_.cause, exit_.device, exit_.visit) == ("exit", "left", PHONE, enter.visit)


def test_case_21_an_hour_of_buffered_fixes_tells_only_what_is_still_true() -> None:
    engine = Engine([shop(circle("park", 60), circle("mall", 100, 3000))])
    run(engine, 3600, [])
    hour = [fix(10 * i, 3000 if i < 300 else 0) for i in range(360)]
    step = run(engine, 3601, hour)
    assert kinds(step.transitions) == [("enter", "park")]
    assert len(step.late) == 359  # all but the newest are history
    assert step.transitions[0].observed == T0 + 3590


def test_case_22_a_shopper_is_inside_while_any_device_is() -> None:
    engine = Engine([shop(circle("park", 60))])
    other = "ibeacon:ada2"
    step = run(engine, 60, heard("door", 0, 30), heard("door", 5, 10, device=other))
    assert kinds(step.transitions) == [("enter", "door"), ("exit", "door")]
    assert step.transitions[-1].observed >= T0 + 29


def test_case_22_the_visit_goes_on_by_the_device_that_is_left() -> None:
    engine, other = Engine([shop(circle("park", 60))]), "owntracks:ada2/phone"
    mine = {PHONE: "ada", other: "ada"}
    rows = [fix(0, 0), fix(20, 5, device=other), fix(40, 200), fix(300, 200, device=other)]
    found = engine.step(Batch.of(fixes=rows, owners=mine), T0 + 400).transitions
    assert [(one.kind, one.device, one.at - T0) for one in found] == [("enter", PHONE, 0), ("exit", other, 303)]


def test_case_22_a_shopper_with_two_tags_in_nested_zones_is_in_both() -> None:
    store = Zone("store", "shop", "Store", box(0, 0, 15, 5))
    rows = [*heard("door", 0, 30), *heard("till", 0, 30, device="ibeacon:ada2", rssi=-70.0)]
    engine = Engine([shop(store)])
    run(engine, 29, rows)
    assert ("shop", "store") in engine.inside("ada")
    assert len([zone for _, zone in engine.inside("ada") if zone in ("door", "till")]) == 1


def test_case_22_two_zones_at_once_are_resolved_by_confidence() -> None:
    engine = Engine([shop()])
    clear = heard("door", 0, 60)
    vague = [
        Sighting(f"shop/g-{name}", "ibeacon:ada2", -70.0 if name == "till" else -71.0, T0 + t)
        for t in range(10, 60)
        for name in ("till", "aisle")
    ]
    assert kinds(run(engine, 55, clear, vague).transitions) == [("enter", "door")]
    assert engine.inside("ada") == [("shop", "door")]
    step = run(engine, 100, heard("till", 60, 100, device="ibeacon:ada2"))
    assert kinds(step.transitions) == [("exit", "door"), ("enter", "till")]
