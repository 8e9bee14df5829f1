"""The decision: which rules send what to whom at one transition, and why the others do not.

The order is the same for every rule; it stands at the end of `stages`. Nothing here reads a clock or keeps state.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from msgspec import structs

from proximity.model import Coupon, Decision, Offer, Sent, Stage, child_id
from rules.experiments import HOLDOUT_REASON
from rules.moment import Facts, Moment
from rules.occurrence import Happening
from rules.offers_stage import NOTHING, Effects, effects
from rules.ruleset import Candidates, Rule, RuleSet
from rules.stages import AFTER, BEFORE, choose_language, walk

__all__ = ["Facts", "Verdict", "choose_language", "decide"]


@dataclass(frozen=True, slots=True)
class Verdict:
    """A decision, and the offer when it was to send.

    `ghost`: a shopper who is held out would have got it here and now. Nobody sees a ghost, and yet it uses up limits
    and wins its group like a send, so that those who are held out meet a rule exactly as often as the others.
    """

    decision: Decision
    offer: Offer | None  # also None of a rule that only tells the staff
    effects: Effects = NOTHING  # what it brings beside the offer
    held_until: float | None = None  # withheld by quiet hours, to be looked at again then

    @property
    def coupon(self) -> Coupon | None:
        """The offer's coupon."""
        return self.effects.coupon

    @property
    def ghost(self) -> bool:
        """Whether the decision is a ghost."""
        return self.decision.ghost

    @property
    def counted(self) -> Sent | None:
        """What limits have to count from now on: the offer, or its ghost. None when there is neither."""
        if self.offer is not None:
            return Sent(self.offer.shopper, self.offer.rule, self.offer.site, self.offer.created, self.offer.service)
        one = self.decision
        if self.ghost or one.outcome == "sent":
            return Sent(one.shopper, one.rule, one.site, one.at, silent=not self.ghost)
        return None


def decide(
    ruleset: RuleSet, transition: Happening, facts: Facts, candidates: Candidates | None = None
) -> list[Verdict]:
    """One verdict for every rule that listens to what happened, in the order of rule ids. `candidates`: what
    `ruleset.candidates` says of it, where that was asked already.

    The same arguments always give the same verdicts. An offer sent by one rule counts against the limits of the next;
    rules go by priority, then by id. No rule listens at a site or zone that the catalog does not hold.
    """
    candidates = ruleset.candidates(transition) if candidates is None else candidates
    if not candidates.rules:
        return []
    moment = Moment(ruleset, candidates, transition, facts)
    verdicts: dict[str, Verdict] = {}
    standing: dict[str, list[Stage]] = {}
    for rule in candidates.rules:
        trace: list[Stage] = []
        reason = walk(BEFORE, rule, moment, trace)
        if reason is None or reason == HOLDOUT_REASON:
            standing[rule.id] = trace
        else:
            verdicts[rule.id] = _withheld(rule, moment, reason, trace)
    for rule in _ranked([rule for rule in candidates.rules if rule.id in standing], moment):
        trace = standing[rule.id]
        if not trace[-1].passed:
            verdicts[rule.id] = _held_out(rule, moment, trace)
            continue
        reason = walk(AFTER, rule, moment, trace)
        verdicts[rule.id] = _sent(rule, moment, trace) if reason is None else _withheld(rule, moment, reason, trace)
    return [verdicts[rule.id] for rule in candidates.rules]


def _ranked(rules: Sequence[Rule], moment: Moment) -> list[Rule]:
    """By priority, then by id; the rules of a group with scores change places among themselves, the highest first."""
    if len(rules) < 2:
        return list(rules)
    ranked = sorted(rules, key=lambda rule: (-rule.priority, rule.id))
    for group in {rule.group for rule in ranked if rule.score is not None}:
        seats = [i for i, rule in enumerate(ranked) if rule.group == group]
        score = {ranked[i].id: moment.asked_by(ranked[i]).score(ranked[i]) for i in seats}
        best = sorted((ranked[i] for i in seats), key=lambda rule: (-score[rule.id], -rule.priority, rule.id))
        for i, rule in zip(seats, best, strict=True):
            ranked[i] = rule
    return ranked


def _withheld(rule: Rule, moment: Moment, reason: str, trace: list[Stage]) -> Verdict:
    decision = _decision(rule, moment, "withheld", reason, trace[-1].detail, trace)
    return Verdict(decision, None, held_until=moment.held.get(rule.id))


def _held_out(rule: Rule, moment: Moment, trace: list[Stage]) -> Verdict:
    """Withheld for comparison; what the later stages would have said tells whether it counts as a ghost."""
    silent = rule.experiment is not None and moment.arm(rule) not in rule.say
    shadow: list[Stage] = []
    reason = walk(AFTER[:-1] if silent else AFTER, rule, moment, shadow)
    ghost = reason is None
    held = trace[-1]
    would = "it would have been sent" if ghost else f"without that: {reason}, {shadow[-1].detail}"
    values = held.values | {"ghost": ghost}
    trace[-1] = Stage(held.name, False, f"{held.detail}; {would}", values, held.where)
    decision = _decision(rule, moment, "withheld", HOLDOUT_REASON, trace[-1].detail, trace)
    decision = structs.replace(decision, ghost=ghost)
    verdict = Verdict(decision, None, effects(rule, moment, decision) if ghost else NOTHING)
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
    channels = tuple(channel for channel in rule.channels if channel in moment.facts.reachable)
    told = ", ".join(channels if rule.say else (f"desk {task.desk}" for task in rule.tasks))
    trace.append(Stage("send", True, told, where=rule.places.get("deliver")))
    decision = _decision(rule, moment, "sent", None, "", trace)
    offer = _offer(rule, moment, decision, channels) if rule.say else None
    verdict = Verdict(decision, offer, effects(rule, moment, decision))
    _count(rule, moment, verdict, "was sent")
    return verdict


def _offer(rule: Rule, moment: Moment, decision: Decision, channels: tuple[str, ...]) -> Offer:
    language, said = moment.said
    transition = moment.transition
    return Offer(
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
        expires=moment.since(rule) + rule.expires,
        channels=channels,
        urgency=rule.urgency,
        only_while=rule.only_while,
        on_exit=rule.on_exit,
        purpose=rule.purpose,
        service=rule.service,
    )


def _decision(
    rule: Rule, moment: Moment, outcome: Any, reason: str | None, detail: str, trace: Sequence[Stage]
) -> Decision:
    transition = moment.transition
    return Decision(
        child_id(transition.id, rule.id),
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
