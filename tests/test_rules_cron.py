"""Schedules by cron: which times come next, in every night, and for whom."""

from datetime import datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proximity.model import Shopper
from rules.audience import GRACE, Tick, audience, clocks, coming, missed, pairs, ticks_between
from rules.cron import Cron
from rules.decide import decide
from rules.schedule import minutes_of_cron
from rules.triggers import Schedule
from tests.rules.support import ada, epoch, facts, rule, ruleset

PARIS = ZoneInfo("Europe/Paris")

# (cron, after, next). Paris goes to summer time on 2026-03-29 at 02:00 and back on 2026-10-25 at 03:00.
NEXT: list[tuple[str, str, str]] = [
    ("30 17 * * fri", "2026-11-24T12:00:00+01:00", "2026-11-27T17:30:00+01:00"),
    ("30 17 * * 5", "2026-11-27T17:30:00+01:00", "2026-12-04T17:30:00+01:00"),  # the time itself is over
    ("30 17 * * friday", "2026-11-27T17:29:59+01:00", "2026-11-27T17:30:00+01:00"),
    ("0 9 * * 1-5", "2026-11-27T10:00:00+01:00", "2026-11-30T09:00:00+01:00"),
    ("0 9 * * mon-fri", "2026-11-27T10:00:00+01:00", "2026-11-30T09:00:00+01:00"),
    ("0 9 * * 0", "2026-11-27T10:00:00+01:00", "2026-11-29T09:00:00+01:00"),
    ("0 9 * * 7", "2026-11-27T10:00:00+01:00", "2026-11-29T09:00:00+01:00"),
    ("0 9 * * sat-7", "2026-11-28T10:00:00+01:00", "2026-11-29T09:00:00+01:00"),
    ("0 9 * * 6-0", "2026-11-28T10:00:00+01:00", "2026-11-29T09:00:00+01:00"),
    ("*/20 8-9 * * *", "2026-11-24T08:40:00+01:00", "2026-11-24T09:00:00+01:00"),
    ("5/20 8 * * *", "2026-11-24T08:25:00+01:00", "2026-11-24T08:45:00+01:00"),
    ("0,30 12 * * *", "2026-11-24T12:00:00+01:00", "2026-11-24T12:30:00+01:00"),
    ("0 10 1 * *", "2026-11-24T12:00:00+01:00", "2026-12-01T10:00:00+01:00"),
    ("0 10 29 2 *", "2026-11-24T12:00:00+01:00", "2028-02-29T10:00:00+01:00"),
    ("0 10 24 dec *", "2026-11-24T12:00:00+01:00", "2026-12-24T10:00:00+01:00"),
    ("0 10 * december sun", "2026-11-24T12:00:00+01:00", "2026-12-06T10:00:00+01:00"),
    # day and weekday together: one of them is enough, as everywhere in cron
    ("0 10 13 * fri", "2026-11-24T12:00:00+01:00", "2026-11-27T10:00:00+01:00"),
    ("0 10 13 * fri", "2026-12-11T12:00:00+01:00", "2026-12-13T10:00:00+01:00"),
    ("0 10 */2 * fri", "2026-11-24T12:00:00+01:00", "2026-11-27T10:00:00+01:00"),  # a star: both have to fit
    # spring forward: half past two is half past three, once
    ("30 2 * * *", "2026-03-28T12:00:00+01:00", "2026-03-29T03:30:00+02:00"),
    ("30 2 * * *", "2026-03-29T03:30:00+02:00", "2026-03-30T02:30:00+02:00"),
    ("0 3 * * *", "2026-03-29T01:59:00+01:00", "2026-03-29T03:00:00+02:00"),
    ("30 2,3 * * *", "2026-03-29T03:29:00+02:00", "2026-03-29T03:30:00+02:00"),
    ("30 2,3 * * *", "2026-03-29T03:30:00+02:00", "2026-03-30T02:30:00+02:00"),
    # fall back: half past two comes twice, and counts the first time
    ("30 2 * * *", "2026-10-25T01:00:00+02:00", "2026-10-25T02:30:00+02:00"),
    ("30 2 * * *", "2026-10-25T02:30:00+02:00", "2026-10-26T02:30:00+01:00"),
    ("0 3 * * *", "2026-10-25T02:30:00+01:00", "2026-10-25T03:00:00+01:00"),
]


