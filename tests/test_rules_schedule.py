"""Time: windows on wall clocks, midnight, both changes of the clock, holidays, dates, calendar periods."""

from datetime import datetime
from zoneinfo import ZoneInfo

import pytest

from rules.catalog import Store
from rules.schedule import Place, Window, local_time, minutes_of_week, period_start, window_end
from tests.rules.support import BERLIN, PARIS, ada, epoch, facts, happening, only, rule, sent

PLACE = Place.of(PARIS)

# (window, clock, instant, inside). Paris goes to summer time on 2026-03-29 at 02:00 and back on 2026-10-25 at 03:00.
WINDOWS: list[tuple[str, str, str, bool]] = [
    # plain hours: the start is in, the end is not
    ('{from: "11:30", to: "14:00"}', "store", "2026-11-24T11:29:59+01:00", False),
    ('{from: "11:30", to: "14:00"}', "store", "2026-11-24T11:30:00+01:00", True),
    ('{from: "11:30", to: "14:00"}', "store", "2026-11-24T13:59:59+01:00", True),
    ('{from: "11:30", to: "14:00"}', "store", "2026-11-24T14:00:00+01:00", False),
    ('{from: "22:00"}', "store", "2026-11-24T23:59:59+01:00", True),
    ('{to: "06:00"}', "store", "2026-11-24T00:00:00+01:00", True),
    ('{from: "20:00", to: "24:00"}', "store", "2026-11-24T23:59:00+01:00", True),
    # over midnight
    ('{from: "21:00", to: "08:30"}', "store", "2026-11-24T21:00:00+01:00", True),
    ('{from: "21:00", to: "08:30"}', "store", "2026-11-25T08:29:00+01:00", True),
    ('{from: "21:00", to: "08:30"}', "store", "2026-11-25T08:30:00+01:00", False),
    # over midnight the day is that of the start: Friday's night ends on Saturday morning
    ('{days: [fri], from: "21:00", to: "08:30"}', "store", "2026-11-28T02:00:00+01:00", True),
    ('{days: [sat], from: "21:00", to: "08:30"}', "store", "2026-11-28T02:00:00+01:00", False),
    ('{days: [sun], from: "21:00", to: "08:30"}', "store", "2026-11-30T02:00:00+01:00", True),
    # days
    ("{days: [sat, sun]}", "store", "2026-11-29T23:59:59+01:00", True),
    ("{days: [sat, sun]}", "store", "2026-11-30T00:00:00+01:00", False),
    # spring forward: 01:59 is followed by 03:00
    ('{from: "21:00", to: "08:30"}', "store", "2026-03-29T08:29:00+02:00", True),
    ('{from: "21:00", to: "08:30"}', "store", "2026-03-29T08:30:00+02:00", False),
    ('{from: "02:00", to: "03:00"}', "store", "2026-03-29T01:59:59+01:00", False),
    ('{from: "02:00", to: "03:00"}', "store", "2026-03-29T03:00:00+02:00", False),
    ('{from: "01:30", to: "03:30"}', "store", "2026-03-29T03:15:00+02:00", True),
    # fall back: 02:00 to 03:00 comes twice
    ('{from: "02:00", to: "03:00"}', "store", "2026-10-25T02:30:00+02:00", True),
    ('{from: "02:00", to: "03:00"}', "store", "2026-10-25T02:30:00+01:00", True),
    ('{from: "02:00", to: "03:00"}', "store", "2026-10-25T03:00:00+01:00", False),
    ('{from: "21:00", to: "08:30"}', "store", "2026-10-25T08:29:00+01:00", True),
    # public holidays of the store's country, and single dates
    ("{days: [tue], except: [public-holidays]}", "store", "2026-07-14T12:00:00+02:00", False),
    ("{days: [tue], except: [public-holidays]}", "store", "2026-07-21T12:00:00+02:00", True),
    ('{days: [tue], except: ["2026-07-21"]}', "store", "2026-07-21T12:00:00+02:00", False),
    ('{from: "21:00", to: "08:30", except: [public-holidays]}', "store", "2026-07-15T02:00:00+02:00", False),
    # clocks: 12:00 in Paris is 6:00 in New York and 20:00 in Tokyo
    ('{from: "06:00", to: "07:00"}', "America/New_York", "2026-11-24T12:00:00+01:00", True),
    ('{from: "20:00", to: "21:00"}', "shopper", "2026-11-24T12:00:00+01:00", True),
    ('{from: "12:00", to: "13:00"}', "shopper", "2026-11-24T12:00:00+01:00", False),
]


@pytest.mark.parametrize(("window", "clock", "at", "inside"), WINDOWS)
def test_windows(window: str, clock: str, at: str, inside: bool) -> None:
    header = f"windows: {{w: {window.rstrip('}')}, clock: {clock}}}}}\n"
    text = rule("    where: {during: w}", header=header)
    shopper = ada(timezone="Asia/Tokyo")
    decision = only(text, happening(at=at), facts(at, shopper=shopper)).decision
    assert decision.reason == (None if inside else "outside_window"), decision.detail


