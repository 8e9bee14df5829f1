"""What rules listen to: each trigger finds its rules, and nothing else does."""

from typing import Any

import pytest

from proximity.model import DwellThreshold
from rules.catalog import Catalog, Store, Zone
from rules.decide import decide
from rules.occurrence import Occurrence, event_occurrence
from rules.stateful import hold, ripen
from tests.rules.support import CATALOG, NOON, ada, attributes, epoch, facts, happening, load, outcomes, rule, ruleset

AT = epoch(NOON)


def told(name: str = "basket_add", site: str = "paris", at: float = AT, **data: Any) -> Occurrence:
    return event_occurrence(f"{name} {at} {data}", name, "ada", at, site, data)


# (trigger, what happens, whether the rule is asked)
HEARD: list[tuple[str, Any, bool]] = [
    ("{approach: {place: store, within: 400m}}", happening("approach", "store", reach="400m"), True),
    ("{approach: {place: store, within: 400m}}", happening("approach", "store", reach="2000m"), False),
    ("{approach: {place: store, within: 2km}}", happening("approach", "store", reach="2000m"), True),
    ("{approach: {place: store, within: 5min}}", happening("approach", "store", reach="300s"), True),
    ("{approach: {place: store, within: 400m}}", happening("approach", "car-park", reach="400m"), False),
    ("{approach: {place: [store, car-park], within: 400m}}", happening("approach", "car-park", reach="400m"), True),
    ("{approach: {tag: parking, within: 400m}}", happening("approach", "car-park", reach="400m"), True),
    ("{approach: {place: store, within: 400m, stores: berlin}}", happening("approach", "store", reach="400m"), False),
    ("{approach: {place: store, within: 400m}}", happening("enter", "car-park"), False),
    ("{cross: {zone: car-park}}", happening("cross", "car-park"), True),
    ("{cross: {tag: parking}}", happening("cross", "car-park"), True),
    ("{cross: {zone: car-park}}", happening("enter", "car-park"), False),
    ("{dwell: {zone: tills, for: 60s}}", happening("dwell", "tills", dwell=60.0), True),
    ("{dwell: {zone: tills, for: 60s}}", happening("dwell", "tills", dwell=60.0, forgive=15.0), False),
    ("{dwell: {zone: tills, for: 60s, forgive: 15s}}", happening("dwell", "tills", dwell=60.0, forgive=15.0), True),
    ("{event: {name: basket_add}}", told(), True),
    ("{event: {name: basket_add}}", told(site=""), True),
    ("{event: {name: basket_add}}", told(site="rome"), False),
    ("{event: {name: qr_scanned}}", told(), False),
    ("{event: {name: [qr_scanned, basket_add]}}", told(), True),
    ("{event: {name: basket_add, stores: paris}}", told(), True),
    ("{event: {name: basket_add, stores: paris}}", told(site="berlin"), False),
    ("{event: {name: basket_add, stores: paris}}", told(site=""), False),
    ("{event: {name: basket_add, match: 'event.category == \"socks\"'}}", told(category="socks"), True),
    ("{event: {name: basket_add, match: 'event.category == \"socks\"'}}", told(category="ties"), False),
    ("{event: {name: basket_add, match: 'event.category == \"socks\"'}}", told(), False),  # absent matches nothing
    ("{event: {name: basket_add, match: event.price > 3.0}}", told(price="much"), False),  # nor does a wrong type
    ("{event: {name: basket_add, match: event.price > 3.0}}", told(price=4.5), True),
    ("{event: {name: [qr_scanned, basket_add], match: 'event.name == \"qr_scanned\"'}}", told("qr_scanned"), True),
]


@pytest.mark.parametrize(("when", "what", "asked"), HEARD)
def test_who_listens(when: str, what: Any, asked: bool) -> None:
    rules = ruleset(rule(when=when))
    for _ in range(2):  # searched, and found again
        assert outcomes(decide(rules, what, facts())) == ({"one": None} if asked else {})


