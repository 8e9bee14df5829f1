"""The embedded broker: a `nats-server` child with its MQTT listener, kept alive and ended with the service.

The settings that matter were measured on NATS 2.15. For MQTT sessions, unacknowledged messages come again after
`ack_wait`, so it is short; `max_ack_pending` bounds what a session may hold: its default of 1,024 stalls a fast one.
A PUBACK goes out when the message is with the operating system, and the disk has it a second later at the latest.
"""

import contextlib
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path

import structlog

from proximity.errors import BrokerError
from proximity.ingest.mqtt import TOPICS, BrokerAddress

log = structlog.get_logger(__name__)

ACK_WAIT = "3s"
MAX_ACK_PENDING = 65_535 // (len(TOPICS) + 1)  # a session's subscriptions may not pass 65,535 together
SYNC = "1s"  # "always" would let a PUBACK outlive a power cut, and cost each message 1 ms of disk
MAX_FILE_STORE = 8 << 30  # bytes; beyond, no PUBACK: gateways keep their messages, and phones theirs
START_TIMEOUT = 20.0  # s; a store with a long backlog is read before the listener opens
START_AGAIN = 3  # times that it may be killed before it is up
RESTART_PAUSE = 0.5  # s between attempts, so that a broker that cannot start does not spin


class EmbeddedBroker:
    """Start with `start`, end with `stop`; in between it is restarted whenever it dies."""

    def __init__(self, data_dir: Path, port: int = 1883, host: str = "127.0.0.1") -> None:
        self.host, self.port = host, port
        self._dir = data_dir
        self._process: subprocess.Popen[bytes] | None = None
        self._stopping = threading.Event()
        self._keeper: threading.Thread | None = None
        self.restarts = 0

    @property
    def url(self) -> str:
        """`mqtt://host:port`."""
        return f"mqtt://{self.host}:{self.port}"

    @property
    def nats_address(self) -> BrokerAddress:
        """Where this start of the child speaks NATS: another port each time. BrokerError while it is not up."""
        try:
            ports = json.loads((self._dir / f"nats-server_{self.pid}.ports").read_text(encoding="utf-8"))
            return BrokerAddress.parse(ports["nats"][0])
        except (OSError, ValueError, LookupError) as error:
            raise BrokerError("the embedded broker is not up") from error

    @property
    def pid(self) -> int | None:
        """The child's process id while it runs."""
        return self._process.pid if self._process and self._process.poll() is None else None

    def start(self) -> None:
        """BrokerError when the port is taken, the program is missing, or it does not come up."""
        program = find_server()
        self._dir.mkdir(parents=True, exist_ok=True, mode=0o700)
        self._end_orphan(program)
        if self.port == 0:
            self.port = free_port(self.host)
        elif not port_is_free(self.host, self.port):
            raise BrokerError(
                f"port {self.port} on {self.host} is taken; stop what listens there, choose another with --mqtt-port, "
                f"or use that broker with --broker mqtt://{self.host}:{self.port}"
            )
        config = self._dir / "nats.conf"
        config.write_text(self._configuration(), encoding="utf-8")
        config.chmod(0o600)
        self._spawn(program, config)
        self._wait_until_up(program, config)
        self._keeper = threading.Thread(target=self._keep, args=(program, config), name="broker-keeper", daemon=True)
        self._keeper.start()

    def stop(self) -> None:
        """End the child; its data stays."""
        self._stopping.set()
        process = self._process
        if process and process.poll() is None:
            process.terminate()
            try:
                process.wait(10)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
        if self._keeper:
            self._keeper.join(5)
        (self._dir / "nats.pid").unlink(missing_ok=True)

    def _configuration(self) -> str:
        settings = {
            "server_name": "proximity",
            "listen": "127.0.0.1:-1",  # the NATS port itself: any free one, for our own reader only
            "ports_file_dir": str(self._dir),
            "pid_file": str(self._dir / "nats.pid"),
            "log_file": str(self._dir / "nats.log"),
            "logfile_size_limit": 10 << 20,
            "max_payload": 1 << 20,
            "jetstream": {
                "store_dir": str(self._dir / "jetstream"),
                "sync_interval": SYNC,
                "max_file_store": MAX_FILE_STORE,
            },
            "mqtt": {
                "listen": f"{self.host}:{self.port}",
                "ack_wait": ACK_WAIT,
                "max_ack_pending": MAX_ACK_PENDING,
            },
        }
        return json.dumps(settings, indent=2)  # NATS reads JSON as its own format

    def _spawn(self, program: str, config: Path) -> None:
        for stale in self._dir.glob("*.ports"):
            stale.unlink(missing_ok=True)
        # A session of its own: Ctrl-C in the terminal reaches the service, which then ends the broker in order.
        self._process = subprocess.Popen(  # noqa: S603 - our own binary with our own file
            [program, "-c", str(config)], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True
        )

    def _wait_until_up(self, program: str, config: Path) -> None:
        deadline = time.monotonic() + START_TIMEOUT
        while time.monotonic() < deadline:
            status = None if self._process is None else self._process.poll()
            if status is not None and status < 0 and self.restarts < START_AGAIN:  # killed, as it may be at any moment
                self.restarts += 1
                log.warning("broker died while it started; starting it again", status=status, restarts=self.restarts)
                self._spawn(program, config)
            elif status is not None:
                raise BrokerError(f"the embedded broker ended at once: {self._last_words()}")
            if not port_is_free(self.host, self.port) and self._speaks_nats():
                return
            self._stopping.wait(0.02)
        self.stop()
        raise BrokerError(f"the embedded broker did not open port {self.port} in {START_TIMEOUT:.0f} s")

    def _speaks_nats(self) -> bool:
        """Whether the child has told its NATS port: it does so in a file, a moment after it listens."""
        try:
            return self.nats_address.port > 0
        except BrokerError:
            return False

    def _last_words(self) -> str:
        try:
            lines = (self._dir / "nats.log").read_text(encoding="utf-8", errors="replace").splitlines()
        except OSError:
            return "it left no log"
        faults = [line for line in lines if "[FTL]" in line or "[ERR]" in line]
        return (faults or lines or ["its log is empty"])[-1]

    def _keep(self, program: str, config: Path) -> None:
        while not self._stopping.is_set():
            process = self._process
            if process is not None:
                with contextlib.suppress(subprocess.TimeoutExpired):
                    process.wait(0.5)
                    if self._stopping.is_set():
                        return
                    self.restarts += 1
                    log.warning("broker died; starting it again", status=process.returncode, restarts=self.restarts)
                    self._stopping.wait(RESTART_PAUSE)
                    if not self._stopping.is_set():
                        self._spawn(program, config)

    def _end_orphan(self, program: str) -> None:
        """A service that was killed leaves its broker behind, on our port and our files: end that one first."""
        pid_file = self._dir / "nats.pid"
        try:
            pid = int(pid_file.read_text())
            command = Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")
        except (OSError, ValueError):
            return
        if Path(program).name.encode() not in command[0] or str(self._dir / "nats.conf").encode() not in command:
            return
        log.info("ending the broker that an earlier run left behind", pid=pid)
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGTERM)
        _wait_for(lambda: not Path(f"/proc/{pid}").exists(), 10.0)


def find_server() -> str:
    """The path of `nats-server`, from the wheel beside this Python or from PATH. BrokerError when there is none."""
    beside = Path(sys.executable).parent / "nats-server"
    found = str(beside) if beside.exists() else shutil.which("nats-server")
    if not found:
        raise BrokerError(
            "nats-server is not installed: pip install 'proximity[service]', or bring a broker with --broker mqtt://…"
        )
    return found


def free_port(host: str = "127.0.0.1") -> int:
    """A port that is free at this moment."""
    with socket.socket() as probe:
        probe.bind((host, 0))
        port: int = probe.getsockname()[1]
        return port


def port_is_free(host: str, port: int) -> bool:
    """Whether nothing listens there."""
    with socket.socket() as probe:
        probe.settimeout(0.5)
        return probe.connect_ex((host, port)) != 0


def _wait_for(condition: Callable[[], bool], seconds: float) -> bool:
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if condition():
            return True
        time.sleep(0.02)
    return condition()
