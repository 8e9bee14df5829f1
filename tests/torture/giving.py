"""The pages of the ledger about what was given away: offers, coupons and budgets, in the database and at the receivers.

Of coupons and budgets the book has every change in the order of the commits, so that what stood in the database for a
moment only counts as well.
"""

import sqlite3
from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from tests.torture.promises import Limit, Promises
from tests.torture.record import Record, plain
from tests.torture.violation import Violation, some

WINDOW = 64  # deliveries of a channel in the worker's hands at a kill: see proximity.delivery.lane
ROUNDING = 0.002  # s: receivers are told milliseconds
IN_FORCE = ("reserved", "issued", "redeemed")

Found = Iterator[Violation]

COUNTED = """
    SELECT shopper, rule, created FROM offers WHERE state IN ('queued', 'sent') OR EXISTS (
        SELECT 1 FROM deliveries WHERE offer = offers.id AND kind = 'offer' AND handed IS NOT NULL)
"""
# Handed over and killed before that was recorded, then taken back: neither the limits nor the books know of these.
UNRECORDED = """
    SELECT id FROM offers WHERE state NOT IN ('queued', 'sent') AND NOT EXISTS (
        SELECT 1 FROM deliveries WHERE offer = offers.id AND kind = 'offer' AND handed IS NOT NULL)
"""
# Withdrawn, with no word to the app that takes it back; of one that has expired none is needed.
NOT_TAKEN_BACK = """
    SELECT offers.id FROM offers JOIN deliveries ON offer = offers.id WHERE offers.state = 'withdrawn'
        AND kind = 'offer' AND channel = 'mqtt' AND (deliveries.state = 'sent' OR (
            deliveries.state = 'skipped' AND reason <> 'expired'))
        AND NOT EXISTS (SELECT 1 FROM deliveries WHERE offer = offers.id AND kind = 'withdraw' AND channel = 'mqtt')
"""


def figures(connection: sqlite3.Connection, record: Record) -> dict[str, int]:
    """How much there was to go wrong."""

    def count(query: str) -> int:
        number: int = connection.execute(f"SELECT count(*) FROM {query}").fetchone()[0]
        return number

    return {
        "transitions": count("transitions"),
        "offers": count(f"({COUNTED})"),
        "offers received": len(record.offers),
        "received twice": sum(record.times.values()) - len(record.times),
        "received unrecorded": len(record.offers.keys() & _ids(connection, UNRECORDED)),
        "coupons": count("coupons WHERE state <> 'released'"),
        "coupons redeemed": count("coupons WHERE state = 'redeemed'"),
        "withheld by limits": count("decisions WHERE reason = 'limit_reached'"),
        "withheld by budgets": count("decisions WHERE reason = 'budget_spent'"),
    }


def causes_once(connection: sqlite3.Connection) -> Found:
    """A rule decides once about a transition, and an offer has a decision that sent it."""
    query = "SELECT transition, rule FROM decisions GROUP BY transition, rule HAVING count(*) > 1"
    yield from some("decided_twice", _pairs(connection, query), "transitions were decided twice by one rule")
    query = "SELECT id FROM offers WHERE id NOT IN (SELECT id FROM decisions WHERE outcome = 'sent')"
    yield from some("offer_uncaused", _ids(connection, query), "offers have no decision that sent them")


def limits_kept(connection: sqlite3.Connection, promises: Promises) -> Found:
    """No shopper was sent more in any stretch of time than the rules allow."""
    sent = [(shopper, rule, at) for shopper, rule, at in connection.execute(f"{COUNTED} ORDER BY created")]
    yield from _within_limits(sent, promises, "limit_passed", "was sent", 0.0)


