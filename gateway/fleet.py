"""Several gateways in one process: one for each receiver of a recording."""

import logging
import threading
import time
from collections.abc import Callable
from dataclasses import replace

from gateway.clock import Clock
from gateway.node import Gateway
from gateway.settings import ANY_RECEIVER, GatewaySettings
from gateway.sources import Heard
from proximity import wire
from proximity.errors import ProximityError

log = logging.getLogger(__name__)

DRAIN = 30.0  # s without progress until the end of a recording gives up waiting for the service


class Fleet:
    """The gateways of one process, by the receivers of the source; each is made when it is first heard of.

    `settings.gateway` is the one receiver to be, or ANY_RECEIVER. Not for several threads at once.
    """

    def __init__(self, settings: GatewaySettings, clock: Clock) -> None:
        self._settings, self._clock = settings, clock
        self.gateways: dict[str, Gateway] = {}
        if settings.gateway != ANY_RECEIVER:
            self._add(settings.gateway)

    def hear(self, heard: Heard) -> None:
        """One packet, for the gateway that heard it. ProximityError when that cannot be a gateway's name."""
        name = self._settings.gateway if heard.receiver is None else heard.receiver
        if self._settings.gateway not in (ANY_RECEIVER, name):
            return
        gateway = self.gateways.get(name) or self._add(name)
        gateway.hear(heard.what, heard.rssi, heard.at)

    def tick(self) -> None:
        """Do what is due."""
        for gateway in self.gateways.values():
            gateway.tick()

    @property
    def waiting(self) -> int:
        """Messages that the service has not covered yet."""
        return sum(gateway.spool.pending for gateway in self.gateways.values())

    def drain(self, stop: threading.Event, meanwhile: Callable[[], object], every: float) -> bool:
        """At the end of a recording, wait until the service has covered everything; False when it gets no further.

        Looks every `every` seconds and calls `meanwhile` each time. True as well when `stop` is set.
        """
        for gateway in self.gateways.values():
            gateway.flush()
        waiting, since = self.waiting, time.monotonic()
        while waiting and not stop.wait(every):
            self.tick()
            meanwhile()
            now_waiting = self.waiting
            if now_waiting < waiting:
                since = time.monotonic()
            elif time.monotonic() - since > DRAIN:
                log.error("%d messages were not acknowledged; is the service running?", now_waiting)
                return False
            waiting = now_waiting
        return True

    def stop(self) -> None:
        """Stop every gateway; what is not covered stays in its spool."""
        for gateway in self.gateways.values():
            gateway.stop()

    def _add(self, name: str) -> Gateway:
        if not wire.SLUG.match(name):
            raise ProximityError(f"the recording's receiver {name!r} cannot be a gateway's name")
        gateway = self.gateways[name] = Gateway(replace(self._settings, gateway=name), self._clock)
        gateway.start()
        return gateway
