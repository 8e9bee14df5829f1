"""Fences in GeoJSON, many at a time: outdoor zones beside those of a site's zones.geojson."""

import asyncio
from collections.abc import Sequence
from typing import Annotated, Any

import msgspec
import shapely
from fastapi import APIRouter, Query, Request
from shapely.geometry import mapping
from starlette.responses import Response

from proximity.api.fence_schemas import FenceCollection, FenceFeature, FencesPut, FencesRemoved
from proximity.api.problems import ProblemError, problem_response, responses
from proximity.api.security import Context, operator_only
from proximity.api.sites import find_site
from proximity.document import Document, Mark
from proximity.presence.outlines import shapes_of
from proximity.site.model import Site, Zone
from proximity.site.shop import Ground
from proximity.site.zones import parse_zones
from proximity.store import fences

router = APIRouter(tags=["fences"], dependencies=operator_only)
MOST = 10_000  # features a request: two seconds of checking
MOST_TOLD = 100  # errors in one answer
_OPTIONS = ("radius", "enter_after", "exit_after", "exit_margin")
_BODY: dict[str, Any] = {
    "type": "object",
    "required": ["type", "features"],
    "properties": {
        "type": {"const": "FeatureCollection"},
        "features": {
            "type": "array",
            "maxItems": MOST,
            "items": {"type": "object"},
            "description": "Features as in zones.geojson; `outdoor` may be left out, and cannot be false.",
        },
    },
}
SiteName = Annotated[
    str, Query(pattern=r"^[^\x00-\x1F\x7F/]+$", max_length=64, description="A site's id.", examples=["marais"])
]
FenceIds = Annotated[
    list[Annotated[str, Query(pattern=r"^[^\x00-\x1F\x7F]+$", max_length=64)]],
    Query(alias="id", min_length=1, max_length=1000, description="Fences' ids."),
]
Where = tuple[str, str]  # place of the value in the body, and what is wrong there


@router.put(
    "/fences",
    response_model=FencesPut,
    responses=responses(400, 401, 404, 409, 413, 422),
    openapi_extra={"requestBody": {"required": True, "content": {"application/json": {"schema": _BODY}}}},
)
async def put_fences(request: Request, context: Context, site: SiteName) -> Response | FencesPut:
    """Add fences of a site, or change those that are there: all of the collection, or with a mistake in it none.

    Every mistake is told, with the index of its feature. A fence may not have the id of a zone of zones.geojson (409).
    The fences are in force when the answer comes, and stay over a restart.
    """
    found = find_site(context, site)
    body = await request.body()
    zones, wrong = await asyncio.to_thread(_read, body, found)
    if wrong:
        errors = [{"where": f"body.{where}"[:200], "message": message[:300]} for where, message in wrong[:MOST_TOLD]]
        detail = f"No fence was put: {len(wrong)} mistake{'s' if len(wrong) > 1 else ''} in the collection."
        return problem_response(request, 422, detail, errors=errors)
    clash = sorted({zone.id for zone in zones} & context.live.file_zones(site))
    if clash:
        some = ", ".join(clash[:10]) + (" …" if len(clash) > 10 else "")
        raise ProblemError(409, f"These ids are zones of zones.geojson, which counts first: {some}. Choose others.")
    await asyncio.to_thread(context.live.change_fences, site, zones, ())
    return FencesPut(site=site, put=len(zones))


@router.get("/fences", responses=responses(401, 404, 422))
def list_fences(
    context: Context,
    site: SiteName,
    after: Annotated[str | None, Query(pattern=r"^[^\x00-\x1F\x7F]+$", max_length=64)] = None,
    limit: Annotated[int, Query(ge=1, le=1000, description="Features at most, by id.")] = 100,
) -> FenceCollection:
    """Fences of a site that were put here, by id. What comes out can be put again."""
    find_site(context, site)
    rows = fences.page(context.store, site, after, limit + 1)
    more = rows[limit - 1].zone.id if len(rows) > limit else None
    return FenceCollection(features=[_feature(one.zone) for one in rows[:limit]], next=more)


