"""Time: windows, quiet hours, dates between which a rule runs, and opening hours.

Everything compares wall clocks at one instant, so a change to or from summer time needs no special case: an hour that
does not exist is never in a window, an hour that comes twice is in it twice.
"""

from dataclasses import dataclass, field
from datetime import UTC, date, datetime, time, timedelta
from functools import lru_cache
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

import holidays
import opening_hours

from proximity.model import Shopper
from rules.catalog import Store
from rules.cron import Cron
from rules.values import DAYS, show_time

DAY_MINUTES = 1440


@lru_cache(maxsize=1024)
def zone_info(name: str) -> ZoneInfo | None:
    """The zone of that IANA name, or None."""
    try:
        return ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        return None


@lru_cache(maxsize=1024)
def public_holidays(country: str, year: int) -> frozenset[date]:
    """The public holidays of an ISO 3166-1 alpha-2 country; empty for one that is not known."""
    if country not in countries():
        return frozenset()
    return frozenset(holidays.country_holidays(country, years=year))


@lru_cache(maxsize=1)
def countries() -> frozenset[str]:
    """Countries whose public holidays are known."""
    return frozenset(holidays.list_supported_countries())


@dataclass(frozen=True, slots=True)
class Place:
    """A store's clock and hours, ready to ask."""

    store: Store
    zone: ZoneInfo
    hours: opening_hours.OpeningHours | None  # None: unknown

    @classmethod
    def of(cls, store: Store) -> "Place":
        """ValueError when the store's time zone or opening hours cannot be read."""
        zone = zone_info(store.timezone)
        if zone is None:
            raise ValueError(f'store "{store.id}": `{store.timezone}` is not a time zone')
        if store.opening_hours is None:
            return cls(store, zone, None)
        country = store.country if store.country in countries() else None
        try:
            hours = opening_hours.OpeningHours(
                store.opening_hours, timezone=zone, country=country, auto_country=False, auto_timezone=False
            )
        except (SyntaxError, ValueError, opening_hours.ParserError, opening_hours.UnknownCountryError):  # type: ignore[attr-defined] # missing in its stub
            raise ValueError(
                f'store "{store.id}": `{store.opening_hours}` is not in the opening hours syntax'
            ) from None
        return cls(store, zone, hours)

    def is_open(self, now: float) -> bool | None:
        """Whether the store is open; None: its hours are unknown."""
        return None if self.hours is None else self.hours.is_open(datetime.fromtimestamp(now, self.zone))


def local_time(now: float, clock: str, place: Place, shopper: Shopper | None) -> datetime:
    """The wall clock of `clock`: store, shopper (else the store's), or an IANA name."""
    zone = place.zone
    if clock == "shopper":
        zone = (zone_info(shopper.timezone) if shopper and shopper.timezone else None) or zone
    elif clock != "store":
        zone = zone_info(clock) or zone
    return datetime.fromtimestamp(now, zone)


@dataclass(frozen=True, slots=True)
class Window:
    """Times of day on some days. A window over midnight belongs to the day on which it starts."""

    name: str
    clock: str  # store | shopper | IANA name
    start: int = 0  # minutes after midnight
    end: int = DAY_MINUTES
    days: frozenset[int] = frozenset(range(7))  # 0 = Monday
    public_holidays: bool = False  # closed on those of the store's country
    dates: frozenset[date] = frozenset()  # closed on these
    where: str = ""  # file:line
    label: str = field(init=False, default="")  # `night (21:00–08:30)`, for traces

    def __post_init__(self) -> None:
        object.__setattr__(self, "label", f"{self.name} ({self.hours()})")

    def is_open(self, local: datetime, country: str | None) -> bool:
        """Whether a wall clock stands in the window. The end is not part of it."""
        minute = local.hour * 60 + local.minute
        if self.start < self.end:
            return self.start <= minute < self.end and self._on(local.date(), country)
        if minute >= self.start:
            return self._on(local.date(), country)
        return minute < self.end and self._on(local.date() - timedelta(days=1), country)

    def _on(self, day: date, country: str | None) -> bool:
        if day.weekday() not in self.days or day in self.dates:
            return False
        return not (self.public_holidays and country and day in public_holidays(country, day.year))

    def hours(self) -> str:
        """`21:00–08:30`, with the days when it is not all of them."""
        text = f"{show_time(self.start)}–{show_time(self.end)}"
        if len(self.days) == 7:
            return text
        return f"{text} on {', '.join(DAYS[day] for day in sorted(self.days))}"


