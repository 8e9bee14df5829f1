"""A shopper's own data, by the token in the path: nobody else's can be reached from here."""

import asyncio
from collections.abc import Sequence
from typing import Annotated, Any

import msgspec
from fastapi import APIRouter, Depends, Header, Request
from starlette.responses import Response

from proximity.api.context import ApiContext
from proximity.api.convert import consent_out
from proximity.api.events import EventStream
from proximity.api.my_coupons import my_coupon, qr_picture
from proximity.api.my_schemas import MeOut, MyOffer, MyOffers, MyPlace, MySharing
from proximity.api.phones import hand_on
from proximity.api.problems import ProblemError, responses
from proximity.api.schemas import ConsentOut
from proximity.api.security import Context
from proximity.api.values import BeaconsBody, ConsentBody, Key, Limit, PositionBody, Purpose, Token
from proximity.feed import Event
from proximity.model import Device, Shopper
from proximity.site.model import Site
from proximity.store import coupons, offers, people
from proximity.store.offers import StoredOffer

router = APIRouter(prefix="/me/{token}", tags=["shopper's own page"], responses=responses(404, 422))
PAGE_LANGUAGES = ("en", "fr")  # the first is for those who read neither
BASIC_PURPOSE = "in-store-offers"
SOURCE = "shopper"


def find_me(context: Context, token: Token) -> Shopper:
    """Problem 404 for a token that nobody has: it was never given, was renewed, or its shopper was erased."""
    found = people.by_token(context.store, token)
    if found is None:
        raise ProblemError(404, "There is no such page. The link may be old: ask the shop for a new one.")
    return found


Me = Annotated[Shopper, Depends(find_me)]


def page_language(shopper: Shopper, accept: str | None) -> str:
    """The first language of the shopper, else of the browser, that the page speaks."""
    for wanted in (*shopper.languages, *_accepted(accept or "")):
        primary = wanted.partition("-")[0].lower()
        if primary in PAGE_LANGUAGES:
            return primary
    return PAGE_LANGUAGES[0]


def _accepted(header: str) -> list[str]:
    """Language ranges of an Accept-Language header, most wanted first; a malformed weight counts as none."""
    ranges: list[tuple[float, str]] = []
    for part in header.split(",")[:20]:
        name, _, weight = part.strip().partition(";")
        try:
            quality = float(weight.strip().removeprefix("q=") or 1.0)
        except ValueError:
            quality = 0.0
        if name and quality > 0.0:
            ranges.append((-quality, name.strip()))
    return [name for _, name in sorted(ranges, key=lambda one: one[0])]


def _names(context: ApiContext) -> dict[str, Site]:
    return {site.id: site for site in context.live.sites()}


def _zone_name(site: Site | None, zone: str) -> str:
    found = next((one.name for one in site.zones if one.id == zone), None) if site else None
    return found or zone


def _nearest(site: Site | None, zones: Sequence[str]) -> Sequence[str]:
    """Indoor zones, if there are any: who is at a shelf need not hear of the car park around the store."""
    outdoor = {zone.id for zone in site.zones if zone.outdoor} if site else set()
    return [zone for zone in zones if zone not in outdoor] or zones


def _consents(context: ApiContext, shopper: Shopper) -> list[ConsentOut]:
    """Every purpose that was ever asked about, and the basic one, so that there is a switch for it."""
    known = [consent_out(one) for one in people.consents(context.store, shopper.id)]
    if not any(one.purpose == BASIC_PURPOSE for one in known):
        known.insert(0, ConsentOut(purpose=BASIC_PURPOSE, granted=False))
    return sorted(known, key=lambda one: (one.purpose != BASIC_PURPOSE, one.purpose))


@router.get("")
def read_me(context: Context, me: Me, accept_language: Annotated[str | None, Header(max_length=500)] = None) -> MeOut:
    """Who I am here, what I agreed to, and where I am seen."""
    sites = _names(context)
    places: dict[str, MyPlace] = {}
    for row in context.live.whereabouts(me.id):
        if row.site is None:
            continue
        site = sites.get(row.site)
        zones = [_zone_name(site, zone) for zone in _nearest(site, row.zones)]
        place = MyPlace(site=row.site, site_name=site.name if site else row.site, zones=zones, at=row.at)
        if row.site not in places or places[row.site].at < row.at:
            places[row.site] = place
    consents = _consents(context, me)
    return MeOut(
        at=context.clock(),
        name=me.name,
        language=page_language(me, accept_language),
        consents=consents,
        whereabouts=list(places.values()),
        sharing=any(one.granted for one in consents),
    )


@router.get("/offers")
def my_offers(request: Request, context: Context, me: Me, limit: Limit = 50) -> MyOffers:
    """My offers, newest first, also those that are over."""
    sites = _names(context)
    mine = offers.offers(context.store, me.id, limit, None)
    held = coupons.of_offers(context.store, (one.offer.id for one in mine))
    now, page = context.clock(), str(request.url.path).removesuffix("/offers")
    return MyOffers(
        items=[
            _offer(sites, one).model_copy(update={"coupon": my_coupon(held[one.offer.id], now, page)})
            if one.offer.id in held
            else _offer(sites, one)
            for one in mine
        ]
    )


