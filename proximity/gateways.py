"""The gateways as the service sees them: which are in earshot, what they are told, what they say of themselves."""

import time
from collections.abc import Iterable, Sequence
from typing import Protocol

import msgspec

from proximity import wire
from proximity.feed import Feed
from proximity.ingest.decode import GatewayReport
from proximity.ingest.offsets import Boot, Covered
from proximity.presence.engine import Engine
from proximity.presence.probe import State
from proximity.site.model import Site
from proximity.store import gateways
from proximity.store.database import Store

ACK_EVERY = 4.0  # s between words to one gateway of what is covered; it begins to wonder after ten
ACK_AFTER = 64  # messages that are told at once: a quarter of what it sends ahead of the mark
FEW = 32  # gateways that are told at once, in a shop or a small chain


class Writer(Protocol):
    """The way back to the gateways."""

    @property
    def connected(self) -> bool:
        """Whether the broker can be reached."""

    def post(self, topic: str, payload: bytes, retain: bool = False) -> None:
        """Send without waiting."""


class Gateways:
    """Belongs to one pipeline; every call is made under its lock."""

    def __init__(self) -> None:
        self.writer: Writer | None = None  # None: nobody can be told anything
        self._config = wire.ConfigMessage(0)
        self._online: dict[str, bool] = {}  # "<site>/<gateway>" -> as presence was told
        self._changes: list[State] = []
        self._covered: dict[Boot, int] = {}  # to be told
        self._told: dict[Boot, tuple[int, float]] = {}  # the last number, monotonic

    def changes(self) -> list[State]:
        """What presence was told since the last call."""
        changes, self._changes = self._changes, []
        return changes

    @property
    def config(self) -> wire.ConfigMessage:
        """The settings in force."""
        return self._config

    def tell(self, config: wire.ConfigMessage, sites: Iterable[Site]) -> None:
        """Put settings in force for every gateway, retained."""
        self._config = config
        for site in sites:
            for anchor in site.anchors:
                if anchor.kind == "gateway":
                    self._post(site.id, anchor.id, "config", config)

    def acknowledge(self, covered: dict[Boot, Covered]) -> None:
        """Up to which number everything is covered by durable state: said at once to a few, to who has waited for it
        and to who sends again what is covered; to the others soon."""
        self._covered |= {boot: one.seq for boot, one in covered.items()}
        self.say()

    def say(self, everything: bool = False) -> None:
        """Tell what is due, or all there is to tell. A word costs the broker as much as a message of a hundred rows."""
        now, everything = time.monotonic(), everything or len(self._covered) <= FEW
        for boot, seq in list(self._covered.items()):
            last, at = self._told.get(boot, (seq, now))
            if everything or not last < seq < last + ACK_AFTER or now - at >= ACK_EVERY:
                del self._covered[boot]
                self._told[boot] = (seq, now)
                self._post(boot.site, boot.gateway, "acked", wire.AckedMessage(boot.boot, seq))

    def hear(self, heard: set[tuple[str, str]], reports: Sequence[GatewayReport], engine: Engine, now: float) -> None:
        """Who was heard from, and what they report: silence of those out of earshot says nothing about shoppers."""
        if self.writer is not None and not self.writer.connected:
            self.lose([anchor for anchor, online in self._online.items() if online], engine, now)
            return
        states = {f"{site}/{gateway}": True for site, gateway in heard}
        for report in reports:
            if isinstance(report.message, wire.StatusMessage):
                states[f"{report.site}/{report.gateway}"] = report.message.state == "online"
                if report.message.state == "online" and report.message.config != self._config.version:
                    self._post(report.site, report.gateway, "config", self._config)  # what was retained can be missed
        for anchor, online in states.items():
            if self._online.get(anchor) is not online:
                self._online[anchor] = online
                self._changes.append(State(anchor, online, now))
                engine.gateway_state(anchor, online, now)

    def lose(self, anchors: Iterable[str], engine: Engine, at: float) -> None:
        """Take these for offline until they are heard again."""
        for anchor in anchors:
            if self._online.get(anchor) is not False:
                self._online[anchor] = False
                self._changes.append(State(anchor, False, at))
                engine.gateway_state(anchor, False, at)

    def _post(self, site: str, gateway: str, channel: str, message: msgspec.Struct) -> None:
        if self.writer is not None:
            self.writer.post(wire.gateway_topic(site, gateway, channel), wire.encode(message), retain=True)


def save_report(store: Store, feed: Feed, report: GatewayReport) -> None:
    """A status or health message into the store. StoreError as always."""
    message = report.message
    if isinstance(message, wire.StatusMessage):
        gateways.put_status(store, report.site, report.gateway, message.state, message.version, report.at)
        feed.publish("health", {"site": report.site, "gateway": report.gateway, "state": message.state})
    else:
        gateways.put_health(store, report.site, report.gateway, msgspec.to_builtins(message), report.at)
