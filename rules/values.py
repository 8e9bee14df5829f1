"""Small values that people write in rule files: durations, times of day, dates, names.

Each parser takes what YAML gave and raises ValueError with a text that says what to write instead; the loader puts
file, line and column before it.
"""

import re
from datetime import date, datetime, timedelta
from typing import Any


def words(text: str) -> frozenset[str]:
    """The words of a text, as a set."""
    return frozenset(text.split())


DAYS = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
UNITS = {"s": 1, "m": 60, "min": 60, "h": 3600, "d": 86400}
_DURATION = re.compile(r"(\d+)\s*(s|min|m|h|d)")
_REACH = re.compile(r"(\d+(?:\.\d+)?)\s*(m|km|s|min|h)")
_EVENT = re.compile(r"[a-z0-9]+(?:[._-][a-z0-9]+)*")
_TIME = re.compile(r"(\d{1,2}):(\d{2})")
_SLUG = re.compile(r"[a-z0-9]+(?:-[a-z0-9]+)*")
_LANGUAGE = re.compile(r"[a-z]{2,3}(?:-[A-Za-z0-9]{2,8})*")

# ISO 639-1, the two-letter codes of languages.
LANGUAGES = words(
    "aa ab ae af ak am an ar as av ay az ba be bg bi bm bn bo br bs ca ce ch co cr cs cu cv cy da de dv dz ee el en "
    "eo es et eu fa ff fi fj fo fr fy ga gd gl gn gu gv ha he hi ho hr ht hu hy hz ia id ie ig ii ik io is it iu ja "
    "jv ka kg ki kj kk kl km kn ko kr ks ku kv kw ky la lb lg li ln lo lt lu lv mg mh mi mk ml mn mr ms mt my na nb "
    "nd ne ng nl nn no nr nv ny oc oj om or os pa pi pl ps pt qu rm rn ro ru rw sa sc sd se sg si sk sl sm sn so sq "
    "sr ss st su sv sw ta te tg th ti tk tl tn to tr ts tt tw ty ug uk ur uz ve vi vo wa wo xh yi yo za zh zu"
)
# The same values in the words of JSON Schema, for editors.
DURATION_SCHEMA = {
    "type": "string",
    "pattern": r"^\d*[1-9]\d*\s*(?:s|m|min|h|d)$",
    "examples": ["60s", "15m", "24h", "7d"],
}
TIME_SCHEMA = {"type": "string", "pattern": r"^(?:[01]?\d|2[0-3]):[0-5]\d$|^24:00$", "examples": ["08:30", "21:00"]}
DATE_SCHEMA = {
    "anyOf": [{"type": "string", "pattern": r"^\d{4}-\d{2}-\d{2}(?:[T ].+)?$"}, {"type": "null"}],
    "examples": ["2026-11-20", "2026-11-20T09:00"],
}
SLUG_SCHEMA = {"type": "string", "pattern": "^[a-z0-9]+(?:-[a-z0-9]+)*$", "maxLength": 64}
REACH_SCHEMA = {
    "type": "string",
    "pattern": r"^\d+(?:\.\d+)?\s*(?:m|km|s|min|h)$",
    "examples": ["400m", "2km", "5min"],
}
EVENT_NAME_SCHEMA = {"type": "string", "pattern": f"^{_EVENT.pattern}$", "maxLength": 64}
EVENTS_SCHEMA = {
    "anyOf": [EVENT_NAME_SCHEMA, {"type": "array", "items": EVENT_NAME_SCHEMA, "minItems": 1, "uniqueItems": True}],
    "examples": ["basket_add", "qr_scanned"],
}
NAMES_SCHEMA = {
    "anyOf": [
        {"type": "string", "minLength": 1},
        {"type": "array", "items": {"type": "string", "minLength": 1}, "minItems": 1, "uniqueItems": True},
    ]
}
LANGUAGE_SCHEMA: dict[str, Any] = {
    "type": "string",
    "pattern": f"^(?:{'|'.join(sorted(LANGUAGES))})(?:-[A-Za-z0-9]{{2,8}})*$",
}
_LANGUAGE_NAMES = {
    "english": "en", "french": "fr", "german": "de", "spanish": "es", "italian": "it", "dutch": "nl",
    "portuguese": "pt", "polish": "pl", "français": "fr", "francais": "fr", "deutsch": "de", "español": "es",
    "eng": "en", "fra": "fr", "fre": "fr", "deu": "de", "ger": "de", "spa": "es", "ita": "it",
}  # fmt: skip


