"""Values that rules read: the weather at a store, its stock, a shopper's basket, an article's name.

They come from the shop's systems (by HTTP or MQTT) and from the configuration folder. Each namespace of
`attributes.yaml` tells of one thing, its scope, and each value is checked against its declared type at the door.
"""

import hashlib
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

import msgspec
import sqlalchemy as sa

from proximity.document import did_you_mean
from proximity.store import tables
from proximity.store.bulk import upsert
from proximity.store.database import Store, chunks
from rules.attributes import Attributes, Type, misfits
from rules.values import show

LOOK_EVERY = 1.0  # s between looks at what other processes were told
OVERLAP = 60.0  # s; clocks of two processes may differ by so much, and a write takes its time
SUBJECTS: Mapping[str, tuple[str, ...]] = {  # what says of whom or what a namespace's values tell, by scope
    "chain": (),
    "store": ("store",),
    "shopper": ("shopper",),
    "store+shopper": ("store", "shopper"),
    "product": ("product",),
    "rule": ("rule",),
}
_table = tables.context_values


class Told(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Some values of one subject, as a system tells them. None as a value takes it back."""

    values: dict[str, Any]  # namespace -> name -> value
    store: str | None = None
    shopper: str | None = None
    product: str | None = None
    rule: str | None = None
    valid_for: float | None = None  # s; None: until told otherwise


class Value(NamedTuple):
    """One checked value. Subjects that its scope does not have are empty."""

    root: str
    key: str
    value: Any
    site: str = ""
    shopper: str = ""
    product: str = ""
    rule: str = ""
    until: float | None = None


class Wrong(NamedTuple):
    """What is wrong with a `Told`, and where in it."""

    place: tuple[str | int, ...]
    message: str
    hint: str | None = None
    key: bool = True  # it is about the name that stands there, not about its value


def check(told: Told, attributes: Attributes, at: float) -> tuple[list[Value], list[Wrong]]:
    """The values, and everything that is wrong with them."""
    found: list[Value] = []
    wrong: list[Wrong] = []
    until = None if told.valid_for is None else at + told.valid_for
    for root, given in told.values.items():
        place = ("values", root)
        problem = _subject(root, told, attributes)
        if problem is not None:
            wrong.append(Wrong(place, *problem))
        elif not isinstance(given, Mapping):
            wrong.append(Wrong(place, f"`{root}` must be a mapping of names to values, not {show(given)}"))
        else:
            subject = {
                "site" if name == "store" else name: getattr(told, name) or ""
                for name in SUBJECTS[attributes.scope(root)]
            }
            for key, value in given.items():
                kind = _kind(attributes, root, key)
                if kind is None:
                    known = [name for name in attributes.types if name.startswith(f"{root}.")]
                    hint = did_you_mean(f"{root}.{key}", known)
                    wrong.append(Wrong((*place, key), f"`{root}.{key}` is not declared in attributes.yaml", hint))
                    continue
                bad = misfits(f"{root}.{key}", kind, value)
                wrong += [Wrong((*place, key, *inner), text, key=False) for inner, text in bad]
                found.append(Value(root, key, _exact(kind, value), **subject, until=until))
    return ([] if wrong else found), wrong


def _kind(attributes: Attributes, root: str, key: str) -> Type | None:
    whole = attributes.types.get(root)
    if whole is not None:
        return Type("scalar", whole.of)
    return attributes.types.get(f"{root}.{key}")


def _exact(kind: Type, value: Any) -> Any:
    """A whole number where a number with decimals is declared means the same; to a condition it does not."""
    if kind.of != "float" or value is None:
        return value
    if kind.shape == "list":
        return [float(one) if isinstance(one, int) else one for one in value]
    if kind.shape == "map":
        return {key: float(one) if isinstance(one, int) else one for key, one in value.items()}
    return float(value) if isinstance(value, int) else value


def _subject(root: str, told: Told, attributes: Attributes) -> tuple[str, str | None] | None:
    """What is wrong with the subject of a namespace's values."""
    if root == "shopper":
        return "values of `shopper` stand in the shopper's record", "write them there: PUT /api/v1/shoppers/<id>"
    if root not in attributes.told:
        return f"no attribute is declared in `{root}`", did_you_mean(root, attributes.told)
    wanted = SUBJECTS[attributes.scope(root)]
    given = [name for name in ("store", "shopper", "product", "rule") if getattr(told, name) is not None]
    missing = [name for name in wanted if name not in given]
    surplus = [name for name in given if name not in wanted]
    if missing:
        return f"`{root}` is told of a {' and a '.join(wanted)}", f"say which: `{missing[0]}: …`"
    if surplus:
        whole = f"of a {' and a '.join(wanted)}" if wanted else "of the whole chain"
        return (
            f"`{root}` is told {whole}, and not of a {surplus[0]}",
            f"declare another scope, or leave `{surplus[0]}` out",
        )
    return None


def put(store: Store, values: Iterable[Value], at: float, source: str) -> int:
    """Keep values in place of those that were told before; how many. None as a value ends the one that was there."""
    rows = []
    for one in values:
        row = one._asdict()
        digest = hashlib.sha256("\0".join([one.root, one.key, *one[3:7]]).encode()).hexdigest()
        until = at if one.value is None else one.until
        rows.append({"id": digest, **row, "until": until, "at": at, "source": source})
    if rows:
        with store.begin() as connection:
            upsert(connection, _table, rows, _later)
    return len(rows)


def _later(statement: Any) -> Any:
    new = statement.excluded
    return statement.on_conflict_do_update(
        index_elements=["id"],
        set_={name: new[name] for name in ("value", "until", "at", "source")},
        where=new.at >= _table.c.at,
    )


def listed(
    store: Store, at: float, *, root: str | None = None, limit: int = 100, **subject: str | None
) -> list[dict[str, Any]]:
    """Values in force, newest first, as rows with their source and time. `subject`: site, shopper, product, rule."""
    where = [sa.or_(_table.c.until.is_(None), _table.c.until > at)]
    where += [_table.c[name] == value for name, value in {"root": root, **subject}.items() if value is not None]
    query = sa.select(_table).where(*where).order_by(_table.c.at.desc(), _table.c.id).limit(limit)
    with store.connect() as connection:
        return [dict(row) for row in connection.execute(query).mappings()]


class Context:
    """The values in memory, for the pipeline. Those of shoppers are read when they are needed.

    Not for several threads at once, but for `stale`, which any thread may set.
    """

    def __init__(self, store: Store, given: Sequence[Value] = (), attributes: Attributes | None = None) -> None:
        self._store = store
        self._told: dict[str, dict[tuple[str, ...], Value]] = defaultdict(dict)  # by site, of no shopper
        self._seen = self._looked = 0.0
        self._personal: dict[str, list[Value]] = {}
        self.stale = True  # something may have changed
        self.use(given, attributes or Attributes())

    def use(self, given: Sequence[Value], attributes: Attributes) -> None:
        """The values of the configuration folder from now on; what was told since weighs more."""
        self._given = tuple(given)
        self._wants_people = any("shopper" in SUBJECTS[scope] for scope in attributes.scopes.values())
        self._places: dict[str, tuple[float, dict[str, dict[str, Any]]]] = {}

    def prepare(self, shoppers: Iterable[str], now: float) -> None:
        """Look for what is new, and for the values of these shoppers."""
        if self.stale or abs(now - self._looked) > LOOK_EVERY:
            self.stale, self._looked = False, now
            self._refresh()
        self._personal = defaultdict(list)
        if not self._wants_people:
            return
        with self._store.connect() as connection:
            for some in chunks(sorted(set(shoppers))):
                rows = connection.execute(sa.select(_table).where(_table.c.shopper.in_(some))).mappings()
                for row in rows:
                    self._personal[row["shopper"]].append(_value(row))
        for one in self._given:
            if one.shopper:
                self._personal[one.shopper].insert(0, one)

    def of(self, site: str, shopper: str, now: float) -> Mapping[str, Any]:
        """Namespace -> name -> value, as it stands for this shopper in this store."""
        expires, place = self._places.get(site, (0.0, {}))
        if now >= expires:
            expires, place = self._places[site] = self._place(site, now)
        own = [
            one
            for one in self._personal.get(shopper, ())
            if one.site in ("", site) and (one.until is None or one.until > now)
        ]
        if not own:
            return place
        return {**place, **_nested(own, {root: dict(place.get(root, {})) for root in {one.root for one in own}})}

    def _refresh(self) -> None:
        query = sa.select(_table).where(_table.c.shopper == "", _table.c.at >= self._seen - OVERLAP)
        with self._store.connect() as connection:
            for row in connection.execute(query).mappings():
                one = _value(row)
                key = (one.root, one.key, one.product, one.rule)
                if self._told[one.site].get(key) != one:
                    self._told[one.site][key] = one
                    self._places.pop(one.site, None)
                    if not one.site:
                        self._places.clear()
                self._seen = max(self._seen, row["at"])

    def _place(self, site: str, now: float) -> tuple[float, dict[str, dict[str, Any]]]:
        """What holds in a store, and until when that is so."""
        here = [
            one
            for one in (*self._given, *self._told[""].values(), *(self._told[site].values() if site else ()))
            if one.site in ("", site) and not one.shopper and (one.until is None or one.until > now)
        ]
        return min((one.until for one in here if one.until is not None), default=float("inf")), _nested(here, {})


def shopper_of(store: Store, root: str, key: str, value: str) -> str | None:
    """Of whom a system told this value, as the order of that id; of several, of whom it told last."""
    exact = sa.cast(_table.c.value, sa.Text) == msgspec.json.encode(value).decode()
    whose = sa.select(_table.c.shopper).where(_table.c.root == root, _table.c.key == key, _table.c.shopper != "", exact)
    with store.connect() as connection:
        return connection.execute(whose.order_by(_table.c.at.desc()).limit(1)).scalar()


def _nested(values: Iterable[Value], into: dict[str, dict[str, Any]]) -> dict[str, dict[str, Any]]:
    for one in values:
        target = into.setdefault(one.root, {})
        if one.product or one.rule:  # of one article or rule: the rule that asks picks its own
            target = target.setdefault(one.product or one.rule, {})
        target[one.key] = one.value
    return into


def _value(row: sa.RowMapping) -> Value:
    return Value(*(row[name] for name in Value._fields))
