"""The outbox: what has to be handed to which channel, and what became of it.

A delivery is queued; it ends as sent, as skipped (with a reason) or as dead. Its offer's state follows in the same
transaction: every function that ends deliveries returns the offers that thereby ended unsent.

Several workers share one outbox on PostgreSQL: each claims what it takes up, for the time of a lease. On SQLite there
is one worker, and what is due is its own.
"""
# ruff: noqa: A002 - an id is called id, as in every value

from collections.abc import Collection, Mapping, Sequence
from typing import Literal, NamedTuple

import msgspec
import sqlalchemy as sa
from sqlalchemy import Connection

from proximity.model import Offer, derive_id
from proximity.store import tables
from proximity.store.database import Store, chunks
from proximity.store.rows import OFFER_COLUMNS, to_offer
from proximity.store.withdrawal import notify

Kind = Literal["offer", "withdraw"]
MAX_ERROR = 500  # characters kept of what a channel said
LEASE = 30.0  # s for which a claim holds: twice as long as a channel may take for a call

_offers = tables.offers
_deliveries = tables.deliveries


class Delivery(msgspec.Struct, frozen=True):
    """One offer to one address, or the word that takes it back from there."""

    id: str  # the receiver's key for seeing that something came twice
    offer: str
    shopper: str
    channel: str  # inbox | mqtt | owntracks | webhook
    address: str  # topic, device or URL
    due: float  # not to be tried before; seconds since the epoch
    created: float
    kind: Kind = "offer"

    @classmethod
    def of(cls, offer: Offer, channel: str, address: str) -> "Delivery":
        """`offer` to `address`, due at once."""
        return cls(
            id=derive_id(offer.id, channel, address, "offer"),
            offer=offer.id,
            shopper=offer.shopper,
            channel=channel,
            address=address,
            due=offer.created,
            created=offer.created,
        )


class StoredDelivery(msgspec.Struct, frozen=True):
    """A delivery with its state and its offer."""

    delivery: Delivery
    offer: Offer
    state: str  # queued | sent | skipped | dead
    attempts: int  # that failed so far
    reason: str | None = None  # of skipped
    handed: float | None = None  # when the channel took it
    error: str | None = None  # of the last failed attempt


class Clearance(NamedTuple):
    """What a send depends on, as it stands in the store at this moment."""

    state: str  # of the delivery
    offer_state: str
    consented: bool  # to the offer's purpose


class Settled(NamedTuple):
    """An offer that ended without reaching anybody."""

    offer: str
    shopper: str
    state: str  # withdrawn | expired | failed
    reason: str


def due(store: Store, now: float, limit: int = 100, channel: str | None = None) -> list[StoredDelivery]:
    """Queued deliveries whose time has come, the longest due first. `channel` None: of every channel."""
    where = [_deliveries.c.state == "queued", _deliveries.c.due <= now]
    if channel is not None:
        where.append(_deliveries.c.channel == channel)
    return _select(store, where, (_deliveries.c.due, _deliveries.c.created, _deliveries.c.id), limit)


def claim(
    store: Store, holder: str, now: float, limit: int = 100, channel: str | None = None, lease: float = LEASE
) -> list[StoredDelivery]:
    """As `due`, and nobody else gets them for `lease` seconds. Rows that another worker is claiming are passed over."""
    if store.dialect == "sqlite":
        return due(store, now, limit, channel)
    where = [_deliveries.c.state == "queued", _deliveries.c.due <= now, _free()]
    if channel is not None:
        where.append(_deliveries.c.channel == channel)
    first = sa.select(_deliveries.c.id).where(*where).order_by(_deliveries.c.due, _deliveries.c.created).limit(limit)
    mine = sa.update(_deliveries).where(_deliveries.c.id.in_(first.with_for_update(skip_locked=True).scalar_subquery()))
    with store.begin() as connection:
        ids = connection.execute(
            mine.values(holder=holder, lease=_clock() + lease).returning(_deliveries.c.id)
        ).scalars()
        claimed = list(ids)
    return _select(
        store, [_deliveries.c.id.in_(claimed)], (_deliveries.c.due, _deliveries.c.created, _deliveries.c.id), limit
    )


def renew(store: Store, id: str, holder: str, lease: float = LEASE) -> bool:
    """Hold a claimed delivery for another `lease` seconds. False when it is not the holder's any more."""
    if store.dialect == "sqlite":
        return True
    mine = (_deliveries.c.id == id, _deliveries.c.holder == holder, _deliveries.c.state == "queued")
    with store.begin() as connection:
        return connection.execute(sa.update(_deliveries).where(*mine).values(lease=_clock() + lease)).rowcount > 0


