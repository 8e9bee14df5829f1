"""From the shape of `when` to what the engine listens to, with every mistake of meaning named in place."""

from __future__ import annotations

import functools
import json
import re
from collections.abc import Sequence as Many
from typing import TYPE_CHECKING

from proximity.document import did_you_mean
from proximity.model import derive_id
from rules import trigger_schema as shape
from rules.expressions import Expression
from rules.header import at_faults, check_clock
from rules.scan import Fault
from rules.triggers import Absence, AnyTrigger, Area, Schedule, Sequence, Trigger, listens_to

if TYPE_CHECKING:
    from rules.build import Builder, Loc

_OUTDOORS = ("approach", "cross")
_SOMETIMES = re.compile(r"\b(?:event|approach)\.[a-z]\w*")
_TAGS = re.compile(r"\{\{.*?\}\}|\{%.*?%\}", re.DOTALL)


class TriggerBuilder:
    """Builds the trigger of one rule; what is wrong with it goes to the rule's builder."""

    def __init__(self, builder: Builder) -> None:
        self._builder = builder
        self._catalog = builder.catalog

    def build(self) -> AnyTrigger:
        """The trigger."""
        when = self._builder.rule.when
        if when.sequence is not None:
            return self._sequence(when.sequence)
        if when.absence is not None:
            loc: Loc = ("when", "absence")
            area = self._area(loc, when.absence.zone, when.absence.tag, when.absence.stores)
            return Absence(area, when.absence.for_, self._key(), self._builder.place_of(*loc))
        if when.schedule is not None:
            return self._schedule(when.schedule)
        return self._step(("when",), when)

    def _key(self) -> str:
        builder = self._builder
        text = json.dumps(builder.document.data["rules"][builder.index].get("when"), sort_keys=True)
        return derive_id(builder.rule.id, text)

    # One thing

    def _step(self, loc: Loc, step: shape.Step | shape.When) -> Trigger:
        kind = next(name for name in shape.STEPS if getattr(step, name) is not None)
        loc = (*loc, kind)
        place = self._builder.place_of(*loc)
        if step.event is not None:
            return self._event(loc, step.event, place)
        if step.approach is not None:
            given = step.approach
            self._outdoors(loc, "place", "approach", given.place, given.tag, given.stores)
            area = self._area(loc, given.place, given.tag, given.stores, "place")
            return Trigger("approach", area, reach=given.within, where=place)
        zones = step.enter or step.exit or step.dwell or step.cross
        assert zones is not None
        if step.cross is not None:
            self._outdoors(loc, "zone", "cross", zones.zone, zones.tag, zones.stores)
        area = self._area(loc, zones.zone, zones.tag, zones.stores)
        if step.dwell is not None:
            return Trigger("dwell", area, step.dwell.for_, step.dwell.forgive or 0.0, where=place)
        if step.enter is not None:
            return Trigger("enter", area, initial=step.enter.initial, where=place)
        return Trigger("exit" if step.exit is not None else "cross", area, where=place)

    def _area(self, loc: Loc, zones: Many[str], tags: Many[str], stores: Many[str], key: str = "zone") -> Area:
        catalog, names = self._catalog, self._builder.names
        known = frozenset(store.id for store in catalog.stores)
        names(loc, "stores", stores, known, "E202", "no store is called")
        asked = frozenset(stores) if stores else None
        here = asked & known if asked else None
        if asked is None or here:  # in stores that do not exist, every zone would be missing too
            whose = f"{' and '.join(sorted(here))} has no" if here else "no store has a"
            zone_ids = catalog.zone_ids(here) | (frozenset({shape.STORE}) if key != "zone" else frozenset())
            names(loc, key, zones, zone_ids, "E201", f"{whose} zone", catalog.refused)
            if not catalog.refused:  # they may have any tag
                names(loc, "tag", tags, catalog.tags(here), "E203", f"{whose} zone with the tag")
        return Area(tuple(zones), tuple(tags), asked)

    def _outdoors(self, loc: Loc, key: str, kind: str, zones: Many[str], tags: Many[str], stores: Many[str]) -> None:
        """Only positions tell of an approach or a way through, and they are for outdoor zones."""
        found = [zone for store in self._catalog.stores if not stores or store.id in stores for zone in store.zones]
        hint = "use `place: store`, an outdoor zone, or `enter`" if kind == "approach" else "use `enter`"
        for i, name in enumerate(zones):
            of_name = [zone.outdoor or not zone.sound for zone in found if zone.id == name]
            if of_name and not any(of_name) and name != shape.STORE:
                where = self._builder.item((*loc, key), i)
                what = "an approach" if kind == "approach" else "a way through"
                self._builder.say_at(where, "E213", f"`{name}` is indoors, where no position tells of {what}", hint)
        for i, tag in enumerate(() if self._catalog.refused else tags):
            if (of_tag := [zone for zone in found if tag in zone.tags]) and not any(zone.outdoor for zone in of_tag):
                where = self._builder.item((*loc, "tag"), i)
                self._builder.say_at(where, "E213", f"no zone with the tag `{tag}` is outdoors", hint)

    def _event(self, loc: Loc, event: shape.Event, place: str) -> Trigger:
        known = self._catalog.attributes.events
        for i, name in enumerate(event.name):
            if name not in known:
                where = self._builder.item((*loc, "name"), i)
                hint = did_you_mean(name, known) or "declare it under `events` in attributes.yaml"
                self._builder.say_at(where, "E214", f"unknown event `{name}`", hint)
        area = self._area(loc, (), (), event.stores)
        return Trigger("event", area, names=event.name, match=self._match(loc, event), where=place)

    def _match(self, loc: Loc, event: shape.Event) -> Expression | None:
        if event.match is None:
            return None
        builder, loc = self._builder, (*loc, "match")
        expression, faults = builder.shared.compiler.compile(event.match)
        builder.diagnostics += at_faults(builder.document, (*builder.loc, *loc), event.match, faults)
        if expression is None:
            return None
        brings = frozenset[str]().union(*(self._catalog.attributes.events.get(name, ()) for name in event.name))
        for name in expression.attributes:
            if not name.startswith("event."):
                self._fault(loc, event.match, name, "E215", f"`match` sees only the event, not `{name}`",
                            "ask this under `where`")  # fmt: skip
            elif name not in brings and brings:
                self._fault(loc, event.match, name, "E215", f"{' and '.join(event.name)} brings no `{name}`",
                            did_you_mean(name, brings) or "declare it under `events` in attributes.yaml")  # fmt: skip
        return expression

    def _fault(self, loc: Loc, text: str, name: str, code: str, message: str, hint: str | None) -> None:
        builder = self._builder
        fault = Fault(max(0, text.find(name)), len(name), code, message, hint)
        builder.diagnostics += at_faults(builder.document, (*builder.loc, *loc), text, [fault])

    # Several things, and times

    def _sequence(self, given: shape.Sequence) -> Sequence:
        loc: Loc = ("when", "sequence")
        steps = tuple(self._step((*loc, "steps", i), step) for i, step in enumerate(given.steps))
        without = self._step((*loc, "without"), given.without) if given.without is not None else None
        for i, step in enumerate(steps):
            if without is not None and i and _same(step, without) and self._builder.sure("when"):
                message = f"step {i + 1} is what must not happen: the rule never sends"
                self._builder.say_at((*loc, "without"), "E110", message, "take one of the two out")
        return Sequence(steps, given.within, without, self._key(), self._builder.place_of(*loc))

    def _schedule(self, given: shape.Schedule) -> Schedule:
        loc: Loc = ("when", "schedule")
        builder, to = self._builder, given.to
        clock = builder.shared.clock if given.clock is None else given.clock
        if given.clock is not None:
            builder.diagnostics += check_clock(builder.document, (*builder.loc, *loc, "clock"), given.clock)
        if to.segment:
            self._one_clock(loc, clock, stated=given.clock is not None)
            return Schedule(given.cron, clock, None, self._segments(loc, to.segment), builder.place_of(*loc))
        if given.clock == "shopper":
            message = "those inside have the clock of the store on their wall"
            builder.say_at((*loc, "clock"), "E217", message, "write `store` or a name as `Europe/Paris`")
        clock = "store" if clock == "shopper" else clock
        whole = to.inside == (shape.STORE,)
        inside = self._area((*loc, "to"), () if whole else to.inside, to.tag, (), "inside")
        inside = Area(inside.zones, inside.tags, self._area(loc, (), (), given.stores).stores)
        return Schedule(given.cron, clock, inside, (), builder.place_of(*loc))

    def _one_clock(self, loc: Loc, clock: str, *, stated: bool) -> None:
        zones = sorted({store.timezone for store in self._catalog.stores})
        if clock == "store" and len(zones) > 1 and self._builder.sure("when") and self._builder.shared.complete:
            message = f"the stores have several clocks ({', '.join(zones)}), and a segment is in none of them"
            where = (*loc, "clock") if stated else loc
            self._builder.say_at(where, "E217", message, f"write `clock: shopper` or `clock: {zones[0]}`",
                                 key=not stated)  # fmt: skip

    def _segments(self, loc: Loc, names: Many[str]) -> tuple[tuple[str, Expression], ...]:
        builder = self._builder
        builder.known_segments((*loc, "to", "segment"), names)
        found = [(name, builder.shared.segments.get(name)) for name in names]
        for i, (name, segment) in enumerate(found):
            used = segment.expression.attributes if segment is not None and segment.expression is not None else ()
            others = [one for one in used if not one.startswith("shopper.")]
            if others:
                message = f"`{name}` asks for `{others[0]}`, which is known only where a shopper is"
                hint = "take a segment of `shopper` values, and ask the rest in `where`"
                builder.say_at(builder.item((*loc, "to", "segment"), i), "E217", message, hint)
        return tuple((name, one.expression) for name, one in found if one is not None and one.expression is not None)


