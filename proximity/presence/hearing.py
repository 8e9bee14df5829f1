"""Sightings into claims: every site's radio, the slots of devices in sites, and silence that is not the device's."""

from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import numpy as np

from proximity.observations import Floats, Ints
from proximity.presence.catalogue import Catalogue, Edit
from proximity.presence.contest import SAMPLE, clearness, ripe, stay
from proximity.presence.locator import Locator
from proximity.presence.people import Devices, Shoppers
from proximity.presence.radio import Heard, SiteRadio
from proximity.presence.state import Bools, Keys, Longs
from proximity.presence.visits import RADIO, Change, Claims, Event, Phase
from proximity.site.model import Site

INTERVALS = 4.0  # of a device's usual ones that may be missed: at 30 % loss each, four in a row are lost once in 120
LONGEST_WAIT = 15.0  # times the zone's exit_after, however seldom a device is heard
FORGET = 900.0  # s without a sighting after which a device is no longer kept in mind at a site


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
        site = self._catalogue.anchor_site[columns["anchor"]]
        order = np.argsort(site, kind="stable")
        starts = np.flatnonzero(np.diff(site[order], prepend=-2))
        for which in np.split(order, starts[1:]) if len(order) else ():
            radio = self.radios.get(int(site[which[0]]))
            if radio is None:  # the site was removed while they were held
                continue
            device = columns["device"][which]
            slot = self._slot(radio, device)
            anchor = self._catalogue.anchor_column[columns["anchor"][which]]
            heard = radio.hear(now, slot, anchor, columns["at"][which], columns["rssi"][which])
            counts["duplicates"] += heard.duplicates
            self._weigh(radio, heard, tick)
            if len(heard.old):
                yield which[heard.old]

    def _slot(self, radio: SiteRadio, device: Ints) -> Ints:
        """The slot of each device in a site, taken where it is new there."""
        devices = self._devices
        slot = np.where(devices.site[device] == radio.number, devices.slot[device], np.int32(-1))
        missing = np.flatnonzero(slot < 0)
        if not len(missing):
            return slot
        new = np.unique(device[missing])
        found = self._slots.find(Keys.of(new, radio.number))
        unknown = new[found < 0]
        if len(unknown):
            found[found < 0] = taken = radio.take(unknown)
            self._slots.add(Keys.of(unknown, radio.number), taken)
        devices.site[new], devices.slot[new] = radio.number, found
        slot[missing] = devices.slot[device[missing]]
        return slot

    def _weigh(self, radio: SiteRadio, heard: Heard, tick: int) -> None:
        """Evidence from the probabilities of slots that were just read."""
        slots = heard.slots
        if not len(slots):
            return
        claims, device, at = self._claims, radio.slots.device[slots], radio.slots.heard[slots]
        self._devices.seen[device] = np.maximum(self._devices.seen[device], at)
        shopper = self._devices.shopper[device]
        self._shoppers.see(shopper, tick)
        rows = radio.slots.claim[slots][:, : len(radio.zones)]
        inside = rows >= 0
        inside[inside] = claims.phase[rows[inside]] >= Phase.INSIDE
        beat = radio.rivals.to_beat(heard.p, heard.nowhere, inside)
        which, column = np.nonzero((rows >= 0) | (heard.p > beat))
        row, p, beat = rows[which, column], heard.p[which, column], beat[which, column]
        new = row < 0
        if new.any():
            initial = self._shoppers.is_new(shopper[which[new]], tick)
            row[new] = self._open(radio, slots[which[new]], column[new].astype(np.int32), initial)
        zone, at = radio.zones[column], at[which]
        mine = inside[which, column]
        rate = clearness(p, beat)
        lead = np.maximum(claims.lead[row] + rate * np.minimum(heard.since[which], SAMPLE), 0.0)
        claims.lead[row] = np.where(mine, 0.0, lead)
        code = np.where((lead > 0.0) | (rate > 0.0), Event.LIKELY_IN, Event.UNLIKELY).astype(np.int8)
        code[mine] = stay(p[mine], heard.nowhere[which[mine], column[mine]])
        led = ripe(lead, rate, at, self._catalogue.enter_after[zone])
        hopeful = np.flatnonzero(np.isfinite(led) & ~mine)
        best = radio.rivals.favourite(heard.p, heard.nowhere, which[hopeful], column[hopeful])
        when = np.full(len(row), np.inf)
        when[hopeful[best]] = led[hopeful[best]]
        wait = self._wait(radio, slots[which], zone)
        claims.weigh(row, code, at, p, wait, self._after(zone), when)

    def _open(self, radio: SiteRadio, slot: Ints, column: Ints, initial: Bools) -> Ints:
        claims = self._claims
        rows = claims.take(len(slot))
        claims.device[rows], claims.zone[rows] = radio.slots.device[slot], radio.zones[column]
        claims.slot[rows], claims.source[rows], claims.initial[rows] = slot, RADIO, initial
        radio.slots.claim[slot, column] = rows
        return rows

    def _wait(self, radio: SiteRadio, slot: Ints, zone: Ints) -> Floats:
        """Seconds of silence that end a visit: the zone's, or longer for devices that are seldom heard."""
        shortest = self._catalogue.exit_after[zone]
        usual = np.minimum(INTERVALS * radio.slots.gap[slot], LONGEST_WAIT * shortest)  # NaN: not known yet
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

    def excluded(self, changes: list[Change]) -> Ints:
        """Claims of the same devices that the entered zones exclude."""
        claims, found = self._claims, []
        for change in changes:
            if change.kind == "enter" and claims.source[change.row] == RADIO:
                zone = int(claims.zone[change.row])
                radio = self.radios[int(self._catalogue.zone_site[zone])]
                others = radio.slots.claim[claims.slot[change.row]]
                found += [
                    other
                    for other in others[others >= 0].tolist()
                    if self._catalogue.exclusive(zone, int(claims.zone[other]))
                ]
        return np.array(found, dtype=np.int32)

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
        claims.heard[opened], claims.wait[opened] = radio.slots.heard[slot], self._wait(radio, slot, zone)
        claims.p[opened] = p[which, column]
        known = rows >= 0
        return np.concatenate([opened, rows[known & first]]), rows[known & ~first]

    def state(self) -> dict[str, Any]:
        """By site id."""
        return {radio.site.id: radio.state() for radio in self.radios.values()}
