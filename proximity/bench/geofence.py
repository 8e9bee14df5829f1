"""Fixes through presence against many fences, and shapely alone on the same geometry."""

from collections.abc import Callable
from time import process_time
from typing import NamedTuple

import numpy as np
import shapely

from proximity.bench.report import Report, Row
from proximity.observations import Batch, Floats
from proximity.presence.engine import Engine
from proximity.simulate.load import EARTH, walking_fixes
from proximity.site.model import Site, Zone

START = 1_764_000_000.0
CENTRE = (48.2, 16.37)
CIRCLES, RADIUS, HITS = 23_000, 5_000.0, 3.0  # as in Tile38's issue 491
POLYGON, SPACING = 80.0, 200.0  # m: mean radius, and the side of the square in which one polygon lies
CORNERS = 10
EVERY = 1.0  # s between the fixes of one phone
WARM_UP = 2


def geofence(devices: int, seconds: int, polygons: tuple[int, ...]) -> Report:
    """Circles of 5 km with three hits a fix, and polygons of shop size that a third of all fixes hit. Seconds are those
    of the processor: what else runs on the machine does not count."""
    rows = [_circles(devices, seconds).row, *(among_polygons(count, devices, seconds).row for count in polygons)]
    settings = {"devices": devices, "seconds": seconds}
    return Report("geofence", f"{devices:,} phones, one fix a second each, one core", rows, settings)


class Fenced(NamedTuple):
    """What was measured with one set of fences."""

    row: Row
    one_more: float  # ms to put one more


def circles_side() -> float:
    """Metres of the square in which the circles lie so that a fix meets three."""
    return float(np.sqrt(CIRCLES * np.pi * RADIUS**2 / HITS))


def circles() -> tuple[Zone, ...]:
    """All of them."""
    lat, lon = _degrees(_middles())
    return tuple(
        Zone(f"circle-{i}", "load", f"Circle {i}", shapely.Point(x, y), "wgs84", outdoor=True, radius=RADIUS)
        for i, (x, y) in enumerate(zip(lon.tolist(), lat.tolist(), strict=True))
    )


def _middles() -> Floats:
    half = circles_side() / 2
    return np.random.default_rng(1).uniform(-half, half, (CIRCLES, 2))


def _circles(devices: int, seconds: int) -> Fenced:
    tree = shapely.STRtree(shapely.points(_middles()))

    def alone(points: Floats) -> None:
        tree.query(shapely.points(points), predicate="dwithin", distance=RADIUS)

    what = f"fixes against {CIRCLES:,} circles of 5 km"
    return _run(what, circles(), devices, seconds, circles_side(), alone, "shapely alone: STRtree and dwithin in bulk")


def among_polygons(count: int, devices: int, seconds: int) -> Fenced:
    """`count` polygons of shop size, one in each square of a grid in which the phones walk."""
    across = int(np.ceil(np.sqrt(count)))
    side = across * SPACING
    rng = np.random.default_rng(2)
    grid = np.stack(np.meshgrid(np.arange(across), np.arange(across)), axis=-1).reshape(-1, 2)[:count]
    middle = (grid + 0.5) * SPACING - side / 2
    angle = np.sort(rng.uniform(0, 2 * np.pi, (count, CORNERS)), axis=1)
    reach = POLYGON * rng.uniform(0.7, 1.2, (count, CORNERS))
    corners = middle[:, None, :] + reach[:, :, None] * np.stack([np.cos(angle), np.sin(angle)], axis=-1)
    lat, lon = _degrees(corners)
    outlines = shapely.polygons(np.stack([lon, lat], axis=-1))
    zones = tuple(
        Zone(f"polygon-{i}", "load", "", outline, "wgs84", outdoor=True) for i, outline in enumerate(outlines)
    )
    tree = shapely.STRtree(shapely.polygons(corners))

    def alone(points: Floats) -> None:
        tree.query(shapely.points(points), predicate="intersects")

    what = f"fixes against {count:,} polygons"
    return _run(what, zones, devices, seconds, side, alone, "shapely alone: STRtree and intersects in bulk")


def _run(
    what: str,
    zones: tuple[Zone, ...],
    devices: int,
    seconds: int,
    side: float,
    alone: Callable[[Floats], None],
    is_: str,
) -> Fenced:
    site = Site("load", "Load", "UTC", lat=CENTRE[0], lon=CENTRE[1], zones=zones)
    began = process_time()
    engine = Engine([site])
    built = process_time() - began
    taken, spent, floor = 0, 0.0, 0.0
    for second, batch in enumerate(
        walking_fixes(devices, WARM_UP + seconds, start=START, centre=CENTRE, side=side, every=EVERY)
    ):
        began = process_time()
        engine.step(batch, START + second + 1.0)
        ended = process_time()
        if second >= WARM_UP:
            taken += len(batch.fixes)
            spent += ended - began
            points = _metres(batch)
            began = process_time()
            alone(points)
            floor += process_time() - began
    more = (*zones, _one_more())
    edited = Site("load", "Load", "UTC", lat=CENTRE[0], lon=CENTRE[1], zones=more)
    began = process_time()
    engine.set_sites([edited], START + WARM_UP + seconds)
    adding = 1000 * (process_time() - began)
    note = f"{len(zones):,} fences: built in {built:.2f} s; one more took {adding:.0f} ms"
    return Fenced(Row(what, taken / spent, "a second", taken / floor, is_, note), adding)


def _one_more() -> Zone:
    return Zone("one-more", "load", "", shapely.Point(CENTRE[1], CENTRE[0]), "wgs84", outdoor=True, radius=50.0)


def _degrees(metres: Floats) -> tuple[Floats, Floats]:
    lat = CENTRE[0] + metres[..., 1] / EARTH
    return lat, CENTRE[1] + metres[..., 0] / (EARTH * np.cos(np.radians(CENTRE[0])))


def _metres(batch: Batch) -> Floats:
    north = (batch.fixes.lat - CENTRE[0]) * EARTH
    east = (batch.fixes.lon - CENTRE[1]) * EARTH * np.cos(np.radians(CENTRE[0]))
    return np.column_stack([east, north])
