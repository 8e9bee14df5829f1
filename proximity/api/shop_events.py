"""Events of the shop's systems, in bulk: a code scanned, a basket, an order, an online view."""

from typing import Annotated

import msgspec
from fastapi import APIRouter
from pydantic import BaseModel, Field, StringConstraints

from proximity import wire
from proximity.api.phones import hand_on
from proximity.api.problems import ProblemError, responses
from proximity.api.security import Context, operator_only
from proximity.api.values import Attribute, AttributeName, Body, Moment, Slug

router = APIRouter(tags=["events"], dependencies=operator_only, responses=responses(401, 422, 503))

Subject = Annotated[str, StringConstraints(pattern=r"^[^\x00-\x1F\x7F]+$", max_length=160)]
EventName = Annotated[str, StringConstraints(pattern=r"^[a-z0-9]+(?:[._-][a-z0-9]+)*$", max_length=64)]


class ShopEventBody(Body):
    """Something that happened to one shopper, whom `shopper`, `device` or `order` names."""

    name: EventName = Field(description="As `events` in attributes.yaml declares it.", examples=["basket_add"])
    id: Subject | None = Field(default=None, description="The sender's own: the same id is the same event.")
    shopper: Subject | None = None
    device: Subject | None = Field(default=None, description="Canonical device id.")
    order: Subject | None = Field(default=None, description="As `order.id` among the values that rules read.")
    site: Slug | None = Field(default=None, description="The store; null: in none, as online.")
    at: Moment | None = Field(default=None, description="Seconds since the epoch; null: now.")
    data: Annotated[dict[AttributeName, Attribute], Field(max_length=64)] = Field(
        default={}, description="What rules see as event.<name>."
    )


class ShopEventsBody(Body):
    """Events in bulk."""

    events: Annotated[list[ShopEventBody], Field(min_length=1, max_length=1000)]


class EventsTaken(BaseModel):
    """How many events were taken. Those of people who are not known here, or agreed to nothing, leave no trace."""

    events: int


@router.post("/events")
async def post_events(context: Context, body: ShopEventsBody) -> EventsTaken:
    """Tell events. The answer comes when they, and what they caused, are safe; then they need not be sent again."""
    told = [
        wire.EventMessage(**{**one.model_dump(), "at": None if one.at is None else round(one.at * 1000)})
        for one in body.events
    ]
    said = await hand_on(context, wire.events_topic(), msgspec.json.encode(told))
    if said != "accepted":
        raise ProblemError(422, f"The events were refused: {said}.")
    return EventsTaken(events=len(told))