def _within_limits(
    sent: Sequence[tuple[str, str, float]], promises: Promises, name: str, what: str, slack: float
) -> Found:
    """`sent`: shopper, rule, moment, in the order of time."""
    by_rule: dict[tuple[str, str], list[float]] = defaultdict(list)
    by_shopper: dict[str, list[float]] = defaultdict(list)
    for shopper, rule, at in sent:
        by_rule[shopper, rule].append(at)
        by_shopper[shopper].append(at)
    for (shopper, rule), times in by_rule.items():
        for limit in promises.rules[rule].limits:
            if _passed(times, limit, slack):
                yield Violation(name, f"{shopper} {what} {rule} more than {limit.most} times in {limit.every:.0f} s")
    for shopper, times in by_shopper.items():
        for limit in promises.limits:
            if _passed(times, limit, slack):
                yield Violation(name, f"{shopper} {what} more than {limit.most} offers in {limit.every:.0f} s")


def _passed(times: Sequence[float], limit: Limit, slack: float) -> bool:
    return any(last - first < limit.every - slack for first, last in zip(times, times[limit.most :], strict=False))


@dataclass(slots=True)
class _Given:
    rule: str
    shopper: str
    worth: int
    state: str


def budgets_kept(connection: sqlite3.Connection, promises: Promises) -> Found:
    """At no moment were more coupons in force than a budget has, or for more money, or more than one may hold."""
    given: dict[str, _Given] = {}
    passed: dict[tuple[str, str], str] = {}
    for id_, rule, shopper, state, costs in connection.execute(
        "SELECT id, rule, shopper, state, costs FROM torture_coupons ORDER BY number"
    ):
        given[id_] = _Given(rule, shopper, costs, state)
        promise = promises.rules[rule]
        now = [one for one in given.values() if one.rule == rule and one.state in IN_FORCE]
        spend, held = sum(one.worth for one in now), sum(one.shopper == shopper for one in now)
        if promise.most_coupons is not None and len(now) > promise.most_coupons:
            passed["budget_passed", rule] = f"{rule}: {len(now)} coupons at once, of {promise.most_coupons}"
        if promise.most_spend is not None and spend > promise.most_spend:
            passed["spend_passed", rule] = f"{rule}: {spend} hundredths at once, of {promise.most_spend}"
        if promise.per_shopper is not None and held > promise.per_shopper:
            passed["held_too_many", rule] = f"{rule}: {shopper} held {held} coupons, of {promise.per_shopper}"
    yield from (Violation(name, detail) for (name, _), detail in passed.items())
    for rule, coupons, spend in connection.execute("SELECT rule, coupons, spend FROM torture_budgets"):
        promise = promises.rules[rule]
        if (
            coupons > (promise.most_coupons or coupons)
            or spend > (promise.most_spend or spend)
            or min(coupons, spend) < 0
        ):
            yield Violation("budget_misread", f"{rule}: {coupons} coupons and {spend} hundredths were written down")
    yield from _sums(connection)


def _sums(connection: sqlite3.Connection) -> Found:
    """What is written down as gone is what the coupons hold."""
    query = f"""
        SELECT budgets.rule, budgets.coupons, budgets.spend, count(held.id), coalesce(sum(held.costs), 0)
        FROM budgets LEFT JOIN (
            SELECT id, rule, coalesce(discount, worth) AS costs FROM coupons WHERE state IN {IN_FORCE}
        ) AS held ON held.rule = budgets.rule GROUP BY budgets.rule
    """
    for rule, coupons, spend, held, costs in connection.execute(query):
        if (coupons, spend) != (held, costs):
            detail = f"{rule}: {coupons} coupons and {spend} hundredths are gone, but {held} and {costs} are held"
            yield Violation("budget_differs", detail)


def coupons_once(connection: sqlite3.Connection, promises: Promises) -> Found:
    """Each offer that promises a coupon has one, and each coupon has its offer."""
    with_coupon = [rule for rule, promise in promises.rules.items() if promise.coupon]
    marks = ",".join("?" * len(with_coupon))
    query = f"SELECT id FROM offers WHERE rule IN ({marks}) AND id NOT IN (SELECT id FROM coupons)"
    bare = {row[0] for row in connection.execute(query, with_coupon)}
    yield from some("coupon_missing", bare, "offers lack their coupon")
    loose = _ids(connection, "SELECT id FROM coupons WHERE id NOT IN (SELECT id FROM offers)")
    yield from some("coupon_loose", loose, "coupons belong to no offer")