def release(store: Store, holder: str) -> None:
    """Give up what a worker has claimed and not sent: the next one gets it at once."""
    if store.dialect == "sqlite":
        return
    mine = (_deliveries.c.holder == holder, _deliveries.c.state == "queued")
    with store.begin() as connection:
        connection.execute(sa.update(_deliveries).where(*mine).values(holder=None, lease=None))


def next_due(store: Store, channel: str | None = None) -> float | None:
    """When the earliest queued delivery that nobody holds is due; None when none waits."""
    statement = sa.select(sa.func.min(_deliveries.c.due)).where(_deliveries.c.state == "queued")
    if store.dialect == "postgresql":
        statement = statement.where(_free())
    if channel is not None:
        statement = statement.where(_deliveries.c.channel == channel)
    with store.connect() as connection:
        at: float | None = connection.execute(statement).scalar()
    return at


def clearance(store: Store, id: str) -> Clearance | None:
    """Read just before a send. None: the delivery is gone, its shopper was erased."""
    consent = tables.consents
    granted = sa.exists().where(
        consent.c.shopper == _offers.c.shopper, consent.c.purpose == _offers.c.purpose, consent.c.granted.is_(True)
    )
    statement = (
        sa.select(_deliveries.c.state, _offers.c.state.label("offer_state"), granted.label("consented"))
        .join(_offers, _offers.c.id == _deliveries.c.offer)
        .where(_deliveries.c.id == id)
    )
    with store.connect() as connection:
        row = connection.execute(statement).one_or_none()
    return None if row is None else Clearance(row.state, row.offer_state, bool(row.consented))


def mark_sent(store: Store, handed: Mapping[str, float]) -> None:
    """Deliveries that a channel took, each with the moment it did.

    An offer that was withdrawn while its send was under way is taken back: the withdrawal is queued here.
    """
    ids = sorted(handed)
    with store.begin() as connection:
        offers = _lock_offers(connection, ids)
        connection.execute(
            sa.update(_deliveries)
            .where(_deliveries.c.id == sa.bindparam("delivery"))
            .values(state="sent", handed=sa.bindparam("at"), reason=None, error=None),
            [{"delivery": one, "at": handed[one]} for one in ids],
        )
        for some in chunks(ids):
            overtaken = (
                sa.select(_deliveries)
                .join(_offers, _offers.c.id == _deliveries.c.offer)
                .where(_deliveries.c.id.in_(some), _deliveries.c.kind == "offer", _offers.c.state == "withdrawn")
            )
            notify(store, connection, connection.execute(overtaken).mappings().all(), max(handed.values()))
        _settle(connection, offers)


def mark_skipped(store: Store, id: str, reason: str) -> list[Settled]:
    """A queued delivery that shall not be sent any more: expired, no_consent, left_zone or withdrawn."""
    return _end(store, id, {"state": "skipped", "reason": reason})


def mark_retry(store: Store, id: str, due: float, error: str) -> None:
    """An attempt failed; the next is not to be made before `due`."""
    with store.begin() as connection:
        connection.execute(
            sa.update(_deliveries)
            .where(_deliveries.c.id == id, _deliveries.c.state == "queued")
            .values(attempts=_deliveries.c.attempts + 1, due=due, error=error[:MAX_ERROR], holder=None, lease=None)
        )


def mark_dead(store: Store, id: str, error: str) -> list[Settled]:
    """The last attempt failed. The delivery stays visible, and `requeue` revives it."""
    return _end(store, id, {"state": "dead", "attempts": _deliveries.c.attempts + 1, "error": error[:MAX_ERROR]})


def dead(store: Store, limit: int = 100) -> list[StoredDelivery]:
    """Dead letters, newest first."""
    return _select(store, [_deliveries.c.state == "dead"], (_deliveries.c.created.desc(), _deliveries.c.id), limit)


def requeue(store: Store, id: str, at: float) -> bool:
    """Try a dead letter again from `at` on, with all attempts. False when `id` is no dead letter.

    An offer that has expired meanwhile is skipped when its turn comes.
    """
    with store.begin() as connection:
        offers = _lock_offers(connection, [id])
        changed = connection.execute(
            sa.update(_deliveries)
            .where(_deliveries.c.id == id, _deliveries.c.state == "dead")
            .values(state="queued", attempts=0, due=at, holder=None, lease=None)
        ).rowcount
        _settle(connection, offers)
    return changed > 0


def abandon(store: Store, channels: Collection[str]) -> list[Settled]:
    """Give up what waits for a channel that is none of `channels`: it was taken out of the configuration."""
    waiting = sa.select(_deliveries.c.id, _deliveries.c.channel).where(
        _deliveries.c.state == "queued", _deliveries.c.channel.not_in(sorted(channels))
    )
    with store.connect() as connection:
        orphans = connection.execute(waiting).all()
    return [ended for one in orphans for ended in mark_dead(store, one.id, f"no channel {one.channel} is configured")]