# (trigger, only_while, on_exit, seconds the offer lives)
USUAL = [
    ("{enter: {zone: tills}}", "inside", "withdraw", 300),
    ("{dwell: {zone: tills, for: 60s}}", "inside", "withdraw", 300),
    ("{exit: {zone: tills}}", "anywhere", "keep", 1800),
    ("{approach: {place: store, within: 400m}}", "anywhere", "keep", 300),
    ("{cross: {zone: car-park}}", "anywhere", "keep", 300),
    ("{event: {name: basket_add}}", "anywhere", "keep", 300),
    ("{absence: {for: 30d}}", "anywhere", "keep", 86400),
    ('{schedule: {cron: "0 9 * * *", to: {inside: store}}}', "store", "keep", 300),
    ('{schedule: {cron: "0 9 * * *", to: {inside: tills}}}', "inside", "keep", 300),
    ('{schedule: {cron: "0 9 * * *", clock: shopper, to: {segment: fans}}}', "anywhere", "keep", 43200),
    ("{sequence: {within: 5m, steps: [{event: {name: basket_add}}, {enter: {zone: tills}}]}}",
     "inside", "withdraw", 300),
    ("{sequence: {within: 5m, steps: [{enter: {zone: tills}}, {exit: {zone: tills}}]}}", "anywhere", "keep", 1800),
]  # fmt: skip


@pytest.mark.parametrize(("when", "only_while", "on_exit", "expires"), USUAL)
def test_what_is_meant_when_deliver_says_nothing(when: str, only_while: str, on_exit: str, expires: float) -> None:
    header = "segments: {fans: shopper.visits_30d > 3}" if "fans" in when else ""
    one = ruleset(rule(when=when, header=header)).by_id["one"]
    assert (one.only_while, one.on_exit, one.expires) == (only_while, on_exit, expires)
    assert not one.expires_stated


def test_presence_is_asked_for_the_dwells_and_approaches_of_sequences_too() -> None:
    steps = (
        "{sequence: {within: 9m, steps: [{approach: {place: store, within: 1km}}, "
        "{dwell: {zone: tills, for: 2m, forgive: 15s}}], without: {dwell: {zone: bakery, for: 1m}}}}"
    )
    text = rule(when=steps) + rule(when="{approach: {tag: parking, within: 5min}}", name="two").replace("\nrules:", "")
    rules = ruleset(text)
    assert rules.thresholds() == {
        ("paris", "tills"): frozenset({DwellThreshold(120.0, 15.0)}),
        ("paris", "bakery"): frozenset({DwellThreshold(60.0)}),
    }
    assert rules.reaches() == {
        ("paris", "store"): frozenset({"1000m"}),
        ("berlin", "store"): frozenset({"1000m"}),
        ("paris", "car-park"): frozenset({"300s"}),
    }


def test_an_approach_tells_how_far_away_the_shopper_is() -> None:
    body = "{{ approach.minutes | default: 0 }} min"
    say = f'    say: {{en: {{title: "{{{{ approach.metres | default: 0 }}}} m", body: "{body}"}}}}'
    rules = ruleset(rule(say, when="{approach: {place: store, within: 400m}}"))
    what = happening("approach", "store", reach="400m", distance=380.4, eta=61.0)
    (verdict,) = decide(rules, what, facts())
    assert verdict.offer is not None
    assert (verdict.offer.title, verdict.offer.body) == ("380 m", "2 min")
    assert verdict.decision.trace[2].detail == "approach store at paris 380 m away"
    (verdict,) = decide(rules, happening("approach", "store", reach="400m"), facts())
    assert verdict.offer is not None
    assert verdict.offer.title == "0 m"


def test_what_an_event_brings_is_there_for_conditions_and_texts() -> None:
    extra = """    where: {all: [event.price < 10.0, shopper.visits_30d > 3]}
    say: {en: {title: "{{ event.sku | default: 'it' }}", body: "{{ event.name | default: '' }} at {{ store.name }}"}}"""
    rules = ruleset(rule(extra, when="{event: {name: basket_add}}"))
    (verdict,) = decide(rules, told(sku="KONA", price=4.5), facts())
    assert verdict.offer is not None
    assert (verdict.offer.title, verdict.offer.body) == ("KONA", "basket_add at Paris")
    assert verdict.decision.trace[3].values == {"event.price": 4.5, "shopper.visits_30d": 5}
    assert outcomes(decide(rules, told(), facts())) == {"one": "attribute_missing"}
    assert outcomes(decide(rules, told(price=20.0), facts())) == {"one": "condition_false"}


