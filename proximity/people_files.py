"""Shoppers of `shoppers.yaml` into the store: what the file says is set, what people changed since then stays."""

from proximity.site.load import People
from proximity.store import people
from proximity.store.database import Store


def seed(store: Store, found: People, now: float) -> None:
    """Write the file's shoppers and devices. A consent that the shopper or the shop has changed is left alone."""
    known = people.everybody(store)
    for shopper in found.shoppers:
        people.put_shopper(store, shopper, at=now)
        decided = (
            {c.purpose for c in people.consents(store, shopper.id) if c.source != "file"}
            if shopper.id in known
            else set()
        )
        for purpose, granted in shopper.consents.items():
            if purpose not in decided:
                people.set_consent(store, shopper.id, purpose, granted, now, "file")
    for device in found.devices:
        people.put_device(store, device)