def counts(store: Store) -> dict[str, int]:
    """How many deliveries are in each state; all four states are there."""
    statement = sa.select(_deliveries.c.state, sa.func.count().label("number")).group_by(_deliveries.c.state)
    with store.connect() as connection:
        found = {row.state: row.number for row in connection.execute(statement)}
    return {state: found.get(state, 0) for state in ("queued", "sent", "skipped", "dead")}


def _select(
    store: Store, where: Sequence[sa.ColumnElement[bool]], order: Sequence[sa.ColumnElement[object]], limit: int
) -> list[StoredDelivery]:
    own = [column.label(f"d_{column.name}") for column in _deliveries.c]
    statement = (
        sa.select(*own, *OFFER_COLUMNS)
        .join(_offers, _offers.c.id == _deliveries.c.offer)
        .where(*where)
        .order_by(*order)
        .limit(limit)
    )
    with store.connect() as connection:
        rows = connection.execute(statement).mappings().all()
    return [
        StoredDelivery(
            delivery=Delivery(**{name: row[f"d_{name}"] for name in Delivery.__struct_fields__}),
            offer=to_offer(row),
            state=row["d_state"],
            attempts=row["d_attempts"],
            reason=row["d_reason"],
            handed=row["d_handed"],
            error=row["d_error"],
        )
        for row in rows
    ]


def _free() -> sa.ColumnElement[bool]:
    return sa.or_(_deliveries.c.lease.is_(None), _deliveries.c.lease <= _clock())


def _clock() -> sa.ColumnElement[float]:
    """The database's clock, which is the same for every worker; seconds since the epoch (PostgreSQL)."""
    return sa.cast(sa.extract("epoch", sa.func.clock_timestamp()), sa.Double)


def _end(store: Store, id: str, values: Mapping[str, object]) -> list[Settled]:
    with store.begin() as connection:
        offers = _lock_offers(connection, [id])
        connection.execute(
            sa.update(_deliveries).where(_deliveries.c.id == id, _deliveries.c.state == "queued").values(**values)
        )
        return _settle(connection, offers)


def _lock_offers(connection: Connection, deliveries: Sequence[str]) -> list[str]:
    """The offers of these deliveries, locked in the order in which withdrawals lock them: offer first, by id."""
    offers: set[str] = set()
    for some in chunks(deliveries):
        offers.update(connection.execute(sa.select(_deliveries.c.offer).where(_deliveries.c.id.in_(some))).scalars())
    ordered = sorted(offers)
    for some in chunks(ordered):
        connection.execute(sa.select(_offers.c.id).where(_offers.c.id.in_(some)).order_by("id").with_for_update())
    return ordered


def _settle(connection: Connection, offers: Sequence[str]) -> list[Settled]:
    """Let each offer's state follow from its deliveries. A withdrawn offer stays withdrawn."""
    ended: list[Settled] = []
    for some in chunks(offers):
        parts: dict[str, list[tuple[str, str | None]]] = {}
        statement = sa.select(_deliveries.c.offer, _deliveries.c.state, _deliveries.c.reason).where(
            _deliveries.c.offer.in_(some), _deliveries.c.kind == "offer"
        )
        for offer, state, reason in connection.execute(statement):
            parts.setdefault(offer, []).append((state, reason))
        for offer, deliveries in parts.items():
            ended += _settle_one(connection, offer, *_state_of(deliveries))
    return ended


def _state_of(deliveries: Sequence[tuple[str, str | None]]) -> tuple[str, str | None]:
    states = {state for state, _ in deliveries}
    if "sent" in states:
        return "sent", None
    if "queued" in states:
        return "queued", None
    if "dead" in states:
        return "failed", "undeliverable"
    reasons = [reason for _, reason in deliveries]
    if all(reason == "expired" for reason in reasons):
        return "expired", "expired"
    return "withdrawn", next(reason for reason in reasons if reason != "expired")


def _settle_one(connection: Connection, offer: str, state: str, reason: str | None) -> list[Settled]:
    statement = (
        sa.update(_offers)
        .where(
            _offers.c.id == offer,
            _offers.c.state != "withdrawn",
            sa.or_(_offers.c.state != state, _offers.c.state_reason.is_distinct_from(reason)),
        )
        .values(state=state, state_reason=reason)
        .returning(_offers.c.shopper)
    )
    shopper = connection.execute(statement).scalar()
    if shopper is None or reason is None:
        return []
    return [Settled(offer, shopper, state, reason)]
