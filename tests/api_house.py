"""A small shop that needs no radio: the ports of the API filled by hand, and shoppers who walk when told to."""

import asyncio
import math
from collections.abc import Collection, Mapping, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field, replace
from itertools import pairwise
from pathlib import Path
from typing import Any, NamedTuple

import httpx
import msgspec
from fastapi import FastAPI
from shapely.geometry import Point, Polygon

from proximity.api.context import ApiContext
from proximity.configuration import Configuration, catalog_of
from proximity.errors import BadMessage
from proximity.feed import Feed
from proximity.model import (
    Coupon,
    Decision,
    Device,
    Exposure,
    Offer,
    Shopper,
    Stage,
    Transition,
    TransitionKind,
    Visit,
    Whereabouts,
    derive_id,
)
from proximity.rulebook import RuleBook
from proximity.site.model import Anchor, Site, Wall, Zone
from proximity.site.people import People
from proximity.store import fences, gateways, people, tables
from proximity.store.bulk import insert_new
from proximity.store.commit import Outcome, commit
from proximity.store.database import Store, open_store
from proximity.store.outbox import Delivery
from rules import offers_codes as codes
from rules.attributes import Attributes, load_attributes
from rules.load import load_rules

TOKEN = "operator-token-of-the-tests"
TILL = "till-token-of-the-tests"
NOON = 1_764_155_040.0  # 2025-11-26 12:04 in Paris


def rectangle(x: float, y: float, width: float, height: float) -> Polygon:
    """By its lower left corner."""
    return Polygon([(x, y), (x + width, y), (x + width, y + height), (x, y + height)])


def _zone(key: str, name: str, outline: Any, **more: Any) -> Zone:
    return Zone(id=key, site="marais", name=name, outline=outline, **more)


ATTRIBUTES = """
attributes:
  weather: {temp_c: float, rain: bool}
  cart: {total: float}
  stock: map<string, int>
  product: {name: string}
scopes: {cart: shopper, product: product}
"""
ZONES = (
    _zone("entrance", "Entrance", rectangle(7.0, 0.0, 5.0, 3.2)),
    _zone("coffee-aisle", "Coffee", rectangle(0.6, 4.6, 5.2, 5.6), tags=frozenset({"coffee"})),
    _zone("tea-aisle", "Tea & chocolate", rectangle(0.6, 10.6, 5.2, 4.8)),
    _zone("tastings", "Tasting bar", rectangle(7.6, 7.2, 4.4, 4.4)),
    _zone("shoes", "Kitchenware", rectangle(13.8, 7.6, 5.6, 7.8)),
    _zone("tills", "Tills", rectangle(13.6, 0.8, 5.8, 4.4)),
    Zone("car-park", "marais", "Car park", Point(2.3561, 48.8571), "wgs84", outdoor=True, radius=45.0),
    Zone(
        "neighbourhood",
        "marais",
        "Neighbourhood",
        Polygon([(2.3520, 48.8545), (2.3600, 48.8548), (2.3605, 48.8590), (2.3525, 48.8592)]),
        "wgs84",
        outdoor=True,
    ),
)
WALLS = tuple(
    Wall(*ends)
    for ends in (
        (0, 0, 7, 0), (12, 0, 20, 0), (20, 0, 20, 16), (20, 16, 0, 16), (0, 16, 0, 0), (13, 5.9, 17.4, 5.9),
        (6.6, 4.2, 6.6, 7.0), (6.6, 11.8, 6.6, 16),
    )
)  # fmt: skip
ANCHORS = (
    Anchor("door", "marais", "gateway", "entrance", 9.5, 0.7),
    Anchor("coffee-east", "marais", "gateway", "coffee-aisle", 0.9, 7.4),
    Anchor("tea-north", "marais", "gateway", "tea-aisle", 0.9, 15.2),
    Anchor("bar", "marais", "gateway", "tastings", 9.8, 15.6),
    Anchor("till-2", "marais", "gateway", "tills", 19.4, 2.6),
    Anchor("kitchen", "marais", "gateway", "shoes", 19.6, 11.5),
    Anchor("shelf-kona", "marais", "beacon", "coffee-aisle", 5.5, 9.2, beacon="ibeacon:…"),
)
MARAIS = Site(
    "marais", "Maison Kona, Le Marais", "Europe/Paris", "Mo-Sa 09:00-20:00", "FR", "12 rue des Archives, Paris",
    48.8568, 2.3563, 30.0, ZONES, ANCHORS, WALLS,
)  # fmt: skip
LYON = Site(
    "lyon", "Maison Kona, Lyon", "Europe/Paris", lat=45.764, lon=4.8357,
    zones=(
        Zone("floor", "lyon", "Shop floor", rectangle(0, 0, 9, 7)),
        Zone("tills", "lyon", "Tills", rectangle(9.4, 0, 3, 7)),
    ),
    anchors=(Anchor("one", "lyon", "gateway", "floor", 1.0, 1.0),),
    walls=(Wall(0, 0, 12.4, 0), Wall(0, 7, 12.4, 7)),
)  # fmt: skip

