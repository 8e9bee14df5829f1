"""What happened: visits, transitions, decisions, and why."""

from typing import Annotated, Any, Literal

from fastapi import APIRouter, Query
from starlette.responses import PlainTextResponse, Response

from proximity.api.context import ApiContext
from proximity.api.convert import decision_detail, decision_out, transition_out, visit_out
from proximity.api.explain import explain_shopper
from proximity.api.problems import ProblemError, responses
from proximity.api.schemas import DecisionDetail, Decisions, Explanation, Transitions, Visits
from proximity.api.security import Context, operator_only
from proximity.api.shoppers import find_shopper
from proximity.api.values import Filter, Key, Limit, Moment, ShopperKey, Since, Until
from proximity.model import Decision, TransitionKind
from proximity.store import history
from rules.explain import explain

router = APIRouter(tags=["history"], dependencies=operator_only, responses=responses(401, 422))
Shape = Annotated[Literal["json", "text"], Query(alias="format", description="`text` gives the words alone.")]


@router.get("/visits")
def list_visits(
    context: Context,
    shopper: Filter = None,
    site: Filter = None,
    zone: Filter = None,
    since: Since = None,
    until: Until = None,
    open_only: bool = False,
    limit: Limit = 50,
) -> Visits:
    """Stays in zones, newest first."""
    rows = history.visits(
        context.store,
        shopper=shopper,
        site=site,
        zone=zone,
        since=since,
        until=until,
        open_only=open_only,
        limit=limit,
    )
    return Visits(items=[visit_out(row) for row in rows])


@router.get("/transitions")
def list_transitions(
    context: Context,
    shopper: Filter = None,
    site: Filter = None,
    zone: Filter = None,
    kind: TransitionKind | None = None,
    since: Since = None,
    until: Until = None,
    limit: Limit = 50,
) -> Transitions:
    """Changes of presence, newest first."""
    rows = history.transitions(
        context.store, shopper=shopper, site=site, zone=zone, kind=kind, since=since, until=until, limit=limit
    )
    return Transitions(items=[transition_out(row) for row in rows])


@router.get("/decisions")
def list_decisions(
    context: Context,
    shopper: Filter = None,
    rule: Filter = None,
    site: Filter = None,
    outcome: Literal["sent", "withheld"] | None = None,
    reason: Filter = None,
    since: Since = None,
    until: Until = None,
    limit: Limit = 50,
) -> Decisions:
    """Outcomes of rules, newest first."""
    rows = history.decisions(
        context.store,
        shopper=shopper,
        rule=rule,
        site=site,
        outcome=outcome,
        reason=reason,
        since=since,
        until=until,
        limit=limit,
    )
    return Decisions(items=[decision_out(row) for row in rows])


def _find(context: ApiContext, decision: str) -> Decision:
    found = history.decision(context.store, decision)
    if found is None:
        raise ProblemError(404, "There is no such decision.")
    return found


@router.get("/decisions/{decision}", responses=responses(404))
def read_decision(context: Context, decision: Key) -> DecisionDetail:
    """One decision with its trace."""
    return decision_detail(_find(context, decision))


_EITHER: dict[int | str, dict[str, Any]] = {200: {"content": {"text/plain": {"schema": {"type": "string"}}}}}


@router.get("/decisions/{decision}/explain", response_model=Explanation, responses={**responses(404), **_EITHER})
def explain_decision(context: Context, decision: Key, shape: Shape = "json") -> Explanation | Response:
    """One decision in words, with its stages and what the rule heard."""
    found = _find(context, decision)
    heard = history.transition(context.store, found.transition)
    answer = Explanation(
        text=explain(found), decision=decision_detail(found), transition=transition_out(heard) if heard else None
    )
    return PlainTextResponse(answer.text) if shape == "text" else answer


@router.get("/shoppers/{shopper}/explain", response_model=Explanation, responses={**responses(404), **_EITHER})
def explain_for_shopper(
    context: Context,
    shopper: ShopperKey,
    rule: Annotated[str, Query(pattern=r"^[^\x00-\x1F\x7F]+$", max_length=128)],
    at: Annotated[Moment | None, Query(description="Seconds since the epoch; without it: now.")] = None,
    shape: Shape = "json",
) -> Explanation | Response:
    """Why did this shopper not get that offer at that time? The decision nearest to it, or why there was none."""
    found = find_shopper(context, shopper)
    answer = explain_shopper(context, found, rule, context.clock() if at is None else at)
    return PlainTextResponse(answer.text) if shape == "text" else answer