@router.delete("/fences", responses=responses(401, 404, 422))
def delete_fences(context: Context, site: SiteName, ids: FenceIds) -> FencesRemoved:
    """Take fences of a site away. Who is inside one leaves it with the cause `zone_removed`."""
    find_site(context, site)
    removed = context.live.change_fences(site, (), tuple(dict.fromkeys(ids)))
    if not removed:
        raise ProblemError(404, "The site has no such fence. Zones of zones.geojson are removed there.")
    return FencesRemoved(site=site, removed=removed)


class _Body(Document):
    """A request's body: the place of a value is its path."""

    def mark(self, loc: Sequence[str | int] = (), *, key: bool = False) -> Mark:  # noqa: ARG002 - a key has no place
        """The path as the file's name."""
        return Mark(".".join(map(str, loc)), 1, 1)


def _read(body: bytes, site: Site) -> tuple[list[Zone], list[Where]]:
    """Zones, or everything that is wrong. ProblemError 400 when the body is no JSON."""
    try:
        data = msgspec.json.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise ProblemError(400, f"The body is no JSON: {error}") from None
    if not isinstance(data, dict) or data.get("type") != "FeatureCollection":
        return [], [("type", 'this is no FeatureCollection: { "type": "FeatureCollection", "features": [ … ] }')]
    features = data.get("features")
    if isinstance(features, list) and len(features) > MOST:
        return [], [("features", f"{len(features)} features are more than a request may hold: {MOST}")]
    wrong = _outdoors(features) if isinstance(features, list) else []
    plan = parse_zones(_Body("", "", data), Ground(site.id, site.lat, site.lon, site.bearing, 1.0))
    wrong += [(one.mark.file, one.message + (f": {one.hint}" if one.hint else "")) for one in plan.diagnostics]
    if not wrong:
        wrong = _unplaceable(plan.zones, site)
    return plan.zones, wrong


def _outdoors(features: list[Any]) -> list[Where]:
    """Make every feature an outdoor zone, in place; what says that it is something else."""
    wrong: list[Where] = []
    for i, feature in enumerate(features):
        properties = feature.get("properties") if isinstance(feature, dict) else None
        if not isinstance(properties, dict):
            continue
        if properties.get("kind", "zone") != "zone":
            wrong.append((f"features.{i}.properties.kind", "only zones are put here; walls stand in zones.geojson"))
            properties["kind"] = "zone"
        if properties.setdefault("outdoor", True) is False:
            wrong.append((f"features.{i}.properties.outdoor", "a fence is outdoors; indoor zones are in zones.geojson"))
    return wrong


def _unplaceable(zones: Sequence[Zone], site: Site) -> list[Where]:
    """What only measuring shows: outlines too near to a pole, or round half the Earth."""
    try:
        shapes_of(dict(enumerate(zones)), {site.id: site})
    except ValueError:
        return [found for i, zone in enumerate(zones) if (found := _one_unplaceable(i, zone, site)) is not None]
    return []


def _one_unplaceable(index: int, zone: Zone, site: Site) -> Where | None:
    try:
        shapes_of({index: zone}, {site.id: site})
    except ValueError as error:
        return f"features.{index}.geometry", str(error)
    return None


def _feature(zone: Zone) -> FenceFeature:
    properties: dict[str, Any] = {"id": zone.id, "name": zone.name, "outdoor": True, "floor": zone.floor}
    properties["tags"] = sorted(zone.tags)
    properties.update({name: value for name in _OPTIONS if (value := getattr(zone, name)) is not None})
    outline = mapping(shapely.normalize(zone.outline))
    return FenceFeature(id=zone.id, properties=properties, geometry=msgspec.to_builtins(outline))
