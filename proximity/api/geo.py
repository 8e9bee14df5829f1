"""Outlines of zones as GeoJSON, in degrees and in a site's own metres."""

from typing import Any

import numpy as np
import shapely
from shapely.geometry import mapping
from shapely.geometry.base import BaseGeometry

from proximity.observations import Floats
from proximity.site import frames
from proximity.site.model import Site, Zone

MILLIMETRES = 3  # decimals of a metre
CENTIMETRES = 7  # decimals of a degree


def outline_degrees(site: Site, zone: Zone) -> dict[str, Any] | None:
    """The zone as a GeoJSON geometry; a circle is its centre. None when the site has no place on the globe."""
    if zone.frame == "wgs84":
        return _geojson(zone.outline, CENTIMETRES)
    lat0, lon0 = site.lat, site.lon
    if lat0 is None or lon0 is None:
        return None

    def move(points: Floats) -> Floats:
        lat, lon = frames.to_degrees(lat0, lon0, site.bearing, points[:, 0], points[:, 1])
        return np.column_stack([lon, lat])

    return _geojson(shapely.transform(zone.outline, move), CENTIMETRES)


def outline_metres(site: Site, zone: Zone) -> dict[str, Any] | None:
    """The zone in the site's metres, in the shape of a GeoJSON geometry. None when the site has no place."""
    if zone.frame == "local":
        return _geojson(zone.outline, MILLIMETRES)
    lat0, lon0 = site.lat, site.lon
    if lat0 is None or lon0 is None:
        return None

    def move(points: Floats) -> Floats:
        return np.column_stack(frames.to_local(lat0, lon0, site.bearing, points[:, 1], points[:, 0]))

    return _geojson(shapely.transform(zone.outline, move), MILLIMETRES)


def _geojson(outline: BaseGeometry, decimals: int) -> dict[str, Any]:
    plain: dict[str, Any] = mapping(outline)
    return {"type": plain["type"], "coordinates": _rounded(plain["coordinates"], decimals)}


def _rounded(value: Any, decimals: int) -> Any:
    if isinstance(value, (tuple, list)):
        return [_rounded(part, decimals) for part in value]
    return round(float(value), decimals)
