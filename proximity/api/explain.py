"""The answer to "why did Ada not get the coffee offer at 12:04?"."""

from datetime import UTC, datetime
from zoneinfo import ZoneInfo

from proximity.api.context import ApiContext
from proximity.api.convert import decision_detail, transition_out
from proximity.api.schemas import Explanation
from proximity.model import Decision, Shopper
from proximity.store import history
from rules.explain import explain

AROUND = 600.0  # s; who says "at 12:04" means the visit, and rules speak within minutes of it


def explain_shopper(context: ApiContext, shopper: Shopper, rule: str, at: float) -> Explanation:
    """The decision of `rule` nearest to `at`, or what is known when there was none."""
    found = _nearest(context, shopper, rule, at)
    if found is not None:
        heard = history.transition(context.store, found.transition)
        return Explanation(
            text=explain(found),
            decision=decision_detail(found),
            transition=transition_out(heard) if heard else None,
        )
    return Explanation(text=_silence(context, shopper, rule, at), decision=None, transition=None)


def _nearest(context: ApiContext, shopper: Shopper, rule: str, at: float) -> Decision | None:
    rows = history.decisions(
        context.store, shopper=shopper.id, rule=rule, since=max(0.0, at - AROUND), until=at + AROUND, limit=500
    )
    return min(rows, key=lambda row: abs(row.at - at), default=None)


def _silence(context: ApiContext, shopper: Shopper, rule: str, at: float) -> str:
    who = shopper.name or shopper.id
    clock = _clock(shopper, at)
    known = next((one for one in context.live.rules() if one.id == rule), None)
    if known is None:
        return f"There is no rule {rule!r} in force, and it decided nothing for {who} around {clock}."
    lines = [f"Rule {rule!r} decided nothing for {who} around {clock}: it waits for {known.trigger}."]
    around = history.transitions(
        context.store, shopper=shopper.id, since=max(0.0, at - AROUND), until=at + AROUND, limit=10
    )
    if not around:
        lines.append(f"{who} was in no zone within ten minutes of it.")
    for row in reversed(around):
        lines.append(f"{_clock(shopper, row.at)}  {row.kind} {row.zone} ({row.site})")
    return "\n".join(lines)


def _clock(shopper: Shopper, at: float) -> str:
    zone = ZoneInfo(shopper.timezone) if shopper.timezone else UTC
    return datetime.fromtimestamp(at, zone).strftime("%Y-%m-%d %H:%M:%S %Z")
