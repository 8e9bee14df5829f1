"""Fixes into claims: every fence, and what each device's positions say about those near it."""

from collections import Counter
from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np

from proximity.observations import Floats, Ints
from proximity.presence import fixes
from proximity.presence.catalogue import Catalogue, Edit
from proximity.presence.geofences import Fences, earth, fence_of
from proximity.presence.ledger import Crossing
from proximity.presence.people import Devices, Shoppers
from proximity.presence.state import Bools, Keys, Longs
from proximity.presence.visits import FIX, Claims, Event, Phase

INTERVALS = 4.0  # of a phone's usual ones that may be missed
LONGEST_WAIT = 4.0  # times the fences' time of silence


class Taken(NamedTuple):
    """What became of the fixes of one tick."""

    old: Ints  # indices of those that are out of order, or that a later one of the same tick overtook
    crossings: list[Crossing]


class Tracking:
    """What phones tell, for all fences."""

    def __init__(self, catalogue: Catalogue, devices: Devices, shoppers: Shoppers, claims: Claims) -> None:
        self._catalogue, self._devices, self._shoppers, self._claims = catalogue, devices, shoppers, claims
        self.fences = Fences()
        self._fence: Ints = np.empty(0, dtype=np.int32)  # zone number -> fence; -1: none
        self._keys = Keys()  # (device, zone) -> claim

    # -- fixes ----------------------------------------------------------------------------------------------------

    def take(self, tick: int, columns: Mapping[str, Any], counts: Counter[str]) -> Taken:
        """The fixes of one tick."""
        device, at = columns["device"], columns["at"]
        lat, lon, accuracy = columns["lat"], columns["lon"], columns["accuracy"]
        last, overtaken, again = fixes.latest(device, at, lat, lon, accuracy)
        known, older = fixes.outdated(self._devices, device[last], at[last], lat[last], lon[last])
        counts["duplicates"] += again + int(known.sum())
        old = np.concatenate([overtaken, last[older]])
        good = last[~known & ~older]
        values = {"at": at[good], "lat": lat[good], "lon": lon[good], "accuracy": accuracy[good]}
        believed, held = fixes.believe(self._devices, values, device[good], self._catalogue.top_speed)
        counts["held_jumps"] += held
        self._devices.seen[device[good]] = np.maximum(self._devices.seen[device[good]], at[good])
        self._shoppers.see(self._devices.shopper[device[good]], tick)
        return Taken(old, self._weigh(believed, tick) if len(believed.device) else [])

    def _weigh(self, fix: fixes.Believed, tick: int) -> list[Crossing]:
        claims = self._claims
        which, fence, row = self._pairs(fix)
        zone = self.fences.zone[fence]
        inward = self.fences.inward(fix.place[which], fence)
        margin = self._catalogue.margin[zone]
        code, p = fixes.verdicts(inward, fix.accuracy[which], self.fences.width[fence], margin)
        phase = np.full(len(row), Phase.AWAY, dtype=np.int8)
        phase[row >= 0] = claims.phase[row[row >= 0]]
        pending = np.isin(phase, (Phase.ARRIVING, Phase.LEAVING))
        through = (row < 0) & (code < Event.LIKELY_IN)
        through |= (phase == Phase.ARRIVING) & (code < Event.UNSURE)
        new = (row < 0) & (code >= Event.LIKELY_IN)
        if new.any():
            initial = self._shoppers.is_new(self._devices.shopper[fix.device[which[new]]], tick)
            row[new] = self._open(fix.device[which[new]], zone[new], initial)
        rows, one = row[row >= 0], which[row >= 0]
        claims.jumped[rows] = fix.jumped[one] | (claims.jumped[rows] & pending[row >= 0])
        zones = zone[row >= 0]
        wait = self._wait(fix.device[one], zones)
        after = self._catalogue.enter_after[zones], self._catalogue.leave_after[zones]
        claims.weigh(rows, code[row >= 0], fix.at[one], p[row >= 0], wait, after)
        return self._crossings(fix, which[through], fence[through])

    def _pairs(self, fix: fixes.Believed) -> tuple[Longs, Longs, Ints]:
        """(fix, fence, claim or -1): every claim of the devices, and every fence nearby."""
        held, rows = self._keys.under(fix.device)
        which, fence = self.fences.near(fix.lat, fix.lon, fix.lat_before, fix.lon_before)
        found = self._keys.find(Keys.of(fix.device[which], self.fences.zone[fence]))
        new = found < 0
        claimed = self._fence[self._claims.zone[rows]].astype(np.int64)
        return (
            np.concatenate([held, which[new]]),
            np.concatenate([claimed, fence[new]]),
            np.concatenate([rows, found[new]]),
        )

    def _open(self, device: Ints, zone: Ints, initial: Bools) -> Ints:
        claims = self._claims
        rows = claims.take(len(device))
        claims.device[rows], claims.zone[rows], claims.source[rows] = device, zone, FIX
        claims.initial[rows] = initial
        self._keys.add(Keys.of(device, zone), rows)
        return rows

    def _wait(self, device: Ints, zone: Ints) -> Floats:
        """Seconds without a fix that end a visit."""
        shortest = self._catalogue.fix_exit_after[zone]
        usual = np.fmin(INTERVALS * self._devices.gap[device], LONGEST_WAIT * shortest)
        return np.asarray(np.fmax(shortest, usual), dtype=np.float64)

    def _crossings(self, fix: fixes.Believed, which: Longs, fence: Longs) -> list[Crossing]:
        found, at, p = fixes.crossed(self.fences, fix, which, fence)
        device, observed = fix.device[which[found]], fix.at[which[found]]
        zone = self.fences.zone[fence[found]]
        columns = (column.tolist() for column in (device, zone, at, observed, p))
        return list(zip(*columns, strict=True))

    # -- forgetting, edits and state ----------------------------------------------------------------------------------

    def release(self, rows: Ints) -> None:
        """Claims that are no more."""
        if len(rows):
            self._keys.remove(Keys.of(self._claims.device[rows], self._claims.zone[rows]))

    def edit(self, edit: Edit, now: float) -> tuple[Ints, Ints]:
        """Build the fences of the sites now in force. Claims that are inside by the last fixes though they were not,
        and the reverse: only in zones that changed."""
        built = [
            fence
            for number, zone in self._catalogue.zones.items()
            if zone.outdoor
            and (fence := fence_of(number, zone, self._catalogue.sites[int(self._catalogue.zone_site[number])]))
        ]
        self.fences = Fences(built)
        self._fence = np.full(len(self._catalogue.zone_numbers), -1, dtype=np.int32)
        self._fence[self.fences.zone] = np.arange(len(built))
        claims = self._claims
        rows = claims.rows()
        rows = rows[claims.source[rows] == FIX]
        self._keys = Keys()
        self._keys.add(Keys.of(claims.device[rows], claims.zone[rows]), rows)
        homeless = rows[self._fence[claims.zone[rows]] < 0]
        inside, outside = self._judge_again(edit, now)
        return inside, np.concatenate([homeless, outside])

    def _judge_again(self, edit: Edit, now: float) -> tuple[Ints, Ints]:
        """Last known places against the changed fences."""
        devices, claims = self._devices, self._claims
        known = np.flatnonzero(devices.used & ~np.isnan(devices.fix_at)).astype(np.int32)
        if not len(known) or not len(self.fences):
            return known[:0], known[:0]
        unknown = np.full(len(known), np.nan)
        place, accuracy = earth(devices.lat[known], devices.lon[known]), devices.accuracy[known]
        near, fence = self.fences.near(devices.lat[known], devices.lon[known], unknown, unknown)
        zone = self.fences.zone[fence]
        p = fixes.probability(self.fences.inward(place[near], fence), accuracy[near])
        recent = devices.fix_at[known[near]] >= now - self._catalogue.fix_exit_after[zone]
        found = self._keys.find(Keys.of(known[near], zone))
        enter = np.isin(zone, list(edit.changed)) & recent & (p >= fixes.ENTER_P)
        new = enter & (found < 0)
        device = known[near[new]]
        opened = self._open(device, zone[new], np.zeros(len(device), dtype=np.bool_))
        claims.since[opened], claims.support[opened] = now, devices.fix_at[device]
        claims.heard[opened], claims.wait[opened] = devices.fix_at[device], self._wait(device, zone[new])
        claims.p[opened] = p[new]
        return np.concatenate([opened, found[enter & (found >= 0)]]), self._outside(edit)

    def _outside(self, edit: Edit) -> Ints:
        """Claims in changed fences whose devices' last fixes are rather outside."""
        devices, claims = self._devices, self._claims
        rows = claims.rows()
        fenced = (claims.source[rows] == FIX) & (self._fence[claims.zone[rows]] >= 0)
        rows = rows[fenced & np.isin(claims.zone[rows], list(edit.changed))]
        device = claims.device[rows]
        fence = self._fence[claims.zone[rows]].astype(np.int64)
        inward = self.fences.inward(earth(devices.lat[device], devices.lon[device]), fence)
        outside: Ints = rows[fixes.probability(inward, devices.accuracy[device]) < fixes.EVEN]
        return outside
