"""Shoppers of `shoppers.yaml` into the store: what the file says is set, what people changed since then stays."""

from proximity.site.load import People
from proximity.store import people
from proximity.store.database import Store


def seed(store: Store, found: People, now: float) -> None:
    """Write the file's shoppers and devices.

    A consent that the shopper or the shop has changed is left alone, and so is whoever was erased: a file that still
    names him does not bring him back.
    """
    gone = people.erased(store, [shopper.id for shopper in found.shoppers])
    for shopper in found.shoppers:
        if shopper.id in gone:
            continue
        people.put_shopper(store, shopper, at=now)
        said = {one.purpose: one for one in people.consents(store, shopper.id)}
        for purpose, granted in shopper.consents.items():
            if said[purpose].source == "file" and said[purpose].granted != granted:
                people.set_consent(store, shopper.id, purpose, granted, now, "file")
    for device in found.devices:
        if device.shopper not in gone:
            people.put_device(store, device)