def test_the_same_event_is_the_same_decision() -> None:
    rules = ruleset(rule(when="{event: {name: basket_add}}"))
    first, again = (decide(rules, event_occurrence("7", "basket_add", "ada", AT), facts())[0] for _ in range(2))
    other = decide(rules, event_occurrence("8", "basket_add", "ada", AT), facts())[0]
    assert first == again
    assert first.decision.id != other.decision.id


@pytest.mark.parametrize(
    ("zones", "shopper", "at", "reason"),
    [
        # Stores with one clock: it is the clock also of what happens in no store.
        (["Europe/Paris"], ada(), "2026-11-24T12:30:00+01:00", None),
        (["Europe/Paris"], ada(), "2026-11-24T14:30:00+01:00", "outside_window"),
        (["Europe/Paris", "Asia/Tokyo"], ada(), "2026-11-24T12:30:00+00:00", None),  # none in common: UTC
        (["Europe/Paris", "Asia/Tokyo"], ada(), "2026-11-24T12:30:00+01:00", "outside_window"),
    ],
)
def test_what_happens_in_no_store_has_a_clock_all_the_same(
    zones: list[str], shopper: Any, at: str, reason: str | None
) -> None:
    stores = tuple(Store(f"store-{i}", zone, zones=(Zone("tills"),)) for i, zone in enumerate(zones))
    header = 'windows: {midday: {from: "12:00", to: "13:00"}}'
    text = rule("    where: {during: midday}", when="{event: {name: basket_add}}", header=header)
    rules = ruleset(text, Catalog(stores, attributes()))
    assert outcomes(decide(rules, told(site="", at=epoch(at)), facts(at, shopper=shopper))) == {"one": reason}


def test_what_happens_in_no_store_happens_in_no_open_one() -> None:
    rules = ruleset(rule("    where: {store: open}", when="{event: {name: basket_add}}"))
    assert outcomes(decide(rules, told(site=""), facts())) == {"one": "store_closed"}
    assert outcomes(decide(rules, told(), facts())) == {"one": None}


# -- approaches to stores that are nowhere, and indoor zones ------------------------------------------------------


def test_a_store_of_unknown_place_is_warned_of() -> None:
    nowhere = Store("lost", "Europe/Paris", zones=(Zone("tills", outdoor=False),), located=False)
    catalog = Catalog((*CATALOG.stores, nowhere), CATALOG.attributes)
    found = load(rule(when="{approach: {place: store, within: 400m}}"), catalog)
    assert [one.message for one in found.diagnostics] == [
        "nobody can be seen approaching lost: its place on the map is not known"
    ]
    assert load(rule(when="{approach: {place: store, within: 400m, stores: paris}}"), catalog).diagnostics == []


# -- quiet hours that hold ----------------------------------------------------------------------------------------

HOLD = """windows:
  night: {from: "21:00", to: "08:30"}
  late: {from: "08:00", to: "09:00"}
defaults:
  quiet: {window: night, clock: store, then: hold}
"""
EVENING = "2026-11-24T22:00:00+01:00"
MORNING = epoch("2026-11-25T08:30:00+01:00")


def _held(extra: str = "", when: str = "{event: {name: basket_add}}", header: str = HOLD, at: str = EVENING) -> Any:
    """The verdict in the evening, and what is looked at again."""
    rules = ruleset(rule(extra, when=when, header=header))
    what = told(at=epoch(at)) if "event" in when else happening("enter", "tills", at)
    verdicts = decide(rules, what, facts(at))
    (again,) = ripen(rules, hold(what, verdicts), frozenset()) or [None]
    return rules, verdicts[0], again


