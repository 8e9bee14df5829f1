"""Sightings into claims: every site's radio, the slots of devices in sites, and silence that is not the device's."""

from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from proximity.observations import Floats, Ints
from proximity.presence.catalogue import Catalogue, Edit
from proximity.presence.contest import SAMPLE, clearness, ripe, stay
from proximity.presence.locator import Locator
from proximity.presence.people import Devices, Shoppers
from proximity.presence.radio import Heard, SiteRadio
from proximity.presence.readings import by_site
from proximity.presence.state import Bools, Keys, Longs, Singles
from proximity.presence.visits import RADIO, Changes, Claims, Event, Phase
from proximity.site.model import Site

INTERVALS = 4.0  # of a device's usual ones that may be missed: at 30 % loss each, four in a row are lost once in 120
LONGEST_WAIT = 15.0  # times the zone's exit_after, however seldom a device is heard
FORGET = 900.0  # s without a sighting after which a device is no longer kept in mind at a site


class _Weighed(NamedTuple):
    """Columns of pairs of a slot and a zone: what a tick's readings tell of each, see `Heard`."""

    slot: Ints
    column: Longs  # of the zone in its site's radio
    zone: Ints
    row: Ints  # of the claim; -1: none yet
    mine: Bools  # the device is in the zone
    best: Bools  # it is not, and nothing that excludes the zone is likelier
    device: Ints
    at: Floats
    gap: Singles
    since: Floats
    p: Floats
    beat: Floats
    nowhere: Floats


