"""A simulated shop for one test: shoppers with their visits and timers, decisions by the engine itself, and the way to
the shopper.

What happens is the same as in the service, on a simulated clock: a visit begins with `enter`, is kept alive by `seen`,
ends with `exit` or by silence, and crosses its dwell times in between; schedules come by the calendar; what rules
remember comes true when its time has come; a decided offer is asked about again before its send.
"""

import heapq
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from proximity.model import Coupon, Decision, DwellThreshold, Offer, Sent, Shopper, StaffMessage
from rules.audience import audience, ticks_between
from rules.decide import Facts, Verdict, decide
from rules.occurrence import Happening, event_occurrence
from rules.offers import Used
from rules.ruleset import RuleSet
from rules.stateful import Row, advance, hold, ripen
from rules.testing.guest import Guest, Teller, Visit
from rules.testing.shape import Crowd, Event

# What comes first of things at one moment: a dwell time is up before its visit ends at that moment, a schedule finds
# whoever comes in then, a shopper who leaves at the moment of a delayed send has left, and a sign of life at the last
# moment prevents silence.
_DWELL, _EVENT, _SCHEDULE, _RIPE, _SEND, _SILENCE = range(6)


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
    coupon: Coupon | None = None


@dataclass(frozen=True, slots=True)
class Withheld:
    """A rule that sent nothing, at the decision or right before the send."""

    at: float
    rule: str
    reason: str
    decision: Decision


@dataclass(frozen=True, slots=True)
class Told:
    """A word that the staff got."""

    at: float
    message: StaffMessage
    decision: Decision


@dataclass(slots=True)
class Played:
    """Everything that happened in a test."""

    happened: list[tuple[float, str]] = field(default_factory=list)  # to the first shopper, in words
    delivered: list[Delivered] = field(default_factory=list)
    withheld: list[Withheld] = field(default_factory=list)
    withdrawn: list[tuple[float, str]] = field(default_factory=list)  # (time, rule) taken back after the send
    told: list[Told] = field(default_factory=list)