def duration(value: Any) -> float:
    """`60s`, `15m`, `24h`, `7d` -> seconds."""
    if isinstance(value, int | float) and not isinstance(value, bool):
        raise ValueError(f"{value} of what? Write the unit: `{value}s`, `{value}m`, `{value}h` or `{value}d`")
    match = _DURATION.fullmatch(value) if isinstance(value, str) else None
    if match is None:
        meant = _meant_duration(value) or "60s`, `15m`, `24h` or `7d"
        raise ValueError(f"{show(value)} is not a duration; write `{meant}`")
    seconds = int(match[1]) * UNITS[match[2]]
    if not 0 < seconds <= 3650 * 86400:
        raise ValueError("must be longer than nothing and shorter than ten years")
    return float(seconds)


_LONG_UNITS = {
    "s": 1, "sec": 1, "secs": 1, "second": 1, "seconds": 1, "m": 60, "min": 60, "mins": 60, "minute": 60, "minutes": 60,
    "h": 3600, "hour": 3600, "hours": 3600, "d": 86400, "day": 86400, "days": 86400, "w": 604800, "week": 604800,
    "weeks": 604800,
}  # fmt: skip
_PARTS = re.compile(r"(\d+)\s*([a-z]+)")


def _meant_duration(value: Any) -> str | None:
    """What was meant by `1 minute` or `1m 30s`."""
    if not isinstance(value, str) or not re.fullmatch(rf"(?:{_PARTS.pattern}\s*)+", value.strip().lower()):
        return None
    parts = _PARTS.findall(value.lower())
    seconds = sum(int(number) * _LONG_UNITS.get(unit, 0) for number, unit in parts)
    return show_duration(seconds) if seconds and all(unit in _LONG_UNITS for _, unit in parts) else None


NEAREST, FARTHEST = 20.0, 50_000.0  # m; a phone's own accuracy, and a drive of an hour
SOONEST, LATEST = 30.0, 7200.0  # s before an arrival


def reach(value: Any) -> str:
    """How far away, or how long before the arrival: `400m`, `2km`, `5min` -> `400m`, `2000m`, `300s`."""
    match = _REACH.fullmatch(value) if isinstance(value, str) else None
    if match is None:
        raise ValueError(f"{show(value)} is neither a distance nor a time; write `400m`, `2km` or `5min`")
    number, unit = float(match[1]), match[2]
    if unit in ("m", "km"):
        metres = number * (1000 if unit == "km" else 1)
        if metres < NEAREST and unit == "m":
            raise ValueError(f"`{value}` is {match[1]} metres here, less than phones can tell; for minutes write "
                             f"`{match[1]}min`, for metres {NEAREST:g} or more")  # fmt: skip
        if not NEAREST <= metres <= FARTHEST:
            raise ValueError(f"must be between {NEAREST:g}m and {FARTHEST / 1000:g}km")
        return f"{metres:g}m"
    seconds = number * UNITS[unit]
    if not SOONEST <= seconds <= LATEST:
        raise ValueError("must be between 30s and 2h before the arrival")
    return f"{seconds:g}s"


def show_reach(canonical: str) -> str:
    """`2000m` -> `2km`, `300s` -> `5min`."""
    number, unit = float(canonical[:-1]), canonical[-1]
    if unit == "m":
        return f"{number / 1000:g}km" if number >= 1000 else f"{number:g}m"
    return f"{number / 60:g}min" if number >= 60 else f"{number:g}s"


