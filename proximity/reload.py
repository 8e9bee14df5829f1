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
    """Looks, and applies what it finds. Its book changes through others too: they call `look` to have it at once."""

    def __init__(self, book: RuleBook, apply: Callable[[Configuration], None]) -> None:
        """`book`: what it holds is in force already."""
        self.book, self._apply = book, apply
        self._folder = book.folder.folder
        self._newest = book.folder  # as it was read last without errors
        self._seen = signature(self._folder)
        self._looking = threading.RLock()
        self._stopping = threading.Event()
        self._thread: threading.Thread | None = None
        self._wrong: str | None = None  # in the folder
        self._misfit: str | None = None  # between the folder and the rules that are published
        self.reloads = 0
        book.on_change = self.look

    @property
    def refused(self) -> str | None:
        """Why what is there now was not taken: rendered errors. None when all of it is in force."""
        return self._wrong or self._misfit

    def look(self) -> bool:
        """Whether something had changed. Its errors are kept in `refused`, and what was in force stays."""
        with self._looking:
            folder = self._look_at_folder()
            rules = rulesets.last_number(self.book.store) != self.book.number
            if not folder and not rules:
                return False
            configuration = self._in_force()
            if configuration is not None and (rules or self.refused is None):
                self._apply(configuration)
                self.reloads += 1
                ruleset = configuration.ruleset
                log.info("configuration in force", version=ruleset.version, rules=len(ruleset.rules))
            return True

    def _look_at_folder(self) -> bool:
        """Whether a file has changed."""
        now = signature(self._folder)
        if now == self._seen:
            return False
        self._seen = now
        configuration, diagnostics = check_configuration(self._folder)
        self._wrong = None
        if configuration is not None:
            self._newest = configuration
        else:
            self._wrong = "\n".join(diagnostic.render() for diagnostic in diagnostics)
            log.error("configuration not taken; the earlier one stays in force", errors=self._wrong)
        return True

    def _in_force(self) -> Configuration | None:
        """The newest folder that the published rules fit, with the rules that are in force. None: they fit none."""
        before = self.book.folder
        self._misfit = None
        for folder in [self._newest] if before is self._newest else [self._newest, before]:
            try:
                return self.book.in_force(folder)
            except ConfigurationError as error:
                problems = "\n".join(one.render() for one in error.diagnostics if one.severity == "error")
                self._misfit = f"the rules that are published do not fit the folder:\n{problems}"
                log.error("configuration not taken; the earlier one stays in force", errors=problems)
        return None

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
                self._wrong = f"{self._folder}: {error.strerror}"
                log.error("configuration folder cannot be read", error=str(error))
            except ProximityError as error:  # the database is away: it is looked at again
                log.error("published rules cannot be read", error=str(error))
