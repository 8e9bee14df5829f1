"""Tests of rules with state, schedules, events, approaches and crowds: the simulated shop plays them on its clock."""

from pathlib import Path

import pytest

from rules.catalog import Catalog
from rules.testing.judge import Failure, judge
from rules.testing.read import read_suite

HEAD = """
rules: [shop.rules.yaml]
clock: "2026-11-24T11:58:00+01:00"
fixtures:
  stores:
    - id: paris
      timezone: Europe/Paris
      zones: [entrance, coffee-aisle, tills, {id: car-park, tags: [parking]}]
  shoppers:
    - {id: ada, languages: [en], attributes: {visits_30d: 0}, consents: {in-store-offers: true}}
    - {id: ben, attributes: {visits_30d: 3}, consents: {in-store-offers: true}}
  attributes: attributes.yaml
"""
ATTRIBUTES = """
attributes: {shopper: {visits_30d: int}}
events: {basket_add: {category: string}, qr_scanned: {code: string}}
"""
SAY = '    say: {en: {title: "T", body: "B"}}\n'
RULES = f"""
windows:
  night: {{from: "22:00", to: "08:30"}}
segments: {{lapsed: shopper.visits_30d == 0}}
rules:
  - id: linger
    when: {{dwell: {{zone: coffee-aisle, for: 60s, forgive: 15s}}}}
{SAY}  - id: socks
    when:
      sequence:
        within: 10m
        steps: [{{dwell: {{zone: coffee-aisle, for: 60s, forgive: 15s}}}}, {{enter: {{zone: tills}}}}]
        without: {{event: {{name: basket_add, match: 'event.category == "socks"'}}}}
{SAY}  - id: near
    when: {{approach: {{place: store, within: 400m}}}}
    say: {{en: {{title: "{{{{ approach.metres | default: 0 }}}} m", body: "B"}}}}
  - id: soon
    when: {{approach: {{tag: parking, within: 5min}}}}
{SAY}  - id: through
    when: {{cross: {{zone: car-park}}}}
{SAY}  - id: scanned
    when: {{event: {{name: qr_scanned, match: 'event.code == "A"'}}}}
    quiet: {{window: night, clock: store, then: hold}}
    say: {{en: {{title: "{{{{ event.code | default: '?' }}}}", body: "B"}}}}
  - id: tasting
    when: {{schedule: {{cron: "0 12 * * *", to: {{inside: [entrance, coffee-aisle]}}}}}}
{SAY}  - id: letter
    when: {{schedule: {{cron: "0 10 * * wed", to: {{segment: lapsed}}}}}}
{SAY}  - id: away
    when: {{absence: {{for: 30d}}}}
{SAY}  - id: few
    when: {{enter: {{zone: tills}}}}
    offer: {{coupon: {{percent_off: 20, valid_for: 45m}}, budget: {{coupons: 5000, reserve_for: 45m}}}}
{SAY}"""


def play(folder: Path, text: str) -> list[tuple[Failure, ...]]:
    """The failures of each test of a file."""
    (folder / "shop.rules.yaml").write_text(RULES)
    (folder / "attributes.yaml").write_text(ATTRIBUTES)
    (folder / "shop.test.yaml").write_text(HEAD + text)
    suite = read_suite(folder / "shop.test.yaml", Catalog(), {})
    assert [one.render() for one in suite.errors] == []
    return [result.failures for result in judge(suite)]


