"""One site's radio: which slot is which device, when each anchor last heard it, and what the locator makes of that."""

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import numpy as np

from proximity.observations import Floats, Ints
from proximity.presence.catalogue import Catalogue, nesting, radio_digest
from proximity.presence.contest import Rivals
from proximity.presence.locator import Locator, Probabilities
from proximity.presence.outside import Outside
from proximity.presence.readings import Readings
from proximity.presence.state import Bools, Bytes, Column, Longs, Singles, Table
from proximity.site.model import Site

GAP_MEMORY = 20.0  # s over which intervals are averaged, each by its length, so that one packet heard by several
# anchors in a row does not count as a quick device
LONGEST_GAP = 300.0  # s; a longer pause is an absence, not an advertising interval
ODD = 3.0  # times the usual interval: a pause that long is learnt from only when it is not alone
TOGETHER = 5.0  # s before the last packet within which other anchors heard the device too; samples come each second
BETWEEN = 0.2  # of what a floor plan gives to places between zones: zones are drawn where people stop
MEMORY = 120.0  # s for which the last readings of a device still tell where it is, when a locator begins anew


UNHEARD = -128  # dBm; no radio reports so little


class Slots(Table):
    """A slot is one device in one site."""

    device: Ints
    heard: Floats  # last sighting by any anchor
    gap: Singles  # usual s between ticks with sightings; NaN: not known yet
    odd: Singles  # s, the last pause that was out of the usual; NaN: none
    odd_at: Floats  # when it ended
    loud: Singles  # dBm of the loudest anchor lately; NaN: not known
    claim: Ints  # (slots, Z) rows of claims; -1: none
    last: Floats  # (slots, A) event time of the last sighting by each anchor
    rssi: Bytes  # (slots, A) its dBm, rounded; for a locator that begins anew

    def __init__(self, zones: int, anchors: int) -> None:
        super().__init__(
            {
                "device": Column("i4", -1),
                "heard": Column("f8", -np.inf),
                "gap": Column("f4", np.nan),
                "odd": Column("f4", np.nan),
                "odd_at": Column("f8", -np.inf),
                "loud": Column("f4", np.nan),
                "claim": Column("i4", -1, max(zones, 1)),
                "last": Column("f8", -np.inf, max(anchors, 1)),
                "rssi": Column("i1", UNHEARD, max(anchors, 1)),
            }
        )


class Heard(NamedTuple):
    """What one tick of one site came to."""

    slots: Ints  # distinct slots that were read
    p: Probabilities  # (n, Z) probability of being inside each zone, in those nested in it too
    nowhere: Probabilities  # (n, Z) … of being neither inside it nor in a zone that excludes it
    since: Floats  # (n,) s of event time since the reading before; 0: there was none
    old: Longs  # indices of readings that are older than what is known
    duplicates: int


