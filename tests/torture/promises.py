"""What the rules promise, read from their YAML by other means than the service's: a mistake there must not excuse
itself here."""

import re
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path
from typing import Any

import yaml

UNITS = {"s": 1.0, "m": 60.0, "h": 3600.0, "d": 86_400.0}


@dataclass(frozen=True, slots=True)
class Limit:
    """At most `most` sends in any `every` seconds."""

    most: int
    every: float


@dataclass(frozen=True, slots=True)
class Promise:
    """One rule's. Money in hundredths; None: no bound."""

    limits: tuple[Limit, ...]  # of this rule to one shopper
    keeps: bool  # its offers are never taken back
    coupon: bool
    per_shopper: int | None = None  # coupons in hand or redeemed
    most_coupons: int | None = None
    most_spend: int | None = None


@dataclass(frozen=True, slots=True)
class Promises:
    """All that the ledger holds the service to."""

    limits: tuple[Limit, ...]  # of all rules together to one shopper: there is one store
    rules: dict[str, Promise]
    titles: dict[str, str]  # of a message -> rule


def read_promises(file: Path) -> Promises:
    """From a rule file."""
    raw = yaml.safe_load(file.read_text(encoding="utf-8"))
    titles = {rule["say"]["en"]["title"]: rule["id"] for rule in raw["rules"]}
    assert len(titles) == len(raw["rules"]), "each rule needs a title of its own: receivers tell them apart by it"
    rules = {rule["id"]: _promise(rule) for rule in raw["rules"]}
    return Promises(_limits(raw["defaults"]["limits"]), rules, titles)


def _promise(rule: dict[str, Any]) -> Promise:
    offer, deliver = rule.get("offer", {}), rule["deliver"]
    budget = offer.get("budget", {})
    return Promise(
        limits=_limits(rule.get("limits", ())),
        keeps=deliver["only_while"] == "anywhere" and deliver["on_exit"] == "keep",
        coupon="coupon" in offer,
        per_shopper=offer["coupon"].get("per_shopper", 1) if offer else None,
        most_coupons=budget.get("coupons"),
        most_spend=hundredths(budget["spend"]) if "spend" in budget else None,
    )


def _limits(given: Any) -> tuple[Limit, ...]:
    return tuple(Limit(one["max"], seconds(one["every"])) for one in given)


def seconds(text: str) -> float:
    """Of "15m"."""
    found = re.fullmatch(r"(\d+)([smhd])", text)
    assert found is not None, f"{text} is no length of time"
    return int(found[1]) * UNITS[found[2]]


def hundredths(text: str) -> int:
    """Of "2.50 EUR"."""
    return int(Decimal(text.split(maxsplit=1)[0]) * 100)
