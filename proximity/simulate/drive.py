"""A simulated shop on the real wire: one real gateway for each of the site's, one OwnTracks link for its phones.

All of it runs in one thread that follows the clock. Sightings go the way of a store's own: sampler, spool, MQTT,
acknowledgement; phones' fixes go straight to the broker.
"""

import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import structlog

from gateway.node import Gateway
from gateway.settings import BrokerAddress as GatewayBroker
from gateway.settings import GatewaySettings
from proximity.ingest.mqtt import BrokerAddress
from proximity.simulate.phone_link import PhoneLink
from proximity.simulate.shop import SimulatedShop, Truth

log = structlog.get_logger(__name__)

TURN = 0.1  # s between turns on the wall: a tenth of a sample, so that a sample goes out when it ends
STRIDE = 5.0  # s of the shop's time in one go; after a pause of the machine the rest follows in the next
DRAIN_FOR = 5.0  # s that `stop` waits at most for the service to cover what was sent

OnTruth = Callable[[str, float, list[Truth]], None]  # site id, seconds since the epoch, everybody in the scene


@dataclass(frozen=True, slots=True)
class Counters:
    """Since the start, over all shops."""

    advertisements: int = 0  # packets heard by gateways
    sightings: int = 0  # rows the gateways made of them
    messages: int = 0  # gateway messages handed to the broker, repeats included
    spooled: int = 0  # gateway messages the service has not covered yet
    fixes: int = 0  # taken by the broker
    fixes_waiting: int = 0
    behind: float = 0.0  # s that the shops lag the clock


@dataclass(frozen=True)
class _Settings(GatewaySettings):
    """A gateway whose password comes with the broker's address instead of from a file."""

    password: str | None = field(default=None, repr=False)

    def address(self) -> GatewayBroker:
        return replace(super().address(), password=self.password)


class Driver:
    """Runs `shops` against the broker at `broker` (`mqtt://[user:password@]host[:port]`).

    `clock` tells seconds since the epoch at any speed; everything follows it. `spool`: directory for the gateways'
    messages (None: in memory). `on_truth` is called about ten times a second from the driver's thread. BrokerError
    when the address is none.
    """

    def __init__(
        self,
        shops: Sequence[SimulatedShop],
        broker: str,
        clock: Callable[[], float],
        spool: Path | None = None,
        on_truth: OnTruth | None = None,
    ) -> None:
        address = BrokerAddress.parse(broker)
        self._shops, self._clock, self._on_truth = tuple(shops), clock, on_truth
        self._gateways = [_gateways(shop, address, clock, spool) for shop in shops]
        self._phones = PhoneLink(address, {device: s for shop in shops for device, s in shop.phone_secrets.items()})
        self._stopping = threading.Event()
        self._heard = 0
        self._done = min((shop.now for shop in shops), default=clock())
        self._failure: BaseException | None = None
        self._thread = threading.Thread(target=self._run, name="simulated-shop", daemon=True)

    @property
    def gateways(self) -> tuple[Gateway, ...]:
        """All gateways, shop by shop."""
        return tuple(g for row in self._gateways for g in row)

    @property
    def counters(self) -> Counters:
        """The figures of this moment; safe from any thread."""
        return Counters(
            advertisements=self._heard,
            sightings=sum(g.sampled for g in self.gateways),
            messages=sum(g.uplink.sent for g in self.gateways),
            spooled=sum(g.spool.pending for g in self.gateways),
            fixes=self._phones.sent,
            fixes_waiting=self._phones.waiting,
            behind=max(0.0, self._clock() - self._done),
        )

    @property
    def running(self) -> bool:
        """Whether the shops move on."""
        return self._thread.is_alive()

    def start(self) -> None:
        """Connect and open the doors. Does not wait for the broker."""
        for gateway in self.gateways:
            gateway.start()
        self._phones.start()
        self._thread.start()

    def stop(self, drain: bool = False) -> None:
        """Close the doors and the connections. `drain`: wait a little until the service has covered what was sent.

        Raises what ended the shops early, if anything did.
        """
        self._stopping.set()
        if self._thread.ident is not None:
            self._thread.join()
        if drain:
            self._drain()
        self._phones.stop()
        for gateway in self.gateways:
            gateway.stop()
        if self._failure is not None:
            raise self._failure

    def turn(self, now: float) -> None:
        """Bring everything to `now`: shops, gateways, phones. `start` calls this from its thread; tests by hand."""
        for shop, gateways in zip(self._shops, self._gateways, strict=True):
            self._feed(shop, gateways, now)
            for gateway in gateways:
                gateway.tick(now)
            if self._on_truth is not None:
                self._on_truth(shop.site.id, now, shop.truth(now))
        self._done = now

    def _feed(self, shop: SimulatedShop, gateways: list[Gateway], now: float) -> None:
        heard = shop.step(now)
        columns = heard.advertisements
        for at, device, anchor, rssi, power in zip(
            columns.at.tolist(),
            columns.device.tolist(),
            columns.anchor.tolist(),
            columns.rssi.tolist(),
            columns.power.tolist(),
            strict=True,
        ):
            gateways[anchor].hear(shop.devices[device], rssi, at, power)
        self._heard += len(columns)
        for fix in heard.fixes:
            self._phones.send(fix)

    def _run(self) -> None:
        try:
            while not self._stopping.is_set():
                begun = time.monotonic()
                self.turn(min(self._clock(), self._done + STRIDE))
                self._stopping.wait(max(0.0, TURN - (time.monotonic() - begun)))
        except Exception as error:
            log.exception("the simulated shop has stopped")
            self._failure = error

    def _drain(self) -> None:
        deadline = time.monotonic() + DRAIN_FOR
        for gateway in self.gateways:
            gateway.flush()
        while time.monotonic() < deadline and not all(g.drained for g in self.gateways):
            for gateway in self.gateways:
                gateway.uplink.pump()
            time.sleep(TURN)


def _gateways(
    shop: SimulatedShop, address: BrokerAddress, clock: Callable[[], float], spool: Path | None
) -> list[Gateway]:
    scheme = "mqtts" if address.tls else "mqtt"
    settings = _Settings(
        site=shop.site.id,
        gateway="",
        broker=f"{scheme}://{address.host}:{address.port}",
        username=address.username,
        password=address.password,
        source="simulated",
        spool=spool,
        keep=tuple(sorted({device.partition(":")[0] + ":" for device in shop.devices})) or None,
    )
    return [Gateway(replace(settings, gateway=anchor.partition("/")[2]), clock) for anchor in shop.anchors]