def event_name(value: Any) -> str:
    """What the shop's systems call an event: `basket_add`, `order.ready`."""
    if isinstance(value, str) and len(value) <= 64 and _EVENT.fullmatch(value):
        return value
    raise ValueError(f"{show(value)} is not the name of an event; write it as the shop's systems do, in lower case, "
                     "as in `basket_add`")  # fmt: skip


def time_of_day(value: Any) -> int:
    """`"21:00"` -> minutes after midnight; `"24:00"` is the end of the day."""
    match = _TIME.fullmatch(value) if isinstance(value, str) else None
    if match is None:
        example = _clock(value) or "21:30"
        raise ValueError(f'{show(value)} is not a time of day; write hours and minutes, as in "{example}"')
    minutes = int(match[1]) * 60 + int(match[2])
    if int(match[2]) > 59 or minutes > 1440:
        raise ValueError(f'"{value}" is not a time of day; hours go from 00 to 24 and minutes from 00 to 59')
    return minutes


def _clock(value: Any) -> str | None:
    """What was meant by `14` or `11.30`."""
    if not isinstance(value, int | float) or isinstance(value, bool) or not 0 <= value < 24:
        return None
    hours, minutes = divmod(round(value * 100), 100)
    return f"{hours:02d}:{minutes:02d}" if minutes < 60 else None


def moment(value: Any) -> datetime:
    """`2026-11-20`, `2026-11-20T09:00` (wall clock, naive) or with an offset (aware). A date alone is midnight."""
    try:
        return datetime.fromisoformat(value)
    except (TypeError, ValueError):
        raise ValueError(f'{show(value)} is not a date; write "2026-11-20" or "2026-11-20T09:00"') from None


def last_moment(value: Any) -> datetime:
    """Like `moment`, but a date alone means the whole of that day."""
    found = moment(value)
    return found + timedelta(days=1) if len(value) == 10 else found


def day(value: Any) -> date:
    """`2026-12-25` -> a date."""
    try:
        return date.fromisoformat(value)
    except (TypeError, ValueError):
        raise ValueError(f'{show(value)} is neither `public-holidays` nor a date as in "2026-12-25"') from None


def slug(value: Any) -> str:
    """Lower-case letters, digits and single hyphens, at most 64 characters."""
    if isinstance(value, str) and len(value) <= 64 and _SLUG.fullmatch(value):
        return value
    if not isinstance(value, str) or not value:
        raise ValueError(f"must be a short name as in `coffee-linger`, not {show(value)}")
    better = re.sub(r"[^a-z0-9]+", "-", value.lower()).strip("-")[:64].strip("-")
    raise ValueError(
        f"{show(value)} is not a name; use lower-case letters, digits and hyphens"
        + (f", as in `{better}`" if better else "")
    )


def language(value: str) -> str:
    """A BCP 47 tag whose language is in ISO 639-1: `fr`, `pt-BR`."""
    if _LANGUAGE.fullmatch(value) and value.split("-", maxsplit=1)[0] in LANGUAGES:
        return value
    near = _LANGUAGE_NAMES.get(value.lower()) or next(
        (code for code in (value.lower().replace("_", "-"), value[:2].lower()) if code.split("-")[0] in LANGUAGES), None
    )
    tail = f"did you mean `{near}`?" if near else "write `en` or `fr`, and with a country `en-GB`"
    raise ValueError(f"`{value}` is not a language code; {tail}")


def show(value: Any) -> str:
    """A value as a message quotes it."""
    if value is None:
        return "empty"
    if isinstance(value, str):
        return f'"{value}"'
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, dict):
        return "a mapping"
    return "a list" if isinstance(value, list) else str(value)


def show_duration(seconds: float) -> str:
    """Seconds as they are written: 86400 -> `24h`, 604800 -> `7d`."""
    whole = int(seconds)
    if whole % 86400 == 0 and whole > 86400:
        return f"{whole // 86400}d"
    for unit in ("h", "m"):
        if whole and whole % UNITS[unit] == 0:
            return f"{whole // UNITS[unit]}{unit}"
    return f"{whole}s"


def show_time(minutes: int) -> str:
    """Minutes after midnight as `21:00`."""
    return f"{minutes // 60:02d}:{minutes % 60:02d}"
