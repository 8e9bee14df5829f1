"""Events that the shop's systems tell: whose they are, where they happened, and as what rules see them."""

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

from proximity.ingest.decode import ToldEvent
from proximity.model import derive_id
from proximity.registry import Registry
from proximity.store import context, rule_state
from proximity.store.database import Store
from proximity.store.rule_state import ShopEvent
from rules.attributes import Attributes
from rules.occurrence import Occurrence, event_occurrence

Counts = Counter[tuple[str, str]]


def admitted(
    store: Store, told: Sequence[ToldEvent], registry: Registry, attributes: Attributes, sites: frozenset[str]
) -> tuple[list[ShopEvent], Counts]:
    """New events of shoppers who agreed, in the order of their times, and counts of the others by reason.

    An event that was told before is left out: the sender's id says which are the same. One without an id is the same
    as another when it says the same of the same moment.
    """
    counts: Counts = Counter()
    found: dict[str, ShopEvent] = {}
    for one in told:
        message = one.message
        shopper = _whose(store, one, registry)
        site = one.site or message.site
        if shopper is None or shopper not in registry.agreed:
            counts["events", "nobody"] += 1
        elif site is not None and site not in sites:
            counts["events", "unknown_site"] += 1
        else:
            at = one.received if message.at is None else min(message.at / 1000, one.received)
            data = {key: _exact(attributes, key, value) for key, value in message.data.items()}
            name = message.id or json.dumps([message.name, shopper, site, message.at, message.data], sort_keys=True)
            event = ShopEvent(derive_id("event", name), message.name, shopper, site, at, data)
            found.setdefault(event.id, event)
    before = rule_state.told(store, found) if found else set()
    counts["events", "repeated"] += len(told) - sum(counts.values()) - len(found) + len(before)
    new = [event for event in found.values() if event.id not in before]
    return sorted(new, key=lambda event: (event.at, event.id)), +counts


def occurrence(event: ShopEvent) -> Occurrence:
    """The event as rules see it."""
    return event_occurrence(event.id, event.name, event.shopper, event.at, event.site or "", event.data)


def _whose(store: Store, one: ToldEvent, registry: Registry) -> str | None:
    message = one.message
    if message.shopper is not None:
        return message.shopper
    if message.device is not None:
        device = registry.devices.get(message.device)
        return device.shopper if device else None
    return context.shopper_of(store, "order", "id", message.order) if message.order is not None else None


def _exact(attributes: Attributes, key: str, value: Any) -> Any:
    """A whole number where one with decimals is declared means the same; to a condition it does not."""
    kind = attributes.types.get(f"event.{key}")
    if kind is None or kind.of != "float":
        return value
    if isinstance(value, int) and not isinstance(value, bool):
        return float(value)
    if isinstance(value, Mapping):
        return {name: float(one) if isinstance(one, int) else one for name, one in value.items()}
    return [float(one) if isinstance(one, int) else one for one in value] if isinstance(value, list) else value
