"""People and events to fill a store with, and looks at all that is in it."""

from typing import Any

import numpy as np
import sqlalchemy as sa

from proximity.model import (
    Claim,
    Coupon,
    Decision,
    Exposure,
    Late,
    Offer,
    StaffMessage,
    Stage,
    Transition,
    Visit,
    derive_id,
)
from proximity.observations import Batch, Fixes, Sightings
from proximity.store import tables
from proximity.store.commit import GatewayOffset, Outcome
from proximity.store.database import Store
from proximity.store.outbox import Delivery
from proximity.store.packing import Kept, pack
from rules.offers_codes import code

NOW = 1_764_155_040.0


def visit(shopper: str = "ada", zone: str = "coffee", started: float = NOW, **more: Any) -> Visit:
    values: dict[str, Any] = {
        "id": derive_id(shopper, zone, started),
        "shopper": shopper,
        "device": f"app:{shopper}",
        "site": "lyon",
        "zone": zone,
        "started": started,
        "last_seen": started + 5.0,
        "confidence": 0.9,
    }
    return Visit(**{**values, **more})


def transition(of: Visit, kind: str = "enter", at: float | None = None, **more: Any) -> Transition:
    values: dict[str, Any] = {
        "id": derive_id(of.id, kind),
        "kind": kind,
        "cause": "left" if kind == "exit" else "confirmed",
        "site": of.site,
        "zone": of.zone,
        "shopper": of.shopper,
        "device": of.device,
        "visit": of.id,
        "at": of.started if at is None else at,
        "observed": (of.started if at is None else at) + 0.5,
        "started": of.started,
        "confidence": of.confidence,
    }
    return Transition(**{**values, **more})


def decision(on: Transition, rule: str = "welcome", **more: Any) -> Decision:
    values: dict[str, Any] = {
        "id": derive_id(on.id, rule),
        "transition": on.id,
        "rule": rule,
        "shopper": on.shopper,
        "site": on.site,
        "zone": on.zone,
        "at": on.observed + 0.1,
        "outcome": "sent",
        "trace": (Stage("consent", True), Stage("limits", True, "0 of 1", {"used": 0}, "welcome.rules.yaml:4")),
    }
    return Decision(**{**values, **more})


def offer(of: Decision, at: Transition, **more: Any) -> Offer:
    values: dict[str, Any] = {
        "id": of.id,
        "rule": of.rule,
        "shopper": of.shopper,
        "site": of.site,
        "zone": of.zone,
        "visit": at.visit,
        "title": "Welcome",
        "body": "Coffee is on us until eleven",
        "language": "en",
        "created": of.at,
        "observed": at.observed,
        "expires": of.at + 180.0,
        "channels": ("push", "inbox"),
    }
    return Offer(**{**values, **more})


def coupon(of: Offer, **more: Any) -> Coupon:
    values: dict[str, Any] = {
        "id": of.id,
        "code": code(b"key", of.id),
        "rule": of.rule,
        "shopper": of.shopper,
        "site": of.site,
        "created": of.created,
        "expires": of.created + 2700.0,
        "reserved_until": of.created + 2700.0,
        "worth": 250,
        "amount_off": 250,
        "currency": "EUR",
    }
    return Coupon(**{**values, **more})


def claim(of: Decision, **more: Any) -> Claim:
    values: dict[str, Any] = {
        "decision": of.id,
        "rule": of.rule,
        "shopper": of.shopper,
        "site": of.site,
        "at": of.at,
        "coupon": True,
        "worth": 250,
    }
    return Claim(**{**values, **more})


def exposure(of: Decision, **more: Any) -> Exposure:
    return Exposure(of.id, of.rule, of.shopper, of.site, of.at, **{"held": False, **more})


def word(of: Decision) -> StaffMessage:
    """A word to the staff."""
    return StaffMessage(
        derive_id(of.id, "staff"),
        of.id,
        of.rule,
        of.shopper,
        of.site,
        of.zone,
        "collect",
        "Hello",
        of.at,
        of.at + 300.0,
    )


def to(of: Offer, *channels: str) -> list[Delivery]:
    """One delivery of the offer per channel."""
    return [Delivery.of(of, channel, f"{channel}-of-{of.shopper}") for channel in channels]


def observed(device: str, shopper: str, *times: float) -> list[Kept]:
    """One fix at each of these moments, as it is kept."""
    number = len(times)
    fixes = Fixes(np.array(times), np.zeros(number, np.int32), *np.full((3, number), 5.0))
    return pack([Batch((device,), (shopper,), (), Sightings(), fixes)])


def story(
    shopper: str = "ada",
    zone: str = "coffee",
    started: float = NOW,
    channels: tuple[str, ...] = ("mqtt", "inbox"),
    **offered: Any,
) -> Outcome:
    """A shopper entered a zone, a rule fired, and the offer waits in the outbox."""
    stay = visit(shopper, zone, started)
    entered = transition(stay)
    decided = decision(entered)
    made = offer(decided, entered, **offered)
    return Outcome(
        transitions=[entered],
        visits=[stay],
        decisions=[decided],
        offers=[made],
        deliveries=to(made, *channels),
        claims=[claim(decided)],
        coupons=[coupon(made)],
        exposures=[exposure(decided)],
        staff=[word(decided)],
        late=[Late(f"app:{shopper}", shopper, started - 900.0, lat=45.76, lon=4.83)],
        observations=observed(f"app:{shopper}", shopper, started - 10.0, started),
        offsets=[GatewayOffset("lyon", "shelf-1", "boot-1", seq=round(started - NOW) + 1, messages=1, rows=20)],
        at=made.created,
    )


def ending(of: Outcome, at: float) -> Outcome:
    """The exit from the first visit of an outcome."""
    stay = of.visits[0]
    ended = visit(stay.shopper, stay.zone, stay.started, last_seen=at - 1.0, ended=at, cause="left")
    return Outcome(transitions=[transition(ended, "exit", at)], visits=[ended], at=at)


def rows(store: Store, table: sa.Table, *, without: tuple[str, ...] = ()) -> list[dict[str, Any]]:
    """Everything in a table, in the order of its key."""
    with store.connect() as connection:
        found = connection.execute(sa.select(table).order_by(*table.primary_key.columns)).mappings().all()
    return [{name: value for name, value in row.items() if name not in without} for row in found]


def everything(store: Store) -> dict[str, list[dict[str, Any]]]:
    """The whole store, by table."""
    return {table.name: rows(store, table) for table in tables.metadata.sorted_tables}