@pytest.mark.parametrize(("text", "after", "expected"), NEXT)
def test_the_next_time(text: str, after: str, expected: str) -> None:
    found = Cron.parse(text).next(epoch(after), PARIS)
    assert found is not None
    assert (
        datetime.fromtimestamp(found, PARIS).isoformat() == datetime.fromtimestamp(epoch(expected), PARIS).isoformat()
    )


@pytest.mark.parametrize(("text", "after", "expected"), NEXT)
def test_the_last_time_is_the_next_of_before(text: str, after: str, expected: str) -> None:
    cron, at = Cron.parse(text), epoch(expected)
    assert cron.last(at, epoch(after), PARIS) == at
    assert cron.last(at - 1, epoch(after), PARIS) is None


lines = st.builds(
    lambda minute, hour, day, month, weekday: f"{minute} {hour} {day} {month} {weekday}",
    st.sampled_from(["*/7", "0", "30", "59", "0,30"]),
    st.sampled_from(["*", "2", "3", "0-4", "23"]),
    st.sampled_from(["*", "25", "29", "*/3"]),
    st.sampled_from(["*", "3", "10", "3,10"]),
    st.sampled_from(["*", "sun", "1-5"]),
)
moments = st.integers(epoch("2026-03-01T00:00:00+01:00") // 60, epoch("2026-11-30T00:00:00+01:00") // 60).map(
    lambda minutes: minutes * 60.0
)


@given(lines, moments)
def test_every_time_fits_its_line_and_none_is_left_out(text: str, after: float) -> None:
    cron = Cron.parse(text)
    found = cron.next(after, PARIS)
    assert found is not None
    assert found > after
    assert cron.last(found, after, PARIS) == found
    local = datetime.fromtimestamp(found, PARIS)
    assert local.minute in cron.minutes
    if not (local.month == 3 and local.day in (28, 29) and local.hour == 3):  # the night without an hour
        assert local.hour in cron.hours
        assert local.weekday() * 1440 + local.hour * 60 + local.minute in minutes_of_cron(cron)


# -- for whom -----------------------------------------------------------------------------------------------------

INSIDE = '{schedule: {cron: "30 17 * * fri", to: {inside: %s}}}'
SEGMENT = '{schedule: {cron: "30 17 * * fri", clock: %s, to: {segment: regulars}}}'
HEADER = "segments: {regulars: shopper.visits_30d >= 3, others: '\"en\" in shopper.languages'}\n"
FRIDAY = epoch("2026-11-27T17:30:00+01:00")
PEOPLE = {
    "ada": ada(),  # visits_30d: 5
    "ben": ada(id="ben", timezone="America/New_York", attributes={"visits_30d": 9}),
    "cleo": ada(id="cleo", attributes={}),
    "dan": ada(id="dan", attributes={"visits_30d": 1}, timezone="Mars/Olympus"),
}
HERE = {
    "ada": frozenset({("paris", "tills"), ("paris", "bakery")}),
    "ben": frozenset({("berlin", "garden")}),
    "eve": frozenset({("paris", "bakery")}),  # nobody whom we know
}


def _audience(when: str, clock: str, header: str = "") -> list[tuple[str, str, str]]:
    rules = ruleset(rule(when=when, header=header))
    return [(one.shopper, one.site, one.zone) for one in audience(rules, Tick("one", clock, FRIDAY), PEOPLE, HERE)]


@pytest.mark.parametrize(
    ("when", "clock", "expected"),
    [
        (INSIDE % "store", "Europe/Paris", [("ada", "paris", "")]),
        (INSIDE % "store", "Europe/Berlin", [("ben", "berlin", "")]),
        (INSIDE % "[bakery, garden]", "Europe/Paris", [("ada", "paris", "bakery")]),
        (INSIDE.replace("inside: %s", "tag: food"), "Europe/Paris", [("ada", "paris", "bakery")]),
        (INSIDE % "entrance", "Europe/Paris", []),
        (INSIDE.replace("to:", "stores: berlin, to:") % "store", "Europe/Paris", []),
        (INSIDE.replace("to:", "clock: Asia/Tokyo, to:") % "store", "Asia/Tokyo",
         [("ada", "paris", ""), ("ben", "berlin", "")]),
        (SEGMENT % "Europe/Paris", "Europe/Paris", [("ada", "", ""), ("ben", "", "")]),
        (SEGMENT % "shopper", "America/New_York", [("ben", "", "")]),
        (SEGMENT % "shopper", "UTC", [("ada", "", "")]),  # of no clock: the stores have none in common
    ],
)  # fmt: skip
def test_a_schedule_is_for_those_inside_or_of_a_segment(
    when: str, clock: str, expected: list[tuple[str, str, str]]
) -> None:
    assert _audience(when, clock, HEADER if "segment" in when else "") == expected


