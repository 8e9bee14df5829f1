"""Who is on the way to a place: told once for each distance or time to arrival that rules ask for.

Of every phone the last few fixes are kept. From them follows how fast it comes nearer to the places within reach, and
so the time to its arrival. A threshold that was told is told again only after the shopper was inside, went away
farther than half as far again, or was not seen for half an hour.
"""

import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
import shapely

from proximity.model import Transition, child_id, dated_id
from proximity.observations import Floats, Ints
from proximity.presence.catalogue import Catalogue, Edit
from proximity.presence.closing import SPACING, WAY, closing, window
from proximity.presence.fixes import ENTER_P, SIGMA, Believed, probability
from proximity.presence.geofences import Fences
from proximity.presence.normal import below
from proximity.presence.outlines import Shapes, joined, shapes_of
from proximity.presence.people import Devices, Shoppers
from proximity.presence.state import Bools, Keys, Longs, Numbers
from proximity.presence.ways import FORGET, Told, Tracks, told_accuracy

Reaches = Mapping[tuple[str, str], frozenset[str]]  # (site, place) -> "400m", "300s"
REACH = re.compile(r"([0-9]+(?:\.[0-9]+)?)(m|s)")
STORE = "store"  # the site's own place: its outdoor zone of that name, else its point
AT_POINT = 30.0  # m from a site's point that count as inside: about half a shop's front
AGAIN = 1.5  # times the distance at which a threshold was told, or asks for, beyond which it may be told again
DEGREE = 111_000.0  # m of latitude, the shortest there are
LEFT = 15.0  # m outside, beyond the accuracy, from which a shopper who was inside is on a new way
LATEST = 200.0  # s by which a fix may be older than the moment it is looked at in


class Reached(NamedTuple):
    """A threshold that a phone has met, before it is known whether the shopper is inside anyway."""

    device: int
    shopper: int
    threshold: int  # number
    observed: float  # event time of the fix
    distance: float  # m to the outline
    eta: float  # s
    confidence: float
    jumped: bool


class Thresholds(NamedTuple):
    """T thresholds as columns, in order of their place."""

    number: Ints
    target: Ints  # row of the place among the fences
    metres: Floats  # inf: one of time
    seconds: Floats  # 0: one of distance