PEOPLE = (
    Shopper("ada", ("en",), None, "Ada", {"first_name": "Ada", "visits_30d": 4}, {"in-store-offers": True}),
    Shopper("brice", ("fr", "en"), None, "Brice", {}, {"in-store-offers": True, "order-updates": False}),
    Shopper("chloe", ("fr",), None, "Chloé", {}, {"in-store-offers": True}),
    Shopper("deniz", ("de",), "Europe/Berlin", "Deniz", {}, {"in-store-offers": False, "order-updates": True}),
    Shopper("emeka", ("en",), None, "Emeka", {}, {"in-store-offers": True}),
)


class Rule(NamedTuple):
    """A summary as the service makes them."""

    id: str
    title: str
    owner: str | None
    status: str
    trigger: str


@dataclass(frozen=True)
class Condition:
    """How the fake service says it is."""

    broker: bool = True
    commit_age: float | None = 0.2
    queue: int = 0
    gateways_online: int = 5
    gateways_total: int = 6
    observations: int = 0
    outbox: Mapping[str, int] = field(default_factory=lambda: {"queued": 0, "sent": 3, "skipped": 1, "dead": 0})
    errors: Sequence[str] = ()


class FakeLive:
    """The running service, by hand."""

    def __init__(self, store: Store) -> None:
        self.store = store
        self.places: dict[str, Whereabouts] = {}
        self.submitted: list[tuple[str, bytes]] = []
        self.refuse: BadMessage | None = None
        self.hold = False  # never commit
        self.condition = Condition()
        self.changed: list[str] = []
        self.errors: str | None = None
        self.context_changes = 0
        self.rulebook = _rulebook(store)

    def sites(self) -> Sequence[Site]:
        return (MARAIS, LYON)

    def whereabouts(self, shopper: str | None = None) -> Sequence[Whereabouts]:
        return [row for row in list(self.places.values()) if shopper is None or row.shopper == shopper]

    def submit(self, topic: str, payload: bytes) -> "Future[None]":
        future: Future[None] = Future()
        if self.refuse is not None:
            future.set_exception(self.refuse)
        elif not self.hold:
            self.submitted.append((topic, payload))
            future.set_result(None)
        return future

    def known_device(self, device_id: str) -> Device | None:
        return people.device(self.store, device_id)

    def shopper_changed(self, shopper: str) -> None:
        self.changed.append(shopper)

    def tracked(self, devices: Collection[str]) -> frozenset[str]:
        known = people.everybody(self.store)
        owners = {one.id: known[one.shopper] for one in people.devices(self.store)}
        return frozenset(name for name in devices if name in owners and any(owners[name].consents.values()))

    def file_zones(self, site: str) -> frozenset[str]:
        return frozenset(zone.id for one in (MARAIS, LYON) if one.id == site for zone in one.zones)

    def change_fences(self, site: str, put: Sequence[Zone], remove: Sequence[str]) -> int:
        fences.put(self.store, put, NOON)
        return fences.remove(self.store, site, remove) if remove else 0

    def erase(self, shopper: str) -> None:
        self.places = {device: row for device, row in self.places.items() if row.shopper != shopper}
        people.erase(self.store, shopper)

    def rules(self) -> Sequence[Rule]:
        return (
            Rule("welcome", "Coffee is on us", "marketing-fr", "live", "enter entrance"),
            Rule("coffee-linger", "Coffee aisle, 20 % off", "marketing-fr", "live", "dwell 60 s in coffee-aisle"),
        )

    def attributes(self) -> Attributes:
        found, wrong = load_attributes(ATTRIBUTES, "attributes.yaml")
        assert found is not None, wrong
        return found

    def context_changed(self) -> None:
        self.context_changes += 1

    def budgets(self) -> dict[str, tuple[int | None, tuple[int, str] | None]]:
        return {"coffee-linger": (5000, (1_200_000, "EUR")), "new": (None, None)}

    def splits(self) -> dict[tuple[str, str], dict[str, float]]:
        return {("holdout", "global"): {"holdout": 0.1, "everybody": 0.9}}

    def rules_version(self) -> str:
        return "7f3a91"

    def rules_errors(self) -> str | None:
        return self.errors

    def health(self) -> Condition:
        return self.condition


