"""One transaction per batch: everything that a batch of observations caused, or nothing of it.

Ids are derived from what caused them, so a batch that is processed again after a crash changes nothing: what the
database holds already wins over what the repetition says.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, TypeVar

import msgspec
import sqlalchemy as sa
from sqlalchemy import Connection

from proximity.model import Claim, Coupon, Decision, Exposure, Late, Offer, StaffMessage, Transition, Visit
from proximity.presence.probe import State
from proximity.store import bulk, checkpoints, observations, rule_state, tables
from proximity.store.checkpoints import Entry
from proximity.store.database import Store, chunks
from proximity.store.outbox import Delivery
from proximity.store.packing import Kept, only
from proximity.store.reserve import reserve
from proximity.store.rows import late_row
from proximity.store.rule_state import NOTHING, Memory
from proximity.store.withdrawal import withdraw_offers

_Personal = TypeVar("_Personal", Transition, Visit, Decision, Offer, Late)


@dataclass(frozen=True, slots=True)
class GatewayOffset:
    """How far one boot of a gateway is covered by a commit."""

    site: str
    gateway: str
    boot: str
    seq: int  # everything up to here
    messages: int  # new with this commit
    rows: int  # new with this commit
    ahead: Sequence[int] = ()  # covered numbers beyond the first gap, ascending


@dataclass(frozen=True, slots=True)
class Outcome:
    """What one batch caused."""

    transitions: Sequence[Transition] = ()
    visits: Sequence[Visit] = ()  # opened, prolonged or ended
    decisions: Sequence[Decision] = ()
    offers: Sequence[Offer] = ()
    deliveries: Sequence[Delivery] = ()
    courier: str | None = None  # the outbox worker that has them in hand from the start; None: whoever claims them
    claims: Sequence[Claim] = ()  # what decisions use up
    coupons: Sequence[Coupon] = ()
    exposures: Sequence[Exposure] = ()
    staff: Sequence[StaffMessage] = ()
    memory: Memory = NOTHING  # what rules remember
    late: Sequence[Late] = ()
    offsets: Sequence[GatewayOffset] = ()
    observations: Sequence[Kept] = ()  # for explanations
    states: Sequence[State] = ()  # of gateways, as presence was told
    entry: Entry | None = None  # what presence was told, for its journal
    at: float = 0.0  # the `now` of the batch

    def of(self, known: set[str]) -> "Outcome":
        """Without what is another shopper's."""
        return replace(
            self,
            transitions=_of(known, self.transitions),
            visits=_of(known, self.visits),
            decisions=_of(known, self.decisions),
            offers=_of(known, self.offers),
            late=_of(known, self.late),
            observations=[some for one in self.observations if (some := only(one, known.__contains__)) is not None],
        )


@dataclass(frozen=True, slots=True)
class Committed:
    """What was really new, so that nothing is announced twice."""

    transitions: frozenset[str] = frozenset()
    decisions: frozenset[str] = frozenset()
    offers: frozenset[str] = frozenset()
    deliveries: frozenset[str] = frozenset()
    late: frozenset[str] = frozenset()
    withdrawn: tuple[tuple[str, str], ...] = ()  # (offer, shopper) taken back because the visit ended
    unknown: frozenset[str] = frozenset()  # shoppers whose rows were dropped: not in the store
    turned: Mapping[str, Decision] = field(default_factory=dict)  # decisions that became a no here, by id


def commit(store: Store, outcome: Outcome) -> Committed:
    """Store `outcome` whole, in one transaction; on return it is on disk.

    A transition, decision, offer, delivery or late observation that is there already stays as it is; decisions of such
    a transition and offers of such a decision are not taken up either. A visit only grows: its last sighting moves on,
    and once ended it stays ended. Offsets never go back, and count their messages once. The end of a visit takes back
    its offers with `on_exit` "withdraw", except those that the end itself caused. Rows of shoppers that the store does
    not hold (erased a moment ago) are dropped. What a decision claims is taken here; one that cannot have it becomes a
    no, without its offer. StoreError, and nothing stored, when the database refuses.
    """
    with store.begin() as connection:
        known, unknown = _known_shoppers(connection, outcome)
        outcome = outcome.of(known) if unknown else outcome
        transitions = _insert_new(connection, tables.transitions, outcome.transitions)
        bulk.upsert(connection, tables.visits, bulk.from_values(outcome.visits), _grow)
        stale = {one.id for one in outcome.transitions} - transitions
        fresh = [one for one in outcome.decisions if one.transition not in stale] if stale else outcome.decisions
        decisions = _insert_new(connection, tables.decisions, fresh)
        stale = {one.id for one in outcome.decisions} - decisions
        turned = reserve(connection, outcome, decisions)
        gone = stale | turned.keys()
        new = [one for one in outcome.offers if one.id not in gone] if gone else outcome.offers
        offers = _insert_new(connection, tables.offers, new, state="queued")
        waiting = [one for one in outcome.deliveries if one.offer in offers]
        queued = {"state": "queued", "attempts": 0, "holder": outcome.courier}
        deliveries = _insert_new(connection, tables.deliveries, waiting, **queued)
        rule_state.write(connection, outcome.memory, known)
        withdrawn = _withdraw_left(store, connection, outcome, transitions)
        late = bulk.insert_new(connection, tables.late_observations, map(late_row, outcome.late))
        observations.put(store, connection, outcome.observations, outcome.states)
        _raise_offsets(connection, outcome)
        if outcome.entry is not None:
            checkpoints.append(connection, outcome.entry)
    return Committed(transitions, decisions, offers, deliveries, late, withdrawn, unknown, turned)