class Hearing:
    """What radios know, for all sites."""

    def __init__(
        self,
        catalogue: Catalogue,
        devices: Devices,
        shoppers: Shoppers,
        claims: Claims,
        locate: Callable[[Site], Locator],
    ) -> None:
        self._catalogue, self._devices, self._shoppers, self._claims = catalogue, devices, shoppers, claims
        self._locate = locate
        self.radios: dict[int, SiteRadio] = {}  # by site number
        self._slots = Keys()  # (device, site) -> slot
        self._column: Ints = np.empty(0, dtype=np.int32)  # zone number -> column in its site's radio; -1: none

    # -- sightings ------------------------------------------------------------------------------------------------

    def take(self, tick: int, now: float, columns: Mapping[str, Any], counts: Counter[str]) -> Iterator[Longs]:
        """The sightings of the tick that ends at `now`; yields indices of those that are out of order."""
        read: list[tuple[SiteRadio, Heard]] = []
        site = self._catalogue.anchor_site.take(columns["anchor"])
        anchor = self._catalogue.anchor_column.take(columns["anchor"])
        slot = self._slot(columns["device"], site)
        for number, readings in by_site(site, slot, anchor, columns["at"], columns["rssi"]):
            radio = self.radios[number]
            heard = radio.hear(now, readings)
            counts["duplicates"] += heard.duplicates
            read.append((radio, heard))
            if len(heard.old):
                yield heard.old
        self._weigh(read, tick)

    def _slot(self, device: Ints, site: Ints) -> Ints:
        """The slot of each device in the site where it was heard, taken where it is new there; -1: the site was
        removed while the sighting was held."""
        places = self._devices
        slot = np.where(places.site.take(device) == site, places.slot.take(device), np.int32(-1))
        missing = np.flatnonzero(slot < 0)
        for number in np.unique(site[missing]).tolist():
            radio = self.radios.get(number)
            if radio is None:
                continue
            here = missing[site[missing] == number]
            new = np.unique(device[here])
            found = self._slots.find(Keys.of(new, number))
            unknown = new[found < 0]
            if len(unknown):
                found[found < 0] = taken = radio.take(unknown)
                self._slots.add(Keys.of(unknown, number), taken)
            places.site[new], places.slot[new] = number, found
            slot[here] = found[np.searchsorted(new, device[here])]
        return slot

    def _look(self, radio: SiteRadio, heard: Heard) -> "_Weighed":
        """What the probabilities of slots that were just read are about: their claims, and those they may make."""
        slots, claims, p = heard.slots, self._claims, heard.p
        zones = len(radio.zones)
        rows = radio.slots.claim.take(slots, axis=0)[:, :zones]
        claimed = rows >= 0
        where = np.flatnonzero(claimed)
        inside = np.zeros(rows.shape, dtype=np.bool_)
        within = where[claims.phase.take(rows.reshape(-1).take(where)) >= Phase.INSIDE]
        inside.reshape(-1)[within] = True
        beat = radio.rivals.to_beat(p, heard.nowhere, *np.divmod(within, max(zones, 1)))
        which, column = np.divmod(np.flatnonzero(claimed | (p > beat)), max(zones, 1))
        slot, mine = slots.take(which), inside[which, column]
        best = np.zeros(len(which), dtype=np.bool_)
        rest = np.flatnonzero(~mine)
        if len(rest):
            best[rest] = radio.rivals.favourite(p, heard.nowhere, which[rest], column[rest])
        return _Weighed(
            slot=slot,
            column=column,
            zone=radio.zones[column],
            row=rows[which, column],
            mine=mine,
            best=best,
            device=radio.slots.device[slot],
            at=radio.slots.heard[slot],
            gap=radio.slots.gap[slot],
            since=heard.since[which],
            p=p[which, column],
            beat=beat[which, column],
            nowhere=heard.nowhere[which, column],
        )

    def _see(self, heard: Sequence[tuple[SiteRadio, Heard]], tick: int) -> None:
        """Note that devices and shoppers were observed."""
        devices = self._devices
        device = np.concatenate([radio.slots.device[one.slots] for radio, one in heard])
        at = np.concatenate([radio.slots.heard[one.slots] for radio, one in heard])
        np.maximum.at(devices.seen, device, at)  # it may be heard in two sites
        self._shoppers.see(devices.shopper[device], tick)

    def _weigh(self, heard: Sequence[tuple[SiteRadio, Heard]], tick: int) -> None:
        """Evidence from the probabilities of slots that were just read: of all sites at once."""
        heard = [(radio, one) for radio, one in heard if len(one.slots)]
        if not heard:
            return
        self._see(heard, tick)
        parts = [self._look(radio, one) for radio, one in heard]
        one = _Weighed(*map(np.concatenate, zip(*parts, strict=True)))
        claims, mine, row = self._claims, one.mine, one.row
        if (row < 0).any():
            ends = np.cumsum([len(part.row) for part in parts])
            self._open_new([radio for radio, _ in heard], one, ends, tick)
        rate = clearness(one.p, one.beat)
        lead = np.maximum(claims.lead[row] + rate * np.minimum(one.since, SAMPLE), 0.0)
        claims.lead[row] = np.where(mine, 0.0, lead)
        code = np.where((lead > 0.0) | (rate > 0.0), Event.LIKELY_IN, Event.UNLIKELY).astype(np.int8)
        code[mine] = stay(one.p[mine], one.nowhere[mine])
        after = self._after(one.zone)
        when = np.where(one.best, ripe(lead, rate, one.at, after[0]), np.inf)
        claims.weigh(row, code, one.at, one.p, self._wait(one.gap, one.zone), after, when)

    def _open_new(self, radios: Sequence[SiteRadio], one: "_Weighed", ends: Longs, tick: int) -> None:
        """Claims for what has none, written into `one`; the rows of each radio end at `ends`."""
        new = np.flatnonzero(one.row < 0)
        initial = self._shoppers.is_new(self._devices.shopper[one.device[new]], tick)
        which = np.searchsorted(ends, new, side="right")
        bounds = np.searchsorted(which, np.arange(len(radios) + 1)).tolist()
        for number in np.unique(which).tolist():
            part = slice(bounds[number], bounds[number + 1])
            some = new[part]
            one.row[some] = self._open(radios[number], one.slot[some], one.column[some], initial[part])

    def _open(self, radio: SiteRadio, slot: Ints, column: Ints | Longs, initial: Bools) -> Ints:
        claims = self._claims
        rows = claims.take(len(slot))
        claims.device[rows], claims.zone[rows] = radio.slots.device[slot], radio.zones[column]
        claims.slot[rows], claims.source[rows], claims.initial[rows] = slot, RADIO, initial
        radio.slots.claim[slot, column] = rows
        return rows

    def _wait(self, gap: Singles, zone: Ints) -> Floats:
        """Seconds of silence that end a visit: the zone's, or longer for devices that are seldom heard. `gap`: their
        usual s between sightings, NaN: not known yet."""
        shortest = self._catalogue.exit_after[zone]
        usual = np.minimum(INTERVALS * gap, LONGEST_WAIT * shortest)
        return np.asarray(np.fmax(shortest, usual), dtype=np.float64)

    def _after(self, zone: Ints) -> tuple[Floats, Floats]:
        return self._catalogue.enter_after[zone], self._catalogue.leave_after[zone]

    # -- silence and exclusion --------------------------------------------------------------------------------------

    def silence(self, rows: Ints, now: float, counts: Counter[str]) -> tuple[Ints, Ints]:
        """Of claims whose time of silence is over: those that are silent, and those whose gateways stayed offline for
        longer than the hold. The others wait on."""
        claims, silent, down = self._claims, [rows[:0]], [rows[:0]]
        for radio, some in self._by_site(rows):
            offline, back = radio.hearers(claims.slot[some])
            offline &= claims.phase[some] >= Phase.INSIDE
            limit = claims.heard[some] + self._catalogue.hold[claims.zone[some]]
            again = back + claims.wait[some]
            over = offline & (now >= limit)
            hold = offline & ~over
            resumed = ~offline & (again > now)
            counts["held_by_gateway"] += int((hold & ~claims.held[some]).sum())
            claims.held[some] = hold
            claims.due[some] = np.where(hold, limit, np.where(resumed, again, claims.due[some]))
            silent.append(some[~offline & ~resumed])
            down.append(some[over])
        return np.concatenate(silent), np.concatenate(down)

    def switch(self, anchor: int, online: bool, at: float) -> None:
        """A gateway went offline or came back: what was held for it gets its time of silence once more."""
        radio = self.radios.get(int(self._catalogue.anchor_site[anchor]))
        if radio is None:
            return
        radio.switch(int(self._catalogue.anchor_column[anchor]), online, at)
        if online:
            claims = self._claims
            rows = np.flatnonzero(claims.held)
            rows = rows[self._catalogue.zone_site[claims.zone[rows]] == radio.number]
            claims.held[rows], claims.due[rows] = False, at + claims.wait[rows]

    def excluded(self, changes: Changes) -> Ints:
        """Claims of the same devices that the entered zones exclude."""
        claims, found = self._claims, [changes.row[:0]]
        rows = changes.row[changes.enter]
        for radio, some in self._by_site(rows[claims.source[rows] == RADIO]):
            column = self._column[claims.zone[some]]
            known = column >= 0
            others = radio.slots.claim[claims.slot[some[known]], : len(radio.zones)]
            found.append(others[(others >= 0) & radio.exclusive[column[known]]])
        return np.concatenate(found)

    def _by_site(self, rows: Ints) -> Iterator[tuple[SiteRadio, Ints]]:
        site = self._catalogue.zone_site[self._claims.zone[rows]]
        for number in np.unique(site).tolist():
            if number in self.radios:
                yield self.radios[number], rows[site == number]

    # -- forgetting -------------------------------------------------------------------------------------------------

    def release(self, rows: Ints) -> None:
        """Claims that are no more."""
        for radio, some in self._by_site(rows):
            column = self._column[self._claims.zone[some]]
            known = column >= 0
            radio.slots.claim[self._claims.slot[some[known]], column[known]] = -1

    def forget(self, devices: Ints) -> None:
        """Nothing is known of these devices any more; their claims were released."""
        for radio in self.radios.values():
            slots = radio.slots.rows()
            self._give(radio, slots[np.isin(radio.slots.device[slots], devices)])

    def sweep(self, now: float) -> None:
        """Give back the slots of devices that were not heard for long and claim nothing."""
        for radio in self.radios.values():
            slots = radio.slots.rows()
            idle = (radio.slots.heard[slots] < now - FORGET) & (radio.slots.claim[slots].max(axis=1) < 0)
            self._give(radio, slots[idle])

    def _give(self, radio: SiteRadio, slots: Ints) -> None:
        if not len(slots):
            return
        device = radio.slots.device[slots]
        self._slots.remove(Keys.of(device, radio.number))
        here = device[self._devices.site[device] == radio.number]
        self._devices.site[here] = self._devices.slot[here] = -1
        radio.give(slots)

    # -- edits and state --------------------------------------------------------------------------------------------

    def edit(self, edit: Edit, before: Mapping[str, Any], now: float) -> tuple[Ints, Ints]:
        """Build the radios of the sites now in force; `before`: states by site id, of sites that have none yet. Claims
        that are inside by the last readings though they were not, and the reverse: only in zones that changed."""
        if edit.radios is not None and not edit.radios:
            missing = np.full(len(self._catalogue.zone_numbers) - len(self._column), -1, dtype=np.int32)
            self._column = np.concatenate([self._column, missing])
            self._keep_sites()
            return missing[:0], missing[:0]
        radios = self.radios
        self.radios = {}
        for number, site in self._catalogue.sites.items():
            kept = radios.get(number)
            if kept is not None and edit.radios is not None and number not in edit.radios:
                self.radios[number] = kept
                continue
            radio = SiteRadio(site, number, self._locate, self._catalogue)
            if kept is not None and kept.digest == radio.digest:
                radio = kept
            elif kept is not None:
                radio.adopt(kept.state(), now)
            elif site.id in before:
                radio.adopt(before[site.id], now)
            self.radios[number] = radio
        self._keep_sites()
        self._column = np.full(len(self._catalogue.zone_numbers), -1, dtype=np.int32)
        for radio in self.radios.values():
            self._column[radio.zones] = np.arange(len(radio.zones))
        self._index()
        inside, outside = [np.empty(0, dtype=np.int32)], [self._homeless()]
        for radio in self.radios.values():
            changed = np.flatnonzero(np.isin(radio.zones, list(edit.changed))).astype(np.int32)
            if len(changed):
                entered, left = self._judge_again(radio, changed, now)
                inside.append(entered)
                outside.append(left)
        return np.concatenate(inside), np.concatenate(outside)

    def _keep_sites(self) -> None:
        for number, site in self._catalogue.sites.items():
            self.radios[number].site = site

    def _index(self) -> None:
        """Keys and homes from the slots."""
        self._slots = Keys()
        self._devices.site[:] = self._devices.slot[:] = -1
        for radio in self.radios.values():
            slots = radio.slots.rows()
            device = radio.slots.device[slots]
            self._slots.add(Keys.of(device, radio.number), slots)
            self._devices.site[device], self._devices.slot[device] = radio.number, slots

    def _homeless(self) -> Ints:
        """Claims by radio in zones that radios no longer judge."""
        claims = self._claims
        rows = claims.rows()
        homeless: Ints = rows[(claims.source[rows] == RADIO) & (self._column[claims.zone[rows]] < 0)]
        return homeless

    def _judge_again(self, radio: SiteRadio, columns: Ints, now: float) -> tuple[Ints, Ints]:
        slots = radio.slots.rows()
        longest = LONGEST_WAIT * self._catalogue.exit_after[radio.zones].max()
        slots = slots[radio.slots.heard[slots] >= now - longest]
        if not len(slots):
            return slots, slots
        p, nowhere = radio.chances(slots, now)
        which, column = (place.ravel() for place in np.indices((len(slots), len(columns))))
        first = radio.rivals.favourite(p, nowhere, which, columns[column]).reshape(len(slots), len(columns))
        p = p[:, columns]
        rows = radio.slots.claim[slots][:, columns]
        which, column = np.nonzero((rows < 0) & first)
        slot, zone = slots[which], radio.zones[columns[column]]
        opened = self._open(radio, slot, columns[column], np.zeros(len(slot), dtype=np.bool_))
        claims = self._claims
        claims.since[opened], claims.support[opened] = now, radio.slots.heard[slot]
        claims.heard[opened], claims.wait[opened] = radio.slots.heard[slot], self._wait(radio.slots.gap[slot], zone)
        claims.p[opened] = p[which, column]
        known = rows >= 0
        return np.concatenate([opened, rows[known & first]]), rows[known & ~first]

    def state(self) -> dict[str, Any]:
        """By site id."""
        return {radio.site.id: radio.state() for radio in self.radios.values()}
