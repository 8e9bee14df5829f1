"""What gateways last said of themselves, and how far their messages are covered."""

from collections.abc import Mapping
from typing import Any

import msgspec
import sqlalchemy as sa

from proximity.store import tables
from proximity.store.commit import numbers
from proximity.store.database import Store

_gateways = tables.gateways
_offsets = tables.offsets


class GatewayRow(msgspec.Struct, frozen=True):
    """One gateway."""

    site: str
    gateway: str
    state: str  # online | offline | unknown
    seen: float | None = None  # last word of any kind
    version: str | None = None  # of its software
    health: dict[str, Any] | None = None  # its last health message


class OffsetRow(msgspec.Struct, frozen=True):
    """One boot of a gateway, as covered."""

    site: str
    gateway: str
    boot: str
    seq: int
    ahead: tuple[int, ...]
    messages: int
    rows: int
    at: float  # of the last commit that moved it


def put_status(store: Store, site: str, gateway: str, state: str, version: str | None, seen: float) -> None:
    """A status message, or the last will. `version` None keeps what is known."""
    changes: dict[str, Any] = {"state": state, "seen": seen}
    if version is not None:
        changes["version"] = version
    _upsert(store, site, gateway, changes, {})


def put_health(store: Store, site: str, gateway: str, health: Mapping[str, Any], seen: float) -> None:
    """A health message."""
    _upsert(store, site, gateway, {"health": dict(health), "seen": seen}, {"state": "unknown"})


def gateways(store: Store, site: str | None = None) -> list[GatewayRow]:
    """By site and name; all, or those of one site."""
    statement = sa.select(_gateways).order_by(_gateways.c.site, _gateways.c.gateway)
    if site is not None:
        statement = statement.where(_gateways.c.site == site)
    with store.connect() as connection:
        return [GatewayRow(**row) for row in connection.execute(statement).mappings()]


def offsets(store: Store, site: str | None = None, gateway: str | None = None) -> list[OffsetRow]:
    """Covered boots, the one that moved last first."""
    statement = sa.select(_offsets).order_by(_offsets.c.at.desc(), _offsets.c.boot)
    if site is not None:
        statement = statement.where(_offsets.c.site == site)
    if gateway is not None:
        statement = statement.where(_offsets.c.gateway == gateway)
    with store.connect() as connection:
        rows = connection.execute(statement).mappings()
        return [OffsetRow(**{**row, "ahead": numbers(row["ahead"])}) for row in rows]


def _upsert(store: Store, site: str, gateway: str, changes: dict[str, Any], first: dict[str, Any]) -> None:
    insert = store.insert(_gateways)
    upsert = insert.on_conflict_do_update(index_elements=["site", "gateway"], set_=changes)
    with store.begin() as connection:
        connection.execute(upsert, [{"site": site, "gateway": gateway, **first, **changes}])