def test_what_is_held_is_sent_when_the_window_ends() -> None:
    rules, verdict, again = _held()
    assert verdict.decision.reason == "quiet_hours"
    assert verdict.decision.detail == "Tue 22:00 is in night (21:00–08:30); held until Wed 08:30"
    assert verdict.held_until == MORNING == again.released
    (later,) = decide(rules, again, facts(MORNING))
    assert later.decision.reason is None
    assert later.decision.id != verdict.decision.id
    assert later.offer.expires == MORNING + 300  # nobody said how long, so it counts from now
    assert later.offer.observed == MORNING


@pytest.mark.parametrize(
    ("extra", "changes", "reason"),
    [
        ("", {"shopper": ada(consents={})}, "no_consent"),
        ("", {"reachable": frozenset()}, "no_channel"),
        ("    deliver: {expires: 10h}", {}, "expired"),  # said: it counts from the event
        ("    deliver: {expires: 11h}", {}, None),
        ("    deliver: {only_while: store}", {}, "left_zone"),
        ("    deliver: {only_while: store}", {"inside": frozenset({("paris", "bakery")})}, None),
        ("    deliver: {only_while: store}", {"inside": frozenset({("berlin", "garden")})}, "left_zone"),
        ("    quiet: {window: late, clock: store}", {}, "quiet_hours"),
    ],
)
def test_what_was_held_is_checked_in_full_again(extra: str, changes: dict[str, Any], reason: str | None) -> None:
    rules, _, again = _held(extra)
    assert decide(rules, again, facts(MORNING, **changes))[0].decision.reason == reason


def test_a_shopper_who_left_in_the_night_gets_nothing() -> None:
    rules, _, again = _held(when="{enter: {zone: tills}}")
    assert decide(rules, again, facts(MORNING))[0].decision.reason == "left_zone"
    still = facts(MORNING, inside=frozenset({("paris", "tills")}))
    assert decide(rules, again, still)[0].decision.reason is None


@pytest.mark.parametrize(
    ("quiet", "at", "until"),
    [
        # both hold: until the later end; one drops: nothing is held
        ("{window: late, clock: store, then: hold}", "2026-11-25T08:15:00+01:00", "2026-11-25T09:00:00+01:00"),
        ("{window: late, clock: store, then: drop}", "2026-11-25T08:15:00+01:00", None),
        ("{window: late, clock: store, then: drop}", "2026-11-25T07:15:00+01:00", "2026-11-25T08:30:00+01:00"),
        # the nights in which the clock changes: the wall clock counts
        ("{window: late, clock: store, then: hold}", "2026-03-28T22:00:00+01:00", "2026-03-29T08:30:00+02:00"),
        ("{window: late, clock: store, then: hold}", "2026-10-24T22:00:00+02:00", "2026-10-25T08:30:00+01:00"),
    ],
)
def test_until_when(quiet: str, at: str, until: str | None) -> None:
    rules = ruleset(rule(f"    quiet: {quiet}", when="{event: {name: basket_add}}", header=HOLD))
    (verdict,) = decide(rules, told(at=epoch(at)), facts(at))
    assert verdict.held_until == (None if until is None else epoch(until))


def test_a_window_that_does_not_end_holds_nothing() -> None:
    header = "windows: {always: {days: [mon, tue, wed, thu, fri, sat, sun]}}\n"
    quiet = "    quiet: {window: always, clock: store, then: hold}"
    rules = ruleset(rule(quiet, when="{event: {name: basket_add}}", header=header))
    (verdict,) = decide(rules, told(), facts())
    assert (verdict.decision.reason, verdict.held_until) == ("quiet_hours", None)


def test_what_was_held_together_competes_again() -> None:
    group = "    compete: {group: a, priority: %d}"
    text = rule(group % 1, when="{event: {name: basket_add}}", header=HOLD)
    text += rule(group % 2, when="{event: {name: basket_add}}", name="two").replace("\nrules:", "")
    rules = ruleset(text)
    what = told(at=epoch(EVENING))
    (again,) = ripen(rules, hold(what, decide(rules, what, facts(EVENING))), frozenset())
    assert again.only == ("one", "two")
    assert outcomes(decide(rules, again, facts(MORNING))) == {"one": "outranked", "two": None}