def _same(one: Trigger, other: Trigger) -> bool:
    match, others = one.match and one.match.text, other.match and other.match.text
    return (one.kind, one.area, one.details, match) == (other.kind, other.area, other.details, others)


def check_sometimes(builder: Builder, trigger: AnyTrigger) -> None:
    """Values that only some triggers know, used by a rule that never has them."""
    if not _speaks_of_them(builder.document.text):
        return
    allowed = _known_values(builder, trigger)
    rule = builder.rule
    texts: list[tuple[Loc, str, bool]] = [
        (("where", key, i), text, False)
        for key in ("all", "any", "none")
        for i, text in enumerate(getattr(rule.where, key) or ())
    ]
    if rule.compete is not None and rule.compete.score is not None:
        texts.append((("compete", "score"), rule.compete.score, False))
    written = builder.document.data["rules"][builder.index]
    texts += [(loc, text, True) for key in ("say", "do") for loc, text in _texts((key,), written.get(key))]
    for loc, text, template in texts:
        if "event." not in text and "approach." not in text:
            continue
        for name, start in _uses(text, template=template):
            if name in builder.catalog.attributes.types and name not in allowed:
                message = f"`{name}` has no value here: the rule does not listen to {_source(builder, name)}"
                fault = Fault(start, len(name), "E216", message, "listen to it, or use another value")
                builder.diagnostics += at_faults(builder.document, (*builder.loc, *loc), text, [fault])


