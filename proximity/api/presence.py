"""Why a device was, or was not, in a zone."""

from typing import Annotated, Any

import msgspec
from fastapi import APIRouter, Query
from pydantic import BaseModel, Field

from proximity.api.problems import ProblemError, responses
from proximity.api.security import Context, operator_only
from proximity.explaining import UnexplainedError, explain, read_moment

router = APIRouter(prefix="/presence", tags=["presence"])


class PresenceExplanation(BaseModel):
    """What was seen of a device, and what follows from it in words."""

    seen: dict[str, Any] = Field(
        description="Device, shopper, what was heard and told, and the evidence for each zone after every tick."
    )
    sentences: list[str]
    timezone: str


@router.get("/explain", dependencies=operator_only, responses=responses(401, 404, 422))
def explain_presence(
    context: Context,
    device: Annotated[str, Query(min_length=1, max_length=160, pattern=r"^[^\x00-\x1F\x7F]*$", description="Its id.")],
    at: Annotated[
        str,
        Query(
            min_length=1,
            max_length=40,
            pattern=r"^[^\x00-\x1F\x7F]*$",
            description="A time of day, a date and time, or seconds since the epoch.",
            examples=["12:04:30"],
        ),
    ],
    watch: Annotated[float, Query(ge=1, le=600, allow_inf_nan=False, description="Seconds before it.")] = 60.0,
) -> PresenceExplanation:
    """What was heard of a device, from whom, each zone's probability, and why a transition came or did not.

    Observations are kept for `keep_observations`, a day unless set otherwise; 404 with the reason where nothing is.
    """
    sites = context.live.sites()
    try:
        moment = read_moment(at, sites[0].timezone if sites else "UTC", context.clock())
        found = explain(context.store, sites, device, moment, watch)
    except UnexplainedError as error:
        raise ProblemError(404, str(error)) from None
    return PresenceExplanation(**msgspec.to_builtins(found))
