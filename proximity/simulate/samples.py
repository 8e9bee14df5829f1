"""What the gateways of a simulated shop report: the packets of each through a sampler of its own, one row a second."""

from dataclasses import replace

import numpy as np

from gateway.sampler import Sampler
from proximity.simulate.shop import Advertisements, Heard, SimulatedShop


class Samplers:
    """The samplers of all gateways of a shop, with clocks that agree."""

    def __init__(self, shop: SimulatedShop, every: float = 1.0) -> None:
        """`every`: s, length of a sample."""
        self._devices = shop.devices
        self._index = {device: i for i, device in enumerate(shop.devices)}
        keep = tuple(shop.devices) or None
        self._samplers = [Sampler(every, keep) for _ in shop.anchors]

    def take(self, heard: Heard, now: float) -> Heard:
        """Advertisements in, the rows of all samples that ended by `now` out, in order of time."""
        columns = heard.advertisements
        for at, device, anchor, rssi, power in zip(
            columns.at.tolist(),
            columns.device.tolist(),
            columns.anchor.tolist(),
            columns.rssi.tolist(),
            columns.power.tolist(),
            strict=True,
        ):
            self._samplers[anchor].hear(self._devices[device], rssi, at, power)
        rows = sorted(
            (row.at, self._index[row.device], anchor, row.rssi, np.nan if row.power is None else row.power)
            for anchor, sampler in enumerate(self._samplers)
            for row in sampler.take(now)
        )
        at, device, anchor, rssi, power = np.array(rows, dtype=np.float64).reshape(-1, 5).T
        sampled = Advertisements(at, device.astype(np.int32), anchor.astype(np.int32), rssi, power)
        return replace(heard, advertisements=sampled)
