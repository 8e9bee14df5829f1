"""Looks at the configuration folder every second and puts a changed one in force: all of it, or none."""

import threading
from collections.abc import Callable
from pathlib import Path

import structlog

from proximity.configuration import Configuration, check_configuration, signature

log = structlog.get_logger(__name__)

LOOK_EVERY = 1.0  # s


class Watcher:
    """`refused` holds the rendered errors of a folder that was not taken, or None."""

    def __init__(self, folder: Path, apply: Callable[[Configuration], None]) -> None:
        self._folder, self._apply = folder, apply
        self._seen = signature(folder)
        self._stopping = threading.Event()
        self._thread: threading.Thread | None = None
        self.refused: str | None = None
        self.reloads = 0

    def look(self) -> bool:
        """Whether the folder had changed. Its errors are kept in `refused`, and the set in force stays."""
        now = signature(self._folder)
        if now == self._seen:
            return False
        self._seen = now
        configuration, diagnostics = check_configuration(self._folder)
        if configuration is None:
            self.refused = "\n".join(diagnostic.render() for diagnostic in diagnostics)
            log.error("configuration not taken; the earlier one stays in force", errors=self.refused)
            return True
        self._apply(configuration)
        self.refused = None
        self.reloads += 1
        log.info(
            "configuration in force", version=configuration.ruleset.version, rules=len(configuration.ruleset.rules)
        )
        return True

    def start(self) -> None:
        """Look in a thread of its own."""
        self._thread = threading.Thread(target=self._run, name="configuration-watcher", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """End."""
        self._stopping.set()
        if self._thread:
            self._thread.join(5)

    def _run(self) -> None:
        while not self._stopping.wait(LOOK_EVERY):
            try:
                self.look()
            except OSError as error:  # the folder was moved away: say so, keep running
                self.refused = f"{self._folder}: {error.strerror}"
                log.error("configuration folder cannot be read", error=str(error))