def load_offsets(store: Store) -> dict[tuple[str, str, str], tuple[int, tuple[int, ...]]]:
    """(site, gateway, boot) -> the number up to which everything is covered, and covered ones beyond the first gap."""
    table = tables.offsets
    with store.connect() as connection:
        rows = connection.execute(sa.select(table.c.site, table.c.gateway, table.c.boot, table.c.seq, table.c.ahead))
        return {(row.site, row.gateway, row.boot): (row.seq, numbers(row.ahead)) for row in rows}


def numbers(ahead: str) -> tuple[int, ...]:
    """The column `ahead` as numbers."""
    return tuple(int(number) for number in ahead.split(",") if number)


def _known_shoppers(connection: Connection, outcome: Outcome) -> tuple[set[str], frozenset[str]]:
    """Who of the outcome's shoppers is in the store, held there until the commit, and who is not."""
    personal = (
        outcome.transitions,
        outcome.visits,
        outcome.decisions,
        outcome.offers,
        outcome.late,
        outcome.memory.rows,
        outcome.memory.events,
    )
    named = {one.shopper for part in personal for one in part}
    named.update(*(one.shoppers() for one in outcome.observations))
    table = tables.shoppers
    if connection.dialect.name == "sqlite":  # a writer is alone there: nobody can be held
        there = bulk.there(connection, table, sorted(named))
        return there, frozenset(named - there)
    known: set[str] = set()
    for some in chunks(sorted(named)):
        query = sa.select(table.c.id).where(table.c.id.in_(some)).order_by(table.c.id)
        known.update(connection.execute(query.with_for_update(read=True, key_share=True)).scalars())
    return known, frozenset(named - known)


def _of(known: set[str], values: Sequence[_Personal]) -> list[_Personal]:
    return [value for value in values if value.shopper in known]


def _insert_new(
    connection: Connection, table: sa.Table, values: Sequence[msgspec.Struct], **constants: Any
) -> frozenset[str]:
    """Insert what is not there; the ids that were not."""
    return bulk.insert_new(connection, table, bulk.from_values(values, **constants))


def _grow(statement: Any) -> Any:
    """What becomes of a visit that is there: its last sighting moves on, and once ended it stays ended."""
    new, old = statement.excluded, tables.visits.c
    later = new.last_seen >= old.last_seen
    return statement.on_conflict_do_update(
        index_elements=[old.id],
        set_={
            "last_seen": sa.case((later, new.last_seen), else_=old.last_seen),
            "confidence": sa.case((later, new.confidence), else_=old.confidence),
            "device": sa.case((later, new.device), else_=old.device),
            "ended": sa.func.coalesce(old.ended, new.ended),
            "cause": sa.func.coalesce(old.cause, new.cause),
        },
    )


def _withdraw_left(
    store: Store, connection: Connection, outcome: Outcome, new: frozenset[str]
) -> tuple[tuple[str, str], ...]:
    """Take back the offers of visits that ended with this commit."""
    exits = {one.id: one.visit for one in outcome.transitions if one.kind == "exit" and one.id in new}
    if not exits:
        return ()
    offers, decisions = tables.offers, tables.decisions
    ids: list[str] = []
    for some in chunks(list(exits.items())):
        caused_by_the_exit = sa.exists().where(
            decisions.c.id == offers.c.id,
            bulk.among(connection, decisions.c.transition, [transition for transition, _ in some]),
        )
        query = sa.select(offers.c.id).where(
            bulk.among(connection, offers.c.visit, [visit for _, visit in some]),
            sa.text("offers.on_exit = 'withdraw'"),  # as in the index that holds only these
            offers.c.state.in_(("queued", "sent")),
            offers.c.expires > outcome.at,
            ~caused_by_the_exit,
        )
        ids += connection.execute(query.order_by(offers.c.id).with_for_update()).scalars()
    return tuple(withdraw_offers(store, connection, ids, "left_zone", outcome.at))


def _raise_offsets(connection: Connection, outcome: Outcome) -> None:
    names = ("site", "gateway", "boot", "seq", "ahead", "messages", "rows", "at")
    rows = [
        (one.site, one.gateway, one.boot, one.seq, ",".join(map(str, one.ahead)), one.messages, one.rows, outcome.at)
        for one in outcome.offsets
    ]
    bulk.write(connection, tables.offsets, bulk.Rows(names, sorted(rows)), _raise_offset)


def _raise_offset(statement: Any) -> Any:
    new, old = statement.excluded, tables.offsets.c
    return statement.on_conflict_do_update(
        index_elements=[old.site, old.gateway, old.boot],
        set_={
            "seq": new.seq,
            "ahead": new.ahead,
            "messages": old.messages + new.messages,
            "rows": old.rows + new.rows,
            "at": new.at,
        },
        where=sa.or_(new.seq > old.seq, sa.and_(new.seq == old.seq, new.ahead != old.ahead)),
    )
