"""What a phone's positions say: which are to be believed, and what each says about each fence."""

from collections.abc import Mapping
from typing import NamedTuple

import numpy as np

from proximity.observations import Floats, Ints
from proximity.presence.geofences import SLACK, Fences, distance, earth
from proximity.presence.normal import FAR, below
from proximity.presence.people import Devices
from proximity.presence.state import Bools, Bytes, Longs
from proximity.presence.visits import Event

UNKNOWN = 50.0  # m, taken for an accuracy that is not told: a phone on Wi-Fi and cells, without satellites
SIGMA = 1.515  # accuracies are 68 % circles (Android's Location); for a Gaussian that is sqrt(-2 ln 0.32) sigma
ENTER_P = 0.6  # probability from which a fix speaks for being inside
ENTER_SURE = 0.8  # … from which it needs no second one, when it is finer than the fence is wide
EVEN = 0.5
CROSS_GAP = 120.0  # s between fixes; on a longer way nobody goes straight


class Believed(NamedTuple):
    """Fixes that count, with what is known of the device before."""

    device: Ints
    at: Floats
    lat: Floats
    lon: Floats
    accuracy: Floats  # m; NaN: unknown
    jumped: Bools
    place: Floats  # (n, 3) Earth-centred
    before: Floats  # (n, 3) NaN: none, or too long ago
    lat_before: Floats
    lon_before: Floats
    at_before: Floats
    accuracy_before: Floats


def probability(inward: Floats, accuracy: Floats) -> Floats:
    """Chance of being inside, of positions `inward` metres from the edge (negative: outside) with `accuracy` metres
    (NaN: unknown). The edge is taken as straight: for a fix in the middle of a small shop that is more lenient than
    the share of the error circle within it, as it should be, because people are in shops more than between them."""
    sigma = np.where(np.isnan(accuracy), UNKNOWN, accuracy) / SIGMA
    return below(inward / sigma)


def enough(accuracy: Floats, margin: Floats) -> Floats:
    """Metres from the edge beyond which nothing changes any more: neither the evidence nor, as a float, its
    probability."""
    told = np.where(np.isnan(accuracy), UNKNOWN, accuracy)
    return np.maximum(FAR * told / SIGMA, told + margin) + 1.0


def verdicts(inward: Floats, accuracy: Floats, width: Floats, margin: Floats) -> tuple[Bytes, Floats]:
    """(evidence as Event, probability) for rows of: metres inward, accuracy, width of the fence and exit margin."""
    p = probability(inward, accuracy)
    told = np.where(np.isnan(accuracy), UNKNOWN, accuracy)
    fine = told <= width
    clear = -inward > told + margin
    code = np.select(
        [
            clear & fine & ~np.isnan(accuracy),
            clear,
            p < EVEN,
            p < ENTER_P,
            (p < ENTER_SURE) | ~fine,
        ],
        [Event.SURE_OUT, Event.LIKELY_OUT, Event.UNLIKELY, Event.UNSURE, Event.LIKELY_IN],
        Event.SURE_IN,
    )
    return code.astype(np.int8), p


def latest(device: Ints, at: Floats, lat: Floats, lon: Floats, accuracy: Floats) -> tuple[Ints, Ints, int]:
    """Of the fixes of one tick: indices of each device's latest, by device; indices of earlier ones; and how many were
    the same fix again."""
    order = np.argsort(device, kind="stable").astype(np.int32)
    same = device[order][1:] == device[order][:-1]
    if not same.any():
        return order, order[:0], 0
    several = np.zeros(len(order), dtype=np.bool_)
    several[1:] = same
    several[:-1] |= same
    alone, some = order[~several], order[several]
    some = some[np.lexsort((np.nan_to_num(accuracy[some], nan=np.inf), lon[some], lat[some], at[some], device[some]))]
    d, t, y, x = device[some], at[some], lat[some], lon[some]
    again = np.zeros(len(some), dtype=np.bool_)
    again[1:] = (d[1:] == d[:-1]) & (t[1:] == t[:-1]) & (y[1:] == y[:-1]) & (x[1:] == x[:-1])
    some, d = some[~again], d[~again]
    last = np.ones(len(some), dtype=np.bool_)
    last[:-1] = d[1:] != d[:-1]
    kept = np.concatenate([alone, some[last]])
    return kept[np.argsort(device[kept], kind="stable")], some[~last], int(again.sum())


