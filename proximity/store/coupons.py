"""Coupons after they were given: shown, redeemed at the till exactly once, expired, or released with their offer."""

import hashlib
import secrets
from collections.abc import Iterable
from typing import Any

import msgspec
import sqlalchemy as sa
from sqlalchemy import Connection

from proximity.model import Coupon, derive_id
from proximity.store import tables
from proximity.store.budgets import Share, change
from proximity.store.bulk import insert_new
from proximity.store.database import Store, chunks
from proximity.store.reserve import IN_FORCE

KEY = "coupon-codes"
KEY_BYTES = 32  # as long as the hash that codes are made with
OPEN = ("reserved", "issued")
PIECE = 2_000  # coupons ended in one transaction

_coupons = tables.coupons
_redemptions = tables.redemptions
_deliveries = tables.deliveries


class StoredCoupon(msgspec.Struct, frozen=True):
    """A coupon and what became of it."""

    coupon: Coupon
    state: str  # reserved | issued | redeemed | expired | released
    redeemed: float | None = None
    discount: int | None = None  # hundredths

    def valid(self, at: float) -> bool:
        """Whether a till takes it at that moment."""
        return self.state in OPEN and at < self.coupon.expires


class Till(msgspec.Struct, frozen=True):
    """What a till asks. The key is its own: the same key asks the same thing again."""

    key: str
    code: str | None  # as `offers_codes.read` gives it; None: it cannot be a code
    site: str
    at: float  # when the shopper stood at the till, by the till's word; seconds since the epoch
    discount: int | None = None  # hundredths
    total: int | None = None  # of the basket, hundredths
    till: str | None = None


class Answer(msgspec.Struct, frozen=True):
    """What a till is told."""

    redeemed: bool
    reason: str | None = None  # unknown | expired | redeemed_already | other_store | withdrawn | too_much
    detail: str = ""
    coupon: dict[str, Any] | None = None  # the fields of `Coupon` without its shopper; None: unknown
    repeated: bool = False  # this key had been answered before


class KeyReused(Exception):
    """The till's key was used for another question."""


def key(store: Store) -> bytes:
    """The secret that codes are derived from: made at the first call, then the same for all processes."""
    table = tables.secrets
    query = sa.select(table.c.value).where(table.c.name == KEY)
    with store.connect() as connection:
        found: bytes | None = connection.execute(query).scalar()
    if found is not None:
        return found
    with store.begin() as connection:
        make = store.insert(table).on_conflict_do_nothing(index_elements=["name"])
        connection.execute(make, [{"name": KEY, "value": secrets.token_bytes(KEY_BYTES)}])
        made: bytes = connection.execute(query).scalar_one()
    return made


def held(store: Store, shoppers: Iterable[str]) -> dict[str, dict[str, int]]:
    """Shopper -> rule -> coupons that the shopper holds or has redeemed."""
    found: dict[str, dict[str, int]] = {}
    with store.connect() as connection:
        for some in chunks(sorted(set(shoppers))):
            query = (
                sa.select(_coupons.c.shopper, _coupons.c.rule, sa.func.count())
                .where(_coupons.c.shopper.in_(some), _coupons.c.state.in_(IN_FORCE))
                .group_by(_coupons.c.shopper, _coupons.c.rule)
            )
            for shopper, rule, number in connection.execute(query):
                found.setdefault(shopper, {})[rule] = number
    return found


def of_offers(store: Store, ids: Iterable[str]) -> dict[str, StoredCoupon]:
    """The coupons of these offers, by id."""
    found: dict[str, StoredCoupon] = {}
    with store.connect() as connection:
        for some in chunks(sorted(set(ids))):
            rows = connection.execute(sa.select(_coupons).where(_coupons.c.id.in_(some))).mappings()
            found.update({row["id"]: _stored(row) for row in rows})
    return found


def find(store: Store, code: str) -> StoredCoupon | None:
    """The coupon of a code."""
    with store.connect() as connection:
        row = connection.execute(sa.select(_coupons).where(_coupons.c.code == code)).mappings().one_or_none()
    return None if row is None else _stored(row)


def redeem(store: Store, till: Till) -> Answer:
    """Take a coupon, once: also when two tills ask at the same instant, and when one asks again after a lost answer.

    KeyReused when the key was used for another question. StoreError when the database refuses; nothing is taken then.
    """
    if till.code is None:
        return Answer(False, "unknown", "this is no coupon code; scan it again, or check what was typed")
    asked = [till.code, till.site, till.discount, till.total, till.till]  # not the time: it may be of this moment
    row_id, request = _digest(till.key), _digest(msgspec.json.encode(asked).decode())
    with store.begin() as connection:
        row = connection.execute(
            sa.select(_coupons).where(_coupons.c.code == till.code).with_for_update()
        ).mappings().one_or_none()  # fmt: skip
        before = connection.execute(sa.select(_redemptions).where(_redemptions.c.id == row_id)).mappings().one_or_none()
        if before is not None:
            if before["request"] != request:
                raise KeyReused
            return msgspec.structs.replace(msgspec.convert(before["answer"], Answer), repeated=True)
        if row is None:
            return Answer(False, "unknown", "there is no such coupon")
        answer = _answer(connection, _stored(row), till)
        coupon = _stored(row).coupon
        kept = {"id": row_id, "request": request, "coupon": coupon.id, "shopper": coupon.shopper, "site": till.site}
        if not insert_new(connection, _redemptions, [{**kept, "at": till.at, "answer": msgspec.to_builtins(answer)}]):
            raise KeyReused  # for another coupon, at this very moment
    return answer


