"""In words: why a device is, or is not, in a zone, and why the transitions came."""

from collections.abc import Callable

from proximity.model import Transition
from proximity.presence import fixes
from proximity.presence.evidence import Evidence
from proximity.presence.probe import Look, Seen

Clock = Callable[[float], str]  # event time as people read it
WORTH = 0.05  # probability below which a zone that the device did not touch is not spoken of
QUIET = 5.0  # s without a sighting after which the last ones say nothing of now
Key = tuple[str, str]  # site, zone


def why(seen: Seen, clock: Clock) -> list[str]:
    """Sentences, the zones that matter most first."""
    told = [_transition(one, seen, clock) for one in seen.transitions if one.at > seen.looks[0].at - 0.5]
    if not seen.evidence:
        return [*told, "Nothing is known of the device at this moment: it was not heard, and told no position."]
    return [*told, *(_zone(one, seen, clock) for one in sorted(_worth(seen), key=_rank))]


def _rank(one: Evidence) -> tuple[bool, bool, float, str]:
    return one.phase == "away", one.phase == "arriving", -one.p, one.zone


def _worth(seen: Seen) -> list[Evidence]:
    """What is claimed, what is or lately was likely, and the likeliest of each kind."""
    best = []
    for kind in ("radio", "fixes"):
        best += sorted((one for one in seen.evidence if one.source == kind), key=lambda one: -one.p)[:1]
    return [one for one in seen.evidence if one.phase != "away" or one in best or _most(one, seen)[1] >= WORTH]


# -- what happened ------------------------------------------------------------------------------------------------


def _transition(one: Transition, seen: Seen, clock: Clock) -> str:
    others = "" if one.device == seen.device else f" by {one.device}"
    what = {"enter": "Entered", "exit": "Left", "dwell": f"Dwelt {one.dwell:g} s in" if one.dwell else "Dwelt in",
            "cross": "Went through", "approach": "Came near"}[one.kind]  # fmt: skip
    return f"{what} {one.zone} at {clock(one.at)}{others}: {_cause(one, seen, clock)}."


def _cause(one: Transition, seen: Seen, clock: Clock) -> str:
    if one.kind == "dwell":
        return f"the time counts from {clock(one.at - (one.dwell or 0.0))}"
    if one.kind == "cross":
        return "the way between two positions leads through it"
    if one.kind == "approach":
        return f"{one.reach} was reached"
    if one.cause == "confirmed":
        return _confirmed(one, seen, clock)
    seconds = one.at - one.observed
    return {
        "left": f"evidence of being outside{_kept_up(one, seen)}, the last at {clock(one.observed)}",
        "moved": f"{_taken_by(one, seen)} took over",
        "silence": f"nothing was heard for {seconds:.0f} s, since {clock(one.observed)}",
        "gateway_down": f"its gateways were offline, and the hold of {seconds:.0f} s was over",
        "zone_changed": "the zone was edited",
        "zone_removed": "the zone was removed",
        "withdrawn": "the shopper took back every consent",
        "erased": "the shopper was erased, or the device became another shopper's",
    }.get(one.cause, one.cause)


def _confirmed(one: Transition, seen: Seen, clock: Clock) -> str:
    after = next((found for look in seen.looks if look.at >= one.at and (found := _find(look, one)) is not None), None)
    if after is None:
        return f"{one.confidence:.2f} likely"
    if after.source == "fixes":
        how = (
            f"{_place(after)} made it {one.confidence:.2f} likely" if after.inward is not None else "the phone said so"
        )
        return how + (", and one is enough" if one.confidence >= fixes.ENTER_SURE else ", and another one agreed")
    lead = f"likelier than anything else since {clock(one.started)}"
    return f"{one.confidence:.2f} likely, and {lead}; {after.enter_after:g} s are needed"


def _kept_up(one: Transition, seen: Seen) -> str:
    found = (e for look in seen.looks for e in look.evidence if (e.site, e.zone) == (one.site, one.zone))
    zone = next(found, None)
    return "" if zone is None else f" was kept up for {zone.leave_after:g} s"