IN = "{at: 0s, enter: coffee-aisle}, {at: 10s, seen: coffee-aisle, every: 10s, until: 30s}"
# Each row: what it shows, keys of the test, its events, what is expected.
STORIES: list[tuple[str, str, str, str]] = [
    ("a short time away is forgiven", "shopper: ada",
     f"{IN}, {{at: 30s, exit: coffee-aisle}}, {{at: 45s, enter: coffee-aisle}}, "
     "{at: 50s, seen: coffee-aisle, every: 10s, until: 90s}",
     "{at: 59s, sent: []}, {at: 60s, sent: [{rule: linger, at: 60s}]}, {at: 90s, sent: [{rule: linger}]}"),
    ("what fell due while away is told on the return", "shopper: ada",
     "{at: 0s, enter: coffee-aisle}, {at: 10s, seen: coffee-aisle, every: 10s, until: 50s}, "
     "{at: 55s, exit: coffee-aisle}, {at: 65s, enter: coffee-aisle}",
     "{at: 64s, sent: []}, {at: 70s, sent: [{rule: linger, at: 65s}]}"),
    ("a long one is not", "shopper: ada",
     f"{IN}, {{at: 30s, exit: coffee-aisle}}, {{at: 46s, enter: coffee-aisle}}, "
     "{at: 50s, seen: coffee-aisle, every: 10s, until: 80s}", "{at: 90s, sent: []}"),
    ("a dwell that forgives is told once", "shopper: ada",
     "{at: 0s, enter: coffee-aisle}, {at: 10s, seen: coffee-aisle, every: 10s, until: 70s}, "
     "{at: 75s, exit: coffee-aisle}, {at: 80s, enter: coffee-aisle}, "
     "{at: 90s, seen: coffee-aisle, every: 10s, until: 110s}",
     "{at: 119s, sent: [{rule: linger, at: 60s}]}"),
    ("a sequence", "shopper: ada",
     "{at: 0s, enter: coffee-aisle}, {at: 10s, seen: coffee-aisle, every: 10s, until: 60s}, {at: 3m, enter: tills}",
     "{at: 3m, sent: [{rule: linger}, {rule: socks, at: 3m}, {rule: few}]}"),
    ("a sequence that must not have had something", "shopper: ada",
     "{at: 0s, enter: coffee-aisle}, {at: 10s, seen: coffee-aisle, every: 10s, until: 60s}, "
     "{at: 2m, event: basket_add, data: {category: socks}}, {at: 3m, enter: tills}",
     "{at: 3m, sent: [{rule: linger}, {rule: few}]}"),
    ("an approach, once, and again from far away", "shopper: ada",
     "{at: 0s, approach: store, distance: 450m}, {at: 10s, approach: store, distance: 380m}, "
     "{at: 20s, approach: store, distance: 200m}, {at: 30s, approach: store, distance: 0.7km}, "
     "{at: 40s, approach: store, distance: 400m}",
     '{at: 9s, sent: []}, {at: 30s, sent: [{rule: near, title: "380 m", at: 10s}]}, '
     '{at: 1m, sent: [{rule: near}, {rule: near, title: "400 m"}]}'),
    ("an approach by time", "shopper: ada", "{at: 0s, approach: car-park, eta: 6min, distance: 3km}, "
     "{at: 60s, approach: car-park, eta: 5min}", "{at: 59s, sent: []}, {at: 60s, sent: [{rule: soon}]}"),
    ("a way through", "shopper: ada", "{at: 5s, cross: car-park}", "{at: 5s, sent: [{rule: through}]}"),
    ("an event that matches, and one that does not", "shopper: ada",
     "{at: 1s, event: qr_scanned, data: {code: B}}, {at: 2s, event: qr_scanned, data: {code: A}, online: true}",
     '{at: 1s, sent: []}, {at: 2s, sent: [{rule: scanned, title: "A"}]}'),
    ("an event in the night is held until the morning", 'shopper: ada, clock: "2026-11-24T23:00:00+01:00"',
     "{at: 0s, event: qr_scanned, data: {code: A}}",
     "{at: 9h, sent: [], not_sent: [{rule: scanned, because: quiet_hours}]}, "
     "{at: 570m, sent: [{rule: scanned, at: 570m}]}"),
    ("of what is held the latest counts", 'shopper: ada, clock: "2026-11-24T23:00:00+01:00"',
     "{at: 0s, event: qr_scanned, data: {code: A}}, {at: 1h, event: qr_scanned, data: {code: A}}",
     "{at: 10h, sent: [{rule: scanned, at: 570m}]}"),
    ("a consent is asked for again in the morning",
     'clock: "2026-11-24T23:00:00+01:00", given: {consents: {in-store-offers: false}}',
     "{at: 0s, event: qr_scanned, data: {code: A}}",
     "{at: 10h, sent: [], not_sent: [{rule: scanned, because: no_consent}]}"),
    ("a schedule for those inside", "shopper: ada", IN.replace("30s", "3m"),
     "{at: 119s, sent: [{rule: linger}]}, {at: 2m, sent: [{rule: linger}, {rule: tasting, at: 2m}]}"),
    ("a schedule finds nobody", "shopper: ada", "{at: 1m, cross: car-park}", "{at: 5m, sent: [{rule: through}]}"),
    ("a schedule for a segment", "shopper: ada", "{at: 0s, cross: car-park}",
     "{at: 24h, sent: [{rule: through}, {rule: letter, at: 79320s}]}"),
    ("a schedule for a segment, and somebody else", "shopper: ben", "{at: 0s, cross: car-park}",
     "{at: 24h, sent: [{rule: through}]}"),
    ("an absence", "shopper: ben", "{at: 0s, enter: entrance}, {at: 10s, exit: entrance}",
     "{at: 29d, sent: []}, {at: 31d, sent: [{rule: away, at: 2592010s}]}, {at: 90d, sent: [{rule: away}]}"),
    ("an absence that ends", "shopper: ben", "{at: 0s, enter: entrance}, {at: 10s, exit: entrance}, "
     "{at: 20d, enter: entrance}, {at: 481h, exit: entrance}", "{at: 40d, sent: []}, {at: 51d, sent: [{rule: away}]}"),
    ("a thousand shoppers cannot exceed the budget",
     "crowd: {shoppers: 1000, same_instant: true}, given: {budget: {few: {coupons: 100}}}", "{at: 0s, enter: tills}",
     "{at: 1s, coupons_issued: 100, offers_sent: 100, not_sent_because: {budget_spent: 900}}"),
    ("a crowd one after the other", "shopper: ben, crowd: {shoppers: 10, same_instant: false}",
     "{at: 0s, enter: tills}",
     "{at: 4s, coupons_issued: 5}, {at: 20s, coupons_issued: 10, not_sent_because: {budget_spent: 0}}"),
    ("what nobody saw uses up no budget",
     "faults: {push_delay: 40s}, given: {budget: {few: {coupons: 1}}}, shopper: ben",
     "{at: 0s, enter: tills}, {at: 5s, exit: tills}, {at: 50s, enter: tills}, "
     "{at: 60s, seen: tills, every: 5s, until: 2m}",
     "{at: 2m, coupons_issued: 1, sent: [{rule: few, at: 90s}]}"),
]  # fmt: skip


