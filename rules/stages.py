"""The stages of a decision, in their order: `BEFORE` is asked of every rule, `AFTER` of those that stand, best first.

Each stage answers with a `Stage` for the trace and, when it says no, with a reason code.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from proximity.model import Stage
from rules.conditions import judge
from rules.experiments import HOLDOUT_REASON, bucket
from rules.moment import Moment
from rules.offers_stage import budget, words
from rules.ruleset import Rule
from rules.schedule import window_end
from rules.templates import RenderFailed
from rules.triggers import Trigger
from rules.values import DAYS, show_duration

Answer = tuple[str | None, Stage]  # reason code, or None for yes
# Answers that are always the same, made once: most rules get them.
NOT_QUIET: Answer = (None, Stage("quiet", True))
SERVICE_HAS_NO_QUIET: Answer = (None, Stage("quiet", True, "a service rule has no quiet hours"))
NO_EXPERIMENT: Answer = (None, Stage("experiment", True))
NO_CONDITIONS: Answer = (None, Stage("conditions", True))
NO_WINDOW: Answer = (None, Stage("windows", True))


def walk(
    stages: Sequence[Callable[[Rule, Moment], Answer]], rule: Rule, moment: Moment, trace: list[Stage]
) -> str | None:
    """Ask one stage after the other until one says no; its reason code."""
    for stage in stages:
        reason, step = stage(rule, moment)
        trace.append(step)
        if reason is not None:
            return reason
    return None


def _status(rule: Rule, moment: Moment) -> Answer:
    where = rule.places.get("status")
    if rule.status != "live":
        detail = f"paused {rule.paused}" if rule.paused else f"the status is {rule.status}"
        return "not_live", Stage("status", False, detail, where=where or rule.where)
    if rule.runs is not None:
        problem = rule.runs.problem(moment.facts.now, moment.place, moment.facts.shopper)
        if problem is not None:
            return "not_live", Stage("status", False, problem, where=rule.places.get("runs", rule.where))
    return None, Stage("status", True, "live", where=where)


def _consent(rule: Rule, moment: Moment) -> Answer:
    where = rule.places.get("consent")
    shopper = moment.facts.shopper
    if shopper is None:
        return "no_consent", Stage("consent", False, "not a registered shopper", where=where or rule.where)
    if shopper.consents.get(rule.purpose) is not True:
        said = "refused" if rule.purpose in shopper.consents else "not given"
        return "no_consent", Stage("consent", False, f"consent to {rule.purpose} {said}", where=where or rule.where)
    reachable = moment.facts.reachable
    if rule.say and reachable.isdisjoint(rule.channels):
        detail = f"reachable by {', '.join(sorted(reachable)) or 'nothing'}; the rule uses {', '.join(rule.channels)}"
        return "no_channel", Stage("consent", False, detail, where=rule.places.get("deliver", rule.where))
    return None, Stage("consent", True, f"consented to {rule.purpose}", where=where)


def _trigger(rule: Rule, moment: Moment) -> Answer:
    transition = moment.transition
    where = rule.trigger.where
    if not moment.facts.live:
        return "expired", Stage("trigger", False, "the transition is history", where=where)
    late = moment.facts.now - moment.since(rule)
    if late > rule.expires:
        detail = f"{late:.0f}s late; the offer expires after {show_duration(rule.expires)}"
        return "expired", Stage("trigger", False, detail, where=where)
    if transition.initial and isinstance(rule.trigger, Trigger) and not rule.trigger.initial:
        detail = "first heard of when already inside, and the rule has `initial: false`"
        return "initial_presence", Stage("trigger", False, detail, where=where)
    if not moment.still_here(rule):
        detail = f"held until now, and the shopper is no longer {_HERE[rule.only_while]}"
        return "left_zone", Stage("trigger", False, detail, where=where)
    return None, Stage("trigger", True, moment.happened, where=where)


_HERE = {"inside": "inside the zone", "store": "in the store", "anywhere": "there"}


def _conditions(rule: Rule, moment: Moment) -> Answer:
    conditions = rule.conditions
    if conditions.where is None:
        return NO_CONDITIONS
    own = moment.asked_by(rule)
    values = own.seen(conditions.attributes)
    no = judge(conditions, own)
    if no is None:
        return None, Stage("conditions", True, "", values, conditions.where)
    reason, detail, where = no
    return reason, Stage("conditions", False, detail, values, where)


def _windows(rule: Rule, moment: Moment) -> Answer:
    if rule.store is not None:
        where = rule.places.get("store")
        is_open = moment.store_open()
        if is_open is None:
            return "store_closed", Stage("windows", False, "the store's opening hours are not known", where=where)
        if rule.store == "open" and not is_open:
            return "store_closed", Stage("windows", False, "the store is closed", where=where)
        if rule.store == "closed" and is_open:
            return "outside_window", Stage("windows", False, "the store is open", where=where)
    if not rule.during:
        return (None, Stage("windows", True, f"the store is {rule.store}")) if rule.store else NO_WINDOW
    country = moment.place.store.country
    where = rule.places.get("during")
    for window in rule.during:
        if window.is_open(moment.local(window.clock), country):
            return None, Stage("windows", True, f"{moment.reading(window.clock)} is in {window.label}", where=where)
    names = ", ".join(window.label for window in rule.during)
    detail = f"{moment.reading(rule.during[0].clock)} is not in {names}"
    return "outside_window", Stage("windows", False, detail, where=where)


def _quiet(rule: Rule, moment: Moment) -> Answer:
    if not rule.quiet:
        return SERVICE_HAS_NO_QUIET if rule.service else NOT_QUIET
    country = moment.place.store.country
    on = [quiet for quiet in rule.quiet if quiet.window.is_open(moment.local(quiet.window.clock), country)]
    if not on:
        return NOT_QUIET
    quiet = next((one for one in on if not one.hold), on[0])  # what one window drops, no other can hold
    detail = f"{moment.reading(quiet.window.clock)} is in {quiet.window.label}"
    if quiet.hold:
        ends = [window_end(one.window, moment.local(one.window.clock), country) for one in on]
        if None not in ends:
            until = max(end for end in ends if end is not None)
            moment.held[rule.id] = until
            local = moment.clock(quiet.window.clock, until)
            detail += f"; held until {DAYS[local.weekday()].capitalize()} {local:%H:%M}"
    return "quiet_hours", Stage("quiet", False, detail, where=quiet.where)


def _experiment(rule: Rule, moment: Moment) -> Answer:
    holdout, experiment = rule.holdout, rule.experiment
    if holdout is None and experiment is None:
        return NO_EXPERIMENT
    values: dict[str, Any] = {}
    if holdout is not None:
        values["holdout"] = {"name": holdout.name, "bucket": bucket(holdout.name, moment.transition.shopper)}
        if moment.held_out(holdout):
            detail = f"held out by {holdout.name}"
            return HOLDOUT_REASON, Stage("experiment", False, detail, values, holdout.where)
    if experiment is None:
        return None, Stage("experiment", True, "", values, holdout.where if holdout else None)
    arm = moment.arm(rule)
    number = bucket(experiment.name, moment.transition.shopper)
    values["experiment"] = {"name": experiment.name, "bucket": number, "arm": arm}
    if arm not in rule.say:
        detail = f"in the arm {arm} of {experiment.name}, which gets nothing"
        return HOLDOUT_REASON, Stage("experiment", False, detail, values, experiment.where)
    return None, Stage("experiment", True, f"in the arm {arm} of {experiment.name}", values, experiment.where)


def _competition(rule: Rule, moment: Moment) -> Answer:
    where = rule.places.get("compete")
    values = {"score": moment.scores[rule.id]} if rule.id in moment.scores else {}
    if rule.group is not None and rule.group in moment.winners:
        detail = f"{moment.winners[rule.group]} for {rule.group}"
        return "outranked", Stage("competition", False, detail, values, where)
    return None, Stage("competition", True, f"best of {rule.group}" if rule.group else "", values, where)


def _limits(rule: Rule, moment: Moment) -> Answer:
    values: dict[str, Any] = {}
    for limit in rule.limits:
        used = limit.used(moment.sent, rule.id, moment.transition.site, moment.facts.now, moment.local(rule.clock))
        values[str(limit)] = used
        if used >= limit.max:
            return "limit_reached", Stage("limits", False, f"at most {limit}; {used} sent", values, limit.where)
    free = rule.service and not rule.limits
    return None, Stage("limits", True, "the limits of the house are not for service rules" if free else "", values)


def _render(rule: Rule, moment: Moment) -> Answer:
    assert moment.facts.shopper is not None
    values = words(rule, moment)
    try:
        moment.tasks = tuple(task.text.say(values) for task in rule.tasks)
    except RenderFailed as problem:
        return "render_failed", Stage("render", False, str(problem), where=rule.tasks[0].where)
    if not rule.say:
        return None, Stage("render", True, moment.tasks[0], where=rule.tasks[0].where)
    said_in = rule.say[moment.arm(rule)]
    language = choose_language(moment.facts.shopper.languages, said_in)
    message = said_in[language]
    said: dict[str, str] = {}
    try:
        for part, template in (("title", message.title), ("body", message.body), ("url", message.url)):
            if template is not None:
                said[part] = template.say(values)
                if not said[part]:
                    raise RenderFailed(f"the {part} is empty")
        if message.url is not None and not said["url"].startswith(("https://", "http://")):
            raise RenderFailed(f"the url is not a web address: {said['url'][:80]}")
    except RenderFailed as problem:
        return "render_failed", Stage("render", False, str(problem), {"language": language}, message.where)
    moment.said = (language, said)
    return None, Stage("render", True, said["title"], {"language": language}, message.where)


def choose_language(wanted: Sequence[str], spoken: Mapping[str, Any]) -> str:
    """The shopper's most wanted language that the rule speaks, else the rule's first. `fr-CA` reads `fr`."""
    for want in wanted:
        if want in spoken:
            return want
        base = want.split("-")[0]
        for have in spoken:
            if have.split("-")[0] == base:
                return have
    return next(iter(spoken))


BEFORE = (_status, _consent, _trigger, _conditions, _windows, _quiet, _experiment)
AFTER = (_competition, _limits, budget, _render)
