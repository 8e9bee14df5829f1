"""Shoppers, what they agreed to, what they carry, and forgetting them."""

from typing import Annotated

import msgspec
from fastapi import APIRouter, Path, Query
from starlette.responses import Response

from proximity.api.context import ApiContext
from proximity.api.convert import consent_out, device_out, offer_out, shopper_out
from proximity.api.problems import ProblemError, responses
from proximity.api.schemas import (
    ConsentOut,
    Consents,
    DeviceOut,
    Devices,
    NewShopperOut,
    Offers,
    ShopperDetail,
    ShopperOut,
    Shoppers,
)
from proximity.api.security import Context, operator_only
from proximity.api.sites import places_out
from proximity.api.values import (
    ConsentBody,
    DeviceBody,
    DeviceId,
    Limit,
    NewShopper,
    Purpose,
    ShopperBody,
    ShopperKey,
    Until,
)
from proximity.model import Device, Shopper
from proximity.site.ids import parse_device_id
from proximity.store import offers, people

router = APIRouter(tags=["shoppers"], dependencies=operator_only, responses=responses(401, 422))
SOURCE = "api"


def find_shopper(context: ApiContext, shopper: str) -> Shopper:
    """Problem 404 when there is no such shopper."""
    found = people.shopper(context.store, shopper)
    if found is None:
        raise ProblemError(404, f"There is no shopper {shopper!r}.")
    return found


@router.get("/shoppers")
def list_shoppers(
    context: Context,
    limit: Limit = 100,
    after: Annotated[str | None, Query(pattern=r"^[^\x00-\x1F\x7F]+$", max_length=64)] = None,
) -> Shoppers:
    """Shoppers by id, a page at a time."""
    found = people.list_shoppers(context.store, limit, after)
    return Shoppers(
        items=[shopper_out(one) for one in found], next=found[-1].id if found and len(found) == limit else None
    )


@router.post("/shoppers", status_code=201, responses=responses(409))
def create_shopper(context: Context, body: NewShopper) -> NewShopperOut:
    """Make a shopper. The answer holds the token of the shopper's own page, this once."""
    if people.shopper(context.store, body.id) is not None:
        raise ProblemError(409, f"There is a shopper {body.id!r} already.")
    shopper = msgspec.structs.replace(_shopper(body.id, body), consents=dict(body.consents))
    token = people.put_shopper(context.store, shopper, at=context.clock(), source=SOURCE)
    context.live.shopper_changed(body.id)
    made = shopper_out(find_shopper(context, body.id))
    return NewShopperOut(**made.model_dump(), token=token, page=f"/me/{token}")


@router.get("/shoppers/{shopper}", responses=responses(404))
def read_shopper(context: Context, shopper: ShopperKey) -> ShopperDetail:
    """One shopper with devices and whereabouts."""
    found = find_shopper(context, shopper)
    return ShopperDetail(
        **shopper_out(found).model_dump(),
        devices=[device_out(one) for one in people.devices(context.store, found.id)],
        whereabouts=places_out(context, list(context.live.whereabouts(found.id))),
    )


@router.put("/shoppers/{shopper}", responses=responses(404))
def replace_shopper(context: Context, shopper: ShopperKey, body: ShopperBody) -> ShopperOut:
    """Say anew who the shopper is. Consents, devices and the token stay."""
    found = find_shopper(context, shopper)
    people.put_shopper(context.store, _shopper(found.id, body), at=context.clock())
    context.live.shopper_changed(found.id)
    return shopper_out(find_shopper(context, found.id))


@router.delete("/shoppers/{shopper}", status_code=204, response_class=Response, responses=responses(404))
def erase_shopper(context: Context, shopper: ShopperKey) -> None:
    """Forget the shopper everywhere: presence, history, offers, devices, consents."""
    context.live.erase(find_shopper(context, shopper).id)


@router.post("/shoppers/{shopper}/token", responses=responses(404))
def renew_token(context: Context, shopper: ShopperKey) -> NewShopperOut:
    """A new token for the shopper's own page; the old one ends."""
    found = find_shopper(context, shopper)
    token = people.new_token(context.store, found.id)
    return NewShopperOut(**shopper_out(found).model_dump(), token=token, page=f"/me/{token}")


@router.get("/shoppers/{shopper}/consents", responses=responses(404))
def list_consents(context: Context, shopper: ShopperKey) -> Consents:
    """What the shopper said yes and no to."""
    found = find_shopper(context, shopper)
    return Consents(items=[consent_out(one) for one in people.consents(context.store, found.id)])


@router.put("/shoppers/{shopper}/consents/{purpose}", responses=responses(404))
def set_consent(context: Context, shopper: ShopperKey, purpose: Purpose, body: ConsentBody) -> ConsentOut:
    """Write down a yes or a no, with the time and that it came by the API."""
    found = find_shopper(context, shopper)
    now = context.clock()
    people.set_consent(context.store, found.id, purpose, body.granted, now, SOURCE)
    context.live.shopper_changed(found.id)
    return ConsentOut(purpose=purpose, granted=body.granted, at=now, source=SOURCE)


@router.get("/shoppers/{shopper}/devices", responses=responses(404))
def list_devices(context: Context, shopper: ShopperKey) -> Devices:
    """What the shopper carries."""
    found = find_shopper(context, shopper)
    return Devices(items=[device_out(one) for one in people.devices(context.store, found.id)])


@router.post("/shoppers/{shopper}/devices", status_code=201, responses=responses(404, 409))
def add_device(context: Context, shopper: ShopperKey, body: DeviceBody) -> DeviceOut:
    """Add a device, or say anew what is known of one."""
    found = find_shopper(context, shopper)
    device_id = parse_device_id(body.id)
    other = people.device(context.store, device_id)
    if other is not None and other.shopper != found.id:
        raise ProblemError(409, "The device belongs to another shopper. Remove it there first.")
    device = Device(
        id=device_id, shopper=found.id, kind=device_id.partition(":")[0], secret=body.secret, password=body.password
    )
    people.put_device(context.store, device)
    context.live.shopper_changed(found.id)
    return device_out(device)


@router.delete(
    "/shoppers/{shopper}/devices/{device:path}", status_code=204, response_class=Response, responses=responses(404)
)
def remove_device(context: Context, shopper: ShopperKey, device: Annotated[DeviceId, Path()]) -> None:
    """Take a device away from the shopper."""
    found = find_shopper(context, shopper)
    device_id = parse_device_id(device)
    carried = people.device(context.store, device_id)
    if carried is None or carried.shopper != found.id:
        raise ProblemError(404, "The shopper carries no such device.")
    people.remove_device(context.store, device_id)
    context.live.shopper_changed(found.id)


@router.get("/shoppers/{shopper}/offers", responses=responses(404))
def list_offers(context: Context, shopper: ShopperKey, limit: Limit = 50, active_at: Until = None) -> Offers:
    """Offers, newest first; with `active_at` only those that hold at that moment."""
    found = find_shopper(context, shopper)
    return Offers(items=[offer_out(one) for one in offers.offers(context.store, found.id, limit, active_at)])


def _shopper(key: str, body: ShopperBody) -> Shopper:
    return Shopper(
        id=key,
        languages=tuple(body.languages),
        timezone=body.timezone,
        name=body.name,
        attributes=dict(body.attributes),
    )
