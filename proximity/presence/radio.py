"""One site's radio: which slot is which device, when each anchor last heard it, and what the locator makes of that."""

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import numpy as np

from proximity.observations import Floats, Ints
from proximity.presence.catalogue import Catalogue, nesting, radio_digest
from proximity.presence.locator import Locator, Probabilities
from proximity.presence.state import Bools, Column, Longs, Singles, Table
from proximity.site.model import Site

GAP_MEMORY = 20.0  # s over which intervals are averaged, each by its length, so that one packet heard by several
# anchors in a row does not count as a quick device
LONGEST_GAP = 300.0  # s; a longer pause is an absence, not an advertising interval
TOGETHER = 5.0  # s before the last packet within which other anchors heard the device too; samples come each second
MEMORY = 120.0  # s for which the last readings of a device still tell where it is, when a locator begins anew


class Slots(Table):
    """A slot is one device in one site."""

    device: Ints
    heard: Floats  # last sighting by any anchor
    gap: Singles  # usual s between ticks with sightings; NaN: not known yet
    claim: Ints  # (slots, Z) rows of claims; -1: none
    last: Floats  # (slots, A) event time of the last sighting by each anchor
    rssi: Singles  # (slots, A) its dBm

    def __init__(self, zones: int, anchors: int) -> None:
        super().__init__(
            {
                "device": Column("i4", -1),
                "heard": Column("f8", -np.inf),
                "gap": Column("f4", np.nan),
                "claim": Column("i4", -1, max(zones, 1)),
                "last": Column("f8", -np.inf, max(anchors, 1)),
                "rssi": Column("f4", np.nan, max(anchors, 1)),
            }
        )


class Heard(NamedTuple):
    """What one tick of one site came to."""

    slots: Ints  # distinct slots that were read
    p: Probabilities  # (n, Z) probability of being inside each zone, in those nested in it too
    old: Ints  # indices of readings that are older than what is known
    duplicates: int


