"""Every rule set that was ever in force, with its texts, so that an old decision can be read beside its rule."""
# ruff: noqa: A002 - an id is called id, as in every value

from collections.abc import Mapping

import msgspec
import sqlalchemy as sa

from proximity.store import tables
from proximity.store.database import Store

_sets = tables.rule_sets


class RuleSet(msgspec.Struct, frozen=True):
    """The texts of one set."""

    id: str  # hash of the texts
    loaded: float  # when it last came into force
    files: dict[str, str]  # name -> text


def put_ruleset(store: Store, id: str, files: Mapping[str, str], at: float) -> None:
    """A set came into force; an old one may do so again."""
    insert = store.insert(_sets)
    upsert = insert.on_conflict_do_update(index_elements=["id"], set_={"loaded": at})
    with store.begin() as connection:
        connection.execute(upsert, [{"id": id, "loaded": at, "files": dict(files)}])


def latest(store: Store) -> RuleSet | None:
    """The set that came into force last."""
    statement = sa.select(_sets).order_by(_sets.c.loaded.desc(), _sets.c.id).limit(1)
    with store.connect() as connection:
        row = connection.execute(statement).mappings().one_or_none()
    return None if row is None else RuleSet(**row)