def _taken_by(one: Transition, seen: Seen) -> str:
    entered = [t.zone for t in seen.transitions if t.kind == "enter" and t.at == one.at]
    return " and ".join(entered) or "another zone"


def _find(look: Look, one: Transition) -> Evidence | None:
    mine = [e for e in look.evidence if (e.site, e.zone) == (one.site, one.zone) and e.phase in ("inside", "leaving")]
    return max(mine, key=lambda e: e.p, default=None)


# -- what is --------------------------------------------------------------------------------------------------------


def _zone(one: Evidence, seen: Seen, clock: Clock) -> str:
    return f"{one.zone} ({one.source}): {_state(one, seen, clock)}."


def _state(one: Evidence, seen: Seen, clock: Clock) -> str:
    if one.phase == "inside":
        return _inside(one, seen, clock)
    if one.phase == "leaving":
        return (
            f"inside still, {one.p:.2f} likely; evidence of being outside since {_time(one.since, clock)} ends it "
            f"{one.leave_after:g} s later, if it goes on"
        )
    if one.phase == "arriving":
        return f"not entered yet: {one.p:.2f} likely since {_time(one.since, clock)}; {_needs(one)}"
    at, most = _most(one, seen)
    before = f"; it was {most:.2f} at most, at {clock(at)}" if most > one.p + WORTH else ""
    return f"no enter: {_short(one, seen, clock)}{before}"


def _inside(one: Evidence, seen: Seen, clock: Clock) -> str:
    since = next((visit.started for visit in seen.visits if (visit.site, visit.zone) == (one.site, one.zone)), None)
    if since is None:
        other = _leader((one.site, one.zone), seen)
        return (
            f"inside by this device, {one.p:.2f} likely, but the shopper counts as in {other}, "
            "which another device vouches for with more confidence"
        )
    if one.held:
        return f"inside since {clock(since)}; its gateways are offline, so the visit is held"
    return (
        f"inside since {clock(since)}, {one.p:.2f} likely; last heard {_time(one.heard, clock)}, "
        f"and silence ends it at {_time(one.silent, clock)}"
    )


def _needs(one: Evidence) -> str:
    if one.source == "radio":
        return f"it has to lead clearly for {one.enter_after:g} s, {one.lead or 0.0:.1f} s are gathered"
    return f"{_place(one)} is not enough alone: another one has to agree, at least {one.enter_after / 2:g} s later"


def _short(one: Evidence, seen: Seen, clock: Clock) -> str:
    """What an enter lacked."""
    if one.source == "fixes":
        return f"{_place(one)} makes it {one.p:.2f} likely, and {fixes.ENTER_P:g} are needed"
    if seen.last_heard is not None and seen.at - seen.last_heard > QUIET:
        return f"nothing was heard of the device since {clock(seen.last_heard)}"
    rivals = [other for other in seen.evidence if other.source == "radio" and other.zone != one.zone]
    best = max(rivals, key=lambda other: other.p, default=None)
    if best is not None and best.p > one.p:
        return f"p is {one.p:.2f}, and {best.zone} leads with {best.p:.2f}"
    return f"p is {one.p:.2f}, no more than that of being in none of the zones"


def _place(one: Evidence) -> str:
    if one.inward is None:
        return "the phone's word"
    return f"a position {abs(one.inward):.0f} m {'inside' if one.inward >= 0 else 'outside'}"


def _leader(key: Key, seen: Seen) -> str:
    others = [visit.zone for visit in seen.visits if (visit.site, visit.zone) != key]
    return " and ".join(others) or "another zone"


def _most(one: Evidence, seen: Seen) -> tuple[float, float]:
    """When it was likeliest in the time looked at, and how likely."""
    found = [
        (look.at, other.p)
        for look in seen.looks
        for other in look.evidence
        if (other.site, other.zone, other.source) == (one.site, one.zone, one.source)
    ]
    return max(found, key=lambda pair: pair[1])


def _time(at: float | None, clock: Clock) -> str:
    return "never" if at is None else clock(at)