@pytest.mark.parametrize(
    ("quiet", "timezone", "reason"),
    [
        ("{window: night}", "Asia/Tokyo", "quiet_hours"),  # 12:00 in Paris is 20:00 there
        ("{window: night, clock: shopper}", "Asia/Tokyo", "quiet_hours"),
        ("{window: night, clock: shopper}", None, None),  # unknown: the store's
        ("{window: night, clock: shopper}", "Mars/Olympus", None),
        ("{window: night, clock: store}", "Asia/Tokyo", None),
        ("{window: night, clock: Asia/Tokyo}", None, "quiet_hours"),
    ],
)
def test_quiet_hours_are_on_the_shoppers_clock_unless_told_otherwise(
    quiet: str, timezone: str | None, reason: str | None
) -> None:
    header = f'windows: {{night: {{from: "19:30", to: "08:30"}}}}\ndefaults: {{quiet: {quiet}}}\n'
    shopper = ada(timezone=timezone)
    assert only(rule(header=header), happening(), facts(shopper=shopper)).decision.reason == reason


@pytest.mark.parametrize(
    ("runs", "at", "reason"),
    [
        ('{from: "2026-11-20T09:00"}', "2026-11-20T08:59:00+01:00", "not_live"),
        ('{from: "2026-11-20T09:00"}', "2026-11-20T09:00:00+01:00", None),
        ('{until: "2026-12-24T20:00"}', "2026-12-24T19:59:59+01:00", None),
        ('{until: "2026-12-24T20:00"}', "2026-12-24T20:00:00+01:00", "not_live"),
        ('{until: "2026-12-24"}', "2026-12-24T23:59:00+01:00", None),  # a date is the whole of the day
        ('{until: "2026-12-24"}', "2026-12-25T00:00:00+01:00", "not_live"),
        ('{from: "2026-11-20T09:00:00+00:00"}', "2026-11-20T09:59:00+01:00", "not_live"),
        ('{from: "2026-11-20T09:00:00+00:00"}', "2026-11-20T10:00:00+01:00", None),
    ],
)
def test_dates_between_which_a_rule_runs(runs: str, at: str, reason: str | None) -> None:
    assert only(rule(f"    runs: {runs}"), happening(at=at), facts(at)).decision.reason == reason


def test_dates_go_by_the_default_clock() -> None:
    text = rule('    runs: {from: "2026-11-24T18:00"}', header="defaults: {timezone: Asia/Tokyo}")
    assert only(text, happening(), facts()).decision.reason is None  # 12:00 in Paris is 20:00 there


@pytest.mark.parametrize(
    ("at", "seconds", "start"),
    [
        ("2026-11-24T12:00:00+01:00", 86400, "2026-11-24T00:00:00+01:00"),
        ("2026-11-24T12:00:00+01:00", 604800, "2026-11-23T00:00:00+01:00"),  # Monday
        ("2026-03-29T12:00:00+02:00", 86400, "2026-03-29T00:00:00+01:00"),  # a day of 23 hours
        ("2026-10-25T23:30:00+01:00", 86400, "2026-10-25T00:00:00+02:00"),  # a day of 25 hours
        ("2026-10-25T23:30:00+01:00", 604800, "2026-10-19T00:00:00+02:00"),
    ],
)
def test_calendar_periods_begin_at_local_midnight(at: str, seconds: int, start: str) -> None:
    assert period_start(local_time(epoch(at), "store", PLACE, None), seconds) == epoch(start)


def test_minutes_of_a_week() -> None:
    assert len(minutes_of_week(Window("w", "store"))) == 7 * 1440
    night = minutes_of_week(Window("w", "store", 22 * 60, 6 * 60, frozenset({6})))  # Sunday night runs into Monday
    assert len(night) == 8 * 60
    assert 0 in night
    assert 359 in night
    assert 360 not in night


def test_opening_hours_in_the_stores_zone() -> None:
    assert PLACE.is_open(epoch("2026-11-24T08:30:00+00:00")) is True
    assert PLACE.is_open(epoch("2026-11-24T07:59:00+00:00")) is False
    assert Place.of(BERLIN).is_open(epoch("2026-11-24T12:00:00+01:00")) is None


def test_local_time_reads_the_clock_that_is_asked_for() -> None:
    at = epoch("2026-11-24T12:00:00+01:00")
    assert local_time(at, "America/New_York", PLACE, None) == datetime(
        2026, 11, 24, 6, tzinfo=ZoneInfo("America/New_York")
    )
    assert local_time(at, "shopper", PLACE, None).hour == 12


# -- the nights in which the clock changes ----------------------------------------------------------------------------

ROUND_THE_CLOCK = Store("kiosk", "Europe/Paris", country="FR", opening_hours="Mo-Su 01:00-02:30,03:30-22:00")