def _answer(connection: Connection, stored: StoredCoupon, till: Till) -> Answer:
    coupon = stored.coupon
    told = public(coupon)
    if (no := objection(stored, till)) is not None:
        return Answer(False, *no, told)
    discount = till.discount if till.discount is not None else coupon.amount_off
    connection.execute(
        sa.update(_coupons)
        .where(_coupons.c.id == coupon.id)
        .values(state="redeemed", redeemed=till.at, discount=discount)
    )
    if discount is not None:
        change(connection, [Share(coupon.rule, 0, discount - coupon.worth)])
    data: dict[str, Any] = {"rule": coupon.rule, "coupon": coupon.id, "till": till.till, "discount": _units(discount)}
    if till.total is not None:
        data["basket"] = {"total": _units(till.total)}
    event = {
        "id": derive_id("redeemed", coupon.id),
        "name": "redeemed",
        "shopper": coupon.shopper,
        "site": till.site,
        "at": till.at,
        "data": data,
    }
    insert_new(connection, tables.shop_events, [event])
    return Answer(True, None, "", told)


def objection(stored: StoredCoupon, till: Till) -> tuple[str, str] | None:
    """Why a till may not take it: a reason and a sentence; None when it may."""
    coupon = stored.coupon
    if stored.state == "redeemed":
        return "redeemed_already", "this coupon was redeemed before"
    if stored.state == "released":
        return "withdrawn", "the offer was taken back before it reached the shopper"
    if not coupon.chain and till.site != coupon.site:
        return "other_store", f"this coupon is for the store {coupon.site}"
    if stored.state == "expired" or till.at >= coupon.expires:
        return "expired", "this coupon is no longer valid"
    most = coupon.amount_off if coupon.amount_off is not None else coupon.at_most
    if till.discount is not None and most is not None and till.discount > most:
        return "too_much", f"this coupon takes off {most / 100:.2f} {coupon.currency or ''} at most".rstrip()
    return None


def public(coupon: Coupon) -> dict[str, Any]:
    """A coupon as a till may see it: without the person."""
    hidden = ("shopper", "worth", "reserved_until")
    return {name: value for name, value in msgspec.structs.asdict(coupon).items() if name not in hidden}


def settle(store: Store, at: float) -> dict[str, int]:
    """Let coupons follow their offers and the time, and give back what they held: how many were issued, released and
    expired. To be called every few seconds; two processes that do it at once share the work."""
    handed = sa.exists().where(
        _deliveries.c.offer == _coupons.c.id, _deliveries.c.kind == "offer", _deliveries.c.handed.is_not(None)
    )
    offers = tables.offers
    ended = sa.exists().where(offers.c.id == _coupons.c.id, offers.c.state.in_(("withdrawn", "expired", "failed")))
    reserved = _coupons.c.state == "reserved"
    over = sa.and_(_coupons.c.state.in_(OPEN), _coupons.c.reserved_until <= at)
    return {
        "expired": _move(store, over, "expired"),
        "issued": _move(store, sa.and_(reserved, handed), "issued"),
        "released": _move(store, sa.and_(reserved, ended, ~handed), "released"),
    }


def _move(store: Store, which: sa.ColumnElement[bool], state: str) -> int:
    moved = 0
    wanted = sa.select(_coupons.c.id).where(which).order_by(_coupons.c.id).limit(PIECE)
    while True:
        with store.connect() as connection:  # a look costs no writer's turn
            if connection.execute(wanted.limit(1)).first() is None:
                return moved
        with store.begin() as connection:
            ids = list(connection.execute(wanted.with_for_update(skip_locked=True)).scalars())
            if state == "issued":
                connection.execute(sa.update(_coupons).where(_coupons.c.id.in_(ids)).values(state=state))
            else:
                _end(connection, _coupons.c.id.in_(ids), state)
        moved += len(ids)
        if not ids:  # another process has them
            return moved


def _end(connection: Connection, which: sa.ColumnElement[bool], state: str) -> None:
    statement = sa.update(_coupons).where(which, _coupons.c.state.in_(OPEN)).values(state=state)
    rows = connection.execute(statement.returning(_coupons.c.rule, _coupons.c.worth)).all()
    change(connection, [Share(rule, -1, -worth) for rule, worth in rows])


def release_of(connection: Connection, shopper: str) -> None:
    """Give back what a shopper's coupons hold, before they are erased with him."""
    _end(connection, _coupons.c.shopper == shopper, "released")


def _stored(row: sa.RowMapping) -> StoredCoupon:
    coupon = Coupon(**{name: row[name] for name in Coupon.__struct_fields__})
    return StoredCoupon(coupon, row["state"], row["redeemed"], row["discount"])


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


def _units(hundredths: int | None) -> float | None:
    return None if hundredths is None else hundredths / 100
