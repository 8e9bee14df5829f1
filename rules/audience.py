"""Schedules: by which clocks one comes, and for whom."""

import math
from collections.abc import Iterable, Iterator, Mapping
from typing import NamedTuple
from zoneinfo import ZoneInfo

from proximity.model import Shopper
from rules.occurrence import Occurrence, scheduled
from rules.ruleset import RuleSet
from rules.schedule import zone_info
from rules.triggers import Schedule

Inside = Mapping[str, frozenset[tuple[str, str]]]  # shopper -> (site, zone) with an open visit


class Tick(NamedTuple):
    """A schedule that has come, by one clock."""

    rule: str
    clock: str  # IANA name
    planned: float  # epoch seconds


def clocks(ruleset: RuleSet, schedule: Schedule, shoppers: Iterable[Shopper]) -> tuple[str, ...]:
    """The time zones by whose wall clocks a schedule comes, by name."""
    if schedule.clock == "shopper":
        return tuple(sorted({_clock_of(ruleset, one) for one in shoppers}))
    if schedule.clock != "store":
        return (schedule.clock,)
    if schedule.inside is None:
        return (ruleset.nowhere.store.timezone,)
    stores = schedule.inside.stores
    return tuple(sorted({one.timezone for one in ruleset.catalog.stores if stores is None or one.id in stores}))


def ticks_between(ruleset: RuleSet, shoppers: Iterable[Shopper], after: float, until: float) -> list[Tick]:
    """All that come after one moment and not after another, in their order."""
    people = list(shoppers)
    found = []
    for rule, schedule in ruleset.schedules:
        for clock in clocks(ruleset, schedule, people):
            at: float | None = after
            while at is not None:
                at = schedule.cron.next(at, ZoneInfo(clock))
                if at is None or at > until:
                    break
                found.append(Tick(rule.id, clock, at))
    return sorted(found, key=lambda tick: (tick.planned, tick.rule, tick.clock))


GRACE = 900.0  # s after which a missed time is over: an offer for noon is no longer one at a quarter past


def pairs(ruleset: RuleSet, shoppers: Iterable[Shopper]) -> list[tuple[str, str]]:
    """Every schedule with every clock by which it comes: (rule, IANA name)."""
    people = list(shoppers)
    return [(rule.id, clock) for rule, schedule in ruleset.schedules for clock in clocks(ruleset, schedule, people)]


def missed(ruleset: RuleSet, since: Mapping[tuple[str, str], float], now: float) -> list[Tick]:
    """The schedules that have come since they were worked off last, each once, at the last of its times. What is
    longer ago than `GRACE` is over."""
    found = []
    for (rule, clock), before in sorted(since.items()):
        schedule = _schedule(ruleset, rule)
        at = schedule.cron.last(now, max(before, now - GRACE), ZoneInfo(clock)) if schedule else None
        if at is not None:
            found.append(Tick(rule, clock, at))
    return found


def coming(ruleset: RuleSet, known: Iterable[tuple[str, str]], now: float) -> float:
    """When the next schedule comes; infinite when none does."""
    times = [
        schedule.cron.next(now, ZoneInfo(clock)) for rule, clock in known if (schedule := _schedule(ruleset, rule))
    ]
    return min((at for at in times if at is not None), default=math.inf)


def _schedule(ruleset: RuleSet, name: str) -> Schedule | None:
    rule = ruleset.by_id.get(name)
    return rule.trigger if rule is not None and isinstance(rule.trigger, Schedule) else None


def audience(ruleset: RuleSet, tick: Tick, shoppers: Mapping[str, Shopper], inside: Inside) -> Iterator[Occurrence]:
    """What a tick is for each shopper whom it is for, in the order of their ids. Nobody, when its rule is gone."""
    schedule = _schedule(ruleset, tick.rule)
    if schedule is None:
        return
    for name in sorted(shoppers if schedule.inside is None else inside.keys() & shoppers.keys()):
        if schedule.inside is None:
            shopper = shoppers[name]
            here = schedule.clock != "shopper" or _clock_of(ruleset, shopper) == tick.clock
            if here and _belongs(ruleset, schedule, shopper):
                yield scheduled(tick.rule, tick.planned, name)
        elif (place := _place(ruleset, schedule, tick, inside[name])) is not None:
            yield scheduled(tick.rule, tick.planned, name, *place)


def _place(
    ruleset: RuleSet, schedule: Schedule, tick: Tick, inside: frozenset[tuple[str, str]]
) -> tuple[str, str] | None:
    """Where a shopper is meant; None: he is nowhere that is meant."""
    area = schedule.inside
    assert area is not None
    for site, zone in sorted(inside):
        place = ruleset.places.get(site)
        if place is None or (schedule.clock == "store" and place.store.timezone != tick.clock):
            continue
        if area.covers(site, zone, ruleset.tags(site, zone)):
            return site, "" if area.anywhere else zone
    return None


def _belongs(ruleset: RuleSet, schedule: Schedule, shopper: Shopper) -> bool:
    """Whether the shopper is in one of the segments. What is not known of him does not put him in."""
    for _, expression in schedule.segments:
        values = {name: value for name in expression.attributes if (value := _own(shopper, name)) is not None}
        if expression.evaluate(ruleset.compiler.activation(values)) is True:
            return True
    return False


def _own(shopper: Shopper, name: str) -> object:
    if name == "shopper.id":
        return shopper.id
    if name == "shopper.languages":
        return list(shopper.languages)
    return shopper.attributes.get(name.removeprefix("shopper.")) if name.startswith("shopper.") else None


def _clock_of(ruleset: RuleSet, shopper: Shopper) -> str:
    if shopper.timezone and zone_info(shopper.timezone):
        return shopper.timezone
    return ruleset.nowhere.store.timezone
