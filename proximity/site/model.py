"""Stores as values: sites, zones and anchors, as the files describe them and as presence uses them."""

from dataclasses import dataclass, field
from typing import Literal

from shapely.geometry.base import BaseGeometry

Frame = Literal["local", "wgs84"]
LocatorName = Literal["auto", "strongest", "zones", "grid"]


@dataclass(frozen=True, slots=True)
class PresenceOptions:
    """How calm a site is. A zone may override `enter_after`, `exit_after`, `exit_margin`."""

    enter_after: float = 1.0  # s of evidence before an enter: two one-second samples agree, one stray packet does not
    exit_after: float = 20.0  # s of silence that end a visit; ten missed one-second samples in a row are normal
    leave_after: float = 3.0  # s of evidence of being elsewhere before an exit
    exit_margin: float = 15.0  # m beyond the outline, on top of the accuracy, before a fix is clear evidence of outside
    hysteresis: float = 4.0  # dB by which another zone must be stronger: about the shadowing of one body
    top_speed: float = 60.0  # m/s; a fix that needs more is held until the next one agrees
    gateway_hold: float = 300.0  # s a visit is held while its gateways are offline
    fix_exit_after: float = 900.0  # s of silence for phones: they report every few minutes when they stand still
    locator: LocatorName = "auto"  # how sightings become places indoors; "auto": by what the site knows


@dataclass(frozen=True, slots=True)
class Zone:
    """A named place with an outline."""

    id: str  # slug, unique in its site
    site: str
    name: str
    outline: BaseGeometry  # frame "local": metres in the site's frame; "wgs84": degrees, x = longitude
    frame: Frame = "local"
    outdoor: bool = False  # a geofence: judged by fixes; an indoor zone is judged by sightings
    floor: int = 0
    tags: frozenset[str] = frozenset()
    enter_after: float | None = None  # s; None: the site's
    exit_after: float | None = None  # s
    exit_margin: float | None = None  # m
    radius: float | None = None  # m, when the outline was given as a circle; `outline` is then its centre point
    sound: bool = True  # False: its properties were refused, and it is there only to be named in further checks


@dataclass(frozen=True, slots=True)
class Anchor:
    """A radio at a known place: a gateway, or a beacon fixed to a shelf."""

    id: str  # slug, unique in its site
    site: str
    kind: Literal["gateway", "beacon"]
    zone: str | None = None  # the zone it stands in; None with a place: found from the outlines when loading
    x: float | None = None  # local metres; None: place unknown
    y: float | None = None
    z: float = 2.0
    floor: int = 0
    beacon: str | None = None  # canonical device id on air, for kind "beacon"
    offset: float = 0.0  # dB added to what this radio hears, from calibration


@dataclass(frozen=True, slots=True)
class Wall:
    """A segment in local metres that takes `loss` dB and that nobody walks through."""

    x1: float
    y1: float
    x2: float
    y2: float
    loss: float = 6.0
    floor: int = 0


@dataclass(frozen=True, slots=True)
class Site:
    """A store."""

    id: str  # slug
    name: str
    timezone: str  # IANA name
    opening_hours: str | None = None  # OpenStreetMap syntax
    country: str | None = None  # ISO 3166-1 alpha-2, for public holidays
    address: str | None = None
    lat: float | None = None  # degrees, of the local frame's origin
    lon: float | None = None
    bearing: float = 0.0  # degrees clockwise from north to the local y axis
    zones: tuple[Zone, ...] = ()
    anchors: tuple[Anchor, ...] = ()
    walls: tuple[Wall, ...] = ()
    presence: PresenceOptions = field(default_factory=PresenceOptions)
    approval: bool = False  # a second person has to agree to new rules

    def zone(self, zone_id: str) -> Zone:
        """KeyError when the site has no such zone."""
        for zone in self.zones:
            if zone.id == zone_id:
                return zone
        raise KeyError(zone_id)
