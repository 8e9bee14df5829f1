"""What a phone reports of its own position: OwnTracks in "significant changes", with the accuracy phones have."""

import numpy as np

from proximity.model import Fix
from proximity.simulate.layout import Layout
from proximity.simulate.people import MOVING, Visit, lognormal
from proximity.simulate.propagation import Floats
from proximity.site.frames import to_degrees

EVERY_MOVING = (10.0, 30.0)  # s between fixes on the way
EVERY_STILL = (60.0, 180.0)  # s when the phone lies still, or has no view of the sky
# Reported accuracy in metres: median, sigma of its logarithm, best, worst. Phones claim 3 to 10 m under open sky; near
# a front the signals come by reflection; inside they know only Wi-Fi and cells.
ACCURACY_OPEN = (6.0, 0.4, 3.0, 25.0)
ACCURACY_FRONT = (14.0, 0.4, 6.0, 50.0)
ACCURACY_INSIDE = (35.0, 0.5, 12.0, 120.0)
FRONT = 10.0  # m from the building within which the sky is half hidden
DRIFT = 60.0  # s over which a receiver's error stays alike
STANDARD_CIRCLE = 1.51  # radius that holds 68 % of a round Gaussian, in its standard deviations per axis


def trail(visit: Visit, device: str, layout: Layout, rng: np.random.Generator) -> list[Fix]:
    """All fixes of one visit in order of time; empty when the site has no place on Earth."""
    if layout.site.lat is None or layout.site.lon is None:
        return []
    fixes: list[Fix] = []
    error: Floats = rng.standard_normal(2)
    at = float(np.ceil(visit.begin + rng.uniform(0.0, 1.0)))  # receivers give fixes on whole seconds
    while at <= visit.end:
        xy, heading, speed = visit.pose(np.array([at]))
        metres = float(layout.outside(xy)[0])
        accuracy = _accuracy(metres, rng)
        place = xy[0] + error * accuracy / STANDARD_CIRCLE
        fixes.append(_fix(device, layout, place, at, accuracy, float(speed[0]), float(heading[0])))
        on_the_way = float(speed[0]) > MOVING and metres > 0
        wait = rng.uniform(*(EVERY_MOVING if on_the_way else EVERY_STILL))
        if not on_the_way:
            wait = min(wait, _until_outside(visit, at, layout) + rng.uniform(2.0, 8.0))
        keep = np.exp(-wait / DRIFT)
        error = keep * error + np.sqrt(1.0 - keep * keep) * rng.standard_normal(2)
        at = float(np.ceil(at + wait))
    return fixes


def _until_outside(visit: Visit, at: float, layout: Layout) -> float:
    """Seconds from `at` until the phone next sees the sky on the move: that wakes it. At least 0."""
    after = visit.at > at
    waking = after & (layout.outside(visit.xy) > 0)
    waking[1:] &= np.any(visit.xy[1:] != visit.xy[:-1], axis=1)
    times = visit.at[waking]
    return float(times[0] - at) if len(times) else np.inf


def _accuracy(metres: float, rng: np.random.Generator) -> float:
    spec = ACCURACY_INSIDE if metres == 0 else ACCURACY_FRONT if metres < FRONT else ACCURACY_OPEN
    return round(lognormal(spec, rng))


def _fix(device: str, layout: Layout, xy: Floats, at: float, accuracy: float, speed: float, heading: float) -> Fix:
    site = layout.site
    assert site.lat is not None
    assert site.lon is not None
    lat, lon = to_degrees(site.lat, site.lon, site.bearing, x=xy[0], y=xy[1])
    moving = speed > MOVING
    return Fix(
        device=device,
        lat=round(float(lat), 6),
        lon=round(float(lon), 6),
        at=at,
        accuracy=accuracy,
        speed=round(speed, 1) if moving else 0.0,
        course=round((site.bearing + 90.0 - np.degrees(heading)) % 360.0, 1) if moving else None,
    )
