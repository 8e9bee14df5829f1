"""Stays: a shopper in a zone, by at least one claim. As columns, and chains of rows for what belongs together.

A stay that is open is a visit. One that is not has claims, but another zone excludes it for now.
"""

import numpy as np

from proximity.observations import Floats, Ints
from proximity.presence.people import Shoppers
from proximity.presence.state import Bools, Column, Singles, Table
from proximity.presence.visits import Claims

STAY = {
    "shopper": Column("i4", -1),
    "zone": Column("i4", -1),
    "next": Column("i4", -1),  # another stay of the shopper; -1: none. `Shoppers.stay` is the first
    "claim": Column("i4", -1),  # the first claim that backs it; `Claims.also` is the next
    "open": Column("?", False),
    # Of visits:
    "device": Column("i4", -1),
    "started": Column("f8", np.nan),
    "last_seen": Column("f8", np.nan),
    "confidence": Column("f4", 0.0),
    "initial": Column("?", False),
    "jumped": Column("?", False),
}


class Stays(Table):
    """One row a shopper and zone."""

    shopper: Ints
    zone: Ints
    next: Ints
    claim: Ints
    open: Bools
    device: Ints
    started: Floats
    last_seen: Floats
    confidence: Singles
    initial: Bools
    jumped: Bools

    def __init__(self, shoppers: Shoppers, claims: Claims) -> None:
        super().__init__(STAY)
        self._shoppers, self._claims = shoppers, claims

    def of(self, shopper: int) -> list[int]:
        """The rows of a shopper."""
        found, row = [], self._shoppers.stay.item(shopper)
        while row >= 0:
            found.append(row)
            row = self.next.item(row)
        return found

    def claims_of(self, stay: int) -> list[int]:
        """The claims that back it."""
        found, row = [], self.claim.item(stay)
        while row >= 0:
            found.append(row)
            row = self._claims.also.item(row)
        return found

    def find(self, shopper: int, zone: int) -> int:
        """The row of a shopper in a zone; -1: there is none."""
        return next((row for row in self.of(shopper) if self.zone.item(row) == zone), -1)

    # -- one at a time ------------------------------------------------------------------------------------------------

    def back(self, shopper: int, zone: int, claim: int) -> None:
        """A claim backs the shopper's stay in the zone, which begins with it if there is none."""
        row = self.find(shopper, zone)
        if row < 0:
            row = self.take(1).item()
            self.shopper[row], self.zone[row] = shopper, zone
            self.next[row], self._shoppers.stay[shopper] = self._shoppers.stay[shopper], row
        self._claims.also[claim], self.claim[row] = self.claim[row], claim
        self._claims.stay[claim] = row

    def unback(self, claim: int) -> bool:
        """A claim backs its stay no more; True when nothing does."""
        claims, row = self._claims, self._claims.stay.item(claim)
        others = [one for one in self.claims_of(row) if one != claim]
        claims.stay[claim] = claims.also[claim] = -1
        _link(claims.also, others)
        self.claim[row] = others[0] if others else -1
        return not others

    def drop(self, stay: int) -> None:
        """Off the shopper's chain; the row itself is given back later."""
        shopper = self.shopper.item(stay)
        others = [one for one in self.of(shopper) if one != stay]
        _link(self.next, others)
        self._shoppers.stay[shopper] = others[0] if others else -1

    # -- many at once, of shoppers who have no other ------------------------------------------------------------------

    def begin(self, shopper: Ints, zone: Ints, claim: Ints) -> Ints:
        """Stays of shoppers who have none, each backed by one claim."""
        rows = self.take(len(shopper))
        self.shopper[rows], self.zone[rows], self.claim[rows] = shopper, zone, claim
        self._claims.stay[claim], self._shoppers.stay[shopper] = rows, rows
        return rows

    def end(self, rows: Ints) -> None:
        """Stays that are their shoppers' only ones, each backed by one claim. The rows are given back later."""
        self._shoppers.stay[self.shopper[rows]] = -1
        self._claims.stay[self.claim[rows]] = -1


def _link(following: Ints, rows: list[int]) -> None:
    """Make a chain of these rows."""
    for row, after in zip(rows, [*rows[1:], -1], strict=False):
        following[row] = after
