"""`proximity serve` as a process to be killed, and a book of everything its database was ever told.

Triggers copy each row of the journal when it is written, and each change of a coupon and of a budget, so that
afterwards everything that was committed is known, in order, however often the service was killed.
"""

import contextlib
import os
import re
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

from proximity.store.database import open_store

PATIENCE = 120.0  # s; a slow machine takes its time
TOKEN = "till-of-the-torture"

BOOK = """
CREATE TABLE IF NOT EXISTS torture_start (part TEXT PRIMARY KEY, state BLOB NOT NULL);
CREATE TABLE IF NOT EXISTS torture_journal (number INTEGER PRIMARY KEY, state BLOB NOT NULL);
CREATE TABLE IF NOT EXISTS torture_coupons
    (number INTEGER PRIMARY KEY, id TEXT, rule TEXT, shopper TEXT, state TEXT, costs INTEGER);
CREATE TABLE IF NOT EXISTS torture_budgets (number INTEGER PRIMARY KEY, rule TEXT, coupons INTEGER, spend INTEGER);
CREATE TRIGGER IF NOT EXISTS torture_starts AFTER INSERT ON checkpoints WHEN new.number = 0
    BEGIN INSERT INTO torture_start VALUES (new.part, new.state); END;
CREATE TRIGGER IF NOT EXISTS torture_notes AFTER INSERT ON journal
    BEGIN INSERT INTO torture_journal VALUES (new.number, new.state); END;
CREATE TRIGGER IF NOT EXISTS torture_gives AFTER INSERT ON coupons
    BEGIN INSERT INTO torture_coupons (id, rule, shopper, state, costs)
        VALUES (new.id, new.rule, new.shopper, new.state, new.worth); END;
CREATE TRIGGER IF NOT EXISTS torture_moves AFTER UPDATE ON coupons
    BEGIN INSERT INTO torture_coupons (id, rule, shopper, state, costs)
        VALUES (new.id, new.rule, new.shopper, new.state, coalesce(new.discount, new.worth)); END;
CREATE TRIGGER IF NOT EXISTS torture_spends AFTER UPDATE ON budgets
    BEGIN INSERT INTO torture_budgets (rule, coupons, spend) VALUES (new.rule, new.coupons, new.spend); END;
"""


def keep_book(database: Path) -> None:
    """Begin the book in a database that has its tables."""
    with contextlib.closing(sqlite3.connect(database)) as connection:
        connection.executescript(BOOK)


class Served:
    """One data folder, and the process that serves it at the moment."""

    def __init__(self, config: Path, data: Path, port: int) -> None:
        self.config, self.data, self.port = config, data, port
        self.process: subprocess.Popen[bytes] | None = None
        self.starts = 0
        self.database = data / "proximity.db"
        # A start is half compiling where Python may not keep what it compiled: here it may, in a folder that goes.
        self._environment = dict(
            os.environ, PYTHONPYCACHEPREFIX=str(data.parent / "compiled"), PROXIMITY_TILL_TOKEN=TOKEN
        )
        self._environment.pop("PYTHONDONTWRITEBYTECODE", None)

    def prepare(self) -> None:
        """The database, with the book in it."""
        self.data.mkdir(parents=True, exist_ok=True, mode=0o700)
        store = open_store(f"sqlite:///{self.database}")
        store.migrate()
        store.close()
        keep_book(self.database)

    def start(self) -> None:
        """Begin; does not wait."""
        command = [sys.executable, "-m", "proximity.cli", "serve", "--config", str(self.config)]
        command += ["--data", str(self.data), "--mqtt-port", str(self.port), "--http-port", "0"]
        self.starts += 1
        with self._log().open("wb") as log:
            self.process = subprocess.Popen(command, stdout=log, stderr=subprocess.STDOUT, env=self._environment)

    def _log(self) -> Path:
        return self.data.parent / f"serve-{self.starts}.log"

    def ready(self) -> bool:
        """Whether the latest start has come through. AssertionError when it ended by itself."""
        text = self._log().read_text(errors="replace")
        assert self.process is not None
        assert self.process.poll() is None, f"the service ended with {self.process.returncode}:\n{text[-3000:]}"
        return "MQTT broker" in text

    def pages(self) -> str | None:
        """Where the pages and the API of the latest start are; None while they are not."""
        found = re.search(r"^pages and API +(http\S+)$", self._log().read_text(errors="replace"), re.MULTILINE)
        return found[1] if found else None

    def wait_ready(self) -> None:
        """Until the latest start has come through."""
        wait(self.ready, "the service")

    def broker_pid(self) -> int | None:
        """The embedded broker's process id, if it has one that lives."""
        try:
            pid = int((self.data / "broker" / "nats.pid").read_text())
            os.kill(pid, 0)
        except (OSError, ValueError):
            return None
        return pid

    def kill(self, victim: str) -> None:
        """SIGKILL to "service", "broker" or "both"."""
        if victim in ("broker", "both"):
            pid = self.broker_pid()
            if pid is not None:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
        if victim in ("service", "both"):
            assert self.process is not None
            self.process.kill()
            self.process.wait(PATIENCE)
            self.start()

    def stop(self) -> int:
        """End it in order; its exit status."""
        assert self.process is not None
        self.process.terminate()
        return self.process.wait(PATIENCE)


def wait(condition: Callable[[], object], what: str, seconds: float = PATIENCE) -> None:
    """Until `condition()` holds; AssertionError after a long while."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, f"{what} did not come about within {seconds:.0f} s"
        time.sleep(0.02)
