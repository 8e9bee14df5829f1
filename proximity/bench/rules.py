"""Rules: how fast a set loads, and how many decisions a second one core takes."""

import gc
from time import process_time

from proximity.bench.committed import committed
from proximity.bench.report import Report, Row
from proximity.document import parse
from proximity.model import Shopper, Transition, derive_id
from rules.attributes import Attributes, attributes_of
from rules.catalog import Catalog, Store, Zone
from rules.decide import Facts, decide
from rules.load import load_rules
from rules.ruleset import RuleSet

CANDIDATES = 10  # rules that listen to one zone
NOW = 1_764_155_040.0
ATTRIBUTES = """
version: 1
attributes:
  shopper: {visits_30d: int, tier: string, first_name: string}
  weather: {temp_c: float}
"""
RULE = """
  - id: rule-{number}
    when: {{enter: {{zone: zone-{zone}}}}}
    where:
      all: [shopper.visits_30d >= {visits}, 'shopper.tier == "gold"', weather.temp_c < 12.0]
    compete: {{group: in-store-offer, priority: {priority}}}
    limits: [{{scope: rule, max: 1, every: 7d}}]
    say: {{en: {{title: "Offer {number}", body: "Hello {{{{ shopper.first_name | default: 'you' }}}}"}}}}
"""


def rules(sizes: tuple[int, ...], decisions: int) -> Report:
    """`decisions`: how many to take at each size, and a tenth of them to commit. Seconds are those of the processor, of
    commits those of the wall."""
    rows = []
    for size in sizes:
        gc.collect()
        text, catalog = rule_file(size), catalog_for(size)
        began = process_time()
        loaded = load_rules({"bench.rules.yaml": text}, catalog)
        seconds = process_time() - began
        assert loaded.ruleset is not None, loaded.errors[0].render()
        gc.disable()  # as the loader does
        began = process_time()
        parse(text, "bench.rules.yaml")
        yaml = process_time() - began
        gc.enable()
        rows.append(Row(f"load {size:,} rules", seconds, "s", yaml, "parsing the YAML alone, with positions"))
        rows.append(_decide(loaded.ruleset, size, decisions))
    rows.append(committed(decisions // 10))
    return Report("rules", f"{min(CANDIDATES, max(sizes))} candidates a transition, one core", rows)


def _decide(ruleset: RuleSet, size: int, decisions: int) -> Row:
    zones = max(size // CANDIDATES, 1)
    shopper = Shopper(
        "ada",
        ("en",),
        attributes={"visits_30d": 4, "tier": "gold", "first_name": "Ada"},
        consents={"in-store-offers": True},
    )
    facts = Facts(
        now=NOW, shopper=shopper, history=[], reachable=frozenset({"push", "inbox"}),
        attributes={"weather": {"temp_c": 7.0}},
    )  # fmt: skip
    taken, number, sent = 0, 0, 0
    began = process_time()
    while taken < decisions:
        verdicts = decide(ruleset, _enter(number % zones, number), facts)
        taken += len(verdicts)
        sent += sum(verdict.offer is not None for verdict in verdicts)
        number += 1
    spent = process_time() - began
    note = f"{size:,} rules: {taken:,} decisions for {number:,} transitions, {sent:,} of them sent"
    return Row(f"decide with {size:,} rules", taken / spent, "decisions a second", note=note)


def _enter(zone: int, number: int) -> Transition:
    visit = derive_id("bench", number)
    return Transition(
        derive_id(visit, "enter"),
        "enter",
        "confirmed",
        "shop",
        f"zone-{zone}",
        "ada",
        "app:ada",
        visit,
        NOW,
        NOW,
        NOW,
        0.9,
    )


def rule_file(size: int) -> str:
    """A file of `size` rules, ten for each zone."""
    rows = (RULE.format(number=i, zone=i // CANDIDATES, visits=i % 4, priority=i % CANDIDATES) for i in range(size))
    return "version: 1\nrules:" + "".join(rows)


def catalog_for(size: int) -> Catalog:
    """The store of `rule_file`."""
    found, errors = attributes_of(parse(ATTRIBUTES, "attributes.yaml"))
    assert not errors, errors[0].render()
    zones = tuple(Zone(f"zone-{i}") for i in range(max(-(-size // CANDIDATES), 1)))
    return Catalog((Store("shop", "Europe/Paris", zones=zones),), found or Attributes())
