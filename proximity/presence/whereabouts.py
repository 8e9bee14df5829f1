"""Where devices are now, for maps and the API: a look at the state that changes nothing."""

import math
from collections.abc import Sequence

import numpy as np
from shapely.geometry import Point
from shapely.ops import nearest_points

from proximity.model import Whereabouts
from proximity.observations import Floats, Ints
from proximity.presence.catalogue import Catalogue
from proximity.presence.hearing import Hearing
from proximity.presence.ledger import Ledger
from proximity.presence.people import Devices
from proximity.presence.state import Bools
from proximity.presence.visits import Claims
from proximity.site.frames import to_local
from proximity.site.model import Site

EDGE = 0.5  # m from the border at which a place that was moved into a zone is put: half the width of a person


def whereabouts(
    rows: Ints,
    now: float,
    catalogue: Catalogue,
    devices: Devices,
    claims: Claims,
    hearing: Hearing,
    ledger: Ledger,
    shopper_names: list[str],
) -> list[Whereabouts]:
    """One row for each device. A device is placed by whatever observed it last, and stays there while nothing does."""
    used = claims.rows()
    used = used[claims.inside(used)]
    confidence = np.zeros(devices.capacity)
    np.maximum.at(confidence, claims.device[used], claims.p[used])
    found = []
    here, places = _by_radio(rows, now, devices, hearing)
    for row, known, place in zip(rows.tolist(), here.tolist(), places, strict=True):
        shopper = int(devices.shopper[row])
        zones = ledger.zones_of(shopper)
        site, (x, y) = int(devices.site[row]) if known else None, place
        lat = lon = None
        names = tuple(catalogue.name(zone)[1] for zone in zones)
        if site is not None and x is not None and y is not None:
            x, y = _into(catalogue.sites[site], names, x, y)
        if not math.isnan(devices.fix_at[row]):
            lat, lon = float(devices.lat[row]), float(devices.lon[row])
            if site is None or devices.fix_at[row] > hearing.radios[site].slots.heard[devices.slot[row]]:
                mine = next((int(catalogue.zone_site[zone]) for zone in zones), site)
                site, x, y = mine, *_by_fix(mine, lat, lon, catalogue)
        found.append(
            Whereabouts(
                device=devices.names[row],
                shopper=shopper_names[shopper],
                site=None if site is None else catalogue.sites[site].id,
                zones=names,
                confidence=float(confidence[row]),
                at=float(devices.seen[row]),
                x=x,
                y=y,
                lat=lat,
                lon=lon,
            )
        )
    return found


def _by_radio(
    rows: Ints, now: float, devices: Devices, hearing: Hearing
) -> tuple[Bools, list[tuple[float | None, float | None]]]:
    """Which devices their site's radio still knows, and where each was when it was last heard; None: it knows no place.

    What a locator believes of `now` spreads with every second of silence, until its mean is the middle of the store.
    """
    site, slot = devices.site[rows], devices.slot[rows]
    known = np.zeros(len(rows), dtype=np.bool_)
    places: Floats = np.full((len(rows), 2), np.nan)
    for number in np.unique(site[site >= 0]).tolist():
        radio, mine = hearing.radios[number], np.flatnonzero(site == number)
        claimed = (radio.slots.claim[slot[mine]] >= 0).any(axis=1)
        lately = radio.slots.heard[slot[mine]] >= now - 2.0 * radio.site.presence.exit_after
        mine = mine[claimed | lately]
        known[mine] = True
        places[mine] = radio.locator.position(slot[mine], -math.inf)
    told = [(None if math.isnan(x) else x, None if math.isnan(y) else y) for x, y in places.tolist()]
    return known, told


def _into(site: Site, names: Sequence[str], x: float, y: float) -> tuple[float, float]:
    """The place as it is, or when it lies outside the indoor zones that the shopper is in, the nearest one inside.

    The visit weighs evidence over time, the estimate of the place is of the moment: where they differ, the visit is
    the better witness.
    """
    inside = [zone.outline for zone in site.zones if zone.id in names and not zone.outdoor and zone.frame == "local"]
    place = Point(x, y)
    if not inside or any(outline.covers(place) for outline in inside):
        return x, y
    nearest = min(inside, key=place.distance)
    smaller = nearest.buffer(-EDGE)
    found = nearest_points(nearest if smaller.is_empty else smaller, place)[0]
    return float(found.x), float(found.y)


def _by_fix(number: int | None, lat: float, lon: float, catalogue: Catalogue) -> tuple[float | None, float | None]:
    site = catalogue.sites.get(-1 if number is None else number)
    if site is None or site.lat is None or site.lon is None:
        return None, None
    x, y = to_local(site.lat, site.lon, site.bearing, lat, lon)
    return float(x), float(y)
