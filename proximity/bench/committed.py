"""Decisions that give a coupon out of a budget, committed: how many a second, batch by batch, on a SQLite file."""

import time

from proximity.bench.house import Plan, settle_in
from proximity.bench.processes import scratch
from proximity.bench.report import Row
from proximity.configuration import catalog_of
from proximity.deciding import Decider
from proximity.delivery.routes import RouteSettings, routes
from proximity.model import Transition, Visit, child_id, dated_id
from proximity.registry import Registry
from proximity.simulate.load import load_device, sites_for_load
from proximity.store.commit import Outcome, commit
from proximity.store.database import open_store
from rules.attributes import Attributes
from rules.load import load_rules

BATCH = 500  # transitions of a commit
RULES = """
version: 1
rules:
  - id: welcome
    when: {enter: {zone: zone-1}}
    limits: [{scope: rule, max: 1, every: 7d}]
    offer:
      coupon: {percent_off: 20, at_most: "4 EUR", valid_for: 45m, per_shopper: 1}
      budget: {coupons: 1000000, spend: "10000000 EUR"}
    say: {en: {title: "Hello", body: "20% off until {{ coupon.until_date }}"}}
"""


def committed(decisions: int) -> Row:
    """`decisions` to send, each to another shopper. Seconds are those of the wall: the disk is part of it."""
    sites = sites_for_load(1)
    loaded = load_rules({"bench.rules.yaml": RULES}, catalog_of(sites, Attributes()))
    assert loaded.ruleset is not None, loaded.errors[0].render()
    now = time.time()
    with scratch() as folder:
        store = open_store(f"sqlite:///{folder / 'bench.db'}")
        store.migrate()
        settle_in(store, Plan("", devices=decisions))
        registry, settings = Registry(store), RouteSettings()
        decider = Decider(store, settings)
        decider.use(loaded.ruleset, registry)
        batches = [_enters(first, min(first + BATCH, decisions), now) for first in range(0, decisions, BATCH)]
        given, began = 0, time.perf_counter()
        for transitions, visits in batches:
            verdicts = decider.decide(transitions, now, lambda _shopper: ())
            offers = [one.offer for one in verdicts if one.offer is not None]
            outcome = Outcome(
                transitions=transitions,
                visits=visits,
                decisions=[one.decision for one in verdicts],
                offers=offers,
                deliveries=[each for one in offers for each in routes(one, registry.carried_by(one.shopper), settings)],
                claims=[one.effects.claim for one in verdicts if one.effects.claim is not None],
                coupons=[one.coupon for one in verdicts if one.coupon is not None],
                exposures=[one.effects.exposure for one in verdicts if one.effects.exposure is not None],
                at=now,
            )
            given += len(outcome.coupons) - len(commit(store, outcome).turned)
        spent = time.perf_counter() - began
        store.close()
    note = (
        f"{given:,} coupons out of one budget in {len(batches)} commits, with transitions, visits, offers, deliveries"
    )
    return Row("committed with coupon and budget, SQLite", decisions / spent, "decisions a second", note=note)


def _enters(first: int, last: int, now: float) -> tuple[list[Transition], list[Visit]]:
    transitions, visits = [], []
    for number in range(first, last):
        shopper, device = f"load-{number}", load_device(number)
        place = ("load-1", "zone-1")
        visit = dated_id(now, *place, shopper)
        transitions.append(
            Transition(
                child_id(visit, "enter", ""), "enter", "confirmed", *place, shopper, device, visit, now, now, now, 0.9
            )
        )
        visits.append(Visit(visit, shopper, device, *place, now, now, 0.9))
    return transitions, visits
