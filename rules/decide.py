"""The decision: which rules send what to whom at one transition, and why the others do not.

The order is the same for every rule, and stands in `BEFORE` and `AFTER` below. Each stage answers with a `Stage` for
the trace and, when it says no, with a reason code. Nothing here reads a clock or keeps state.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from msgspec import structs

from proximity.model import Decision, Offer, Sent, Stage, Transition, derive_id
from rules.conditions import judge
from rules.experiments import HOLDOUT_REASON, bucket
from rules.moment import Facts, Moment
from rules.ruleset import Rule, RuleSet
from rules.templates import RenderFailed
from rules.values import show_duration

__all__ = ["Facts", "Verdict", "choose_language", "decide"]

Answer = tuple[str | None, Stage]  # reason code, or None for yes


@dataclass(frozen=True, slots=True)
class Verdict:
    """A decision, and the offer when it was to send.

    `ghost`: a shopper who is held out would have got it here and now. Nobody sees a ghost, and yet it uses up limits
    and wins its group like a send, so that those who are held out meet a rule exactly as often as the others.
    """

    decision: Decision
    offer: Offer | None

    @property
    def ghost(self) -> bool:
        """Whether the decision is a ghost."""
        return self.decision.ghost

    @property
    def counted(self) -> Sent | None:
        """What limits have to count from now on: the offer, or its ghost. None when there is neither."""
        if self.offer is not None:
            return Sent(self.offer.shopper, self.offer.rule, self.offer.site, self.offer.created, self.offer.service)
        if self.ghost:
            return Sent(self.decision.shopper, self.decision.rule, self.decision.site, self.decision.at)
        return None


def decide(ruleset: RuleSet, transition: Transition, facts: Facts) -> list[Verdict]:
    """One verdict for every rule that listens to the transition, in the order of rule ids.

    The same arguments always give the same verdicts. An offer sent by one rule counts against the limits of the next;
    rules go by priority, then by id. No rule listens at a site or zone that the catalog does not hold.
    """
    candidates = ruleset.candidates(transition)
    if not candidates.rules:
        return []
    moment = Moment(ruleset, candidates, transition, facts)
    verdicts: dict[str, Verdict] = {}
    standing: dict[str, list[Stage]] = {}
    for rule in candidates.rules:
        trace: list[Stage] = []
        reason = _walk(BEFORE, rule, moment, trace)
        if reason is None or reason == HOLDOUT_REASON:
            standing[rule.id] = trace
        else:
            verdicts[rule.id] = _withheld(rule, moment, reason, trace)
    for rule in _ranked([rule for rule in candidates.rules if rule.id in standing], moment):
        trace = standing[rule.id]
        if not trace[-1].passed:
            verdicts[rule.id] = _held_out(rule, moment, trace)
            continue
        reason = _walk(AFTER, rule, moment, trace)
        verdicts[rule.id] = _sent(rule, moment, trace) if reason is None else _withheld(rule, moment, reason, trace)
    return [verdicts[rule.id] for rule in candidates.rules]


def _ranked(rules: Sequence[Rule], moment: Moment) -> list[Rule]:
    """By priority, then by id; the rules of a group with scores change places among themselves, the highest first."""
    ranked = sorted(rules, key=lambda rule: (-rule.priority, rule.id))
    for group in {rule.group for rule in ranked if rule.score is not None}:
        seats = [i for i, rule in enumerate(ranked) if rule.group == group]
        best = sorted((ranked[i] for i in seats), key=lambda rule: (-moment.score(rule), -rule.priority, rule.id))
        for i, rule in zip(seats, best, strict=True):
            ranked[i] = rule
    return ranked


def _walk(
    stages: Sequence[Callable[[Rule, Moment], Answer]], rule: Rule, moment: Moment, trace: list[Stage]
) -> str | None:
    for stage in stages:
        reason, step = stage(rule, moment)
        trace.append(step)
        if reason is not None:
            return reason
    return None


def _status(rule: Rule, moment: Moment) -> Answer:
    where = rule.places.get("status")
    if rule.status != "live":
        return "not_live", Stage("status", False, f"the status is {rule.status}", where=where or rule.where)
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
    if reachable.isdisjoint(rule.channels):
        detail = f"reachable by {', '.join(sorted(reachable)) or 'nothing'}; the rule uses {', '.join(rule.channels)}"
        return "no_channel", Stage("consent", False, detail, where=rule.places.get("deliver", rule.where))
    return None, Stage("consent", True, f"consented to {rule.purpose}", where=where)


def _trigger(rule: Rule, moment: Moment) -> Answer:
    transition = moment.transition
    where = rule.trigger.where
    if not moment.facts.live:
        return "expired", Stage("trigger", False, "the transition is history", where=where)
    late = moment.facts.now - transition.at
    if late > rule.expires:
        detail = f"{late:.0f}s late; the offer expires after {show_duration(rule.expires)}"
        return "expired", Stage("trigger", False, detail, where=where)
    if transition.initial and not rule.trigger.initial:
        detail = "first heard of when already inside, and the rule has `initial: false`"
        return "initial_presence", Stage("trigger", False, detail, where=where)
    return None, Stage("trigger", True, f"{transition.kind} {transition.zone}", where=where)


def _conditions(rule: Rule, moment: Moment) -> Answer:
    conditions = rule.conditions
    values = moment.seen(conditions.attributes)
    no = judge(conditions, moment)
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
        return None, Stage("windows", True, f"the store is {rule.store}" if rule.store else "")
    country = moment.place.store.country
    where = rule.places.get("during")
    for window in rule.during:
        if window.is_open(moment.local(window.clock), country):
            return None, Stage("windows", True, f"{moment.reading(window.clock)} is in {window.label}", where=where)
    names = ", ".join(window.label for window in rule.during)
    detail = f"{moment.reading(rule.during[0].clock)} is not in {names}"
    return "outside_window", Stage("windows", False, detail, where=where)


def _quiet(rule: Rule, moment: Moment) -> Answer:
    for quiet in rule.quiet:
        window = quiet.window
        if window.is_open(moment.local(window.clock), moment.place.store.country):
            detail = f"{moment.reading(window.clock)} is in {window.label}"
            return "quiet_hours", Stage("quiet", False, detail, where=quiet.where)
    return None, Stage("quiet", True, "a service rule has no quiet hours" if rule.service else "")


def _experiment(rule: Rule, moment: Moment) -> Answer:
    holdout, experiment = rule.holdout, rule.experiment
    if holdout is None and experiment is None:
        return None, Stage("experiment", True)
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
    return None, Stage("limits", True, "a service rule has no limits" if rule.service else "", values)


def _render(rule: Rule, moment: Moment) -> Answer:
    assert moment.facts.shopper is not None
    said_in = rule.say[moment.arm(rule)]
    language = choose_language(moment.facts.shopper.languages, said_in)
    message = said_in[language]
    said: dict[str, str] = {}
    try:
        for part, template in (("title", message.title), ("body", message.body), ("url", message.url)):
            if template is not None:
                said[part] = template.render(moment.context())
                if not said[part]:
                    raise RenderFailed(f"the {part} is empty")
        if message.url is not None and not said["url"].startswith(("https://", "http://")):
            raise RenderFailed(f"the url is not a web address: {said['url'][:80]}")
    except RenderFailed as problem:
        return "render_failed", Stage("render", False, str(problem), {"language": language}, message.where)
    moment.said = (language, said)
    return None, Stage("render", True, said["title"], {"language": language}, message.where)


BEFORE = (_status, _consent, _trigger, _conditions, _windows, _quiet, _experiment)
AFTER = (_competition, _limits, _render)


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


def _withheld(rule: Rule, moment: Moment, reason: str, trace: list[Stage]) -> Verdict:
    return Verdict(_decision(rule, moment, "withheld", reason, trace[-1].detail, trace), None)


def _held_out(rule: Rule, moment: Moment, trace: list[Stage]) -> Verdict:
    """Withheld for comparison; what the later stages would have said tells whether it counts as a ghost."""
    silent = rule.experiment is not None and moment.arm(rule) not in rule.say
    shadow: list[Stage] = []
    reason = _walk(AFTER[:-1] if silent else AFTER, rule, moment, shadow)
    ghost = reason is None
    held = trace[-1]
    would = "it would have been sent" if ghost else f"without that: {reason}, {shadow[-1].detail}"
    values = held.values | {"ghost": ghost}
    trace[-1] = Stage(held.name, False, f"{held.detail}; {would}", values, held.where)
    decision = _decision(rule, moment, "withheld", HOLDOUT_REASON, trace[-1].detail, trace)
    verdict = Verdict(structs.replace(decision, ghost=ghost), None)
    if ghost:
        _count(rule, moment, verdict, "was held out")
    return verdict


def _count(rule: Rule, moment: Moment, verdict: Verdict, became: str) -> None:
    """Later rules of this decision see what became of this one."""
    assert verdict.counted is not None
    moment.sent.append(verdict.counted)
    if rule.group is not None:
        moment.winners[rule.group] = f"{rule.id} {became}"


def _sent(rule: Rule, moment: Moment, trace: list[Stage]) -> Verdict:
    language, said = moment.said
    channels = tuple(channel for channel in rule.channels if channel in moment.facts.reachable)
    trace.append(Stage("send", True, ", ".join(channels), where=rule.places.get("deliver")))
    decision = _decision(rule, moment, "sent", None, "", trace)
    transition = moment.transition
    offer = Offer(
        id=decision.id,
        rule=rule.id,
        shopper=decision.shopper,
        site=transition.site,
        zone=transition.zone,
        visit=transition.visit,
        title=said["title"],
        body=said["body"],
        url=said.get("url"),
        language=language,
        created=moment.facts.now,
        observed=transition.observed,
        expires=transition.at + rule.expires,
        channels=channels,
        urgency=rule.urgency,
        only_while=rule.only_while,
        on_exit=rule.on_exit,
        purpose=rule.purpose,
        service=rule.service,
    )
    verdict = Verdict(decision, offer)
    _count(rule, moment, verdict, "was sent")
    return verdict


def _decision(
    rule: Rule, moment: Moment, outcome: Any, reason: str | None, detail: str, trace: Sequence[Stage]
) -> Decision:
    transition = moment.transition
    return Decision(
        derive_id(transition.id, rule.id),
        transition.id,
        rule.id,
        transition.shopper,
        transition.site,
        transition.zone,
        moment.facts.now,
        outcome,
        reason,
        detail,
        tuple(trace),
    )