@functools.lru_cache(maxsize=256)  # once a file, not once a rule
def _speaks_of_them(text: str) -> bool:
    return "event." in text or "approach." in text


def _known_values(builder: Builder, trigger: AnyTrigger) -> frozenset[str]:
    parts = trigger.steps if isinstance(trigger, Sequence) else listens_to(trigger)
    events = builder.catalog.attributes.events
    found = {name for part in parts for event in part.names for name in events.get(event, ())}
    if any(part.kind == "approach" for part in parts[-1:]):
        found |= {"approach.metres", "approach.minutes"}
    return frozenset(found)


def _source(builder: Builder, name: str) -> str:
    if name.startswith("approach."):
        return "an approach"
    events = [event for event, brings in builder.catalog.attributes.events.items() if name in brings]
    return f"`{events[0]}`" if len(events) == 1 else "an event that brings it"


def _uses(text: str, *, template: bool) -> list[tuple[str, int]]:
    """Names of `event.…` and `approach.…` with their places."""
    spans = [(match.start(), match.group()) for match in _TAGS.finditer(text)] if template else [(0, text)]
    return [(found.group(), start + found.start()) for start, part in spans for found in _SOMETIMES.finditer(part)]


def _texts(loc: Loc, node: object) -> list[tuple[Loc, str]]:
    """All texts below a part of a rule, with their places."""
    if isinstance(node, str):
        return [(loc, node)]
    if isinstance(node, dict):
        return [found for key, value in node.items() for found in _texts((*loc, key), value)]
    if isinstance(node, list):
        return [found for i, value in enumerate(node) for found in _texts((*loc, i), value)]
    return []
