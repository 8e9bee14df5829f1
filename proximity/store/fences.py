"""Fences that were put by the API: outdoor zones beside those of the files."""

from collections.abc import Iterable, Sequence

import msgspec
import numpy as np
import shapely
import sqlalchemy as sa

from proximity.site.model import Zone
from proximity.store import tables
from proximity.store.database import Store, chunks

_fences = tables.fences
_OPTIONS = ("floor", "radius", "enter_after", "exit_after", "exit_margin")


class StoredFence(msgspec.Struct, frozen=True):
    """A fence and when it was put last."""

    zone: Zone
    updated: float


def put(store: Store, zones: Iterable[Zone], at: float) -> None:
    """Add fences, or change those that are there."""
    rows = [
        {
            "site": zone.site,
            "id": zone.id,
            "name": zone.name,
            "tags": sorted(zone.tags),
            "outline": shapely.to_wkb(zone.outline),
            "updated": at,
            **{name: getattr(zone, name) for name in _OPTIONS},
        }
        for zone in sorted(zones, key=lambda one: (one.site, one.id))
    ]
    if not rows:
        return
    insert = store.insert(_fences)
    new = {name: insert.excluded[name] for name in ("name", "tags", "outline", "updated", *_OPTIONS)}
    upsert = insert.on_conflict_do_update(index_elements=["site", "id"], set_=new)
    with store.begin() as connection:
        connection.execute(upsert, rows)


def remove(store: Store, site: str, ids: Sequence[str]) -> int:
    """Take fences away: how many there were."""
    removed = 0
    with store.begin() as connection:
        for some in chunks(sorted(set(ids))):
            condition = (_fences.c.site == site) & _fences.c.id.in_(some)
            removed += connection.execute(sa.delete(_fences).where(condition)).rowcount
    return removed


def page(store: Store, site: str, after: str | None, limit: int) -> list[StoredFence]:
    """Fences of a site by id, `limit` at the most, those after `after`."""
    statement = sa.select(_fences).where(_fences.c.site == site).order_by(_fences.c.id).limit(limit)
    return _read(store, statement if after is None else statement.where(_fences.c.id > after))


def everything(store: Store) -> list[Zone]:
    """All fences by site and id."""
    return [one.zone for one in _read(store, sa.select(_fences).order_by(_fences.c.site, _fences.c.id))]


def _read(store: Store, statement: sa.Select[tuple[object, ...]]) -> list[StoredFence]:
    with store.connect() as connection:
        rows = connection.execute(statement).mappings().all()
    outlines = shapely.from_wkb(np.array([row["outline"] for row in rows], dtype=object))
    return [
        StoredFence(
            Zone(
                id=row["id"],
                site=row["site"],
                name=row["name"],
                outline=outline,
                frame="wgs84",
                outdoor=True,
                tags=frozenset(row["tags"]),
                **{name: row[name] for name in _OPTIONS},
            ),
            row["updated"],
        )
        for row, outline in zip(rows, outlines.tolist(), strict=True)
    ]