def _offer(sites: dict[str, Site], stored: StoredOffer) -> MyOffer:
    offer = stored.offer
    site = sites.get(offer.site)
    return MyOffer(
        id=offer.id,
        title=offer.title,
        body=offer.body,
        language=offer.language,
        url=offer.url,
        site=offer.site,
        site_name=site.name if site else offer.site,
        zone=offer.zone,
        zone_name=_zone_name(site, offer.zone),
        created=offer.created,
        expires=offer.expires,
        state=stored.state,
        state_reason=stored.state_reason,
        seen=stored.seen,
    )


@router.get(
    "/offers/{offer}/qr.svg",
    response_class=Response,
    responses={200: {"description": "The picture.", "content": {"image/svg+xml": {"schema": {"type": "string"}}}}},
)
def my_coupon_picture(context: Context, me: Me, offer: Key) -> Response:
    """The code of my coupon as a QR code, for the scanner at the till."""
    found = coupons.of_offers(context.store, [offer]).get(offer)
    if found is None or found.coupon.shopper != me.id:
        raise ProblemError(404, "There is no such coupon.")
    return Response(qr_picture(found.coupon.code), media_type="image/svg+xml")


@router.post("/offers/{offer}/seen", status_code=204, response_class=Response)
def saw_offer(context: Context, me: Me, offer: Key) -> None:
    """I have seen this offer of mine."""
    found = offers.offer(context.store, offer)
    if found is None or found.offer.shopper != me.id:
        raise ProblemError(404, "There is no such offer.")
    offers.mark_seen(context.store, offer, context.clock())


@router.put("/consents/{purpose}")
def my_consent(context: Context, me: Me, purpose: Purpose, body: ConsentBody) -> ConsentOut:
    """Yes or no to one purpose; it holds from now on."""
    if all(one.purpose != purpose for one in _consents(context, me)):
        raise ProblemError(404, "Nobody asks for this purpose.")
    now = context.clock()
    people.set_consent(context.store, me.id, purpose, body.granted, now, SOURCE)
    context.live.shopper_changed(me.id)
    return ConsentOut(purpose=purpose, granted=body.granted, at=now, source=SOURCE)


def _register(context: ApiContext, device: Device) -> None:
    people.put_device(context.store, device)
    context.live.shopper_changed(device.shopper)


async def _tell(context: ApiContext, me: Shopper, message: dict[str, Any]) -> MySharing:
    """Hand on what my browser tells, while I agree to something that needs it."""
    if not any(me.consents.values()):
        raise ProblemError(403, "You have agreed to nothing that needs your position.")
    device = f"app:{me.id}"
    if context.live.known_device(device) is None:
        await asyncio.to_thread(_register, context, Device(id=device, shopper=me.id, kind="app"))
    result = await hand_on(context, f"app/{me.id}", msgspec.json.encode(message))
    return MySharing(accepted=result == "accepted")


@router.post("/beacons", responses=responses(403, 503))
async def my_beacons(context: Context, me: Me, body: BeaconsBody) -> MySharing:
    """Which shelf beacons my browser hears: taken only while I agree to something that needs it."""
    at = context.clock() if body.at is None else body.at
    return await _tell(context, me, {"beacons": [one.model_dump() for one in body.beacons], "at": at})


@router.post("/position", responses=responses(403, 503))
async def my_position(context: Context, me: Me, body: PositionBody) -> MySharing:
    """Where I am, by my browser: taken only while I agree to something that needs it."""
    at = context.clock() if body.at is None else body.at
    message = {
        "lat": body.lat,
        "lon": body.lon,
        "at": at,
        "accuracy": body.accuracy,
        "speed": body.speed,
        "heading": body.course,
    }
    return await _tell(context, me, message)


@router.delete("", status_code=204, response_class=Response)
def erase_me(context: Context, me: Me) -> None:
    """Forget me everywhere. There is no way back."""
    context.live.erase(me.id)


@router.get(
    "/events",
    response_class=Response,
    responses={
        200: {
            "description": "Events `offers` and `moved` say that something of this shopper's changed and is worth "
            "reading again; `bye` that the token no longer holds.",
            "content": {"text/event-stream": {"schema": {"type": "string"}}},
        }
    },
)
async def my_events(request: Request, context: Context, me: Me, token: Token) -> EventStream:
    """What happens to me, as server-sent events. They hold no data: the page reads what it may see."""
    return EventStream(
        context.feed,
        request.app.state.closing,
        kinds=HEARD,
        wanted=Mine(me.id),
        alive=lambda: people.by_token(context.store, token) is not None,
    )


HEARD = frozenset({"offer", "withdrawn", "redeemed", "decision", "transition", "whereabouts"})


class Mine:
    """Keeps of the feed what concerns one shopper, as a nudge to read again."""

    def __init__(self, shopper: str) -> None:
        self._shopper = shopper
        self._places: list[tuple[Any, ...]] | None = None

    def __call__(self, event: Event) -> Event | None:
        """The nudge, or None for what is nobody's business here."""
        if event.kind == "whereabouts":
            rows = [row for row in event.data.get("devices", ()) if row.get("shopper") == self._shopper]
            places = [(row.get("device"), row.get("site"), *row.get("zones", ())) for row in rows]
            changed, self._places = places != self._places, places
            return Event("moved", {}) if changed else None
        if event.data.get("shopper") != self._shopper:
            return None
        if event.kind == "decision":
            return Event("offers", {}) if event.data.get("outcome") == "sent" else None
        return Event("moved" if event.kind == "transition" else "offers", {})
