"""A simulated shop for one test: visits with their timers, decisions by the engine itself, and the way to the shopper.

What happens is the same as in the service, on a simulated clock: a visit begins with `enter`, is kept alive by `seen`,
ends with `exit` or by silence, and crosses its dwell times in between; a decided offer is asked about again before its
send.
"""

import heapq
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from proximity.model import Decision, Offer, Sent, Shopper, Transition, TransitionKind, derive_id
from rules.decide import Facts, decide
from rules.ruleset import RuleSet
from rules.testing.shape import Event

# What comes first of things at one moment: a dwell time is up before its visit ends at that moment, a shopper who
# leaves at the moment of a delayed send has left, and a sign of life at the last moment prevents silence.
_DWELL, _EVENT, _SEND, _SILENCE = range(4)


@dataclass(frozen=True, slots=True)
class Given:
    """What holds during one test."""

    start: float  # epoch seconds
    store: str
    shopper: Shopper
    attributes: Mapping[str, Any] = field(default_factory=dict)  # by namespace
    channels: frozenset[str] = frozenset({"push", "inbox"})
    arms: Mapping[str, str] = field(default_factory=dict)  # by experiment; the others by hash
    holdouts: Mapping[str, bool] = field(default_factory=dict)
    history: tuple[Sent, ...] = ()
    push_delay: float = 0.0  # s
    silence: float = 20.0  # s without a sign of life that end a visit


@dataclass(frozen=True, slots=True)
class Delivered:
    """An offer that reached the shopper."""

    at: float  # s after the start, as everywhere in a test
    offer: Offer
    channel: str
    decision: Decision


@dataclass(frozen=True, slots=True)
class Withheld:
    """A rule that sent nothing, at the decision or right before the send."""

    at: float
    rule: str
    reason: str
    decision: Decision


@dataclass(slots=True)
class Played:
    """Everything that happened in a test."""

    happened: list[tuple[float, str]] = field(default_factory=list)  # presence, in words
    delivered: list[Delivered] = field(default_factory=list)
    withheld: list[Withheld] = field(default_factory=list)
    withdrawn: list[tuple[float, str]] = field(default_factory=list)  # (time, rule) taken back after the send


@dataclass(slots=True)
class _Visit:
    id: str
    zone: str
    started: float
    last_seen: float
    initial: bool