RULES = """
rules:
  - id: welcome
    when: {enter: {zone: entrance}}
    say: {en: {title: "Welcome", body: "Coffee is on us"}}
  - id: coffee-linger
    when: {dwell: {zone: coffee-aisle, for: 60s}}
    say: {en: {title: "20% off", body: "For you"}}
"""


def _rulebook(store: Store) -> RuleBook:
    attributes, _ = load_attributes(ATTRIBUTES, "attributes.yaml")
    assert attributes is not None
    found = load_rules({"rules/shop.rules.yaml": RULES}, catalog_of((MARAIS, LYON), attributes))
    assert found.ruleset is not None, found.diagnostics
    book = RuleBook(store, lambda: NOON, Configuration(Path("config"), (MARAIS, LYON), People(), found.ruleset))
    book.in_force(book.folder)
    return book


class House:
    """Store, feed, live and clock together, with people in the store and nobody in the shop."""

    def __init__(self, folder: Path, now: float = NOON) -> None:
        self.store = open_store(f"sqlite:///{folder / 'house.db'}")
        self.store.migrate()
        self.feed = Feed()
        self.live = FakeLive(self.store)
        self.now = now
        self.tokens = {one.id: people.put_shopper(self.store, one, at=now) for one in PEOPLE}
        for one in PEOPLE:
            people.put_device(self.store, Device(f"app:{one.id}", one.id, "app"))
        for anchor in ANCHORS:
            if anchor.kind == "gateway":
                state = "offline" if anchor.id == "tea-north" else "online"
                gateways.put_status(self.store, "marais", anchor.id, state, "1.0.0", now - 4)
        self.context = ApiContext(
            self.store, self.feed, lambda: self.now, TOKEN, self.live, till_token=TILL, submit_timeout=60.0
        )

    def close(self) -> None:
        """Give the database back."""
        self.store.close()

    def place(self, shopper: str, zone: str | None, x: float | None = None, y: float | None = None) -> Whereabouts:
        """Put a shopper somewhere and tell the feed."""
        row = Whereabouts(
            f"app:{shopper}", shopper, "marais" if zone or x is not None else None, (zone,) if zone else (), 0.94,
            self.now, x, y,
        )  # fmt: skip
        self.live.places[row.device] = row
        self.feed.publish("whereabouts", {"devices": msgspec.to_builtins(list(self.live.places.values()))})
        return row

    def hear(self, shopper: str, zone: str, kind: TransitionKind = "enter", dwell: float | None = None) -> Transition:
        """A transition that a decision will be about: stored together with it, as the service does."""
        visit = derive_id("visit", shopper, zone, int(self.now) // 600)
        transition = Transition(
            derive_id(visit, kind, self.now), kind, "confirmed", "marais", zone, shopper, f"app:{shopper}", visit,
            self.now, self.now, self.now, 0.97, dwell,
        )  # fmt: skip
        self.feed.publish("transition", msgspec.to_builtins(transition))
        return transition

    def enter(self, shopper: str, zone: str, kind: TransitionKind = "enter") -> Transition:
        """A transition that no rule listens to."""
        transition = self.hear(shopper, zone, kind)
        self._store(transition, [], [])
        return transition

    def withhold(self, transition: Transition, rule: str, reason: str, detail: str) -> Decision:
        """A no with a reason."""
        trace = (
            Stage("status", True, "live since 20 November"),
            Stage("consent", True, "in-store-offers: granted", {"purpose": "in-store-offers"}, "coffee.rules.yaml:31"),
            Stage("conditions", True, "3 of 3", {"shopper.visits_30d": 4, "cart.total": 12.5}, "coffee.rules.yaml:36"),
            Stage("limits", False, detail, {"sent_24h": 2, "max": 2}, "coffee.rules.yaml:12"),
        )
        decision = Decision(
            derive_id(transition.id, rule), transition.id, rule, transition.shopper, "marais", transition.zone,
            self.now, "withheld", reason, detail, trace,
        )  # fmt: skip
        self._store(transition, [decision], [])
        return decision

    def send(self, transition: Transition, rule: str, title: str, body: str, lasts: float = 180.0) -> Offer:
        """A yes, and its offer."""
        trace = (
            Stage("status", True, "live"),
            Stage("consent", True, "in-store-offers: granted"),
            Stage("trigger", True, f"{transition.kind} {transition.zone}", {}, "coffee.rules.yaml:29"),
            Stage("limits", True, "0 of 2 in 24 h"),
            Stage("render", True, "en"),
        )
        key = derive_id(transition.id, rule)
        decision = Decision(
            key, transition.id, rule, transition.shopper, "marais", transition.zone, self.now, "sent", None, "", trace
        )
        offer = Offer(
            key, rule, transition.shopper, "marais", transition.zone, transition.visit, title, body, "en", self.now,
            self.now, self.now + lasts, ("push", "inbox"),
        )  # fmt: skip
        self._store(transition, [decision], [offer])
        self.feed.publish("offer", msgspec.to_builtins(offer))
        return offer

    def grant(self, offer: Offer, **worth: Any) -> Coupon:
        """A coupon for an offer that was sent, by a rule with a goal."""
        coupon = Coupon(
            offer.id, codes.code(b"key", offer.id), offer.rule, offer.shopper, offer.site, self.now, self.now + 2700.0,
            self.now + 2700.0, **(worth or {"percent_off": 20.0, "sku": "KONA-250"}),
        )  # fmt: skip
        exposure = Exposure(
            offer.id, offer.rule, offer.shopper, offer.site, self.now, held=False, goal="redeemed",
            until=self.now + 86_400.0, value="basket.total",
        )  # fmt: skip
        with self.store.begin() as connection:
            insert_new(connection, tables.coupons, [{**msgspec.structs.asdict(coupon), "state": "issued"}])
            insert_new(connection, tables.exposures, [msgspec.structs.asdict(exposure)])
        return coupon

    def withdraw(self, offer: Offer, reason: str = "left_zone") -> None:
        """Take an offer back."""
        from proximity.store import offers

        offers.withdraw(self.store, offer.id, reason, self.now)
        self.feed.publish("withdrawn", {**msgspec.to_builtins(offer), "state": "withdrawn"})

    def _store(self, transition: Transition, decisions: list[Decision], made: list[Offer]) -> None:
        ended = self.now if transition.kind == "exit" else None
        stay = Visit(
            transition.visit, transition.shopper, transition.device, "marais", transition.zone, self.now, self.now,
            0.97, ended, "left" if ended else None,
        )  # fmt: skip
        deliveries = [Delivery.of(one, "inbox", one.shopper) for one in made]
        outcome = Outcome(
            transitions=[transition], visits=[stay], decisions=decisions, offers=made, deliveries=deliveries
        )
        commit(self.store, outcome)
        for one in decisions:
            self.feed.publish("decision", msgspec.to_builtins(one))


WALKS: Mapping[str, Sequence[tuple[float, float]]] = {
    "ada": ((9.5, 1.0), (8.0, 4.0), (4.0, 6.5), (3.0, 8.8), (4.6, 9.4), (9.0, 9.0), (12.8, 6.6), (15.5, 3.0)),
    "brice": ((15.0, 10.0), (17.0, 13.0), (14.5, 14.4), (10.0, 13.4), (9.4, 9.4), (11.0, 8.2)),
    "chloe": ((3.0, 12.5), (4.8, 14.2), (2.0, 14.0), (3.2, 11.2), (4.0, 9.0), (2.0, 6.0)),
    "deniz": ((16.0, 2.0), (18.2, 3.8), (15.0, 4.4), (12.6, 2.0), (10.0, 2.0)),
    "emeka": ((9.0, 10.0), (10.8, 8.0), (13.0, 10.0), (16.6, 9.0), (18.0, 14.0), (15.0, 12.0)),
}


def along(walk: Sequence[tuple[float, float]], metres: float) -> tuple[float, float]:
    """The place after so many metres of a walk that goes round and round."""
    corners = [*walk, walk[0]]
    lengths = [math.dist(one, two) for one, two in pairwise(corners)]
    left = metres % sum(lengths)
    for (one, two), length in zip(pairwise(corners), lengths, strict=True):
        if left <= length:
            part = left / length
            return one[0] + (two[0] - one[0]) * part, one[1] + (two[1] - one[1]) * part
        left -= length
    return corners[-1]


def zone_at(x: float, y: float) -> str | None:
    """The indoor zone around a point."""
    return next((zone.id for zone in ZONES if zone.frame == "local" and zone.outline.covers(Point(x, y))), None)


def call(
    app: FastAPI,
    method: str,
    path: str,
    *,
    operator: bool = False,
    client: tuple[str, int] = ("127.0.0.1", 40000),
    headers: Mapping[str, str] | None = None,
    **more: Any,
) -> httpx.Response:
    """One request straight into the application, from `client`; an unforeseen error is an answer, as on the wire."""

    async def ask() -> httpx.Response:
        transport = httpx.ASGITransport(app, raise_app_exceptions=False, client=client)
        async with httpx.AsyncClient(transport=transport, base_url="http://shop.test") as asking:
            key = {"authorization": f"Bearer {TOKEN}"} if operator else {}
            return await asking.request(method, path, headers={**key, **(headers or {})}, **more)

    return asyncio.run(ask())


def condition(live: FakeLive, **changes: Any) -> None:
    """Change what the service says of itself."""
    live.condition = replace(live.condition, **changes)
