"""What is asked just before a hand-over, of a whole batch at once: not expired, still consented, still where the rule
says. An answer holds for a quarter of a second; who leaves within it gets a withdrawal after the offer."""

import threading
from collections.abc import Collection, Mapping, Sequence, Set
from time import monotonic
from typing import Protocol

from proximity.delivery.channel import MOST_SECONDS
from proximity.store import history, outbox
from proximity.store.database import Store
from proximity.store.outbox import StoredDelivery

FRESH = 0.25  # s for which an answer holds: a tick of presence, which tells nothing newer in between
GONE = "gone"  # instead of a reason: ended, erased, or another worker's by now

Places = Set[tuple[str, str]]


class Presence(Protocol):
    """Where shoppers are now."""

    def zones_of(self, shoppers: Collection[str]) -> Mapping[str, Places]:
        """(site, zone) of every open visit, by shopper; who has none may be missing."""
        ...


class StoredPresence:
    """Where shoppers are by what was committed last: nobody waits for a turn of the pipeline that is under way, and a
    worker may share the outbox with pipelines of other sites."""

    def __init__(self, store: Store) -> None:
        self._store = store

    def zones_of(self, shoppers: Collection[str]) -> Mapping[str, Places]:
        """(site, zone) of every open visit, by shopper. StoreError when the store cannot be read."""
        return history.open_zones(self._store, shoppers)


class Clearing:
    """Of the rows that a lane has claimed at `held` (monotonic). Several threads may ask."""

    def __init__(
        self, store: Store, presence: Presence, holder: str, rows: Sequence[StoredDelivery], held: float
    ) -> None:
        self._store, self._presence, self._holder, self._held = store, presence, holder, held
        self._left = {row.delivery.id: row for row in rows}
        self._asked: float | None = None  # monotonic
        self._standing: Mapping[str, outbox.Clearance] = {}
        self._inside: Mapping[str, Places] = {}
        self._lock = threading.Lock()

    def objection(self, row: StoredDelivery, now: float) -> str | None:
        """The reason why this must not be sent now, or GONE; None when it may. Each row is asked for once. StoreError
        when the store cannot be read."""
        with self._lock:
            if self._asked is None or monotonic() - self._asked > FRESH:
                self._ask()
            self._left.pop(row.delivery.id, None)
            standing, inside = self._standing.get(row.delivery.id), self._inside.get(row.offer.shopper, frozenset())
        if standing is None or standing.state != "queued":
            return GONE
        if now >= row.offer.expires:
            return "expired"
        return None if row.delivery.kind == "withdraw" else _against(row, standing, inside)

    def _ask(self) -> None:
        """For all rows that are left. Presence first, since a pipeline may have to be waited for."""
        if monotonic() - self._held > outbox.LEASE - MOST_SECONDS:  # a call might outlast the lease
            held = monotonic()
            ours = outbox.renew(self._store, self._left.keys(), self._holder)
            self._left, self._held = {one: row for one, row in self._left.items() if one in ours}, held
        bound = {row.offer.shopper for row in self._left.values() if row.offer.only_while != "anywhere"}
        self._inside = self._presence.zones_of(bound) if bound else {}
        self._standing = outbox.clearances(self._store, self._left.keys())
        self._asked = monotonic()


def _against(row: StoredDelivery, standing: outbox.Clearance, inside: Places) -> str | None:
    offer = row.offer
    if standing.offer_state == "withdrawn":
        return "withdrawn"
    if not standing.consented:
        return "no_consent"
    if offer.only_while == "inside":
        here = (offer.site, offer.zone) in inside
    elif offer.only_while == "store":
        here = any(site == offer.site for site, _zone in inside)
    else:
        here = True
    return None if here else "left_zone"