def tills_answered(connection: sqlite3.Connection, record: Record) -> Found:
    """What a till was told is redeemed is redeemed, for that amount, and no coupon was taken by two."""
    known = {code: (state, discount) for code, state, discount in connection.execute(
        "SELECT code, state, discount FROM coupons")}  # fmt: skip
    taken = Counter(one.code for one in record.redeemed.values())
    yield from some("redeemed_twice", {code for code, n in taken.items() if n > 1}, "coupons were taken twice")
    lost = {one.code for one in record.redeemed.values() if known.get(one.code) != ("redeemed", one.discount)}
    yield from some("redeemed_lost", lost, "coupons were taken at a till and are not redeemed")


def received(connection: sqlite3.Connection, promises: Promises, record: Record) -> Found:
    """The same promises, by what came out: the shoppers' apps."""
    known = {id_: (rule, shopper) for id_, rule, shopper in connection.execute("SELECT id, rule, shopper FROM offers")}
    codes = dict(connection.execute("SELECT id, code FROM coupons").fetchall())
    causes = {id_: (transition, rule) for id_, transition, rule in connection.execute(
        "SELECT id, transition, rule FROM decisions")}  # fmt: skip
    rules = {id_: promises.titles[one.title] for id_, one in record.offers.items()}
    strange = {id_ for id_, one in record.offers.items() if known.get(id_) != (rules[id_], one.shopper)}
    yield from some("received_unknown", strange, "offers came to an app that the database does not know so")
    caused = Counter(causes[id_] for id_ in record.offers if id_ in causes)
    yield from some("cause_twice", {one for one, n in caused.items() if n > 1}, "causes brought two offers to an app")
    # A kill between hand-over and record sends again what was in hand, under the same id: apps tell by it.
    twice = sum(record.times.values()) - len(record.times)
    if twice > record.kills * WINDOW:
        yield Violation("received_twice", f"{twice} offers came twice after {record.kills} kills")
    with_coupon = {id_: one for id_, one in record.offers.items() if promises.rules[rules[id_]].coupon}
    wrong = {id_ for id_, one in with_coupon.items() if codes.get(id_) != plain(one.body)}
    yield from some("received_code", wrong, "offers came with a code that is not theirs")
    given = Counter(plain(one.body) for one in with_coupon.values())
    yield from some("code_twice", {code for code, n in given.items() if n > 1}, "codes came with two offers")
    for rule, count in Counter(rules[id_] for id_ in with_coupon).items():
        promise = promises.rules[rule]
        if promise.keeps and promise.most_coupons is not None and count > promise.most_coupons:
            yield Violation("received_over_budget", f"{rule}: {count} coupons came, of {promise.most_coupons}")
    shown = record.offers.keys() & _ids(connection, NOT_TAKEN_BACK)
    yield from some("received_not_taken_back", shown, "offers came, were withdrawn and never taken back")
    unrecorded = record.offers.keys() & _ids(connection, UNRECORDED)
    kept = {id_ for id_ in unrecorded if promises.rules[rules[id_]].keeps}
    yield from some("received_unsent", kept, "offers came that are to be kept and that count as never sent")
    if len(unrecorded) > record.kills * WINDOW:
        yield Violation("received_unrecorded", f"{len(unrecorded)} after {record.kills} kills")
    counted = sorted(
        ((one.shopper, rules[id_], one.created) for id_, one in record.offers.items() if id_ not in unrecorded),
        key=lambda one: one[2],
    )
    yield from _within_limits(counted, promises, "received_too_many", "received", ROUNDING)


def _ids(connection: sqlite3.Connection, query: str) -> set[str]:
    return {row[0] for row in connection.execute(query)}


def _pairs(connection: sqlite3.Connection, query: str) -> set[tuple[str, str]]:
    return {(row[0], row[1]) for row in connection.execute(query)}
