"""A shop, its people and its clock, for the tests of the rule engine."""

from datetime import datetime
from typing import Any

from proximity.model import Sent, Shopper, Transition
from rules.attributes import Attributes, load_attributes
from rules.catalog import Catalog, Store, Zone
from rules.decide import Facts, Verdict, decide
from rules.load import Loaded, load_rules
from rules.ruleset import RuleSet

ATTRIBUTES = """
version: 1
attributes:
  shopper:
    first_name: string
    visits_30d: int
    loyalty_tier: string
    wishlist: list<string>
    bought_90d: map<string, int>
    birthday_today: bool
  weather: {temp_c: float, rain: bool}
  cart: {total: float}
  order: {id: string, status: string}
  stock: map<string, int>
events:
  basket_add: {sku: string, category: string, price: float}
  qr_scanned: {code: string}
  order_ready: {}
"""


def attributes() -> Attributes:
    found, diagnostics = load_attributes(ATTRIBUTES, "attributes.yaml")
    assert found is not None, diagnostics
    return found


ZONES = (
    Zone("entrance", "Entrance"),
    Zone("coffee-aisle", "Coffee", frozenset({"coffee", "food"}), outdoor=False),
    Zone("bakery", "Bakery", frozenset({"food"}), outdoor=False),
    Zone("tills", outdoor=False),
    Zone("car-park", "Car park", frozenset({"parking"})),
)
PARIS = Store("paris", "Europe/Paris", "Paris", "FR", "Mo-Sa 09:00-20:00; PH off", ZONES)
BERLIN = Store("berlin", "Europe/Berlin", "Berlin", "DE", None, (*ZONES[:2], Zone("garden")))
CATALOG = Catalog((PARIS, BERLIN), attributes())
NOON = "2026-11-24T12:00:00+01:00"  # a Tuesday


def epoch(text: str) -> float:
    """ISO 8601 with an offset -> epoch seconds."""
    moment = datetime.fromisoformat(text)
    assert moment.tzinfo is not None
    return moment.timestamp()


def ada(**changes: Any) -> Shopper:
    values: dict[str, Any] = {
        "id": "ada",
        "languages": ("en",),
        "attributes": {"first_name": "Ada", "visits_30d": 5, "wishlist": ["coffee"], "bought_90d": {"coffee": 1}},
        "consents": {"in-store-offers": True},
    }
    return Shopper(**(values | changes))


def happening(kind: str = "enter", zone: str = "coffee-aisle", at: str | float = NOON, **changes: Any) -> Transition:
    now = epoch(at) if isinstance(at, str) else at
    values: dict[str, Any] = {
        "id": f"{kind}-{zone}-{now}",
        "kind": kind,
        "cause": "confirmed",
        "site": "paris",
        "zone": zone,
        "shopper": "ada",
        "device": "ibeacon:x",
        "visit": "visit-1",
        "at": now,
        "observed": now,
        "started": now,
        "confidence": 0.9,
    }
    return Transition(**(values | changes))


def facts(at: str | float = NOON, **changes: Any) -> Facts:
    values: dict[str, Any] = {
        "now": epoch(at) if isinstance(at, str) else at,
        "shopper": ada(),
        "reachable": frozenset({"push", "inbox"}),
    }
    return Facts(**(values | changes))


def load(text: str, catalog: Catalog = CATALOG) -> Loaded:
    return load_rules({"test.rules.yaml": text}, catalog)


def ruleset(text: str, catalog: Catalog = CATALOG) -> RuleSet:
    loaded = load(text, catalog)
    assert loaded.ruleset is not None, "\n".join(one.render() for one in loaded.diagnostics)
    return loaded.ruleset


def rule(extra: str = "", when: str = "{enter: {zone: coffee-aisle}}", header: str = "", name: str = "one") -> str:
    """A file with one rule; `extra` are more keys of it, indented by four spaces."""
    body = f"{header}\nrules:\n  - id: {name}\n    when: {when}\n{extra}\n"
    return body if "say:" in extra else f'{body}    say: {{en: {{title: "T", body: "B"}}}}\n'


def outcomes(verdicts: list[Verdict]) -> dict[str, str | None]:
    """rule -> None when sent, else the reason."""
    return {verdict.decision.rule: verdict.decision.reason for verdict in verdicts}


def only(text: str, transition: Transition, known: Facts) -> Verdict:
    """The verdict of a file with one rule."""
    (verdict,) = decide(ruleset(text), transition, known)
    return verdict


def sent(rule_id: str, at: float, site: str = "paris", **changes: Any) -> Sent:
    return Sent("ada", rule_id, site, at, **changes)
