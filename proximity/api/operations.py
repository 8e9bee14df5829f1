"""How the service is: rules in force, dead letters, figures, health and metrics; and the stream of what happens."""

from datetime import timedelta
from typing import Annotated

from fastapi import APIRouter, Query, Request
from prometheus_client.exposition import CONTENT_TYPE_LATEST, generate_latest
from starlette.responses import JSONResponse, Response

from proximity.api.convert import delivery_out
from proximity.api.counts import Counter
from proximity.api.events import EventStream
from proximity.api.problems import ProblemError, responses
from proximity.api.schemas import Deliveries, Done, HealthOut, RuleOut, Rules, StatsOut
from proximity.api.security import Context, Operator, operator_only
from proximity.api.values import Key, Limit, Moment
from proximity.feed import Event
from proximity.store import history, outbox

router = APIRouter(tags=["operations"])
metrics_router = APIRouter(tags=["operations"])
STALLED = 30.0  # s without a commit while messages wait: batches are committed several times a second
DAY = timedelta(days=1).total_seconds()


@router.get("/rules", dependencies=operator_only, responses=responses(401))
def list_rules(context: Context) -> Rules:
    """The rules in force, and why the files on disk were refused, if they were."""
    items = [
        RuleOut(id=one.id, title=one.title or one.id, owner=one.owner, status=one.status, trigger=str(one.trigger))
        for one in context.live.rules()
    ]
    return Rules(version=context.live.rules_version(), errors=context.live.rules_errors(), items=items)


@router.get("/deliveries/dead", dependencies=operator_only, responses=responses(401, 422))
def list_dead_letters(context: Context, limit: Limit = 100) -> Deliveries:
    """Deliveries given up after the last attempt, newest first."""
    return Deliveries(items=[delivery_out(one) for one in outbox.dead(context.store, limit)])


@router.post(
    "/deliveries/{delivery}/requeue", dependencies=operator_only, responses=responses(401, 404, 422), status_code=202
)
def requeue(context: Context, delivery: Key) -> Done:
    """Try a dead letter again."""
    if not outbox.requeue(context.store, delivery, context.clock()):
        raise ProblemError(404, "There is no such dead letter.")
    return Done(id=delivery)


@router.get("/stats", responses=responses(422))
def stats(
    request: Request,
    context: Context,
    since: Annotated[Moment | None, Query(description="Seconds since the epoch; without it: a day ago.")] = None,
) -> StatsOut:
    """Figures since a moment, for everybody: they name nobody."""
    begin = context.clock() - DAY if since is None else since
    counter: Counter = request.app.state.counter
    totals = history.totals(context.store, begin)
    return StatsOut(
        since=begin,
        inside=sum(one.total for one in counter.latest().values()),
        transitions=totals["transitions"],
        sent=totals["sent"],
        withheld=totals["withheld"],
        reasons=history.reasons(context.store, begin),
    )


@router.get(
    "/health",
    response_model=HealthOut,
    responses={503: {"model": HealthOut, "description": "Something is wrong."}},
)
def health(context: Context, operator: Operator) -> Response:
    """Whether all is well: 200 or 503 with the same body."""
    now = context.live.health()
    stalled = now.queue > 0 and now.commit_age is not None and now.commit_age > STALLED
    errors = list(now.errors)
    if stalled:
        errors.append(f"nothing was committed for {now.commit_age:.0f} s while {now.queue} messages wait")
    if not now.broker:
        errors.append("the broker is not connected")
    failed = stalled or not now.broker
    answer = HealthOut(
        status="fail" if failed else "pass",
        broker=now.broker,
        commit_age=now.commit_age,
        queue=now.queue,
        gateways_online=now.gateways_online,
        gateways_total=now.gateways_total,
        observations=now.observations,
        outbox=dict(now.outbox),
        problems=len(errors),
        errors=errors if operator else None,
    )
    return JSONResponse(answer.model_dump(), 503 if failed else 200)


@metrics_router.get(
    "/metrics",
    response_class=Response,
    responses={200: {"description": "Prometheus text.", "content": {"text/plain": {"schema": {"type": "string"}}}}},
)
def metrics(context: Context) -> Response:
    """Metrics for Prometheus. They name nobody."""
    return Response(generate_latest(context.registry), media_type=CONTENT_TYPE_LATEST)


ALL = frozenset({"transition", "decision", "offer", "withdrawn", "whereabouts", "health"})


@router.get(
    "/events",
    response_class=Response,
    responses={
        200: {
            "description": "Events `presence` (counts) for everybody; with the operator's token also `transition`, "
            "`decision`, `offer`, `withdrawn`, `whereabouts` and `health`.",
            "content": {"text/event-stream": {"schema": {"type": "string"}}},
        }
    },
)
async def events(request: Request, context: Context, operator: Operator) -> EventStream:
    """What happens, as server-sent events, while the connection lasts."""
    counter: Counter = request.app.state.counter
    return EventStream(
        context.feed,
        request.app.state.closing,
        kinds=ALL if operator else frozenset(),
        wanted=_everything,
        counts=counter.latest,
    )


def _everything(event: Event) -> Event:
    if event.kind == "decision":  # a list needs no trace; whoever asks why fetches it
        return Event(event.kind, {key: value for key, value in event.data.items() if key != "trace"})
    return event