class SimulatedShop:
    """Plays one test."""

    def __init__(self, ruleset: RuleSet, given: Given, crowd: Crowd | None = None) -> None:
        self._ruleset, self._given = ruleset, given
        self._thresholds, self._reaches = ruleset.thresholds(), ruleset.reaches()
        self._agenda: list[tuple[float, int, int, Callable[[float], None]]] = []
        self._count = 0
        self._spent: dict[str, Used] = {}  # by rule
        self._apart = 0.0 if crowd is None or crowd.same_instant else 1.0
        self._guests = [Guest(one, list(given.history)) for one in _people(given.shopper, crowd)]
        self._by_id = {guest.shopper.id: guest for guest in self._guests}
        self.played = Played()

    def play(self, events: Sequence[Event], until: float) -> Played:
        """Everything up to and including `until`, in seconds after the start."""
        for event in events:
            times = [event.at]
            while event.every is not None and event.until is not None and times[-1] + event.every <= event.until:
                times.append(times[-1] + event.every)
            for number, guest in enumerate(self._guests):
                for at in times:
                    self._plan(
                        at + number * self._apart,
                        _EVENT,
                        lambda now, guest=guest, event=event: self._event(guest, event, now),  # type: ignore[misc] # bound here
                    )
        self._plan_schedules(until)
        while self._agenda and self._agenda[0][0] <= until:
            at, _, _, act = heapq.heappop(self._agenda)
            act(at)
        return self.played

    def _plan(self, at: float, rank: int, act: Callable[[float], None]) -> None:
        self._count += 1
        heapq.heappush(self._agenda, (at, rank, self._count, act))

    def _epoch(self, at: float) -> float:
        return self._given.start + at

    # What happens

    def _event(self, guest: Guest, event: Event, now: float) -> None:
        if event.event is not None:
            self._told(guest, event, now)
        elif event.approach is not None:
            known = sorted(self._reaches.get((self._given.store, event.approach), ()))
            for reach in guest.reaches(event.approach, known, event.distance, event.eta):
                told = self._teller(guest).of_place("approach", event.approach, now, reach, event.distance, event.eta)
                self._happen(guest, told, now, f"approach within {reach} of {event.approach}")
        elif event.cross is not None:
            told = self._teller(guest).of_place("cross", event.cross, now)
            self._happen(guest, told, now, f"cross {event.cross}")
        elif event.exit is not None:
            visit = guest.visits.get(event.exit)
            if visit is not None:
                self._leave(guest, visit, now, now, "left")
        else:
            zone = event.enter or event.seen or ""
            visit = guest.visits.get(zone)
            if visit is not None:
                visit.last_seen = now
            else:  # seen without an enter: first heard of when already inside
                self._enter(guest, zone, now, initial=event.initial or event.enter is None)

    def _told(self, guest: Guest, event: Event, now: float) -> None:
        assert event.event is not None
        name = f"{event.event} {guest.shopper.id} {now}"
        site = "" if event.online else self._given.store
        told = event_occurrence(name, event.event, guest.shopper.id, self._epoch(now), site, event.data)
        self._happen(guest, told, now, f"event {event.event}")

    def _enter(self, guest: Guest, zone: str, now: float, *, initial: bool) -> None:
        visit = self._teller(guest).begin(zone, now, initial=initial)
        guest.visits[zone] = visit
        for threshold in sorted(self._thresholds.get((self._given.store, zone), ())):
            since = guest.count_from(visit, threshold)
            if since is not None:
                self._plan(
                    max(now, since + threshold.seconds),
                    _DWELL,
                    lambda at, threshold=threshold: self._dwell(guest, visit, threshold, at),  # type: ignore[misc] # bound here
                )
        self._plan(now + self._given.silence, _SILENCE, lambda at: self._silence(guest, visit, at))
        told = self._teller(guest).of_visit("enter", "confirmed", visit, now, now)
        self._happen(guest, told, now, f"enter {zone}{' (initial)' if initial else ''}")

    def _dwell(self, guest: Guest, visit: Visit, threshold: DwellThreshold, now: float) -> None:
        if guest.visits.get(visit.zone) is not visit:
            return
        count = guest.counts.get((visit.zone, threshold))
        if count is not None:
            count.told = True
        told = self._teller(guest).of_visit("dwell", "threshold", visit, now, now, threshold)
        self._happen(guest, told, now, f"dwell {threshold.seconds:g}s {visit.zone}")

    def _silence(self, guest: Guest, visit: Visit, now: float) -> None:
        if guest.visits.get(visit.zone) is not visit:
            return
        due = visit.last_seen + self._given.silence
        if due > now:
            self._plan(due, _SILENCE, lambda at: self._silence(guest, visit, at))
        else:
            self._leave(guest, visit, visit.last_seen, now, "silence")

    def _leave(self, guest: Guest, visit: Visit, at: float, now: float, cause: str) -> None:
        guest.leave(visit, at)
        told = self._teller(guest).of_visit("exit", cause, visit, at, now)
        self._happen(guest, told, now, f"exit {visit.zone}{' (silence)' if cause == 'silence' else ''}")
        for sent in self.played.delivered:
            offer = sent.offer
            gone = offer.visit == visit.id and offer.on_exit == "withdraw" and self._epoch(now) < offer.expires
            if gone and (now, offer.rule) not in self.played.withdrawn:
                self.played.withdrawn.append((now, offer.rule))

    def _teller(self, guest: Guest) -> Teller:
        return Teller(self._given.store, guest.shopper.id, self._epoch)

    # Schedules, and what rules remember

    def _plan_schedules(self, until: float) -> None:
        people = [guest.shopper for guest in self._guests]
        for tick in ticks_between(self._ruleset, people, self._epoch(0) - 1e-3, self._epoch(until)):
            self._plan(tick.planned - self._epoch(0), _SCHEDULE, lambda now, tick=tick: self._scheduled(tick, now))  # type: ignore[misc] # bound here

    def _scheduled(self, tick: Any, now: float) -> None:
        people = {guest.shopper.id: guest.shopper for guest in self._guests}
        inside = {guest.shopper.id: self._inside(guest) for guest in self._guests if guest.visits}
        for one in audience(self._ruleset, tick, people, inside):
            self._happen(self._by_id[one.shopper], one, now, f"schedule of {tick.rule}")

    def _inside(self, guest: Guest) -> frozenset[tuple[str, str]]:
        return frozenset((self._given.store, zone) for zone in guest.visits)

    def _remember(self, guest: Guest, rows: Sequence[Row]) -> None:
        guest.state = {**guest.state, **{row.id: row for row in rows}}
        for row in rows:
            if row.sort != "sequence":
                self._plan(row.due - self._epoch(0), _RIPE, lambda now, row=row: self._ripe(guest, row, now))  # type: ignore[misc] # bound here

    def _ripe(self, guest: Guest, row: Row, now: float) -> None:
        if guest.state.get(row.id) is not row:
            return  # something else has taken its place, and comes true together with what is due now
        due = [one for one in guest.state.values() if one.sort != "sequence" and one.due <= row.due]
        guest.state = {name: one for name, one in guest.state.items() if one not in due}
        for one in ripen(self._ruleset, due, self._inside(guest)):
            self._happen(guest, one, now, f"{row.sort} of {', '.join(one.only or ())} is over")

    # Decisions

    def _happen(self, guest: Guest, happening: Happening, now: float, words: str) -> None:
        if guest is self._guests[0]:
            self.played.happened.append((now, words))
        before = guest.state
        guest.state, completed = advance(self._ruleset, before, happening)
        self._remember(guest, [row for name, row in guest.state.items() if before.get(name) is not row])
        for one in (happening, *completed):
            self._decide(guest, one, now)

    def _decide(self, guest: Guest, happening: Happening, now: float) -> None:
        given = self._given
        facts = Facts(
            now=self._epoch(now),
            shopper=guest.shopper,
            history=tuple(guest.sent),
            reachable=given.channels,
            attributes=given.attributes,
            arms=given.arms,
            holdouts=given.holdouts,
            spent=self._spent,
            held=guest.coupons,
            inside=self._inside(guest),
        )
        verdicts = decide(self._ruleset, happening, facts)
        for verdict in verdicts:
            self._take(guest, verdict)
            self.played.told += [Told(now, message, verdict.decision) for message in verdict.effects.messages]
            if verdict.decision.outcome == "withheld":
                one = verdict.decision
                self.played.withheld.append(Withheld(now, one.rule, one.reason or "", one))
            elif verdict.offer is not None:
                self._hand_over(guest, verdict, verdict.offer, now)
        self._remember(guest, hold(happening, verdicts))

    def _take(self, guest: Guest, verdict: Verdict) -> None:
        """What a verdict uses up."""
        if verdict.counted is not None:
            guest.sent.append(verdict.counted)
        coupon = verdict.coupon
        if coupon is not None:
            used = self._spent.get(coupon.rule, Used())
            self._spent[coupon.rule] = Used(used.coupons + 1, used.spend + coupon.worth)
            guest.coupons[coupon.rule] = guest.coupons.get(coupon.rule, 0) + 1

    # Delivery

    def _hand_over(self, guest: Guest, verdict: Verdict, offer: Offer, now: float) -> None:
        if self._given.push_delay and offer.channels[0] == "push":
            self._plan(now + self._given.push_delay, _SEND, lambda at: self._send(guest, verdict, offer, at))
        else:
            self.played.delivered.append(Delivered(now, offer, offer.channels[0], verdict.decision, verdict.coupon))

    def _send(self, guest: Guest, verdict: Verdict, offer: Offer, now: float) -> None:
        reason = self._objection(guest, offer, now)
        if reason is None:
            self.played.delivered.append(Delivered(now, offer, offer.channels[0], verdict.decision, verdict.coupon))
            return
        self.played.withheld.append(Withheld(now, offer.rule, reason, verdict.decision))
        self._give_back(guest, verdict)

    def _give_back(self, guest: Guest, verdict: Verdict) -> None:
        """An offer that nobody saw has cost the shopper no attention and the house nothing."""
        if verdict.counted is not None:
            guest.sent.remove(verdict.counted)
        coupon = verdict.coupon
        if coupon is not None:
            used = self._spent[coupon.rule]
            self._spent[coupon.rule] = Used(used.coupons - 1, used.spend - coupon.worth)
            guest.coupons[coupon.rule] -= 1

    def _objection(self, guest: Guest, offer: Offer, now: float) -> str | None:
        """Why it must not be sent now: the questions of the delivery, in its order."""
        if self._epoch(now) >= offer.expires:
            return "expired"
        visit = guest.visits.get(offer.zone)
        if offer.on_exit == "withdraw" and (visit is None or visit.id != offer.visit):
            return "left_zone"
        if offer.only_while == "inside" and visit is None:
            return "left_zone"
        if offer.only_while == "store" and not guest.visits:
            return "left_zone"
        return None


def _people(one: Shopper, crowd: Crowd | None) -> list[Shopper]:
    if crowd is None:
        return [one]
    width = len(str(crowd.shoppers))
    return [
        Shopper(f"{one.id}-{i:0{width}}", one.languages, one.timezone, one.name, one.attributes, one.consents)
        for i in range(1, crowd.shoppers + 1)
    ]
