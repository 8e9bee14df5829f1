"""People who come once in a while: so that a shop which is watched for long has somebody who had no offer yet."""

from collections.abc import Sequence
from typing import Any

import msgspec
import numpy as np

from proximity.model import Device, Shopper

Carried = tuple[Shopper, tuple[Device, ...]]

GUEST_UUID = "6e5d2a90-1c47-4b7e-8f3a-40c1d2e3f405"
WRITTEN = (
    "Adèle Alba Aline Amir Anouk Anton Aurore Bruno Camille Carla Céline Clara Damien Dario Diane Élise Elif Enzo "
    "Esra Fabien Fanny Félix Flora Gabin Greta Hannah Henri Ida Ilyas Irène Iris Ivo Jade Jana Joris Judith Kenza "
    "Klara Lars Lina Lou Lucas Luna Maël Malik Manon Marc Mehdi Mila Nadia Naël Nora Olga Omar Paola Paul Pia Quentin "
    "Rania Rémi Rosa Ruben Sami Sara Selma Simon Sofia Tess Theo Tilda Tom Ugo Ulla Valentin Vera Wanda Yanis Yuna "
    "Zeynep Zoé"
)
NAMES = tuple(WRITTEN.split())


def guests(like: Sequence[Carried], count: int, seed: int = 0) -> list[Carried]:
    """`count` made-up people (at most one for each of `NAMES`), each with the habits of one of `like`.

    A guest has the languages, attributes and consents of the one he is like, a name of his own, an iBeacon on air, and
    an OwnTracks phone if the other has one. Empty when `like` is.
    """
    if not like:
        return []
    rng = np.random.default_rng((seed, 0x6E5))
    found = []
    for number, name in enumerate(rng.permutation(NAMES)[:count].tolist()):
        model, carried = like[number % len(like)]
        shopper = msgspec.structs.replace(
            model, id=f"guest-{number + 1:02d}", name=name, attributes=_renamed(model, name)
        )
        devices = [Device(f"ibeacon:{GUEST_UUID}:1:{number + 1}", shopper.id, "ibeacon")]
        if any(device.kind == "owntracks" for device in carried):
            devices.append(Device(f"owntracks:{shopper.id}/phone", shopper.id, "owntracks"))
        found.append((shopper, tuple(devices)))
    return found


def _renamed(model: Shopper, name: str) -> dict[str, Any]:
    """The attributes of `model`, less his name."""
    return {key: name if value == model.name else value for key, value in model.attributes.items()}
