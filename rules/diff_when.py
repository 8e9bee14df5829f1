"""When a rule fires and for whom, two rules at a time: what is other, in sentences that go on from the rule's name."""

from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import Any

from rules.diff_words import clock_words, day_of, either, segments_mean, span, text_of, was
from rules.ruleset import Check, Quiet, Rule
from rules.schedule import Runs, Window
from rules.triggers import AnyTrigger, Schedule, Trigger, listens_to
from rules.triggers import Sequence as Steps
from rules.values import show_reach

# When it fires


def trigger(old: Rule, new: Rule) -> list[str]:
    """What it listens to."""
    before, after = old.trigger, new.trigger
    if _bare(before) == _bare(after):
        return []
    if isinstance(before, Trigger) and isinstance(after, Trigger) and before.kind == after.kind:
        return _same_kind(before, after)
    found = []
    if str(before) != str(after):
        found.append(f"fires on {after} instead of {before}")
    if isinstance(before, Schedule) and isinstance(after, Schedule):
        if before.clock != after.clock:
            found.append(f"comes by the clock of {clock_words(after.clock)} instead of {clock_words(before.clock)}")
        found += segments_mean(dict(_meanings(before)), dict(_meanings(after)))
    return found or [f"fires on {after}, with other details: {_details(after)} instead of {_details(before)}"]


def _same_kind(before: Trigger, after: Trigger) -> list[str]:
    found = []
    place = str(after.area) or "any zone"
    if str(before.area) != str(after.area):
        found.append(f"listens at {place} instead of {str(before.area) or 'any zone'}")
    if before.dwell != after.dwell:
        found.append(f"waits {span(after.dwell or 0)} instead of {span(before.dwell or 0)} in {place}")
    if before.forgive != after.forgive:
        found.append(f"forgives {_forgiven(after.forgive)} away instead of {_forgiven(before.forgive)}")
    if before.reach != after.reach and before.reach and after.reach:
        found.append(f"fires within {show_reach(after.reach)} of {place} instead of {show_reach(before.reach)}")
    if before.initial != after.initial:
        found.append("fires too for shoppers first heard of inside" if after.initial
                     else "no longer fires for shoppers first heard of inside")  # fmt: skip
    if before.names != after.names:
        found.append(f"fires on the event {', '.join(after.names)} instead of {', '.join(before.names)}")
    if text_of(before.match) != text_of(after.match):
        found.append(f"wants of the event {either(text_of(after.match), 'nothing')} instead of "
                     f"{either(text_of(before.match), 'nothing')}")  # fmt: skip
    return found


def _bare(one: AnyTrigger) -> Any:
    """Without the places in files."""
    if isinstance(one, Steps):
        steps = tuple(replace(step, where="") for step in one.steps)
        without = replace(one.without, where="") if one.without is not None else None
        return replace(one, where="", key="", steps=steps, without=without)
    return replace(one, where="") if isinstance(one, Trigger | Schedule) else replace(one, where="", key="")


def _details(one: AnyTrigger) -> str:
    """What the words of a trigger leave out."""
    steps = listens_to(one)
    found = [f"{step.kind} {'forgives ' + _forgiven(step.forgive) if step.dwell else ''}"
             f"{'' if step.initial else 'not for those first heard of inside'}".strip() for step in steps]  # fmt: skip
    return ", then ".join(found)


def _forgiven(seconds: float) -> str:
    return span(seconds) if seconds else "no time"


# To whom


