"""The answer to "why was Ada, or why was she not, in the coffee aisle at 12:04?", from what was observed of her."""

import difflib
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from zoneinfo import ZoneInfo

import msgspec

from proximity.errors import BadMessage, ProximityError
from proximity.model import Transition
from proximity.observations import Batch
from proximity.presence.engine import Engine
from proximity.presence.probe import BACK, CLOCK, WATCH, Seen, Story, look
from proximity.presence.why import Clock, why
from proximity.site.ids import parse_device_id
from proximity.site.model import Site
from proximity.store import history, observations, packing, people
from proximity.store.database import Store

AGREE = 1.0  # s by which a transition told again may differ from the one in the store: the order of late packets


class UnexplainedError(ProximityError):
    """Nothing can be said, and why."""


class Explained(msgspec.Struct, frozen=True):
    """What was seen, and what follows from it in words."""

    seen: Seen
    sentences: list[str]
    timezone: str  # of the clock in the sentences; "" when it counts seconds


def explain(store: Store, sites: Sequence[Site], name: str, at: float, watch: float = WATCH) -> Explained:
    """From the store's observations. UnexplainedError: nothing was kept of the device around `at`."""
    zone = _timezone(sites)
    clock = clock_of(zone)
    device = _known(store, name)
    kept = observations.span(store)
    if kept is None:
        raise UnexplainedError(
            "no observations are kept: nobody who agreed was observed yet, or the service runs with "
            "PROXIMITY_KEEP_OBSERVATIONS=0"
        )
    mine = observations.span(store, device)
    if mine is None:
        raise UnexplainedError(
            f"nothing was observed of {device}; observations are kept from {clock(kept[0])} to {clock(kept[1])}"
        )
    if not kept[0] <= at <= kept[1]:
        when = clock(at)
        late = "; what was observed last is written after ten seconds" if at > kept[1] else ""
        raise UnexplainedError(f"observations are kept from {clock(kept[0])} to {clock(kept[1])}, not of {when}{late}")
    shopper = observations.owner(store, device, at) or ""
    rows, states = observations.load(store, shopper, at - BACK, at)
    story = packing.story(rows, states)
    if device not in story.batch.devices:
        raise UnexplainedError(
            f"nothing was observed of {device} in the hour before {clock(at)}; "
            f"the first observation kept of it is of {clock(mine[0])}, the last of {clock(mine[1])}"
        )
    seen = _look(sites, story, device, at, watch)
    since = seen.looks[0].at
    told = history.transitions(store, shopper=shopper, since=since, until=at + 1e-3, limit=200)
    dwells = [one for one in told if one.kind in ("dwell", "approach")]  # which the rules in force then asked for
    seen = msgspec.structs.replace(seen, transitions=sorted([*seen.transitions, *dwells], key=lambda one: one.at))
    hour = clock_of(zone, "%H:%M:%S")
    return Explained(seen, [*why(seen, hour), *_differences(seen, told, since, hour)], zone)


def explain_story(sites: Sequence[Site], story: Story, name: str, at: float, clock: Clock, watch: float) -> Explained:
    """From observations that are at hand. UnexplainedError: the device is not among them."""
    device = _canonical(name)
    if device not in story.batch.devices:
        raise UnexplainedError(f"there is no device {device} here{_did_you_mean(device, story.batch.devices)}")
    seen = _look(sites, story, device, at, watch)
    return Explained(seen, why(seen, clock), "")


def clock_of(timezone: str, form: str = "%Y-%m-%d %H:%M:%S") -> Clock:
    """Times as they are told in a zone."""
    zone = ZoneInfo(timezone)
    return lambda at: datetime.fromtimestamp(at, zone).strftime(form)


def read_moment(text: str, timezone: str, now: float) -> float:
    """Event time of ISO 8601, of a time of day ("12:04", "12:04:30": the last one up to `now`), or of seconds since
    the epoch. UnexplainedError when it is none of these."""
    zone = ZoneInfo(timezone)
    try:
        if text.replace(".", "", 1).isdigit():
            return datetime.fromtimestamp(float(text), zone).timestamp()
        if "-" not in text:
            today = datetime.fromtimestamp(now, zone)
            wanted = datetime.combine(today.date(), datetime.strptime(text, _form(text)).time(), zone)  # noqa: DTZ007
            return wanted.timestamp() if wanted.timestamp() <= now else wanted.timestamp() - 86_400.0
        moment = datetime.fromisoformat(text)
        return (moment if moment.tzinfo else moment.replace(tzinfo=zone)).timestamp()
    except (ValueError, OverflowError, OSError):
        raise UnexplainedError(
            f"--at {text}: write a time of day (12:04:30), a date and time (2026-03-01T12:04:30) or seconds since "
            "the epoch"
        ) from None


def _form(text: str) -> str:
    return "%H:%M" if text.count(":") == 1 else "%H:%M:%S.%f" if "." in text else "%H:%M:%S"


def _timezone(sites: Sequence[Site]) -> str:
    return sites[0].timezone if sites else str(UTC)


def _look(sites: Sequence[Site], story: Story, device: str, at: float, watch: float) -> Seen:
    begins = min([*story.batch.sightings.at.tolist(), *story.batch.fixes.at.tolist()], default=at)
    return look(Engine(sites, now=min(begins, at) - 2 * CLOCK), story, device, at, watch)


def _known(store: Store, name: str) -> str:
    device = _canonical(name)
    registered = [one.id for one in people.devices(store)]
    if device not in registered:
        raise UnexplainedError(f"there is no device {device}{_did_you_mean(device, registered)}")
    return device


def _canonical(name: str) -> str:
    try:
        return parse_device_id(name)
    except BadMessage:
        return name


def _did_you_mean(device: str, known: Sequence[str]) -> str:
    near = difflib.get_close_matches(device, known, 3, 0.6) or [one for one in known if device.lower() in one][:3]
    return f"; did you mean {' or '.join(near)}?" if near else "; `proximity presence explain` wants a device's id"


def _differences(seen: Seen, told: Sequence[Transition], since: float, clock: Callable[[float], str]) -> list[str]:
    """Where the store says otherwise: the shop was edited since, or the service restarted in between."""
    again = [one for one in seen.transitions if one.at > since]
    missing = [one for one in told if not any(_same(one, other) for other in again)]
    if not missing:
        return []
    what = ", ".join(f"{one.kind} {one.zone} at {clock(one.at)} ({one.cause})" for one in reversed(missing))
    return [
        f"The store has what does not follow from these observations alone: {what}. They are told again by their own "
        "time, so what came late may have counted a little later then; or the shop was edited since, the shopper was "
        "there for longer than observations tell, or the service was stopped in between."
    ]


def _same(one: Transition, other: Transition) -> bool:
    return (one.kind, one.site, one.zone) == (other.kind, other.site, other.zone) and abs(one.at - other.at) <= AGREE


def story_of(batch: Batch) -> Story:
    """Observations without gateways that come and go."""
    return Story(batch)
