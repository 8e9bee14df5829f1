"""Fixes into claims: every fence, and what each device's positions say about those near it."""

from collections import Counter
from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np

from proximity.observations import Floats, Ints
from proximity.presence import fixes
from proximity.presence.catalogue import Catalogue, Edit
from proximity.presence.geofences import Fences, earth
from proximity.presence.ledger import Crossing
from proximity.presence.outlines import shapes_of
from proximity.presence.people import Devices, Shoppers
from proximity.presence.state import Bools, Keys, Longs
from proximity.presence.visits import FIX, Claims, Event, Phase

INTERVALS = 4.0  # of a phone's usual ones that may be missed
LONGEST_WAIT = 4.0  # times the fences' time of silence
VOUCHED = 0.9  # probability that a phone is right about its own region: it sees more fixes than it sends
FEW = 64  # changed fences that are held against every device one by one; for more the index is asked
METRES = 111_000.0  # in a degree of latitude
REMEMBERED = 60.0  # s for which the last fix is a witness against the phone's word


class Taken(NamedTuple):
    """What became of the fixes of one tick."""

    old: Ints  # indices of those that are out of order, or that a later one of the same tick overtook
    crossings: list[Crossing]
    believed: fixes.Believed


class Tracking:
    """What phones tell, for all fences."""

    def __init__(self, catalogue: Catalogue, devices: Devices, shoppers: Shoppers, claims: Claims) -> None:
        self._catalogue, self._devices, self._shoppers, self._claims = catalogue, devices, shoppers, claims
        self.fences = Fences()
        self._fence: Ints = np.empty(0, dtype=np.int32)  # zone number -> fence; -1: none
        self._fresh = True  # no fence was built yet
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
        return Taken(old, self._weigh(believed, tick) if len(believed.device) else [], believed)

    def _weigh(self, fix: fixes.Believed, tick: int) -> list[Crossing]:
        claims = self._claims
        which, fence, row = self._pairs(fix)
        zone = self.fences.zone[fence]
        accuracy, margin = fix.accuracy[which], self._catalogue.margin[zone]
        inward = self.fences.inward(fix.place[which], fence, fixes.enough(accuracy, margin))
        code, p = fixes.verdicts(inward, accuracy, self.fences.width[fence], margin)
        phase = np.full(len(row), Phase.AWAY, dtype=np.int8)
        phase[row >= 0] = claims.phase[row[row >= 0]]
        pending = np.isin(phase, (Phase.ARRIVING, Phase.LEAVING))
        through = (row < 0) & (code < Event.LIKELY_IN)
        through |= (phase == Phase.ARRIVING) & (code < Event.UNSURE)
        through &= ~(self._devices.left_at[fix.device[which]] > fix.at_before[which])  # that way was told as an exit
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
        return self._crossings(fix, which[through], fence[through], inward[through])

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
        usual = np.minimum(INTERVALS * self._devices.gap[device], LONGEST_WAIT * shortest)  # NaN: not known yet
        return np.asarray(np.fmax(shortest, usual), dtype=np.float64)

    def _crossings(self, fix: fixes.Believed, which: Longs, fence: Longs, inward: Floats) -> list[Crossing]:
        if not len(which):
            return []
        found, at, p = fixes.crossed(self.fences, fix, which, fence, inward)
        device, observed = fix.device[which[found]], fix.at[which[found]]
        zone = self.fences.zone[fence[found]]
        columns = (column.tolist() for column in (device, zone, at, observed, p))
        return list(zip(*columns, strict=True))

    # -- phones' own regions ------------------------------------------------------------------------------------------

    def vouch(self, device: int, zone: int, inside: bool, at: float, tick: int, counts: Counter[str]) -> None:
        """A phone says that it entered or left the region of a zone: evidence that needs no second one. A word that is
        older than what is known, and one that the last fix clearly speaks against, are counted and change nothing."""
        devices, claims = self._devices, self._claims
        if zone >= len(self._fence) or self._fence[zone] < 0:
            counts["regions_without_fence"] += 1
            return
        one, where = np.array([device], dtype=np.int32), np.array([zone], dtype=np.int32)
        row = self._keys.find(Keys.of(one, where))
        known = np.fmax(devices.fix_at[device], claims.heard[row[0]] if row[0] >= 0 else devices.left_at[device])
        if at < known:
            counts["regions_overtaken"] += 1
            return
        code, p = self._opinion(one, where, at)
        if (code <= Event.LIKELY_OUT) if inside else (code == Event.SURE_IN):
            counts["regions_doubted"] += 1
            return
        devices.seen[device] = max(devices.seen[device], at)
        shopper = devices.shopper[one]
        self._shoppers.see(shopper, tick)
        if not inside:
            devices.leave(one, at)
            if row[0] < 0:
                return
        elif row[0] < 0:
            row = self._open(one, where, self._shoppers.is_new(shopper, tick))
        verdict = np.array([Event.SURE_IN if inside else Event.SURE_OUT], dtype=np.int8)
        chance = np.array([max(p, VOUCHED) if inside else min(p, 1.0 - VOUCHED)])
        after = self._catalogue.enter_after[where], self._catalogue.leave_after[where]
        claims.weigh(row, verdict, np.array([at]), chance, self._wait(one, where), after)

    def _opinion(self, device: Ints, zone: Ints, at: float) -> tuple[int, float]:
        """What the last fix says of a zone (Event, probability), when it is recent; else nothing, either way."""
        devices, fence = self._devices, self._fence[zone].astype(np.int64)
        if not devices.fix_at[device[0]] >= at - REMEMBERED:
            return Event.UNSURE, fixes.EVEN
        inward = self.fences.inward(earth(devices.lat[device], devices.lon[device]), fence)
        width, margin = self.fences.width[fence], self._catalogue.margin[zone]
        code, p = fixes.verdicts(inward, devices.accuracy[device], width, margin)
        return int(code[0]), float(p[0])

    def measured(self, device: int, around: float) -> tuple[Ints, Floats]:
        """Zones with a fence within some `around` metres of a device's last place, and metres inward of each."""
        lat, lon = self._devices.lat[[device]], self._devices.lon[[device]]
        high = around / METRES
        wide = high / np.maximum(np.cos(np.radians(lat)), 0.01)
        _, fence = self.fences.near(lat - high, lon - wide, lat + high, lon + wide)
        place = np.repeat(earth(lat, lon), len(fence), axis=0)
        return self.fences.zone[fence], self.fences.inward(place, fence)

    # -- forgetting, edits and state ----------------------------------------------------------------------------------

    def release(self, rows: Ints) -> None:
        """Claims that are no more."""
        if len(rows):
            self._keys.remove(Keys.of(self._claims.device[rows], self._claims.zone[rows]))

    def restore(self) -> None:
        """Numbers of zones and claims were restored: begin anew with them."""
        self.fences, self._fresh = Fences(), True
        self._fence = np.empty(0, dtype=np.int32)
        claims = self._claims
        rows = claims.rows()
        rows = rows[claims.source[rows] == FIX]
        self._keys = Keys()
        self._keys.add(Keys.of(claims.device[rows], claims.zone[rows]), rows)

    def edit(self, edit: Edit, now: float) -> tuple[Ints, Ints]:
        """Build the fences of changed zones. Claims that are inside by the last fixes though they were not, and the
        reverse: only in zones that changed."""
        catalogue = self._catalogue
        numbers = catalogue.zones.keys() if self._fresh else sorted(edit.changed)
        outdoor = {number: zone for number in numbers if (zone := catalogue.zones[number]).outdoor}
        shapes = shapes_of(outdoor, {site.id: site for site in catalogue.sites.values()})
        missing = np.full(len(catalogue.zone_numbers) - len(self._fence), -1, dtype=np.int32)
        self._fence = np.concatenate([self._fence, missing])
        over = self._fence[list(edit.changed | edit.removed)]
        self.fences.remove(over[over >= 0])
        self._fence[list(edit.changed | edit.removed)] = -1
        self._fence[shapes.zone] = self.fences.put(shapes)
        self._fresh = False
        if not edit.changed and not edit.removed:
            return np.empty(0, dtype=np.int32), np.empty(0, dtype=np.int32)
        claims = self._claims
        rows = np.flatnonzero(claims.used & (claims.source == FIX)).astype(np.int32)
        homeless = rows[self._fence[claims.zone[rows]] < 0]
        inside, outside = self._judge_again(edit, now)
        return inside, np.concatenate([homeless, outside])

    def _judge_again(self, edit: Edit, now: float) -> tuple[Ints, Ints]:
        """Last known places against the changed fences."""
        devices, claims = self._devices, self._claims
        changed = self._fence[sorted(edit.changed)]
        changed = changed[changed >= 0]
        if not len(changed):
            return changed, changed
        device, fence = self._met(changed)
        zone = self.fences.zone[fence]
        place = earth(devices.lat[device], devices.lon[device])
        p = fixes.probability(self.fences.inward(place, fence), devices.accuracy[device])
        recent = devices.fix_at[device] >= now - self._catalogue.fix_exit_after[zone]
        found = self._keys.find(Keys.of(device, zone))
        enter = recent & (p >= fixes.ENTER_P)
        new = enter & (found < 0)
        device = device[new]
        opened = self._open(device, zone[new], np.zeros(len(device), dtype=np.bool_))
        claims.since[opened], claims.support[opened] = now, devices.fix_at[device]
        claims.heard[opened], claims.wait[opened] = devices.fix_at[device], self._wait(device, zone[new])
        claims.p[opened] = p[new]
        return np.concatenate([opened, found[enter & (found >= 0)]]), self._outside(edit)

    def _met(self, changed: Ints) -> tuple[Ints, Longs]:
        """Pairs (device, fence) of devices whose last place may be in a changed fence. Unknown places are in none."""
        known = self._devices.with_fixes()
        lat, lon = self._devices.lat[known], self._devices.lon[known]
        if len(changed) <= FEW:
            met = [self.fences.boxes.touched(fence, lat, lon) for fence in changed.tolist()]
            fences = np.repeat(changed.astype(np.int64), [len(one) for one in met])
            return known[np.concatenate(met)], fences
        unknown = np.full(len(known), np.nan)
        near, fence = self.fences.near(lat, lon, unknown, unknown)
        new = np.zeros(self.fences.capacity, dtype=np.bool_)
        new[changed] = True
        return known[near[new[fence]]], fence[new[fence]]

    def _outside(self, edit: Edit) -> Ints:
        """Claims in changed fences whose devices' last fixes are rather outside."""
        devices, claims = self._devices, self._claims
        changed = np.zeros(len(self._fence) + 1, dtype=np.bool_)  # one more, for rows that are no claims
        changed[list(edit.changed)] = True
        rows = np.flatnonzero(claims.used & (claims.source == FIX) & changed[claims.zone]).astype(np.int32)
        rows = rows[self._fence[claims.zone[rows]] >= 0]
        device = claims.device[rows]
        fence = self._fence[claims.zone[rows]].astype(np.int64)
        inward = self.fences.inward(earth(devices.lat[device], devices.lon[device]), fence)
        outside: Ints = rows[fixes.probability(inward, devices.accuracy[device]) < fixes.EVEN]
        return outside
