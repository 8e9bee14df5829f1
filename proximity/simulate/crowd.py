"""Who walks in a simulated shop: the people of the files, or made-up ones for measurements."""

from collections.abc import Iterable
from uuid import UUID

import numpy as np

from proximity.model import Device, Shopper

CROWD_UUID = "5f0e8a3c-7d41-4b5e-9c26-000000000000"  # the last twelve digits are the seed
LANGUAGES = ("en", "de", "fr", "tr")


def carriers(shoppers: Iterable[Shopper], devices: Iterable[Device]) -> list[tuple[Shopper, tuple[Device, ...]]]:
    """Each shopper with what he carries, as a SimulatedShop wants them; devices of nobody are left out."""
    known = list(shoppers)
    carried: dict[str, list[Device]] = {shopper.id: [] for shopper in known}
    for device in devices:
        if device.shopper in carried:
            carried[device.shopper].append(device)
    return [(shopper, tuple(carried[shopper.id])) for shopper in known]


def crowd(count: int, seed: int = 0, phones: float = 0.4) -> list[tuple[Shopper, tuple[Device, ...]]]:
    """`count` shoppers who agreed to offers, each with an iBeacon on air; a share `phones` has OwnTracks as well."""
    rng = np.random.default_rng((seed, 0xC0D))
    uuid = str(UUID(int=UUID(CROWD_UUID).int + seed % 2**48))
    people = []
    for number in range(count):
        name = f"shopper-{number + 1:04d}"
        shopper = Shopper(
            id=name, languages=(str(rng.choice(LANGUAGES)),), consents={"in-store-offers": True, "location": True}
        )
        devices = [Device(f"ibeacon:{uuid}:{number // 65536 + 1}:{number % 65536}", name, "ibeacon")]
        if rng.random() < phones:
            devices.append(Device(f"owntracks:{name}/phone", name, "owntracks"))
        people.append((shopper, tuple(devices)))
    return people