@pytest.mark.parametrize(("keys", "events", "expect"), [row[1:] for row in STORIES], ids=[row[0] for row in STORIES])
def test_stories(tmp_path: Path, keys: str, events: str, expect: str) -> None:
    text = f"tests:\n  - {{name: one, {keys}, events: [{events}], expect: [{expect}]}}\n"
    assert play(tmp_path, text) == [()]


@pytest.mark.parametrize(
    ("keys", "expect", "what", "diff"),
    [
        ("crowd: {shoppers: 3}", "{at: 1s, offers_sent: 2}", "at 1s: offers_sent",
         ("- offers_sent: 2", "+ offers_sent: 3")),
        ("crowd: {shoppers: 3}", "{at: 1s, coupons_issued: 4}", "at 1s: coupons_issued",
         ("- coupons_issued: 4", "+ coupons_issued: 3")),
        ("crowd: {shoppers: 3}, given: {budget: {few: {coupons: 1}}}", "{at: 1s, not_sent_because: {budget_spent: 1}}",
         "at 1s: not_sent_because", ("- {budget_spent: 1}", "+ {budget_spent: 2}")),
    ],
)  # fmt: skip
def test_a_failure_shows_the_numbers(tmp_path: Path, keys: str, expect: str, what: str, diff: tuple[str, ...]) -> None:
    text = f"tests:\n  - {{name: one, {keys}, events: [{{at: 0s, enter: tills}}], expect: [{expect}]}}\n"
    ((failure,),) = play(tmp_path, text)
    assert (failure.what, failure.diff) == (what, diff)