class SimulatedShop:
    """Plays one test."""

    def __init__(self, ruleset: RuleSet, given: Given) -> None:
        self._ruleset, self._given = ruleset, given
        self._thresholds = ruleset.thresholds()
        self._agenda: list[tuple[float, int, int, Callable[[float], None]]] = []
        self._count = 0
        self._visits: dict[str, _Visit] = {}  # by zone
        self._sent = list(given.history)
        self.played = Played()

    def play(self, events: Sequence[Event], until: float) -> Played:
        """Everything up to and including `until`, in seconds after the start."""
        for event in events:
            times = [event.at]
            while event.every is not None and event.until is not None and times[-1] + event.every <= event.until:
                times.append(times[-1] + event.every)
            for at in times:
                self._plan(at, _EVENT, lambda now, event=event: self._event(event, now))  # type: ignore[misc] # bound here
        while self._agenda and self._agenda[0][0] <= until:
            at, _, _, act = heapq.heappop(self._agenda)
            act(at)
        return self.played

    def _plan(self, at: float, rank: int, act: Callable[[float], None]) -> None:
        self._count += 1
        heapq.heappush(self._agenda, (at, rank, self._count, act))

    # Presence

    def _event(self, event: Event, now: float) -> None:
        if event.exit is not None:
            visit = self._visits.get(event.exit)
            if visit is not None:
                self._leave(visit, now, now, "left")
            return
        zone = event.enter or event.seen or ""
        visit = self._visits.get(zone)
        if visit is not None:
            visit.last_seen = now
        else:  # seen without an enter: first heard of when already inside
            self._enter(zone, now, initial=event.initial or event.enter is None)

    def _enter(self, zone: str, now: float, *, initial: bool) -> None:
        given = self._given
        visit = _Visit(derive_id("test", given.shopper.id, zone, now), zone, now, now, initial)
        self._visits[zone] = visit
        for seconds in sorted(self._thresholds.get((given.store, zone), ())):
            self._plan(now + seconds, _DWELL, lambda at, seconds=seconds: self._dwell(visit, seconds, at))  # type: ignore[misc] # bound here
        self._plan(now + given.silence, _SILENCE, lambda at: self._silence(visit, at))
        self._decide("enter", "confirmed", visit, now, now)

    def _dwell(self, visit: _Visit, seconds: float, now: float) -> None:
        if self._visits.get(visit.zone) is visit:
            self._decide("dwell", "threshold", visit, now, now, seconds)

    def _silence(self, visit: _Visit, now: float) -> None:
        if self._visits.get(visit.zone) is not visit:
            return
        due = visit.last_seen + self._given.silence
        if due > now:
            self._plan(due, _SILENCE, lambda at: self._silence(visit, at))
        else:
            self._leave(visit, visit.last_seen, now, "silence")

    def _leave(self, visit: _Visit, at: float, now: float, cause: str) -> None:
        del self._visits[visit.zone]
        self._decide("exit", cause, visit, at, now)
        for sent in self.played.delivered:
            offer = sent.offer
            gone = offer.visit == visit.id and offer.on_exit == "withdraw" and self._epoch(now) < offer.expires
            if gone and (now, offer.rule) not in self.played.withdrawn:
                self.played.withdrawn.append((now, offer.rule))

    # Decisions

    def _decide(
        self, kind: TransitionKind, cause: str, visit: _Visit, at: float, now: float, dwell: float | None = None
    ) -> None:
        given = self._given
        span = "" if dwell is None else f" {dwell:g}s"
        why = " (silence)" if cause == "silence" else " (initial)" if kind == "enter" and visit.initial else ""
        self.played.happened.append((now, f"{kind}{span} {visit.zone}{why}"))
        transition = Transition(
            id=derive_id(visit.id, kind, dwell or 0.0),
            kind=kind,
            cause=cause,
            site=given.store,
            zone=visit.zone,
            shopper=given.shopper.id,
            device="test",
            visit=visit.id,
            at=self._epoch(at),
            observed=self._epoch(now),
            started=self._epoch(visit.started),
            confidence=1.0,
            dwell=dwell,
            initial=visit.initial,
        )
        facts = Facts(
            now=self._epoch(now),
            shopper=given.shopper,
            history=tuple(self._sent),
            reachable=given.channels,
            attributes=given.attributes,
            arms=given.arms,
            holdouts=given.holdouts,
        )
        for verdict in decide(self._ruleset, transition, facts):
            decision, offer = verdict.decision, verdict.offer
            if verdict.counted is not None:
                self._sent.append(verdict.counted)
            if offer is None:
                self.played.withheld.append(Withheld(now, decision.rule, decision.reason or "", decision))
                continue
            if given.push_delay and offer.channels[0] == "push":
                self._plan(
                    now + given.push_delay,
                    _SEND,
                    lambda at, offer=offer, decision=decision: self._send(offer, decision, at),  # type: ignore[misc] # bound here
                )
            else:
                self.played.delivered.append(Delivered(now, offer, offer.channels[0], decision))

    # Delivery

    def _send(self, offer: Offer, decision: Decision, now: float) -> None:
        reason = self._objection(offer, now)
        if reason is None:
            self.played.delivered.append(Delivered(now, offer, offer.channels[0], decision))
            return
        self.played.withheld.append(Withheld(now, offer.rule, reason, decision))
        # An offer that nobody saw has cost the shopper no attention, so limits do not count it.
        self._sent.remove(Sent(offer.shopper, offer.rule, offer.site, offer.created, offer.service))

    def _objection(self, offer: Offer, now: float) -> str | None:
        """Why it must not be sent now: the questions of the delivery, in its order."""
        if self._epoch(now) >= offer.expires:
            return "expired"
        visit = self._visits.get(offer.zone)
        if offer.on_exit == "withdraw" and (visit is None or visit.id != offer.visit):
            return "left_zone"
        if offer.only_while == "inside" and visit is None:
            return "left_zone"
        if offer.only_while == "store" and not self._visits:
            return "left_zone"
        return None

    def _epoch(self, at: float) -> float:
        return self._given.start + at
