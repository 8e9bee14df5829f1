"""shoppers.yaml: people by pseudonym, what they agreed to and what they carry."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from proximity.document import Diagnostic, Document
from proximity.model import Device, Shopper
from proximity.shape import check_shape
from proximity.site.beacons import ReadFile
from proximity.site.radios import Claims, read_carried, read_list
from proximity.site.shapes import CarriedShape, ShopperShape
from proximity.site.shop import timezone_diagnostic


@dataclass(frozen=True, slots=True)
class People:
    """Shoppers and what they carry."""

    shoppers: tuple[Shopper, ...] = ()
    devices: tuple[Device, ...] = ()


def parse_shoppers(
    document: Document | None, read_file: ReadFile, claims: Claims
) -> tuple[People, list[str], list[Diagnostic]]:
    """The people of one shoppers.yaml, all ids that stand there (also of broken entries), and what is wrong."""
    items, found = read_list(document, ("shoppers", "uuid"), "shoppers")
    shoppers: list[Shopper] = []
    devices: list[Device] = []
    names: list[str] = []
    for loc, item in items:
        assert document is not None
        shape, wrong = check_shape(document, ShopperShape, loc)
        found += wrong + timezone_diagnostic(document, (*loc, "timezone"), item.get("timezone"))
        name, carried = None if item.get("id") is None else str(item["id"]), item.get("devices")
        if name is not None:
            names.append(name)
            other = claims.claim(f"shopper {name}", document, (*loc, "id"))
            if other is not None:
                message = f'shopper "{name}" is there twice'
                found.append(document.diagnostic((*loc, "id"), "E307", message, f"first at {other}"))
        subject = f'shopper "{name}"' if name is not None else "this shopper"
        uuid = document.data.get("uuid") if isinstance(document.data, dict) else None
        if carried is not None and not isinstance(carried, list):
            found.append(document.diagnostic((*loc, "devices"), "E103", "`devices` must be a list (`- ibeacon: …`)"))
            carried = None
        for i, part in enumerate(carried or ()):
            where = (*loc, "devices", i)
            device, wrong = read_carried(
                document, where, part, CarriedShape, subject, _text(uuid), read_file, claims, owner=name or "?"
            )
            found += wrong
            if device is not None:
                devices.append(device)
        if shape is not None:
            shoppers.append(
                Shopper(
                    id=shape.id,
                    languages=shape.languages,
                    timezone=shape.timezone,
                    name=shape.name,
                    attributes=dict(shape.attributes),
                    consents=dict(shape.consents),
                )
            )
    return People(tuple(shoppers), tuple(devices)), names, found


def merge(parts: Sequence[People], tags: Sequence[Device]) -> People:
    """The people of several files, and the tags they carry."""
    shoppers = tuple(shopper for part in parts for shopper in part.shoppers)
    return People(shoppers, (*(device for part in parts for device in part.devices), *tags))


def _text(value: Any) -> str | None:
    return value if isinstance(value, str) else None