class Approach:
    """All phones against all places that rules ask for."""

    def __init__(self, catalogue: Catalogue, devices: Devices, shoppers: Shoppers) -> None:
        self._catalogue, self._devices, self._shoppers = catalogue, devices, shoppers
        self._reaches: Reaches = {}
        self._names = Numbers()  # "site/place/400m" -> number of a threshold, for good
        self._track: Ints = np.empty(0, dtype=np.int32)  # device -> row of its track; -1: none
        self.tracks, self.told = Tracks(), Told()
        self._keys = Keys()  # (shopper, threshold) -> told
        self._compile()

    # -- what is asked for ------------------------------------------------------------------------------------------

    def set_reaches(self, reaches: Reaches) -> None:
        """Thresholds by (site, place). ValueError: one that is neither metres nor seconds."""
        for name in {name for names in reaches.values() for name in names}:
            if not REACH.fullmatch(name):
                raise ValueError(f"a reach is metres or seconds, as in 400m or 300s, not {name!r}")
        self._reaches = {place: frozenset(names) for place, names in reaches.items() if names}
        self._compile()

    def edit(self, edit: Edit) -> None:
        """Sites or zones changed."""
        moved = edit.radios is None or bool(edit.radios)  # a site's own place may be another
        if self._reaches and (
            moved or any(self._catalogue.name(one) in self._reaches for one in edit.changed | edit.removed)
        ):
            self._compile()

    def _compile(self) -> None:
        """Places as fences, thresholds as columns. What was told of thresholds that are no more is forgotten."""
        sites = {site.id: site for site in self._catalogue.sites.values()}
        zones, points, rows = {}, [], []
        for place, (site_id, name) in enumerate(sorted(self._reaches)):
            site = sites.get(site_id)
            zone = self._catalogue.zones.get(self._catalogue.zone_numbers.index.get(f"{site_id}/{name}", -1))
            if zone is not None and zone.outdoor:
                zones[place] = zone
            elif site is not None and name == STORE and site.lat is not None and site.lon is not None:
                points.append((place, site.lat, site.lon))
            else:
                continue
            rows += [
                (place, self._names.number(f"{site_id}/{name}/{reach}"), reach)
                for reach in sorted(self._reaches[site_id, name])
            ]
        shapes = joined([shapes_of(zones, sites), *([_points(points)] if points else [])])
        fences = Fences()
        target = dict(zip(shapes.zone.tolist(), fences.put(shapes).tolist(), strict=True))
        rows = sorted((target[place], number, reach) for place, number, reach in rows if place in target)
        found = [(number, row, *_parse(reach)) for row, number, reach in rows]
        columns = np.array(found, dtype=np.float64).reshape(-1, 4).T
        self._fences = fences
        self._thresholds = Thresholds(columns[0].astype(np.int32), columns[1].astype(np.int32), columns[2], columns[3])
        self._inside = np.where(fences.radius == 0.0, AT_POINT, 0.0)  # m by which a place is larger than its outline
        self._by_number: Ints = np.full(len(self._names), -1, dtype=np.int32)
        self._by_number[self._thresholds.number] = np.arange(len(rows))
        told = self.told.rows()
        self._drop(told[self._by_number[self.told.threshold[told]] < 0])

    # -- fixes ----------------------------------------------------------------------------------------------------

    def take(self, fix: Believed) -> list[Reached]:
        """The fixes of one tick, one a device: what they met, and did not meet on this way before."""
        if not len(self._thresholds.number) or not len(fix.device):
            return []
        rows = self._tracks_of(fix.device)
        self.tracks.push(rows, fix)
        self._rearm(fix)
        at, places = self.tracks.at[rows], self.tracks.places(rows)
        counts = window(at)
        way = _apart(places[:, :1], places)
        moving = np.flatnonzero((np.where(counts, way, 0.0)).max(axis=1) >= WAY)
        fastest = _fastest(at[moving], places[moving], way[moving], counts[moving])
        which, target, distance = self._around(fix, moving, fastest)
        if not len(which):
            return []
        track = rows[which]
        counted = counts[which]
        apart = np.full(counted.shape, np.nan)
        pair, slot = np.nonzero(counted)
        apart[pair, slot] = -self._fences.inward(places[which[pair], slot], target[pair])
        sigma = np.where(counted, self.tracks.accuracy[track] / SIGMA, np.nan)
        speed, error, sure = closing(at[which], apart, sigma)
        pair = np.flatnonzero(sure & (distance > self._inside[target]))
        return self._meet(fix, which[pair], target[pair], distance[pair], speed[pair], error[pair])

    def _around(self, fix: Believed, moving: Longs, fastest: Floats) -> tuple[Longs, Longs, Floats]:
        """(fix, place, metres) of phones on the move and places that they could meet a threshold of."""
        most, longest = self._thresholds.metres, self._thresholds.seconds
        reach = np.maximum(most[np.isfinite(most)].max(initial=0.0), fastest * longest.max(initial=0.0))
        lat, lon = fix.lat[moving], fix.lon[moving]
        high = reach / DEGREE
        wide = np.minimum(high / np.maximum(np.cos(np.radians(lat)), 0.01), 179.0)
        which, target = self._fences.boxes.within(lon - wide, lat - high, lon + wide, lat + high)
        distance = -self._fences.inward(fix.place[moving[which]], target)
        near = (distance > 0.0) & (distance <= reach[which])
        return moving[which[near]], target[near], distance[near]

    def _meet(
        self, fix: Believed, which: Longs, target: Longs, distance: Floats, speed: Floats, error: Floats
    ) -> list[Reached]:
        """Thresholds of pairs of a fix and a place that comes nearer."""
        thresholds = self._thresholds
        first = np.searchsorted(thresholds.target, target, side="left")
        count = np.searchsorted(thresholds.target, target, side="right") - first
        pair = np.repeat(np.arange(len(which)), count)
        one = np.arange(len(pair)) + np.repeat(first - (np.cumsum(count) - count), count)
        limit = np.where(thresholds.seconds[one] > 0.0, speed[pair] * thresholds.seconds[one], thresholds.metres[one])
        told = told_accuracy(fix)[which][pair]
        new = (distance[pair] <= limit) & (told <= limit / 2.0)
        shopper = self._devices.shopper[fix.device[which]][pair]
        new &= self._keys.find(Keys.of(shopper, thresholds.number[one])) < 0
        pair, one, limit, told, shopper = pair[new], one[new], limit[new], told[new], shopper[new]
        d, v, e = distance[pair], speed[pair], error[pair]
        slack = np.where(
            thresholds.seconds[one] > 0.0, np.hypot(told / SIGMA, e * thresholds.seconds[one]), told / SIGMA
        )
        confidence = below(v / e) * below((limit - d) / slack)
        columns = (fix.device[which[pair]], shopper, thresholds.number[one], fix.at[which[pair]], d, d / v, confidence)
        rows = zip(*(column.tolist() for column in (*columns, fix.jumped[which[pair]])), strict=True)
        return [Reached(*row) for row in rows]

    def _rearm(self, fix: Believed) -> None:
        """Forget what was told to shoppers whose phone was inside and left, is far again, or was away for long."""
        which, rows = self._keys.under(self._devices.shopper[fix.device])
        if not len(rows):
            return
        told, threshold = self.told, self._by_number[self.told.threshold[rows]]
        target = self._thresholds.target[threshold].astype(np.int64)
        inward = self._fences.inward(fix.place[which], target) + self._inside[target]
        inside = probability(inward, fix.accuracy[which]) >= ENTER_P
        told.limit[rows[inside]] = np.minimum(told.limit[rows[inside]], LEFT)
        own = told.device[rows] == fix.device[which]
        far = -inward > told.limit[rows] + told_accuracy(fix)[which]
        away = fix.at[which] - told.seen[rows] > FORGET
        told.seen[rows[own]] = fix.at[which[own]]
        self._drop(np.unique(rows[own & (far | away)]))

    def tell(self, reached: Sequence[Reached], now: float, inside: Callable[[int], Sequence[int]]) -> list[Transition]:
        """Transitions of what was met in the instant `now`, but for shoppers who are there; `inside`: numbers of the
        zones that a shopper is in. Of several phones of a shopper the nearest one tells."""
        names = self._devices.names
        best: dict[tuple[int, int], Reached] = {}
        for one in sorted(reached, key=lambda one: (one.distance, names[one.device])):
            site, place, _ = self._names.names[one.threshold].rsplit("/", 2)
            zones = [self._catalogue.name(zone) for zone in inside(one.shopper)]
            if (site, place) not in zones and not (place == STORE and any(where == site for where, _ in zones)):
                best.setdefault((one.shopper, one.threshold), one)
        found = [self._tell(one, now) for one in best.values()]
        return sorted(found, key=lambda one: (one.shopper, one.site, one.zone, one.at, one.id))

    def _tell(self, one: Reached, now: float) -> Transition:
        site, place, reach = self._names.names[one.threshold].rsplit("/", 2)
        began = self._note(one, f"{site}/{place}/")
        shopper = self._shoppers.names[one.shopper]
        visit = dated_id(round(began * 1000) / 1000, site, place, shopper, "approach")
        return Transition(
            id=child_id(visit, "approach", reach, round(one.observed * 1000)),
            kind="approach",
            cause="threshold",
            site=site,
            zone=place,
            shopper=shopper,
            device=self._devices.names[one.device],
            visit=visit,
            at=now,
            observed=one.observed,
            started=began,
            confidence=one.confidence,
            jumped=one.jumped,
            reach=reach,
            distance=one.distance,
            eta=one.eta,
        )

    def _note(self, one: Reached, place: str) -> float:
        """Remember that it was told; when the way began, by the thresholds of the same place told before."""
        told = self.told
        shopper = np.array([one.shopper], dtype=np.int32)
        others = self._keys.under(shopper)[1]
        same = [row for row in others.tolist() if self._names.names[told.threshold[row]].startswith(place)]
        began = min([one.observed, *(float(told.began[row]) for row in same)])
        (row,) = rows = told.take(1)
        metres = float(self._thresholds.metres[self._by_number[one.threshold]])
        told.shopper[row], told.device[row], told.threshold[row] = one.shopper, one.device, one.threshold
        told.limit[row] = AGAIN * (metres if np.isfinite(metres) else one.distance)
        told.seen[row], told.began[row] = one.observed, began
        self._keys.add(Keys.of(shopper, one.threshold), rows)
        return began

    # -- rows -----------------------------------------------------------------------------------------------------

    def _tracks_of(self, device: Ints) -> Ints:
        missing = self._devices.capacity - len(self._track)
        if missing > 0:
            self._track = np.concatenate([self._track, np.full(missing, -1, dtype=np.int32)])
        new = device[self._track[device] < 0]
        if len(new):
            rows = self.tracks.take(len(new))
            self.tracks.device[rows], self._track[new] = new, rows
        return self._track[device]

    def _drop(self, rows: Ints) -> None:
        if len(rows):
            self._keys.remove(Keys.of(self.told.shopper[rows], self.told.threshold[rows]))
            self.told.give(rows)

    def _give(self, rows: Ints) -> None:
        self._track[self.tracks.device[rows]] = -1
        self.tracks.give(rows)

    def forget(self, devices: Ints, shopper: int = -1) -> None:
        """Nothing is known any more of the ways of these devices, nor of the shopper's."""
        told, tracks = self.told.rows(), self.tracks.rows()
        self._drop(told[np.isin(self.told.device[told], devices) | (self.told.shopper[told] == shopper)])
        self._give(tracks[np.isin(self.tracks.device[tracks], devices)])

    def sweep(self, now: float) -> None:
        """Give back what is too old to matter."""
        told, tracks = self.told.rows(), self.tracks.rows()
        self._drop(told[self.told.seen[told] < now - FORGET - LATEST])
        self._give(tracks[self.tracks.at[tracks, 0] < now - FORGET - LATEST])

    # -- state ----------------------------------------------------------------------------------------------------

    def state(self) -> dict[str, Any]:
        """For a checkpoint. Places follow from the sites."""
        return {"names": list(self._names.names), "tracks": self.tracks.state(), "told": self.told.state()}

    def restore(self, state: Mapping[str, Any]) -> None:
        """The reverse of `state`, after devices, shoppers and sites were restored."""
        self._names = Numbers(state["names"])
        self.tracks.restore(state["tracks"])
        self.told.restore(state["told"])
        tracks, told = self.tracks.rows(), self.told.rows()
        self._track = np.full(self._devices.capacity, -1, dtype=np.int32)
        self._track[self.tracks.device[tracks]] = tracks
        self._keys = Keys()
        self._keys.add(Keys.of(self.told.shopper[told], self.told.threshold[told]), told)
        self._compile()