@pytest.mark.parametrize(
    ("when", "expected"),
    [
        (INSIDE % "store", ("Europe/Berlin", "Europe/Paris")),
        (INSIDE.replace("to:", "stores: paris, to:") % "store", ("Europe/Paris",)),
        (INSIDE.replace("to:", "clock: Asia/Tokyo, to:") % "store", ("Asia/Tokyo",)),
        (SEGMENT % "shopper", ("America/New_York", "UTC")),
    ],
)
def test_the_clocks_by_which_it_comes(when: str, expected: tuple[str, ...]) -> None:
    rules = ruleset(rule(when=when, header=HEADER if "segment" in when else ""))
    ((_, schedule),) = rules.schedules
    assert isinstance(schedule, Schedule)
    assert clocks(rules, schedule, PEOPLE.values()) == expected


def test_the_same_tick_decides_nothing_twice() -> None:
    rules = ruleset(rule(when=INSIDE % "store"))
    one, again = (list(audience(rules, Tick("one", "Europe/Paris", FRIDAY), PEOPLE, HERE)) for _ in range(2))
    assert one == again
    (verdict,) = decide(rules, one[0], facts(FRIDAY + 2))
    assert verdict.offer is not None
    assert (verdict.offer.only_while, verdict.offer.on_exit, verdict.offer.zone) == ("store", "keep", "")
    late = decide(rules, one[0], facts(FRIDAY + 301))
    assert late[0].decision.reason == "expired"


def test_ticks_of_a_span_and_what_was_missed() -> None:
    rules = ruleset(rule(when='{schedule: {cron: "*/10 * * * *", to: {inside: store}, stores: paris}}'))
    noon = epoch("2026-11-24T12:00:00+01:00")
    ticks = ticks_between(rules, [], noon, noon + 1800)
    assert [tick.planned - noon for tick in ticks] == [600.0, 1200.0, 1800.0]
    assert pairs(rules, []) == [("one", "Europe/Paris")]
    assert coming(rules, pairs(rules, []), noon) == noon + 600
    since = {("one", "Europe/Paris"): noon}
    assert missed(rules, since, noon + 599) == []
    assert missed(rules, since, noon + 600) == [ticks[0]]
    assert missed(rules, since, noon + 1900) == [ticks[2]]  # of several the last, once
    assert missed(rules, {("one", "Europe/Paris"): noon + 600}, noon + 601) == []  # it was worked off
    assert missed(rules, {("gone", "Europe/Paris"): noon}, noon + 1900) == []


def test_what_was_missed_for_long_is_over() -> None:
    rules = ruleset(rule(when='{schedule: {cron: "0 12 * * *", to: {inside: store}, stores: paris}}'))
    noon = epoch("2026-11-24T12:00:00+01:00")
    since = {("one", "Europe/Paris"): noon - 86_400}
    assert [tick.planned for tick in missed(rules, since, noon + GRACE - 1)] == [noon]
    assert missed(rules, since, noon + GRACE) == []


def test_a_schedule_whose_rule_is_gone_is_for_nobody() -> None:
    assert list(audience(ruleset(rule()), Tick("one", "Europe/Paris", FRIDAY), PEOPLE, HERE)) == []


def test_a_month_of_hours_is_counted_in_full() -> None:
    """Every hour of the week in which the clock goes back: one of them comes twice and counts once."""
    cron, at = Cron.parse("0 * * * *"), epoch("2026-10-19T00:00:00+02:00") - 1
    end, count = at + timedelta(days=7, hours=1).total_seconds(), 0
    while (found := cron.next(at, PARIS)) is not None and found <= end:
        at, count = found, count + 1
    assert count == 7 * 24


def test_shoppers_of_the_audience_need_no_attributes() -> None:
    rules = ruleset(rule(when=(SEGMENT % "Europe/Paris").replace("regulars", "others"), header=HEADER))
    found = audience(rules, Tick("one", "Europe/Paris", FRIDAY), {"x": Shopper("x", languages=("en",))}, {})
    assert [one.shopper for one in found] == ["x"]
