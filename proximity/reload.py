"""Looks at the configuration folder and at the published rules, and puts what has changed in force: all, or none."""

import threading
from collections.abc import Callable

import structlog

from proximity.configuration import Configuration, check_configuration, signature
from proximity.errors import ConfigurationError, ProximityError
from proximity.rulebook import RuleBook
from proximity.store import rulesets

log = structlog.get_logger(__name__)

LOOK_EVERY = 0.5  # s; a change by another process is in force within a second


class Watcher:
    """`refused` holds the rendered errors of a folder that was not taken, or None."""

    def __init__(self, book: RuleBook, apply: Callable[[Configuration], None]) -> None:
        """`book`: its folder is the one that is in force now."""
        self.book, self._apply = book, apply
        self._folder = book.folder.folder
        self._found = book.folder  # the folder as it was read last without errors
        self._seen = signature(self._folder)
        self._number = rulesets.last_number(book.store)
        self._looking = threading.RLock()
        self._stopping = threading.Event()
        self._thread: threading.Thread | None = None
        self.refused: str | None = None
        self.reloads = 0
        book.on_change = self.look

    def look(self) -> bool:
        """Whether something had changed. Errors are kept in `refused`, and what was in force stays."""
        with self._looking:
            folder, rules = self._look_at_folder(), rulesets.last_number(self.book.store) != self._number
            if not folder and not rules:
                return False
            configuration = self._in_force()
            if configuration is not None and (rules or self.refused is None):
                self._apply(configuration)
                self.reloads += 1
                ruleset = configuration.ruleset
                log.info("configuration in force", version=ruleset.version, rules=len(ruleset.rules))
            self._number = rulesets.last_number(self.book.store)
            return True

    def _look_at_folder(self) -> bool:
        """Whether a file has changed; what is wrong is in `refused`."""
        now = signature(self._folder)
        if now == self._seen:
            return False
        self._seen = now
        configuration, diagnostics = check_configuration(self._folder)
        if configuration is None:
            self._refuse("\n".join(diagnostic.render() for diagnostic in diagnostics))
        else:
            self._found, self.refused = configuration, None
        return True

    def _in_force(self) -> Configuration | None:
        """The newest folder that its rules fit, with the rules that are in force; None when there is none."""
        for folder in dict.fromkeys((id(self._found), id(self.book.folder))):
            candidate = self._found if folder == id(self._found) else self.book.folder
            try:
                found = self.book.in_force(candidate)
            except ConfigurationError as error:
                problems = "\n".join(one.render() for one in error.diagnostics if one.severity == "error")
                self._refuse(f"the rules that are published do not fit:\n{problems}")
                continue
            if candidate is self._found and self.refused is not None and self.refused.startswith("the rules that"):
                self.refused = None
            return found
        return None

    def _refuse(self, why: str) -> None:
        self.refused = why
        log.error("configuration not taken; the earlier one stays in force", errors=why)

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
            except ProximityError as error:  # the database is away: it is looked at again
                log.error("published rules cannot be read", error=str(error))
