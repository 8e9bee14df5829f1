"""Values that rules read, as the shop's systems tell them: the weather, stock, a basket, an order."""

from typing import Annotated, Any

from fastapi import APIRouter
from pydantic import BaseModel, Field, StringConstraints

from proximity.api.problems import ProblemError, responses
from proximity.api.security import Context, operator_only
from proximity.api.values import Attribute, AttributeName, Body, Filter, Limit, Slug
from proximity.store import context as values
from proximity.store import people
from proximity.store.context import Told, Value

router = APIRouter(tags=["context"], dependencies=operator_only, responses=responses(401, 422))
MOST_SHOWN = 5  # mistakes that one answer tells
SOURCE = "api"

Name = Annotated[str, StringConstraints(pattern=r"^[^\x00-\x1F\x7F/]+$", max_length=64)]
Key = Annotated[str, StringConstraints(pattern=r"^[^\x00-\x1F\x7F]+$", max_length=128)]

Values = Annotated[dict[Key, Attribute], Field(max_length=10_000)]


class ContextItem(Body):
    """Some values, and of whom or what they tell, as the scope of their namespace asks for it."""

    values: Annotated[dict[AttributeName, Values], Field(max_length=50)]
    store: Slug | None = None
    shopper: Name | None = None
    product: Name | None = None
    rule: Slug | None = None
    valid_for: Annotated[float, Field(strict=True, gt=0, le=3e8, allow_inf_nan=False)] | None = Field(
        default=None, description="Seconds; without it until told otherwise."
    )


class ContextBody(Body):
    """Values in bulk: all of them are taken, or none."""

    items: Annotated[list[ContextItem], Field(max_length=10_000)]


class ContextTaken(BaseModel):
    """How many values were taken."""

    values: int


class ContextRow(BaseModel):
    """One value in force."""

    root: str
    key: str
    value: Any
    store: str | None
    shopper: str | None
    product: str | None
    rule: str | None
    at: float = Field(description="When it was told.")
    until: float | None = Field(description="When it ends; null: when told otherwise.")
    source: str = Field(description="api or mqtt.")


class ContextRows(BaseModel):
    items: list[ContextRow]


@router.put("/context")
def put_context(context: Context, body: ContextBody) -> ContextTaken:
    """Tell values. They are checked against attributes.yaml; `null` takes a value back."""
    now, found, wrong = context.clock(), list[Value](), list[str]()
    attributes = context.live.attributes()
    stores = {site.id for site in context.live.sites()}
    shoppers = people.shoppers(context.store, {one.shopper for one in body.items if one.shopper is not None})
    for number, item in enumerate(body.items):
        told = Told(**item.model_dump())
        good, bad = values.check(told, attributes, now)
        found += good
        for one in bad:
            place = ".".join(map(str, ("items", number, *one.place)))
            wrong.append(f"{place}: {one.message}" + (f"; {one.hint}" if one.hint else ""))
        if told.store is not None and told.store not in stores:
            wrong.append(f"items.{number}.store: there is no store `{told.store}`")
        if told.shopper is not None and told.shopper not in shoppers:
            wrong.append(f"items.{number}.shopper: there is no shopper `{told.shopper}`")
    if wrong:
        more = f" (and {len(wrong) - MOST_SHOWN} more)" if len(wrong) > MOST_SHOWN else ""
        raise ProblemError(422, "\n".join(wrong[:MOST_SHOWN]) + more)
    number = values.put(context.store, found, now, SOURCE)
    context.live.context_changed()
    return ContextTaken(values=number)


@router.get("/context")
def list_context(
    context: Context,
    root: Filter = None,
    store: Filter = None,
    shopper: Filter = None,
    product: Filter = None,
    rule: Filter = None,
    limit: Limit = 100,
) -> ContextRows:
    """Values that were told and are in force, newest first. Those of the configuration folder are not among them."""
    rows = values.listed(
        context.store, context.clock(), root=root, limit=limit, site=store, shopper=shopper, product=product, rule=rule
    )
    return ContextRows(
        items=[
            ContextRow(
                root=row["root"],
                key=row["key"],
                value=row["value"],
                store=row["site"] or None,
                shopper=row["shopper"] or None,
                product=row["product"] or None,
                rule=row["rule"] or None,
                at=row["at"],
                until=row["until"],
                source=row["source"],
            )
            for row in rows
        ]
    )