LONGEST = 9 * DAY_MINUTES  # a window that does not end in so long does not end


def window_end(window: Window, local: datetime, country: str | None) -> float | None:
    """When an open window ends, as epoch seconds; None: not within nine days."""
    assert isinstance(local.tzinfo, ZoneInfo)
    return _window_end(window, local.tzinfo, country, int(local.timestamp() // 60))


@lru_cache(maxsize=1024)  # everybody who falls into it in the same minute is let out at the same one
def _window_end(window: Window, zone: ZoneInfo, country: str | None, minute: int) -> float | None:
    # Minute by minute, asking the window itself: right in every night, also in those of a change of the clock.
    for later in range(minute + 1, minute + LONGEST):
        if not window.is_open(datetime.fromtimestamp(later * 60, zone), country):
            return later * 60.0
    return None


@lru_cache(maxsize=1024)
def minutes_of_week(window: Window) -> frozenset[int]:
    """The minutes of a week, from Monday 00:00, that a window covers; exceptions left aside."""
    length = (window.end - window.start) % DAY_MINUTES or DAY_MINUTES
    return frozenset(
        (day * DAY_MINUTES + window.start + minute) % (7 * DAY_MINUTES)
        for day in window.days
        for minute in range(length)
    )


@lru_cache(maxsize=1024)
def minutes_of_cron(cron: Cron) -> frozenset[int]:
    """The minutes of a week, from Monday 00:00, at which something can come; dates left aside."""
    days = set(range(7)) if cron.either else {(day - 1) % 7 for day in cron.weekdays}
    times = [hour * 60 + minute for hour in cron.hours for minute in cron.minutes]
    return frozenset(day * DAY_MINUTES + time for day in days for time in times)


WHOLE_WEEK = frozenset(range(7 * DAY_MINUTES))


@lru_cache(maxsize=4096)
def minutes_ever_open(store: Store) -> frozenset[int]:
    """The minutes of a week, from Monday 00:00, in which a store is open in some week of two years.

    Two years hold every season that opening hours can name. A store of unknown hours is never open.
    """
    place = Place.of(store)
    if place.hours is None:
        return frozenset()
    found: set[int] = set()
    for start, end, state, _ in place.hours.intervals(
        datetime(2026, 1, 1, tzinfo=place.zone), datetime(2028, 1, 1, tzinfo=place.zone)
    ):
        if str(state) == "open":
            first = start.weekday() * DAY_MINUTES + start.hour * 60 + start.minute
            length = min(int((end - start).total_seconds() // 60), 7 * DAY_MINUTES)
            found.update(minute % (7 * DAY_MINUTES) for minute in range(first, first + length))
    return frozenset(found)


@dataclass(frozen=True, slots=True)
class Runs:
    """From when until when a rule is live. Naive moments are wall clocks of `clock`; None is open-ended."""

    start: datetime | None
    end: datetime | None  # the first moment at which it no longer runs
    clock: str

    def problem(self, now: float, place: Place, shopper: Shopper | None) -> str | None:
        """Why the rule does not run now, or None."""
        local = local_time(now, self.clock, place, shopper)
        if self.start and _reading(now, local, self.start) < self.start:
            return f"runs from {self.start:%Y-%m-%d %H:%M}; it is {local:%Y-%m-%d %H:%M}"
        if self.end and _reading(now, local, self.end) >= self.end:
            return f"ran until {self.end:%Y-%m-%d %H:%M}; it is {local:%Y-%m-%d %H:%M}"
        return None


def _reading(now: float, local: datetime, bound: datetime) -> datetime:
    """The present, comparable with `bound`."""
    return datetime.fromtimestamp(now, UTC) if bound.tzinfo else local.replace(tzinfo=None)


def period_start(local: datetime, seconds: float) -> float:
    """When the calendar day (24 h) or the week from Monday (7 d) of a wall clock began, as epoch seconds."""
    day = local.date()
    if seconds > 86400:
        day -= timedelta(days=day.weekday())
    return datetime.combine(day, time.min, tzinfo=local.tzinfo).timestamp()