@pytest.mark.parametrize(
    ("at", "is_open"),
    [
        # spring forward: the half hour after two does not exist, and the shutters go down on time
        ("2026-03-29T01:59:00+01:00", True),
        ("2026-03-29T03:00:00+02:00", False),
        ("2026-03-29T03:29:00+02:00", False),
        ("2026-03-29T03:30:00+02:00", True),
        # fall back: the hour from two to three comes twice, and half of each is open
        ("2026-10-25T02:29:00+02:00", True),
        ("2026-10-25T02:31:00+02:00", False),
        ("2026-10-25T02:31:00+01:00", False),
        ("2026-10-25T03:29:00+01:00", False),
        ("2026-10-25T03:30:00+01:00", True),
    ],
)
def test_opening_hours_in_the_nights_of_a_change(at: str, is_open: bool) -> None:
    assert Place.of(ROUND_THE_CLOCK).is_open(epoch(at)) is is_open


@pytest.mark.parametrize(
    ("limit", "before", "at", "reason"),
    [
        # a calendar day is as long as the wall clock makes it: 23 hours in March, 25 in October
        ("{scope: rule, max: 1, every: 24h, window: calendar}", "2026-03-29T00:10:00+01:00",
         "2026-03-29T23:50:00+02:00", "limit_reached"),
        ("{scope: rule, max: 1, every: 24h, window: calendar}", "2026-03-28T23:50:00+01:00",
         "2026-03-29T00:10:00+01:00", None),
        ("{scope: rule, max: 1, every: 24h, window: calendar}", "2026-10-25T00:10:00+02:00",
         "2026-10-25T23:50:00+01:00", "limit_reached"),
        ("{scope: rule, max: 1, every: 24h, window: calendar}", "2026-10-25T23:50:00+01:00",
         "2026-10-26T00:10:00+01:00", None),
        ("{scope: rule, max: 1, every: 7d, window: calendar}", "2026-10-19T00:10:00+02:00",
         "2026-10-25T23:50:00+01:00", "limit_reached"),
        ("{scope: rule, max: 1, every: 7d, window: calendar}", "2026-03-29T23:50:00+02:00",
         "2026-03-30T00:10:00+02:00", None),
        # a rolling window is hours that pass, whatever the wall says
        ("{scope: rule, max: 1, every: 24h}", "2026-03-28T12:00:00+01:00",
         "2026-03-29T12:59:00+02:00", "limit_reached"),
        ("{scope: rule, max: 1, every: 24h}", "2026-03-28T12:00:00+01:00", "2026-03-29T13:00:00+02:00", None),
        ("{scope: rule, max: 1, every: 24h}", "2026-10-24T12:00:00+02:00",
         "2026-10-25T10:59:00+01:00", "limit_reached"),
        ("{scope: rule, max: 1, every: 24h}", "2026-10-24T12:00:00+02:00", "2026-10-25T11:00:00+01:00", None),
        ("{scope: rule, max: 1, every: 1h}", "2026-10-25T02:30:00+02:00", "2026-10-25T02:29:00+01:00", "limit_reached"),
        ("{scope: rule, max: 1, every: 1h}", "2026-10-25T02:30:00+02:00", "2026-10-25T02:30:00+01:00", None),
    ],
)  # fmt: skip
def test_limits_over_a_change_of_the_clock(limit: str, before: str, at: str, reason: str | None) -> None:
    known = facts(at, history=[sent("one", epoch(before))])
    assert only(rule(f"    limits: [{limit}]"), happening(at=at), known).decision.reason == reason


@pytest.mark.parametrize(
    ("country", "at", "closed"),
    [
        ("FR", "2026-07-14T12:00:00+02:00", True),
        ("DE", "2026-07-14T12:00:00+02:00", False),  # a holiday of another country
        ("DE", "2026-10-03T12:00:00+02:00", True),
        ("FR", "2026-04-06T12:00:00+02:00", True),  # Easter Monday moves
        (None, "2026-07-14T12:00:00+02:00", False),  # nobody knows
        ("XX", "2026-07-14T12:00:00+02:00", False),
    ],
)
def test_public_holidays_are_those_of_the_store(country: str | None, at: str, closed: bool) -> None:
    window = Window("w", "store", public_holidays=True)
    assert window.is_open(datetime.fromisoformat(at), country) is not closed


@pytest.mark.parametrize(
    ("window", "at", "ends"),
    [
        (Window("w", "store", 1260, 510), "2026-11-24T22:00:00+01:00", "2026-11-25T08:30:00+01:00"),
        (Window("w", "store", 1260, 510), "2026-11-25T08:29:59+01:00", "2026-11-25T08:30:00+01:00"),
        (Window("w", "store", 0, 150), "2026-03-29T01:00:00+01:00", "2026-03-29T03:00:00+02:00"),  # 02:30 is not
        (Window("w", "store", 0, 150), "2026-10-25T02:10:00+02:00", "2026-10-25T02:30:00+02:00"),
        (Window("w", "store", days=frozenset({5, 6})), "2026-11-28T10:00:00+01:00", "2026-11-30T00:00:00+01:00"),
        (Window("w", "store"), "2026-11-28T10:00:00+01:00", None),
    ],
)
def test_when_a_window_ends(window: Window, at: str, ends: str | None) -> None:
    local = datetime.fromtimestamp(epoch(at), ZoneInfo("Europe/Paris"))
    assert window_end(window, local, "FR") == (None if ends is None else epoch(ends))