def _parse(reach: str) -> tuple[float, float]:
    """(metres, seconds) of a threshold; the one that it is not is inf, and 0."""
    match = REACH.fullmatch(reach)
    assert match is not None, reach  # set_reaches has looked
    return (float(match[1]), 0.0) if match[2] == "m" else (np.inf, float(match[1]))


def _points(points: Sequence[tuple[int, float, float]]) -> Shapes:
    """Sites' points as circles without a radius."""
    number, lat, lon = np.array(points, dtype=np.float64).T
    none = np.zeros(len(points))
    outline = np.full(len(points), shapely.Point(0.0, 0.0), dtype=object)
    return Shapes(number.astype(np.int32), lat, lon, none, none, outline, none, np.column_stack([lon, lat, lon, lat]))


def _apart(one: Floats, other: Floats) -> Floats:
    """Metres between places (…, 3)."""
    way = one - other
    return np.sqrt(way[..., 0] ** 2 + way[..., 1] ** 2 + way[..., 2] ** 2)


def _fastest(at: Floats, places: Floats, way: Floats, counts: Bools) -> Floats:
    """(n,) m/s that no two fixes that are compared are faster apart: neighbours, and the last one with any."""
    with np.errstate(invalid="ignore", divide="ignore"):
        gap = at[:, :1] - at
        last = np.where(counts & (gap >= SPACING), way / gap, 0.0)
        gap = at[:, 1:-1] - at[:, 2:]
        step = _apart(places[:, 1:-1], places[:, 2:])
        steps = np.where(counts[:, 2:] & (gap >= SPACING), step / gap, 0.0)
    return np.asarray(np.maximum(last.max(axis=1), steps.max(axis=1)))
