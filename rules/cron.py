"""Times that come again: the five fields of cron, on a wall clock.

An hour that a change of the clock leaves out counts as the hour after it, and one that comes twice counts once, the
first time: so a rule planned for half past two fires once in every night.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from zoneinfo import ZoneInfo

from rules.values import show

_MONTHS = (
    "january", "february", "march", "april", "may", "june", "july", "august", "september", "october", "november",
    "december",
)  # fmt: skip
_DAYS = ("sunday", "monday", "tuesday", "wednesday", "thursday", "friday", "saturday")
_FIELDS = ("minute", "hour", "day", "month", "weekday")
_RANGES = ((0, 59), (0, 23), (1, 31), (1, 12), (0, 7))
_EXAMPLE = "minute, hour, day of the month, month, day of the week, as in `30 17 * * fri`"
_FORMS = (r"[0-5]?\d", r"(?:[01]?\d|2[0-3])", r"(?:0?[1-9]|[12]\d|3[01])", r"(?:0?[1-9]|1[0-2]|[A-Za-z]{3,9})",
          r"(?:[0-7]|[A-Za-z]{3,9})")  # fmt: skip
_PARTS = [rf"(?:\*|{form}(?:-{form})?)(?:/[1-9]\d*)?" for form in _FORMS]
# The same for editors, as far as a pattern can say it.
CRON_SCHEMA = {
    "type": "string",
    "pattern": r"^\s*" + r"\s+".join(rf"{part}(?:,{part})*" for part in _PARTS) + r"\s*$",
    "examples": ["30 17 * * fri"],
}
HORIZON = 9 * 366  # days to look ahead: the 29th of February can be eight years away


@dataclass(frozen=True, slots=True)
class Cron:
    """When something is due. Weekdays count from Sunday, 0."""

    text: str
    minutes: tuple[int, ...]
    hours: tuple[int, ...]
    days: frozenset[int]
    months: frozenset[int]
    weekdays: frozenset[int]
    either: bool  # both kinds of day are restricted: cron then takes a day that fits one of them

    @classmethod
    def parse(cls, text: object) -> "Cron":
        """ValueError says what to write instead."""
        if not isinstance(text, str):
            raise ValueError(f"{show(text)} is not a cron line; write {_EXAMPLE}")
        parts = text.lower().split()
        if len(parts) != 5:
            raise ValueError(f'"{text}" has {len(parts)} parts; a cron line has five: {_EXAMPLE}')
        minutes, hours, days, months, weekdays = (_field(i, part) for i, part in enumerate(parts))
        restricted = not parts[2].startswith("*") and not parts[4].startswith("*")
        found = cls(
            " ".join(parts),
            tuple(sorted(minutes)),
            tuple(sorted(hours)),
            days,
            months,
            frozenset(day % 7 for day in weekdays),
            restricted,
        )
        if next(found._coming(date(2024, 1, 1)), None) is None:
            raise ValueError(f'"{text}" never comes: no such day in that month')
        return found

    def next(self, after: float, zone: ZoneInfo) -> float | None:
        """The first time after that instant, by the wall clock of `zone`; both in epoch seconds."""
        start = datetime.fromtimestamp(after, zone).date() - timedelta(days=1)
        for day in self._coming(start):
            # Not the first by the wall clock: on the night without an hour, its times come among those of the next.
            later = [at for at in self._times(day, zone) if at > after]
            if later:
                return min(later)
        return None

    def last(self, until: float, since: float, zone: ZoneInfo) -> float | None:
        """The last time after `since` and not after `until`; None when there is none."""
        day = datetime.fromtimestamp(until, zone).date() + timedelta(days=1)
        first = datetime.fromtimestamp(since, zone).date() - timedelta(days=1)
        while day >= first:
            if self._on(day):
                found = [at for at in self._times(day, zone) if since < at <= until]
                if found:
                    return max(found)
            day -= timedelta(days=1)
        return None

    def _coming(self, start: date) -> Iterator[date]:
        return (day for i in range(HORIZON) if self._on(day := start + timedelta(days=i)))

    def _on(self, day: date) -> bool:
        if day.month not in self.months:
            return False
        by_date, by_week = day.day in self.days, day.isoweekday() % 7 in self.weekdays
        return by_date or by_week if self.either else by_date and by_week

    def _times(self, day: date, zone: ZoneInfo) -> Iterator[float]:
        for hour in self.hours:
            for minute in self.minutes:
                yield datetime(day.year, day.month, day.day, hour, minute, tzinfo=zone).timestamp()


def _field(index: int, text: str) -> frozenset[int]:
    found: set[int] = set()
    for part in text.split(","):
        found |= _part(index, part)
    return frozenset(found)


def _part(index: int, text: str) -> set[int]:
    low, high = _RANGES[index]
    span, slash, step = text.partition("/")
    if slash and (not step.isdecimal() or int(step) == 0):
        raise ValueError(f'"{text}" as the {_FIELDS[index]}: after `/` comes a number, as in `*/15`')
    if span == "*":
        return set(range(low, high + 1, int(step or 1)))
    first, dash, last = span.partition("-")
    start = _number(index, first)
    end = _number(index, last) if dash else high if slash else start
    if index == 4 and end == 0 and dash:
        end = 7  # up to Sunday
    if end < start:
        raise ValueError(f'"{span}" as the {_FIELDS[index]} ends before it begins; write the two parts with a comma')
    return set(range(start, end + 1, int(step or 1)))


def _number(index: int, text: str) -> int:
    low, high = _RANGES[index]
    number = int(text) if text.isdecimal() and len(text) < 3 else _named(index, text)
    if not low <= number <= high:
        form = f"a number from {low} to {high}" + {3: ", a name as `dec`", 4: ", a name as `fri`"}.get(index, "")
        if ":" in text:
            raise ValueError(f'"{text}" is a time; write its minute and its hour apart: {_EXAMPLE}')
        raise ValueError(f'"{text}" cannot be the {_FIELDS[index]}; write {form}, or `*`: {_EXAMPLE}')
    return number


def _named(index: int, text: str) -> int:
    """The number of a month or weekday by its English name, or three letters of it; -1 when it is none."""
    names, first = {3: (_MONTHS, 1), 4: (_DAYS, 0)}.get(index, ((), 0))
    found = [number for number, name in enumerate(names, first) if text == name or text == name[:3]]
    return found[0] if found else -1
