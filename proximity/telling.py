"""Values that the shop's systems tell by MQTT: checked against what is declared, and whose they are."""

from collections import Counter
from collections.abc import Sequence

import structlog

from proximity.ingest.decode import ToldValues
from proximity.registry import Registry
from proximity.store import context
from proximity.store.context import Told, Value
from rules.attributes import Attributes

log = structlog.get_logger(__name__)

SOURCE = "mqtt"
Counts = Counter[tuple[str, str]]


def admitted(
    told: Sequence[ToldValues], registry: Registry, attributes: Attributes, sites: frozenset[str]
) -> tuple[list[Value], Counts]:
    """The values that may be kept, and counts by what became of the others.

    A message is taken whole or not at all. Values of shoppers who agreed to nothing leave no trace.
    """
    counts: Counts = Counter()
    found: list[Value] = []
    for one in told:
        message = one.message
        if one.site not in sites:
            counts["context", "unknown_site"] += 1
            continue
        if message.shopper is not None and message.shopper not in registry.agreed:
            counts["context", "nobody"] += 1
            continue
        values, wrong = context.check(_of(one, attributes), attributes, one.received)
        if wrong:
            counts["context", "refused"] += 1
            where = ".".join(map(str, wrong[0].place))
            log.warning("values refused", site=one.site, where=where, problem=wrong[0].message, hint=wrong[0].hint)
            continue
        counts["context", "values"] += len(values)
        found += values
    return found, counts


def _of(one: ToldValues, attributes: Attributes) -> Told:
    """The message with its store, where one of its namespaces is told of a store."""
    message = one.message
    needs_store = any("store" in context.SUBJECTS[attributes.scope(root)] for root in message.values)
    return Told(
        values=message.values,
        store=one.site if needs_store else None,
        shopper=message.shopper,
        product=message.product,
        rule=message.rule,
        valid_for=message.valid_for,
    )
