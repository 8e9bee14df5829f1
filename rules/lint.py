"""Mistakes that no single key shows: rules that can never send, names that nothing uses, stores that lack data."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import timedelta

from proximity.document import Diagnostic, Document, Loc
from rules.catalog import Catalog, Store
from rules.header import Shared
from rules.ruleset import Quiet, Rule
from rules.schedule import (
    WHOLE_WEEK,
    Runs,
    Window,
    countries,
    minutes_ever_open,
    minutes_of_cron,
    minutes_of_week,
)
from rules.trigger_schema import STORE
from rules.triggers import Absence, AnyTrigger, Area, Schedule, listens_to
from rules.triggers import Sequence as Steps

Site = tuple[Document, int]  # where a rule stands: its file, and its index in `rules`


def lint(rules: Mapping[str, tuple[Rule, Site]], catalog: Catalog) -> list[Diagnostic]:
    """Warnings about rules that are otherwise correct."""
    found = _same_salt(rules)
    for rule, (document, index) in rules.values():
        where = ("rules", index, "where")
        stores = _stores(rule, catalog)
        if (never := _never_sends(rule, stores)) is not None:
            loc, message = never
            found.append(document.diagnostic(("rules", index, *loc), "W031", message, severity="warning"))
        if rule.store is not None:
            unknown = sorted(store.id for store in stores if store.opening_hours is None)
            if unknown:
                message = f"the rule never sends in {', '.join(unknown)}: the opening hours are not known there"
                found.append(document.diagnostic((*where, "store"), "W032", message, severity="warning"))
        found += _out_of_reach(rule, document, index, stores)
        if any(window.public_holidays for window in rule.during):
            unknown = sorted(store.id for store in stores if store.country not in countries())
            if unknown:
                message = f"no public holidays are known for {', '.join(unknown)}: the window is open on them"
                found.append(document.diagnostic((*where, "during"), "W033", message, severity="warning"))
    return found


def _out_of_reach(rule: Rule, document: Document, index: int, stores: Sequence[Store]) -> list[Diagnostic]:
    """Stores that cannot be approached, for their place on the map is not known."""
    approaches = [part for part in listens_to(rule.trigger) if part.kind == "approach" and STORE in part.area.zones]
    unknown = sorted(store.id for store in stores if not store.located)
    if not approaches or not unknown:
        return []
    message = f"nobody can be seen approaching {', '.join(unknown)}: its place on the map is not known"
    hint = "give the site `lat` and `lon`, or an outdoor zone"
    return [document.diagnostic(("rules", index, "when"), "W035", message, hint, key=True, severity="warning")]


def disagreements(rules: Mapping[str, tuple[Rule, Site]]) -> list[Diagnostic]:
    """Errors between rules that share a name: of a group, of an experiment, of a holdout."""
    found: list[Diagnostic] = []
    first: dict[tuple[str, str], Rule] = {}
    for rule, (document, index) in sorted(rules.values(), key=lambda pair: pair[0].id):
        for sort, name, loc, same, message, hint in _shared_names(rule):
            other = first.setdefault((sort, name), rule)
            if not same(other):
                where: Loc = ("rules", index, *loc)
                line = other.places.get("compete", other.where) if sort == "group" else other.where
                text = f'rule "{rule.id}": {message} rule "{other.id}" ({line})'
                found.append(document.diagnostic(where, "E112", text, hint))
    return found


_Shared = tuple[str, str, tuple[str, ...], Callable[[Rule], bool], str, str]


def _shared_names(rule: Rule) -> list[_Shared]:
    """For each name that rules share: its kind, where the rule uses it, whether another rule means the same by it."""
    found: list[_Shared] = []
    if rule.group is not None:
        has = "has a score" if rule.score else "has no score"
        message = f"it {has}, unlike its competitor for `{rule.group}`,"
        hint = "scores and priorities cannot be compared: give all rules of the group a `score`, or none"
        found.append(
            ("group", rule.group, ("compete",), lambda other: bool(other.score) is bool(rule.score), message, hint)
        )
    if (experiment := rule.experiment) is not None:
        message = f"the experiment `{experiment.name}` has other arms in"
        found.append(("experiment", experiment.name, ("experiment", "arms"),
                      lambda other: other.experiment is not None and other.experiment.arms == experiment.arms,
                      message, "give both the same arms, or another name to one of them"))  # fmt: skip
    if (holdout := rule.holdout) is not None:
        message = f"the holdout `{holdout.name}` has another percentage in"
        found.append(("holdout", holdout.name, ("holdout", "percent"),
                      lambda other: other.holdout is not None and other.holdout.buckets == holdout.buckets,
                      message, "give both the same, or another name to one of them"))  # fmt: skip
    return found


def _same_salt(rules: Mapping[str, tuple[Rule, Site]]) -> list[Diagnostic]:
    """An experiment named like a holdout has the same buckets: the holdout would take its people from one arm."""
    holdouts = {rule.holdout.name for rule, _ in rules.values() if rule.holdout is not None}
    return [
        document.diagnostic(
            ("rules", index, "experiment", "name"),
            "W050",
            f'rule "{rule.id}": a holdout is called `{rule.experiment.name}` too, and would take from one arm only',
            "give the experiment another name",
            severity="warning",
        )
        for rule, (document, index) in rules.values()
        if rule.experiment is not None and rule.experiment.name in holdouts
    ]


def unused(shared: Shared, used: Iterable[tuple[str, str]]) -> list[Diagnostic]:
    """Windows and segments that no rule names."""
    names = set(used)
    if shared.quiet is not None:
        names.add(("windows", shared.quiet[0].window))
    found = []
    for sort, what in (("windows", shared.windows), ("segments", shared.segments)):
        for name in what:
            if (sort, name) not in names:
                document, loc = shared.defined[sort, name]
                message = f"nothing uses the {sort[:-1]} `{name}`"
                found.append(document.diagnostic(loc, "W034", message, key=True, severity="warning"))
    return found


def _stores(rule: Rule, catalog: Catalog) -> list[Store]:
    """Stores in which the rule can fire."""
    area = _area(rule.trigger)
    if area is None:
        return []
    return [
        store
        for store in catalog.stores
        if (area.stores is None or store.id in area.stores)
        and (
            area.anywhere
            or STORE in area.zones
            or any(zone in store.by_id for zone in area.zones)
            or not store.tags.isdisjoint(area.tags)
        )
    ]


def _area(trigger: AnyTrigger) -> Area | None:
    """Where it happens; None: in no store."""
    if isinstance(trigger, Steps):
        return trigger.steps[-1].area
    if isinstance(trigger, Schedule):
        return trigger.inside
    return None if isinstance(trigger, Absence) else trigger.area


def _never_sends(rule: Rule, stores: Sequence[Store]) -> tuple[Loc, str] | None:
    """The key to blame and why the rule can never send; None when it can, or when nobody can tell."""
    during: Loc = ("where", "during")
    if rule.store is not None and _area(rule.trigger) is None:
        key: Loc = ("where", "store")
        return key, f'it fires in no store, so rule "{rule.id}" (store: {rule.store}) can never send'
    if isinstance(rule.trigger, Schedule):
        return _never_comes(rule, rule.trigger)
    possible = _minutes(rule.during) if rule.during else WHOLE_WEEK
    when = f"`{rule.during[0].name}`, {rule.during[0].hours()}" if rule.during else "the opening hours"
    if rule.store == "open" and any(store.opening_hours is not None for store in stores):
        possible &= frozenset().union(*(minutes_ever_open(store) for store in stores))
        if not possible:
            return during, f'the store is never open then, so rule "{rule.id}" ({when}) can never send'
    if rule.during and rule.runs is not None and not _meets(rule.during, rule.runs):
        return during, f'none of it lies between the dates of `runs`, so rule "{rule.id}" ({when}) can never send'
    if not rule.during and rule.store != "open":
        return None
    for quiet in _dropping(rule):
        # The shopper's clock is the store's for nearly everybody; two named zones cannot be compared here.
        if quiet.window.clock not in ("store", "shopper", *(window.clock for window in rule.during)):
            continue
        if possible <= minutes_of_week(quiet.window):
            return during if rule.during else ("where", "store"), (
                f"`{quiet.window.name}` covers {quiet.window.hours()} and is quiet ({quiet.where}), "
                f'so rule "{rule.id}" ({when}) can never send'
            )
    return None


def _dropping(rule: Rule) -> list[Quiet]:
    """Quiet hours that hold nothing until they end."""
    return [quiet for quiet in rule.quiet if not quiet.hold]


def _never_comes(rule: Rule, schedule: Schedule) -> tuple[Loc, str] | None:
    """The same for a schedule, whose minutes are known."""
    loc: Loc = ("when", "schedule", "cron")
    comes = minutes_of_cron(schedule.cron)
    for quiet in _dropping(rule):
        if comes <= minutes_of_week(quiet.window):
            why = f"`{quiet.window.name}` covers {quiet.window.hours()} and is quiet ({quiet.where})"
            return loc, f'{why}, so rule "{rule.id}" can never send'
    if rule.during and comes.isdisjoint(_minutes(rule.during)):
        names = ", ".join(window.label for window in rule.during)
        return loc, f'none of its times lies in {names}, so rule "{rule.id}" can never send'
    return None


def _meets(windows: Sequence[Window], runs: Runs) -> bool:
    """Whether some minute of the dates lies in a window. Longer than a week, every window comes by."""
    if runs.start is None or runs.end is None or runs.end - runs.start >= timedelta(days=7):
        return True
    span = range(int((runs.end - runs.start).total_seconds() // 60))
    moments = (runs.start + timedelta(minutes=minute) for minute in span)
    return any(window.is_open(moment, None) for moment in moments for window in windows)


def _minutes(windows: Sequence[Window]) -> frozenset[int]:
    return frozenset().union(*(minutes_of_week(window) for window in windows))