class SiteRadio:
    """Z zones that the site's locator knows, A anchors."""

    def __init__(self, site: Site, number: int, locate: Callable[[Site], Locator], catalogue: Catalogue) -> None:
        self.site, self.number = site, number
        self.digest = radio_digest(site)
        self.locator = locate(site)
        zones = [site.zone(zone) for zone in self.locator.zones]
        index = catalogue.zone_numbers.index
        self.zones: Ints = np.array([index[f"{site.id}/{zone.id}"] for zone in zones], dtype=np.int32)
        self._nesting = nesting(zones)
        self.anchors = [anchor.id for anchor in site.anchors]
        self.slots = Slots(len(zones), len(self.anchors))
        self._gateway = [anchor.kind == "gateway" for anchor in site.anchors]
        self._online: Bools = np.ones(len(self.anchors), dtype=np.bool_)
        self._back: Floats = np.full(len(self.anchors), -np.inf)  # event time at which each anchor came back online

    # -- readings -------------------------------------------------------------------------------------------------

    def take(self, devices: Ints) -> Ints:
        """New slots for devices that have none here."""
        slots = self.slots.take(len(devices))
        self.slots.device[slots] = devices
        self.locator.grow(self.slots.capacity)
        self.locator.clear(slots)
        return slots

    def give(self, slots: Ints) -> None:
        """Slots that are needed no more."""
        self.locator.clear(slots)
        self.slots.give(slots)

    def hear(self, now: float, slot: Ints, anchor: Ints, at: Floats, rssi: Floats) -> Heard:
        """Take the readings of the tick that ends at `now`: columns of equal length in any order."""
        slots = self.slots
        pair: Longs = slot.astype(np.int64) * len(self.anchors) + anchor
        order = np.argsort(pair)
        if len(pair) > 1 and (np.diff(pair[order]) == 0).any():
            order = np.lexsort((rssi, at, pair))
        pair, slot, anchor, at, rssi = pair[order], slot[order], anchor[order], at[order], rssi[order]
        before = slots.last[slot, anchor]
        again = at == before
        again[1:] |= (pair[1:] == pair[:-1]) & (at[1:] == at[:-1])
        new = (at > before) & ~again
        old = order[~new & ~again].astype(np.int32)
        slot, anchor, at, rssi = slot[new], anchor[new], at[new], rssi[new]
        slots.last[slot, anchor], slots.rssi[slot, anchor] = at, rssi
        first = np.ones(len(slot), dtype=np.bool_)
        first[1:] = slot[1:] != slot[:-1]
        starts = np.flatnonzero(first)
        read = slot[starts]
        if len(read):
            self._hear_slots(read, np.maximum.reduceat(at, starts))
            self.locator.tick(now, slot, anchor, rssi)
        return Heard(read, self.probabilities(read, now), old, int(again.sum()))

    def _hear_slots(self, read: Ints, at: Floats) -> None:
        slots = self.slots
        before, usual = slots.heard[read], slots.gap[read]
        gap = np.minimum(at - before, LONGEST_GAP)
        learnt = np.where(np.isnan(usual), gap, usual + gap / (gap + GAP_MEMORY) * (gap - usual))
        slots.gap[read] = np.where((gap > 0) & np.isfinite(before), learnt, usual)
        slots.heard[read] = np.maximum(before, at)

    def probabilities(self, slots: Ints, now: float) -> Probabilities:
        """(n, Z) probability of being inside each zone."""
        if not len(slots) or not len(self.zones):
            return np.zeros((len(slots), len(self.zones)))
        return self.locator.belief(slots, now)[:, :-1] @ self._nesting

    # -- gateways -------------------------------------------------------------------------------------------------

    def switch(self, column: int, online: bool, at: float) -> None:
        """A gateway went offline, or came back. A beacon on a shelf does neither: it is the phones that listen."""
        if not self._gateway[column]:
            return
        if online and not self._online[column]:
            self._back[column] = at
        self._online[column] = online

    def hearers(self, slots: Ints) -> tuple[Bools, Floats]:
        """Of each slot: whether all anchors that heard it last are offline, and when the last of them came back
        online (-inf: none was away)."""
        gap = np.fmax(self.slots.gap[slots], 0.0)
        since = self.slots.heard[slots] - np.maximum(TOGETHER, 2.0 * gap)
        heard = self.slots.last[slots] >= since[:, None]
        if not self.anchors:
            return np.zeros(len(slots), dtype=np.bool_), np.full(len(slots), -np.inf)
        back = np.where(heard & self._online, self._back, -np.inf).max(axis=1)
        offline = np.asarray(~(heard & self._online).any(axis=1), dtype=np.bool_)
        return offline, back

    # -- state ----------------------------------------------------------------------------------------------------

    def state(self) -> dict[str, Any]:
        """For a checkpoint, and for a successor after an edit of the site."""
        return {
            "digest": self.digest,
            "zones": self.zones,
            "anchors": list(self.anchors),
            "slots": self.slots.state(),
            "online": self._online,
            "back": self._back,
            "locator": dict(self.locator.state()),
        }

    def adopt(self, state: Mapping[str, Any], now: float) -> None:
        """Take over from what ran before under this name. If the site is the same, everything; if it was edited, the
        locator begins anew and is told the last readings of every device heard lately."""
        self._adopt_slots(state)
        self.locator.grow(self.slots.capacity)
        if state["digest"] == self.digest:
            self.locator.restore(state["locator"])
            self.locator.grow(self.slots.capacity)
            return
        slots = self.slots
        fresh = slots.used & (slots.heard >= now - MEMORY)
        told = fresh[:, None] & (slots.last >= slots.heard[:, None] - TOGETHER) & np.isfinite(slots.last)
        slot, anchor = (column.astype(np.int32) for column in np.nonzero(told))
        if len(slot):
            self.locator.tick(now, slot, anchor, slots.rssi[slot, anchor].astype(np.float64))

    def _adopt_slots(self, state: Mapping[str, Any]) -> None:
        old: Mapping[str, Any] = state["slots"]
        rows = len(old["used"])
        columns = dict(old)
        columns["claim"] = np.full((rows, self.slots.claim.shape[1]), -1, dtype=np.int32)
        columns["last"] = np.full((rows, self.slots.last.shape[1]), -np.inf)
        columns["rssi"] = np.full((rows, self.slots.rssi.shape[1]), np.nan, dtype=np.float32)
        places = {number: column for column, number in enumerate(state["zones"].tolist())}
        for column, number in enumerate(self.zones.tolist()):
            if number in places:
                columns["claim"][:, column] = old["claim"][:, places[number]]
        names = {name: column for column, name in enumerate(state["anchors"])}
        for column, name in enumerate(self.anchors):
            if name in names:
                place = names[name]
                columns["last"][:, column], columns["rssi"][:, column] = old["last"][:, place], old["rssi"][:, place]
                self._online[column], self._back[column] = state["online"][place], state["back"][place]
        self.slots.restore(columns)
