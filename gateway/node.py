"""One gateway: sampler, spool and uplink together, with time from outside.

Many of these run in one process for a replay or a simulation, so a gateway has no thread of its own but the one of
its MQTT client: `tick` does the work and must be called several times a second.
"""

import logging
import threading
import time
from collections import deque
from collections.abc import Callable
from pathlib import Path

import msgspec

from gateway import record
from gateway.advertisement import Advertisement
from gateway.clock import Clock, EpochClock, Eras, Timebase, write_whole
from gateway.sampler import Sample, Sampler
from gateway.settings import GatewaySettings
from gateway.spool import Entry, Spool
from gateway.uplink import Uplink
from gateway.version import VERSION
from proximity import wire

log = logging.getLogger(__name__)

HEALTH_EVERY = 15.0  # s
SYNC_EVERY = 5.0  # s; what a loss of power may cost, against how often the card is written
IDENTIFY_FOR = 30.0  # s; long enough to walk to it
SAMPLE_SHORTEST, SAMPLE_LONGEST = 0.2, 60.0  # s; beyond these a configuration is a slip
_COMMANDS_REMEMBERED = 64  # ids; a broker may deliver a command twice

Command = Callable[[wire.CommandMessage], None]


class Gateway:
    """Hears, samples, keeps and sends for one (site, gateway).

    `clock` tells seconds since the epoch, at any speed. A machine whose clock may be wrong gives a `timebase` instead;
    then the times of `hear` and `tick` are its steady seconds. ValueError when site or gateway is no slug,
    SpoolError when the spool cannot be used, SettingsError for a broker that is none.
    """

    def __init__(
        self, settings: GatewaySettings, clock: Clock = time.time, *, timebase: Timebase | None = None
    ) -> None:
        wire.gateway_topic(settings.site, settings.gateway, "status")
        self.settings = settings
        self.time: Timebase = EpochClock(clock) if timebase is None else timebase
        self.adapter = "none"  # state of the radio, for health
        self.config_version: int | None = None
        self.temperature: Callable[[], float | None] = lambda: None
        self.on_command: Command = lambda _command: None  # restart-scan is the owner's to do
        self.sampled = 0  # rows
        self._lock = threading.Lock()
        self._sampler = Sampler(settings.sample_every, settings.keep)
        directory = settings.spool_directory()
        self.spool = Spool(directory, settings.spool_mb << 20)
        self._eras = Eras(directory)
        self._config_file = None if directory is None else directory / "config.json"
        self._undated = 0  # messages whose time can never be known
        self._inbox: deque[wire.ConfigMessage | wire.CommandMessage] = deque(maxlen=256)
        self._commands: deque[str] = deque(maxlen=_COMMANDS_REMEMBERED)
        self._started = self.time.now()
        self._next_health = self._started + HEALTH_EVERY
        self._synced_at = time.monotonic()
        self._identify_until = 0.0
        self._connects = 0  # connections that were told the counters
        self._load_config()
        self.uplink = Uplink(
            settings.address(),
            lambda channel: wire.gateway_topic(settings.site, settings.gateway, channel),
            self.spool,
            render=self._render,
            receive=self._inbox.append,
            status=self._status,
        )

    def start(self) -> None:
        """Connect in the background."""
        self.uplink.start()

    def hear(
        self, heard: str | Advertisement, rssi: float, at: float | None = None, power: float | None = None
    ) -> bool:
        """One packet, from any thread: a canonical device id, or an advertisement, which tells its power itself.

        `rssi` dBm; `at` seconds of the clock, None: now; `power` dBm at 1 m. True: it counts towards a row.
        """
        when = self.time.now() if at is None else at
        if isinstance(heard, str):
            device: str | None = heard
        else:
            device, power = heard.beacon, heard.power
            if heard.mac is not None and not self._sampler.wants(device):
                device, power = heard.mac, None
        with self._lock:
            return self._sampler.hear(device, rssi, when, power)

    def tick(self, now: float | None = None) -> None:
        """Do what is due at `now` (seconds of the clock; None: its time). One thread at a time."""
        now = self.time.now() if now is None else now
        while self._inbox:
            self._received(self._inbox.popleft(), now)
        offset = self.time.offset()
        if offset is not None:
            self._eras.learn(self.time.era, offset)
        with self._lock:
            samples = self._sampler.take(now)
        self._store(samples)
        if time.monotonic() - self._synced_at >= SYNC_EVERY:
            self._synced_at = time.monotonic()
            self.spool.sync()
        if now >= self._next_health or self._connects != self.uplink.connects:
            # At once on a new connection: the service may wait for what a full spool has given up meanwhile.
            self._connects = self.uplink.connects
            self._next_health = now + HEALTH_EVERY
            self.uplink.publish("health", self.health(now))
        self._blink(now)
        self.uplink.pump()

    def flush(self) -> None:
        """Close the open sample and send: at the end of a recording, or before stopping."""
        with self._lock:
            samples = self._sampler.flush()
        self._store(samples)
        self.uplink.pump()

    def stop(self) -> None:
        """Keep what is open, say offline, and let the spool go. What is not covered is sent at the next start."""
        self.flush()
        self.uplink.stop()
        self.spool.close()

    @property
    def drained(self) -> bool:
        """Whether the service has covered everything."""
        return self.spool.pending == 0

    def health(self, now: float) -> wire.HealthMessage:
        """The counters since the start."""
        sampler = self._sampler
        return wire.HealthMessage(
            self.spool.boot,
            uptime=round(now - self._started, 1),
            heard=sampler.heard,
            sampled=self.sampled,
            sent=self.uplink.sent,
            spooled=self.spool.pending,
            dropped=self.spool.dropped + self._undated,
            ignored=sampler.ignored,
            adapter=self.adapter,
            temperature=self.temperature(),
            held=self.spool.held(),
        )

    def _store(self, samples: list[Sample]) -> None:
        for body in record.pack(samples, self.time):
            self.spool.append(body)
        self.sampled += len(samples)

    def _render(self, entry: Entry) -> tuple[str, bytes]:
        try:
            message = record.message(entry.body, entry.boot, entry.seq, self.time, self._eras)
        except msgspec.MsgspecError as error:
            log.warning("message %s %d of the spool is of another version and goes out empty: %s", *entry[:2], error)
            message = None
        if message is None:  # an empty message keeps the numbering whole, so that it is covered and freed
            self._undated += 1
            message = wire.SightingsMessage(entry.boot, entry.seq, "unsynced", [])
        return "sightings", wire.encode(message)

    def _status(self, online: bool) -> wire.StatusMessage:
        if not online:
            return wire.StatusMessage("offline", version=VERSION, boot=self.spool.boot)
        offset = self.time.offset()
        at = None if offset is None else round((self.time.now() + offset) * 1000)
        return wire.StatusMessage("online", version=VERSION, config=self.config_version, boot=self.spool.boot, at=at)

    def _received(self, message: wire.ConfigMessage | wire.CommandMessage, now: float) -> None:
        if isinstance(message, wire.ConfigMessage):
            if message.version != self.config_version and self._configure(message):
                self._save_config(message)
                self.uplink.publish("status", self._status(True), retain=True)
            return
        if message.id in self._commands:
            return
        self._commands.append(message.id)
        if message.command == "identify":
            log.warning("identify: this is gateway %s of site %s", self.settings.gateway, self.settings.site)
            self._identify_until = now + IDENTIFY_FOR
        elif message.command == "survey":
            log.warning("survey is not available in version %s; command %s is ignored", VERSION, message.id)
        else:
            log.info("command %s: %s", message.id, message.command)
            self.on_command(message)

    def _configure(self, config: wire.ConfigMessage) -> bool:
        if not SAMPLE_SHORTEST <= config.sample_every <= SAMPLE_LONGEST:
            log.error("configuration %d refused: sample_every is %s s", config.version, config.sample_every)
            return False
        with self._lock:
            self._sampler.configure(config.sample_every, None if config.keep is None else tuple(config.keep))
        self.config_version = config.version
        log.info("configuration %d in force", config.version)
        return True

    def _load_config(self) -> None:
        """The last configuration holds until another comes: who must not be reported is not, also without a broker."""
        if self._config_file is None or not self._config_file.exists():
            return
        try:
            self._configure(msgspec.json.decode(self._config_file.read_bytes(), type=wire.ConfigMessage))
        except (OSError, msgspec.MsgspecError) as error:
            log.warning("%s cannot be read and is left aside: %s", self._config_file, error)

    def _save_config(self, config: wire.ConfigMessage) -> None:
        if self._config_file is not None:
            try:
                write_whole(self._config_file, wire.encode(config))
            except OSError as error:
                log.warning("%s cannot be written: %s", self._config_file, error)

    def _blink(self, now: float) -> None:
        led: Path | None = self.settings.led
        if led is None or self._identify_until == 0.0:
            return
        on = now < self._identify_until and int(now * 4) % 2 == 0
        if now >= self._identify_until:
            self._identify_until = 0.0
        try:
            led.write_text("1" if on else "0")
        except OSError as error:
            log.warning("the LED %s cannot be written: %s", led, error)
            self._identify_until = 0.0
