"""Sites, their floor plans, and who is where."""

from fastapi import APIRouter, Request

from proximity.api import geo
from proximity.api.context import ApiContext
from proximity.api.counts import Count, Counter
from proximity.api.problems import ProblemError, responses
from proximity.api.schemas import (
    GatewayOut,
    PresenceOut,
    SiteDetail,
    SiteOut,
    Sites,
    WallOut,
    WhereaboutsOut,
    ZoneOut,
)
from proximity.api.security import Context, Operator
from proximity.api.values import SiteKey
from proximity.model import Whereabouts
from proximity.site.model import Site, Zone
from proximity.store import gateways, people

router = APIRouter(tags=["sites"])
MOST_FENCES = 100  # drawn on the page; there may be a hundred thousand


def find_site(context: ApiContext, site_id: str) -> Site:
    """Problem 404 when there is no such site."""
    for site in context.live.sites():
        if site.id == site_id:
            return site
    raise ProblemError(404, f"There is no site {site_id!r}.")


def places_out(context: ApiContext, rows: list[Whereabouts]) -> list[WhereaboutsOut]:
    """Whereabouts with names, for those who may see them."""
    known = people.shoppers(context.store, sorted({row.shopper for row in rows}))
    return [
        WhereaboutsOut(
            device=row.device,
            shopper=row.shopper,
            name=known[row.shopper].name if row.shopper in known else None,
            site=row.site,
            zones=list(row.zones),
            confidence=row.confidence,
            at=row.at,
            x=row.x,
            y=row.y,
            lat=row.lat,
            lon=row.lon,
        )
        for row in rows
    ]


def _site_out(site: Site) -> SiteOut:
    return SiteOut(id=site.id, name=site.name, timezone=site.timezone, address=site.address, lat=site.lat, lon=site.lon)


def _zone_out(site: Site, zone: Zone) -> ZoneOut:
    return ZoneOut(
        id=zone.id,
        name=zone.name,
        floor=zone.floor,
        outdoor=zone.outdoor,
        tags=sorted(zone.tags),
        radius=zone.radius,
        geometry=geo.outline_degrees(site, zone),
        local=geo.outline_metres(site, zone),
    )


def _by_origin(context: ApiContext, site: Site) -> tuple[list[Zone], list[Zone]]:
    """Zones of the files, and fences put by the API."""
    written = context.live.file_zones(site.id)
    return [zone for zone in site.zones if zone.id in written], [zone for zone in site.zones if zone.id not in written]


def _gateways_out(context: ApiContext, site: Site) -> list[GatewayOut]:
    states = {row.gateway: row for row in gateways.gateways(context.store, site.id)}
    found = []
    for anchor in site.anchors:
        state = states.get(anchor.id) if anchor.kind == "gateway" else None
        found.append(
            GatewayOut(
                id=anchor.id,
                kind=anchor.kind,
                zone=anchor.zone,
                x=anchor.x,
                y=anchor.y,
                floor=anchor.floor,
                state=state.state if state else "unknown",
                seen=state.seen if state else None,
                version=state.version if state else None,
                adapter=(state.health or {}).get("adapter") if state else None,
            )
        )
    return found


@router.get("/sites")
def list_sites(context: Context) -> Sites:
    """All sites."""
    return Sites(items=[_site_out(site) for site in context.live.sites()])


@router.get("/sites/{site}", responses=responses(404, 422))
def read_site(context: Context, site: SiteKey) -> SiteDetail:
    """One site with zones, gateways and walls."""
    found = find_site(context, site)
    files, fences = _by_origin(context, found)
    return SiteDetail(
        **_site_out(found).model_dump(),
        opening_hours=found.opening_hours,
        bearing=found.bearing,
        zones=[_zone_out(found, zone) for zone in (*files, *fences[:MOST_FENCES])],
        fences=len(fences),
        gateways=_gateways_out(context, found),
        walls=[WallOut(x1=w.x1, y1=w.y1, x2=w.x2, y2=w.y2, floor=w.floor) for w in found.walls],
    )


@router.get("/sites/{site}/presence", responses=responses(404, 422))
def read_presence(request: Request, context: Context, operator: Operator, site: SiteKey) -> PresenceOut:
    """Counts per zone for everybody; with the operator's token also who it is and where."""
    found = find_site(context, site)
    counter: Counter = request.app.state.counter
    counted = counter.latest().get(found.id, Count())
    rows = [row for row in context.live.whereabouts() if row.site == found.id] if operator else None
    return PresenceOut(
        site=found.id,
        at=context.clock(),
        total=counted.total,
        zones=dict.fromkeys((zone.id for zone in _by_origin(context, found)[0]), 0) | counted.zones,
        people=None if rows is None else places_out(context, rows),
    )