def outdated(devices: Devices, device: Ints, at: Floats, lat: Floats, lon: Floats) -> tuple[Bools, Bools]:
    """Of fixes: which are the same as one that is known, and which are older than one."""
    known = (at == devices.fix_at[device]) & (lat == devices.lat[device]) & (lon == devices.lon[device])
    known |= (at == devices.held_at[device]) & (lat == devices.held_lat[device]) & (lon == devices.held_lon[device])
    older = ~known & (at <= np.fmax(devices.fix_at[device], devices.held_at[device]))
    return np.asarray(known), np.asarray(older)


def believe(devices: Devices, fix: Mapping[str, Floats], device: Ints, top_speed: float) -> tuple[Believed, int]:
    """Take one fix for each device. One that needs a movement faster than `top_speed` is held until the next one agrees
    with it or with the place before. Returns what counts, and how many are held."""
    at, lat, lon, accuracy = fix["at"], fix["lat"], fix["lon"], fix["accuracy"]
    place = earth(lat, lon)
    before = earth(devices.lat[device], devices.lon[device])
    told, was = _slack(accuracy), _slack(devices.accuracy[device])
    # A comparison with NaN (nothing known before) is false.
    too_fast = distance(place, before) - told - was > top_speed * (at - devices.fix_at[device])
    agrees = np.zeros(len(device), dtype=np.bool_)
    some = np.flatnonzero(too_fast)
    agrees[some] = _agrees(devices, device[some], at[some], place[some], told[some], top_speed)
    ok = ~too_fast | agrees
    gap = at - devices.fix_at[device]
    recent = (gap <= CROSS_GAP) & ~too_fast
    old_lat = np.where(recent, devices.lat[device], np.nan)
    old_lon = np.where(recent, devices.lon[device], np.nan)
    believed = Believed(
        device[ok],
        at[ok],
        lat[ok],
        lon[ok],
        accuracy[ok],
        (too_fast & agrees)[ok],
        place[ok],
        np.where(recent[:, None], before, np.nan)[ok],
        old_lat[ok],
        old_lon[ok],
        devices.fix_at[device][ok],
        devices.accuracy[device][ok],
    )
    devices.place(device[ok], at[ok], lat[ok], lon[ok], accuracy[ok])
    devices.hold(device[~ok], at[~ok], lat[~ok], lon[~ok], accuracy[~ok])
    return believed, int((~ok).sum())


def _agrees(devices: Devices, device: Ints, at: Floats, place: Floats, told: Floats, top_speed: float) -> Bools:
    """Which fixes agree with the place that is held of their device; false where none is."""
    held = earth(devices.held_lat[device], devices.held_lon[device])
    reach = told + _slack(devices.held_accuracy[device])
    return np.asarray(distance(place, held) - reach <= top_speed * (at - devices.held_at[device]))


def crossed(fences: Fences, fix: Believed, which: Longs, fence: Longs, inward: Floats) -> tuple[Longs, Floats, Floats]:
    """Of the pairs (index into `fix`, fence), none of them inside at either end and the later `inward` metres from the
    edge: the pairs whose straight way between went through the fence plausibly, the event time at the deepest point,
    and the probability."""
    # In between the two errors add up as a mean.
    accuracy = ((_slack(fix.accuracy) + _slack(fix.accuracy_before)) / 2.0)[which]
    way = distance(fix.place, fix.before)[which] + SLACK  # NaN: no way
    moved = np.flatnonzero((-inward <= way) & (accuracy <= fences.width[fence]))
    which, fence = which[moved], fence[moved]
    depth, share = fences.crossing(fix.before[which], fix.place[which], fence)
    p = probability(depth, accuracy[moved])
    plausible = p >= ENTER_P
    at = fix.at_before[which] + share * (fix.at[which] - fix.at_before[which])
    return moved[plausible], at[plausible], p[plausible]


def _slack(accuracy: Floats) -> Floats:
    return np.where(np.isnan(accuracy), UNKNOWN, accuracy)
