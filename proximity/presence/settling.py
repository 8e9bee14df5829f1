"""Who is where, when several devices say several things: one shopper at a time."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from proximity.observations import Ints
from proximity.presence.catalogue import Catalogue
from proximity.presence.people import Devices
from proximity.presence.state import Bools, Bytes
from proximity.presence.stays import Stays
from proximity.presence.visits import CAUSES, Changes, Claims

CONFIRMED, MOVED = CAUSES.index("confirmed"), CAUSES.index("moved")


class Turn(NamedTuple):
    """Stays that become visits, or visits that end, each with the claim that says so."""

    stay: Ints
    claim: Ints
    cause: Bytes  # index in CAUSES
    fresh: Bools  # the claim came into being just now, and tells when the visit began

    def and_(self, rows: Sequence[tuple[int, int, int, bool]]) -> "Turn":
        """These, and more of them."""
        if not rows:
            return self
        stay, claim, cause, fresh = (np.array(column) for column in zip(*rows, strict=True))
        return Turn(
            np.concatenate([self.stay, stay.astype(self.stay.dtype)]),
            np.concatenate([self.claim, claim.astype(self.claim.dtype)]),
            np.concatenate([self.cause, cause.astype(self.cause.dtype)]),
            np.concatenate([self.fresh, fresh]),
        )


class Settling:
    """What became of the changes of some shoppers: `closing` and `opening` as rows of a Turn, and stays that are
    `over`, off the chains."""

    def __init__(self, catalogue: Catalogue, devices: Devices, claims: Claims, stays: Stays) -> None:
        self._catalogue, self._devices, self._claims, self._stays = catalogue, devices, claims, stays
        self._contests: dict[int, float | None] = {}  # shopper -> since when a zone that is not open is more probable
        self._clear()

    def _clear(self) -> None:
        self.closing: list[tuple[int, int, int, bool]] = []
        self.opening: list[tuple[int, int, int, bool]] = []
        self.over: list[int] = []

    @property
    def pending(self) -> bool:
        """Whether time alone may change something."""
        return bool(self._contests)

    def settle(self, now: float, changes: Changes) -> None:
        """Take the changes, and look again at everybody who is contested."""
        self._clear()
        stays = self._stays
        touched, causes = dict.fromkeys(self._contests), dict[int, int]()
        ends: dict[int, tuple[int, int]] = {}
        for shopper, row, enter, cause in self._in_order(changes):
            touched[shopper] = None
            stay = self._claims.stay.item(row)
            if enter:
                causes[row] = cause
                stays.back(shopper, self._claims.zone.item(row), row)
            elif stay >= 0:
                stays.last_seen[stay] = np.fmax(stays.last_seen[stay], self._claims.support[row])
                if stays.unback(row):
                    ends[stay] = (row, cause)
        for stay, (row, cause) in ends.items():
            if stays.claim[stay] < 0:  # no other claim took over
                if stays.open[stay]:
                    self.closing.append((stay, row, cause, False))
                stays.drop(stay)
                self.over.append(stay)
        for shopper in touched:
            self._settle(now, shopper, causes)

    def _in_order(self, changes: Changes) -> Iterable[tuple[int, int, bool, int]]:
        """(shopper, claim, whether it is an enter, cause): exits first, then by the name of the device and the kind of
        evidence."""
        claims, names = self._claims, self._devices.names
        device, source = claims.device[changes.row], claims.source[changes.row].tolist()
        enter = changes.enter.tolist()
        ranks = list(zip(enter, [names[row] for row in device.tolist()], source, strict=True))
        columns = (self._devices.shopper[device].tolist(), changes.row.tolist(), enter, changes.cause.tolist())
        rows = list(zip(*columns, strict=True))
        return [rows[i] for i in sorted(range(len(rows)), key=ranks.__getitem__)]

    def _settle(self, now: float, shopper: int, causes: Mapping[int, int]) -> None:
        """Open what is backed and excluded by nothing that is open, or has been more probable for long enough."""
        stays, zone_of = self._stays, self._stays.zone.item
        ranked = stays.of(shopper)
        if len(ranked) > 1:
            ranked.sort(key=lambda row: (-self._confidence(row), self._catalogue.name(zone_of(row))))
        kept = [row for row in ranked if stays.open[row]]
        since, leading, shut = self._contests.pop(shopper, None), False, False
        for row in [row for row in ranked if row not in kept]:
            rivals = [other for other in kept if self._catalogue.exclusive(zone_of(row), zone_of(other))]
            if rivals:
                shut = True
                if self._confidence(row) <= max(map(self._confidence, rivals)):
                    continue
                leading = True
                since = now if since is None else since
                if now - since < self._catalogue.leave_after[zone_of(row)]:
                    continue
                since = None
            for other in rivals:
                self.closing.append((other, self._best(other), MOVED, False))
                kept.remove(other)
            kept.append(row)
            best = self._best(row)
            self.opening.append((row, best, causes.get(best, CONFIRMED), best in causes))
        if shut:
            self._contests[shopper] = since if leading else None

    def _confidence(self, stay: int) -> float:
        return max(map(self._claims.p.item, self._stays.claims_of(stay)))

    def _best(self, stay: int) -> int:
        """The claim that backs a stay best; of equals, that of the first device by name."""
        claims, names, rows = self._claims, self._devices.names, self._stays.claims_of(stay)
        if len(rows) == 1:
            return rows[0]
        return min(rows, key=lambda row: (-claims.p.item(row), names[claims.device[row]], claims.source.item(row)))

    def next_due(self) -> float:
        """Event time at which the next contest may be decided; inf: never."""
        return min(
            (
                since + max(self._catalogue.leave_after[self._stays.zone[row]] for row in self._stays.of(shopper))
                for shopper, since in self._contests.items()
                if since is not None
            ),
            default=float("inf"),
        )

    def state(self) -> list[tuple[int, float | None]]:
        """For a checkpoint."""
        return list(self._contests.items())

    def restore(self, state: Iterable[Any]) -> None:
        """The reverse of `state`."""
        self._contests = dict(map(tuple, state))
