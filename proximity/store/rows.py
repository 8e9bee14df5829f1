"""Values to rows and back, where a column is not simply the field of its name."""

from typing import Any

import msgspec
import sqlalchemy as sa

from proximity.model import Decision, Late, Offer, Stage, derive_id
from proximity.store import tables

OFFER_FIELDS = Offer.__struct_fields__
OFFER_COLUMNS = [tables.offers.c[name] for name in OFFER_FIELDS]


def late_row(late: Late) -> dict[str, Any]:
    """An observation has no id of its own; it is what it says."""
    parts = ("" if value is None else value for value in msgspec.structs.astuple(late))
    return {"id": derive_id("late", *parts), **msgspec.structs.asdict(late)}


def to_decision(row: sa.RowMapping) -> Decision:
    """A row of `decisions`."""
    return Decision(**{**row, "trace": tuple(msgspec.convert(row["trace"], list[Stage]))})


def to_offer(row: sa.RowMapping) -> Offer:
    """The offer within a row that has its columns."""
    return Offer(**{name: row[name] for name in OFFER_FIELDS if name != "channels"}, channels=tuple(row["channels"]))