class SiteRadio:
    """Z zones that the site's locator knows, A anchors."""

    def __init__(self, site: Site, number: int, locate: Callable[[Site], Locator], catalogue: Catalogue) -> None:
        self.site, self.number = site, number
        self.locator = locate(site)
        self.digest = f"{type(self.locator).__name__}-{radio_digest(site)}"
        zones = [site.zone(zone) for zone in self.locator.zones]
        index = catalogue.zone_numbers.index
        self.zones: Ints = np.array([index[f"{site.id}/{zone.id}"] for zone in zones], dtype=np.int32)
        within = nesting(zones)
        self.rivals = Rivals(within)
        indoor = np.array([not zone.outdoor for zone in zones], dtype=np.bool_)
        # (Z, Z) as `Catalogue.exclusive` has it: nobody can be in both.
        self.exclusive: Bools = (within + within.T == 0) & indoor[:, None] & indoor
        self._outside = Outside(site)
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

    def hear(self, now: float, readings: Readings) -> Heard:
        """Take the readings of the tick that ends at `now`."""
        slots = self.slots
        slot, anchor, at, rssi, which, starts, repeated = readings
        pair = slot.astype(np.intp) * slots.last.shape[1] + anchor
        last, strength = slots.last.reshape(-1), slots.rssi.reshape(-1)
        before = last.take(pair)
        new = at > before
        again, old = 0, which[:0]
        if repeated or not new.all():
            twice = at == before
            twice[1:] |= (pair[1:] == pair[:-1]) & (at[1:] == at[:-1])
            new &= ~twice
            again, old = int(twice.sum()), which[~new & ~twice]
            pair, slot, anchor, at, rssi = pair[new], slot[new], anchor[new], at[new], rssi[new]
            starts = np.flatnonzero(np.diff(slot, prepend=-1))
        last[pair], strength[pair] = at, np.rint(rssi)
        read = slot.take(starts)
        since = np.zeros(len(read))
        if len(read):
            newest = np.maximum.reduceat(at, starts)
            heard = slots.heard.take(read)
            # Nothing was heard before: -inf, and so an endless time.
            since = np.maximum(newest - heard, 0.0)
            since[since == np.inf] = 0.0
            if self._outside.known:
                loud = slots.loud.take(read)
                slots.loud[read] = self._outside.loudness(loud, since, anchor, rssi, starts)
            self._hear_slots(read, heard, newest)
            self.locator.tick(now, slot, anchor, rssi)
        p, nowhere = self.chances(read, now)
        return Heard(read, p, nowhere, since, old, again)

    def _hear_slots(self, read: Ints, before: Floats, at: Floats) -> None:
        slots = self.slots
        usual = slots.gap.take(read)
        gap = np.minimum(at - before, LONGEST_GAP)
        gap[before == -np.inf] = 0.0
        long = np.flatnonzero(gap > np.fmax(ODD * usual, TOGETHER))
        if len(long):
            gap[long] = self._confirmed(read[long], before[long], at[long], gap[long])
        learnt = usual + gap / (gap + GAP_MEMORY) * (gap - usual)
        slots.gap[read] = np.where(gap > 0.0, np.where(np.isnan(usual), gap, learnt), usual)
        slots.heard[read] = np.maximum(before, at)

    def _confirmed(self, slots: Ints, before: Floats, at: Floats, gap: Floats) -> Floats:
        """What long pauses tell of the devices' own intervals; 0: nothing. A lost packet, a body in the way or a radio
        that was away make one long pause; a device that is seldom heard makes them one after the other, and the
        shorter of two is what is known for sure. The first pause of all is taken as it is."""
        table = self.slots
        heard = table.last[slots] >= (before - TOGETHER)[:, None]
        away = (heard & (~self._online | (self._back > before[:, None]))).any(axis=1)
        alone = np.where(np.isnan(table.gap[slots]), gap, 0.0)
        lately = before - table.odd_at[slots] <= LONGEST_GAP
        known = np.where(lately, np.minimum(gap, table.odd[slots]), alone)
        table.odd[slots], table.odd_at[slots] = (
            np.where(away, table.odd[slots], gap),
            np.where(away, table.odd_at[slots], at),
        )
        return np.where(away, 0.0, known)

    def probabilities(self, slots: Ints, now: float) -> Probabilities:
        """(n, Z) probability of being inside each zone."""
        return self.chances(slots, now)[0]

    def chances(self, slots: Ints, now: float) -> tuple[Probabilities, Probabilities]:
        """(n, Z) probability of being inside each zone, and of being neither there nor in a zone that excludes it."""
        belief = self._belief(slots, now)
        return self.rivals.inside(belief), self.rivals.nowhere(belief)

    def _belief(self, slots: Ints, now: float) -> Probabilities:
        if not len(slots) or not len(self.zones):
            return np.zeros((len(slots), len(self.zones) + 1))
        belief = self.locator.belief(slots, now)
        none = belief[:, -1]
        rest = 1.0 / (1.0 - (1.0 - BETWEEN) * none)  # rows sum to 1
        if self._outside.known:
            outside = self._outside.chance(self.slots.loud.take(slots))
            inside = rest * (1.0 - outside)
            share = none * BETWEEN * inside + outside
            belief *= inside[:, None]
        else:
            share = none * BETWEEN * rest
            belief *= rest[:, None]
        belief[:, -1] = share
        return belief

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
            "online": self._online.copy(),
            "back": self._back.copy(),
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
        columns["rssi"] = np.full((rows, self.slots.rssi.shape[1]), UNHEARD, dtype=np.int8)
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
