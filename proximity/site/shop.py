"""site.yaml: what a store is called, where and when it is open, and how calm its presence is."""

import functools
import re
import zoneinfo
from dataclasses import dataclass
from typing import Any

import pydantic
from opening_hours import OpeningHours, ParserError  # type: ignore[attr-defined]  # its stubs forget it

from proximity.document import Diagnostic, Document, Mark, did_you_mean
from proximity.shape import check_shape
from proximity.site.model import PresenceOptions, Site
from proximity.site.shapes import SiteShape

FEET = 0.3048  # m
_MEANT = {"UK": "GB", "EL": "GR", "EN": "GB"}  # codes that people write and ISO does not know


@dataclass(frozen=True, slots=True)
class Ground:
    """What the other files need to know of the site they belong to."""

    site: str
    lat: float | None  # degrees, of the local origin
    lon: float | None
    bearing: float  # degrees clockwise from north to the y axis
    scale: float  # metres in one unit of the files
    doubtful: bool = False  # site.yaml is wrong where it says the place: no use to complain that there is none

    @property
    def placed(self) -> bool:
        """Whether metres can be turned into degrees."""
        return self.lat is not None and self.lon is not None


NOWHERE = Ground("?", None, None, 0.0, 1.0, doubtful=True)


def parse_shop(document: Document) -> tuple[Site | None, Ground, list[Diagnostic]]:
    """The site of a site.yaml without its zones and radios, what other files need of it, and what is wrong.

    With errors the site holds what could be read, so that other files can be checked against it; None without an id.
    """
    if document.diagnostics and document.data is None:
        return None, NOWHERE, list(document.diagnostics)
    shape, found = check_shape(document, SiteShape)
    wrong_words = _check_words(document)
    found = [*document.diagnostics, *found, *wrong_words]
    if shape is None:
        shape = _salvage(document.data)
    if shape is None:
        return None, NOWHERE, found
    scale = FEET if shape.units == "feet" else 1.0
    options = {k: v for k, v in shape.presence.model_dump().items() if v is not None}
    for key in ("exit_margin", "top_speed"):
        if key in options:
            options[key] *= scale
    site = Site(
        id=shape.id,
        name=shape.name,
        timezone=shape.timezone if shape.timezone in _timezones() else "UTC",
        opening_hours=None if any(one.code == "E303" for one in wrong_words) else shape.opening_hours,
        country=shape.country if shape.country in _countries() else None,
        address=shape.address,
        lat=shape.place.lat if shape.place else None,
        lon=shape.place.lon if shape.place else None,
        bearing=shape.bearing,
        presence=PresenceOptions(**options),
        approval=shape.approval == "required",
    )
    doubtful = shape.place is None and isinstance(document.data, dict) and "place" in document.data
    return site, Ground(site.id, site.lat, site.lon, site.bearing, scale, doubtful), found


def timezone_diagnostic(document: Document, loc: tuple[str | int, ...], name: Any) -> list[Diagnostic]:
    """Nothing, or what is wrong with a time zone's name."""
    if not isinstance(name, str) or name in _timezones():
        return []
    hint = did_you_mean(name, _timezones()) or "write an IANA name such as Europe/Paris"
    return [document.diagnostic(loc, "E302", f"no time zone is called {name!r}", hint)]


def _salvage(data: Any) -> SiteShape | None:
    """The shape of what is right in a wrong file; None when it has no readable id."""
    if not isinstance(data, dict):
        return None
    try:
        SiteShape.model_validate(data)
    except pydantic.ValidationError as error:
        wrong = {detail["loc"][0] for detail in error.errors()}
        kept = {"name": "?", "timezone": "UTC"} | {k: v for k, v in data.items() if k not in wrong}
        return SiteShape.model_validate(kept) if "id" in kept else None
    return None


def _check_words(document: Document) -> list[Diagnostic]:
    data = document.data
    if not isinstance(data, dict):
        return []
    found = timezone_diagnostic(document, ("timezone",), data.get("timezone"))
    hours, country = data.get("opening_hours"), data.get("country")
    if isinstance(hours, str):
        found += _check_hours(document, hours)
        if country is None and re.search(r"\b[PS]H\b", hours):
            found.append(
                document.diagnostic(
                    ("opening_hours",),
                    "W306",
                    "the opening hours name holidays, but nobody knows of which country",
                    "add `country: FR`, with the store's own code",
                    severity="warning",
                )
            )
    if isinstance(country, str) and country not in _countries():
        meant = _MEANT.get(country.upper(), country.upper())
        hint = f"did you mean {meant}?" if meant in _countries() else "write two letters of ISO 3166, such as FR or DE"
        found.append(document.diagnostic(("country",), "E304", f"no country has the code {country!r}", hint))
    return found


def _check_hours(document: Document, text: str) -> list[Diagnostic]:
    try:
        OpeningHours(text)
    except ParserError as error:
        mark = document.mark(("opening_hours",))
        at = re.search(r"--> 1:(\d+)", str(error))
        source = document.text.splitlines()[mark.line - 1]
        quoted = source[mark.column - 1 : mark.column] in ("'", '"')
        if at and text in source:  # on one line: point at the letter that cannot be read
            column = mark.column + quoted + min(int(at[1]) - 1, max(0, len(text) - 1))
            mark = Mark(mark.file, mark.line, column)
        hint = "write them like `Mo-Fr 09:00-19:00; Sa 10:00-18:00; PH off`"
        return [document.at(mark, "E303", "the opening hours cannot be read from here on", hint)]
    return []


@functools.cache
def _timezones() -> frozenset[str]:
    return frozenset(zoneinfo.available_timezones())


@functools.cache
def _countries() -> frozenset[str]:
    from holidays import list_supported_countries  # takes half a second

    return frozenset(list_supported_countries(include_aliases=False))
