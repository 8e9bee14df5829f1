"""A small shop for the tests of presence: three indoor zones with a gateway each, fences outside, and a clock."""

from collections.abc import Iterable, Sequence
from dataclasses import replace

import numpy as np
import shapely
from shapely.geometry import Point, box

from proximity.model import Fix, Sighting, Transition
from proximity.observations import Batch
from proximity.presence.engine import Engine, Step
from proximity.site.frames import to_degrees
from proximity.site.model import Anchor, PresenceOptions, Site, Zone

T0 = 1_764_000_000.0  # event time of second 0
LAT, LON = 48.8566, 2.3522
TAG, PHONE = "ibeacon:ada", "owntracks:ada/phone"
OWNERS = {TAG: "ada", PHONE: "ada", "ibeacon:ada2": "ada", "ibeacon:bob": "bob"}
INDOOR = ("door", "aisle", "till")


def indoor_zones() -> tuple[Zone, ...]:
    """Three squares of 5 m in a row."""
    return tuple(Zone(name, "shop", name.title(), box(5 * i, 0, 5 * i + 5, 5)) for i, name in enumerate(INDOOR))


def anchors() -> tuple[Anchor, ...]:
    """One gateway in the middle of each."""
    return tuple(Anchor(f"g-{name}", "shop", "gateway", name, 5 * i + 2.5, 2.5) for i, name in enumerate(INDOOR))


def circle(name: str, radius: float, east: float = 0.0, north: float = 0.0) -> Zone:
    """A round fence in degrees, so many metres from the shop."""
    lat, lon = place(east, north)
    return Zone(name, "shop", name.title(), Point(lon, lat), frame="wgs84", outdoor=True, radius=radius)


def shop(*zones: Zone, presence: PresenceOptions | None = None) -> Site:
    """The shop, with more zones."""
    return Site(
        "shop",
        "Shop",
        "Europe/Paris",
        lat=LAT,
        lon=LON,
        zones=(*indoor_zones(), *zones),
        anchors=anchors(),
        presence=presence or PresenceOptions(locator="strongest"),  # quick, and its times are easily told
    )


def place(east: float, north: float) -> tuple[float, float]:
    """(lat, lon) so many metres from the shop."""
    lat, lon = to_degrees(LAT, LON, 0.0, np.array(east), np.array(north))
    return float(lat), float(lon)


def fix(second: float, east: float, north: float = 0.0, accuracy: float | None = 10.0, device: str = PHONE) -> Fix:
    """A phone's position in metres from the shop."""
    return Fix(device, *place(east, north), T0 + second, accuracy)


def heard(
    zone: str, start: float, end: float, every: float = 1.0, device: str = TAG, rssi: float = -60.0, phase: float = 0.0
) -> list[Sighting]:
    """A device in `zone` from second `start` until before `end`: its gateway hears it well, the others badly."""
    return [
        Sighting(f"shop/g-{name}", device, rssi if name == zone else rssi - 22.0, T0 + t + phase + 0.1 * i)
        for t in np.arange(start, end, every).tolist()
        for i, name in enumerate(INDOOR)
    ]


def batch(*rows: Iterable[Sighting | Fix]) -> Batch:
    """Columns of some rows."""
    flat = [one for some in rows for one in some]
    return Batch.of(
        [one for one in flat if isinstance(one, Sighting)], [one for one in flat if isinstance(one, Fix)], OWNERS
    )


def run(engine: Engine, until: float, *rows: Iterable[Sighting | Fix]) -> Step:
    """One step up to second `until`."""
    return engine.step(batch(*rows), T0 + until)


def told(transitions: Sequence[Transition]) -> list[tuple[float, str, str, str]]:
    """(second, kind, zone, cause) of each."""
    return [(round(one.at - T0, 3), one.kind, one.zone, one.cause) for one in transitions]


def kinds(transitions: Sequence[Transition]) -> list[tuple[str, str]]:
    """(kind, zone) of each."""
    return [(one.kind, one.zone) for one in transitions]


def without(site: Site, zone: str) -> Site:
    """The site less one zone."""
    return replace(site, zones=tuple(one for one in site.zones if one.id != zone))


def ring(*points: tuple[float, float]) -> shapely.Polygon:
    """A polygon in degrees from (lat, lon) corners."""
    return shapely.Polygon([(lon, lat) for lat, lon in points])
