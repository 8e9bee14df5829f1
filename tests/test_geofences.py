"""Distances to outlines, the index, and probabilities."""

import numpy as np
import pytest
import shapely
from geopy.distance import geodesic
from shapely.geometry import Point, box

from proximity.observations import Floats
from proximity.presence.fixes import probability, verdicts
from proximity.presence.geofences import Fences, distance, earth
from proximity.presence.outlines import shapes_of
from proximity.presence.state import Longs
from proximity.presence.visits import Event
from proximity.site.frames import to_degrees
from proximity.site.model import Site, Zone


def zone(outline: shapely.Geometry, **rest: object) -> Zone:
    return Zone("z", "s", "Z", outline, **{"frame": "wgs84", "outdoor": True, **rest})  # type: ignore[arg-type]


def site(**rest: object) -> Site:
    return Site("s", "S", "UTC", **rest)  # type: ignore[arg-type]


def fences(*zones: Zone, at: Site | None = None) -> Fences:
    return Fences(shapes_of(dict(enumerate(zones)), {"s": at or site()}))


def depth(one: Fences, lat: float, lon: float) -> float:
    place = earth(np.array([lat]), np.array([lon]))
    return float(one.inward(place, np.array([0]))[0])


@pytest.mark.parametrize("lat", [0.0, 37.5, -33.9, 60.2, 80.0])
@pytest.mark.parametrize("lon", [2.35, 179.999, -179.95, -122.4])
@pytest.mark.parametrize("radius", [25.0, 5000.0])
def test_a_circle_is_measured_like_a_geodesic(lat: float, lon: float, radius: float) -> None:
    circle = fences(zone(Point(lon, lat), radius=radius))
    for turn in (0.0, 45.0, 170.0, 300.0):
        there = geodesic(meters=radius * 1.5).destination((lat, lon), turn)
        assert depth(circle, there.latitude, there.longitude) == pytest.approx(-radius / 2, abs=radius * 0.005)


def test_distances_agree_with_geodesics() -> None:
    pairs = [((48.0, 2.0), (48.001, 2.001)), ((10.0, 179.99), (10.0, -179.99)), ((-30.0, 20.0), (-30.5, 20.7))]
    for one, other in pairs:
        ours = distance(earth(*np.array([one]).T), earth(*np.array([other]).T))[0]
        assert ours == pytest.approx(geodesic(one, other).meters, rel=0.006)  # a sphere for the bend only


def inside_any(some: Fences, lat: Floats, lon: Floats) -> tuple[Longs, Longs, Floats]:
    """Pairs (position, fence) with the position inside or on the edge, and metres inward."""
    unknown = np.full(len(lat), np.nan)
    position, fence = some.near(lat, lon, unknown, unknown)
    inward = some.inward(earth(lat, lon)[position], fence)
    inside = inward >= 0.0
    return position[inside], fence[inside], inward[inside]


def square(lat: float, lon: float, half: float) -> shapely.Polygon:
    """Corners so many metres from the middle."""
    xs, ys = np.array([-half, half, half, -half]), np.array([-half, -half, half, half])
    lats, lons = to_degrees(lat, lon, 0.0, xs, ys)
    return shapely.Polygon(np.column_stack([lons, lats]))


@pytest.mark.parametrize(("lat", "lon"), [(0.0, 0.0), (48.8, 2.3), (-45.0, 170.0), (70.0, -150.0)])
def test_a_square_is_measured_in_metres(lat: float, lon: float) -> None:
    one = fences(zone(square(lat, lon, 50.0)))
    for x, y, inward in ((0, 0, 50), (40, 0, 10), (0, -50, 0), (80, 0, -30), (80, 90, -50)):
        there = [float(v) for v in to_degrees(lat, lon, 0.0, np.array(float(x)), np.array(float(y)))]
        assert depth(one, *there) == pytest.approx(inward, abs=0.02)


def test_holes_are_outside_and_edges_inside() -> None:
    ring = shapely.Polygon(square(48.0, 2.0, 100.0).exterior, [square(48.0, 2.0, 40.0).exterior])
    one = fences(zone(ring))
    assert depth(one, 48.0, 2.0) == pytest.approx(-40.0, abs=0.1)
    assert depth(one, *_east(48.0, 2.0, 70.0)) == pytest.approx(30.0, abs=0.1)
    position, _, inward = inside_any(
        fences(zone(box(0, 0, 1, 1))), np.array([0.0, 0.5, 1.0]), np.array([0.0, 0.0, 1.0])
    )
    assert position.tolist() == [0, 1, 2]
    assert inward == pytest.approx([0, 0, 0], abs=0.01)


def _east(lat: float, lon: float, metres: float) -> tuple[float, float]:
    there = geodesic(meters=metres).destination((lat, lon), 90.0)
    return there.latitude, there.longitude


def test_a_multipolygon_is_one_fence() -> None:
    two = shapely.MultiPolygon([box(0, 0, 0.001, 0.001), box(0.002, 0, 0.003, 0.001)])
    one = fences(zone(two))
    assert depth(one, 0.0005, 0.0005) == pytest.approx(55.5, abs=0.5)
    assert depth(one, 0.0005, 0.0025) == pytest.approx(55.5, abs=0.5)
    assert depth(one, 0.0005, 0.0015) == pytest.approx(-55.5, abs=0.5)