def conditions(old: Rule, new: Rule) -> list[str]:
    """What it asks of the shopper and the store."""
    before, after = old.conditions, new.conditions
    found = [f"now needs {one}" for one in _added(before.all, after.all)]
    found += [f"no longer needs {one}" for one in _added(after.all, before.all)]
    found += [f"now is not for those with {one}" for one in _added(before.none, after.none)]
    found += [f"no longer leaves out those with {one}" for one in _added(after.none, before.none)]
    found += _choice(before.any, after.any, "now needs one of {}", "no longer needs one of {}",
                     "needs one of {} instead of one of {}")  # fmt: skip
    found += _choice(before.any_segment, after.any_segment, "is only for the segment {}",
                     "is for everybody, and no longer only for the segment {}",
                     "is for the segment {} instead of {}", meant=True)  # fmt: skip
    found += _choice(before.no_segment, after.no_segment, "leaves out the segment {}",
                     "no longer leaves out the segment {}", "leaves out the segment {} instead of {}",
                     meant=True)  # fmt: skip
    old_segments = {one.label: one.expression.text for one in (*before.any_segment, *before.no_segment)}
    new_segments = {one.label: one.expression.text for one in (*after.any_segment, *after.no_segment)}
    return found + segments_mean(old_segments, new_segments) + _missing(old, new)


def _added(old: Sequence[Check], new: Sequence[Check]) -> list[str]:
    there = {one.label for one in old}
    return [label for label in dict.fromkeys(one.label for one in new) if label not in there]


def _choice(
    old: Sequence[Check], new: Sequence[Check], more: str, less: str, other: str, *, meant: bool = False
) -> list[str]:
    before, after = ({one.label for one in some} for some in (old, new))
    if before == after:
        return []
    joint = " or " if meant else ", "
    texts = [joint.join(dict.fromkeys(one.label for one in some)) for some in (new, old)]
    if not before:
        return [more.format(texts[0])]
    return [other.format(*texts)] if after else [less.format(texts[1])]


def _meanings(schedule: Schedule) -> Iterable[tuple[str, str]]:
    return ((name, expression.text) for name, expression in schedule.segments)


def _missing(old: Rule, new: Rule) -> list[str]:
    before, after = _policies(old), _policies(new)
    return [
        f"takes a missing {name} as `{after[name]}` instead of `{before[name]}`"
        for name in sorted(before.keys() & after.keys())
        if before[name] != after[name]
    ]


def _policies(rule: Rule) -> dict[str, str]:
    some = rule.conditions
    checks = (*some.all, *some.any, *some.none, *some.any_segment, *some.no_segment)
    return {name: policy for check in checks for name, policy in check.policies.items()}


def consent(old: Rule, new: Rule) -> list[str]:
    """The purpose that was agreed to."""
    if old.purpose == new.purpose:
        return []
    return [f"stands on the consent to {new.purpose} instead of {old.purpose}"]


# At which times


def times(old: Rule, new: Rule) -> list[str]:
    """Dates, hours, windows and clocks."""
    found = was("runs {}", _runs(old.runs), _runs(new.runs))
    found += was("sends {}", _store(old.store), _store(new.store))
    found += was("sends {}", _during(old.during), _during(new.during))
    found += was("is quiet {}", _quiet(old.quiet), _quiet(new.quiet))
    return found + was("goes by the clock of {}", clock_words(old.clock), clock_words(new.clock))


def _runs(runs: Runs | None) -> str:
    if runs is None:
        return "without end"
    ends = (("from", runs.start), ("until", runs.end))
    return " ".join(f"{word} {day_of(one)}" for word, one in ends if one is not None)


def _store(state: str | None) -> str:
    return f"only while the store is {state}" if state else "whether the store is open or closed"


def _during(windows: Sequence[Window]) -> str:
    return f"in {' or '.join(sorted(map(_window, windows)))}" if windows else "at any time"


def _quiet(quiet: Sequence[Quiet]) -> str:
    words = sorted({_window(one.window) + (", held until it ends" if one.hold else "") for one in quiet})
    return f"in {' and '.join(words)}" if words else "at no time"


def _window(window: Window) -> str:
    but = ["public holidays"] if window.public_holidays else []
    but += [f"{day:%Y-%m-%d}" for day in sorted(window.dates)]
    clock = "" if window.clock == "store" else f" by the clock of {clock_words(window.clock)}"
    closed = f" but not on {', '.join(but)}" if but else ""
    return f"{window.label}{closed}{clock}"