def test_the_seam_of_a_split_polygon_is_no_edge() -> None:
    halves = shapely.MultiPolygon([box(179.999, -0.001, 180.0, 0.001), box(-180.0, -0.001, -179.999, 0.001)])
    assert depth(fences(zone(halves)), 0.0, 180.0) == pytest.approx(110.6, abs=1.0)


def test_a_fence_in_local_metres_turns_with_the_store() -> None:
    at = site(lat=48.0, lon=2.0, bearing=90.0)  # the y axis points east
    yard = Zone("z", "s", "Z", box(-10, 50, 10, 150), outdoor=True)
    assert depth(fences(yard, at=at), *_east(48.0, 2.0, 100.0)) == pytest.approx(10.0, abs=0.05)
    nowhere = Zone("z", "s", "Z", box(-10, 50, 10, 150), outdoor=True)
    assert len(fences(nowhere).boxes) == 0


def test_a_straight_edge_is_straight_in_degrees() -> None:
    """RFC 7946: 3.1.1. A parallel of latitude is an edge, though the shortest way between its ends leaves it."""
    wide = fences(zone(box(0.0, 50.0, 4.0, 51.0)))
    assert abs(depth(wide, 50.0, 2.0)) < 2.0


def _shapes(rng: np.random.Generator) -> list[Zone]:
    shapes = []
    for i in range(60):
        lat, lon = float(rng.uniform(-1, 1)), float((179.5 + rng.uniform(0, 1) + 180) % 360 - 180)
        if i % 2:
            shapes.append(zone(Point(lon, lat), radius=float(rng.uniform(20, 9000))))
        else:
            half = float(rng.uniform(0.0002, 0.08))
            outline = box(lon - half, lat - half, lon + half, lat + half)
            shapes.append(zone(outline))
    return shapes


def test_the_index_finds_what_measuring_every_fence_finds() -> None:
    rng = np.random.default_rng(3)
    all_fences = fences(*_shapes(rng))
    lat, lon = rng.uniform(-1.1, 1.1, 400), (179.4 + rng.uniform(0, 1.2, 400) + 180) % 360 - 180
    position, fence, _ = inside_any(all_fences, lat, lon)
    rows = all_fences.rows()
    which, every = np.repeat(np.arange(400), len(rows)), np.tile(rows, 400).astype(np.int64)
    inward = all_fences.inward(earth(lat, lon)[which], every)
    expected = {(int(i), int(f)) for i, f in zip(which[inward >= 0], every[inward >= 0], strict=True)}
    assert set(zip(position.tolist(), fence.tolist(), strict=True)) == expected
    assert len(expected) > 50


def test_ways_through() -> None:
    circle = fences(zone(Point(0.0, 0.0), radius=100.0))
    line = fences(zone(square(0.0, 0.0, 100.0)))
    for one in (circle, line):
        depths, shares = one.crossing(
            _points((-0.003, 0.0), (-0.003, 0.002)), _points((0.003, 0.0), (0.003, 0.002)), np.array([0, 0])
        )
        assert depths[0] == pytest.approx(100.0, abs=2.0)
        assert shares[0] == pytest.approx(0.5, abs=0.01)
        assert depths[1] < 0


def _points(*lon_lat: tuple[float, float]) -> Floats:
    lon, lat = np.array(lon_lat).T
    return earth(lat, lon)


def test_probability_falls_from_inside_to_outside_and_is_even_at_the_edge() -> None:
    p = probability(np.array([60.0, 10.0, 0.0, -10.0, -60.0]), np.full(5, 20.0))
    assert (np.diff(p) < 0).all()
    assert p[2] == 0.5
    assert probability(np.array([10.0]), np.array([np.nan]))[0] == probability(np.array([10.0]), np.array([50.0]))[0]


@pytest.mark.parametrize(
    ("inward", "accuracy", "width", "expected"),
    [
        (30, 10, 100, Event.SURE_IN),
        (30, 120, 100, Event.LIKELY_IN),  # coarser than the fence is wide
        (4, 10, 100, Event.LIKELY_IN),
        (1, 10, 100, Event.UNSURE),
        (-1, 10, 100, Event.UNLIKELY),
        (-25, 10, 100, Event.UNLIKELY),  # accuracy and margin are 25 m: not yet clear
        (-26, 10, 100, Event.SURE_OUT),
        (-200, 120, 100, Event.LIKELY_OUT),
        (-60, np.nan, 100, Event.UNLIKELY),
        (-66, np.nan, 100, Event.LIKELY_OUT),
        (60, np.nan, 200, Event.SURE_IN),
    ],
)
def test_verdicts(inward: float, accuracy: float, width: float, expected: Event) -> None:
    code, _ = verdicts(np.array([inward], dtype=float), np.array([accuracy]), np.array([width]), np.array([15.0]))
    assert Event(code[0]) is expected
