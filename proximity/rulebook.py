"""Which rules are in force: those of the configuration folder, or a version that somebody has pinned; and who says so.

Every text is checked against the shop before it is stored, so that what is stored can come into force.
"""

import threading
from collections.abc import Callable, Mapping
from dataclasses import replace
from datetime import datetime

import msgspec

from proximity.configuration import Configuration
from proximity.errors import ConfigurationError, ProximityError
from proximity.store import rulesets
from proximity.store.database import Store
from proximity.store.rulesets import FOLDER, SHORT, Change, Paused, RefusedError, UnknownError, Version
from rules.load import load_rules
from rules.ruleset import Rule, RuleSet

LONGEST_NAME = 64  # letters of a person's name


class Overview(msgspec.Struct, frozen=True):
    """What is in force, and how it came to that."""

    current: str | None  # version
    pinned: bool  # until `follow`; False: the folder's rules are in force
    approval: bool  # a second person is demanded
    folder: str  # version that the folder's texts are
    detail: str | None  # why the folder's rules are not in force; None: they are
    paused: dict[str, Paused]
    versions: list[Version]  # the newest first
    changes: list[Change]  # the newest first


class RuleBook:
    """The versions of one shop's rules. `on_change` puts in force what a change asks for, before it returns."""

    def __init__(self, store: Store, clock: Callable[[], float], folder: Configuration) -> None:
        self.store, self._clock = store, clock
        self.folder = folder  # the configuration folder, as it was checked last and found to fit
        self.number = 0  # of the last change that `in_force` knew
        self.on_change: Callable[[], object] = lambda: None
        self._loaded: tuple[str, RuleSet, RuleSet] | None = None  # version, the folder's set it was read beside, itself
        self._lock = threading.RLock()

    @property
    def approval(self) -> bool:
        """Whether new rules need a second person: some store of the folder demands it."""
        return any(site.approval for site in self.folder.sites)

    def in_force(self, folder: Configuration) -> Configuration:
        """The folder with the rules that are in force, less those that are paused. The folder's own rules become a
        version when they are to be in force. ConfigurationError when a pinned version does not fit the folder."""
        with self._lock:
            own, approval = folder.ruleset, any(site.approval for site in folder.sites)
            now = rulesets.standing(self.store)
            if not now.pinned and now.version != own.version and (now.version is None or not approval):
                rulesets.load(self.store, own.version, own.files, self._clock())
                now = rulesets.standing(self.store)
            ruleset = own if now.version in (None, own.version) else self._stored(now.version, own)
            self.folder, self.number = folder, now.number
            return replace(folder, ruleset=with_pauses(ruleset, now.paused))

    def overview(self, limit: int = 100) -> Overview:
        """Everything that there is to know."""
        now, own = rulesets.standing(self.store), self.folder.ruleset
        return Overview(
            current=now.version,
            pinned=now.pinned,
            approval=self.approval,
            folder=own.version,
            detail=self._not_in_force(now),
            paused=now.paused,
            versions=rulesets.versions(self.store),
            changes=rulesets.changes(self.store, limit),
        )

    def _not_in_force(self, now: rulesets.Standing) -> str | None:
        if now.version in (None, self.folder.ruleset.version):
            return None
        short = (now.version or "")[:SHORT]
        if now.pinned:
            return f"the folder's rules are not in force: version {short} is pinned until `proximity rules follow`"
        return f"the folder's rules are not in force: they need approval; version {short} is. Publish them"

    # Changes

    def publish(self, files: Mapping[str, str], *, author: str, note: str = "") -> Version:
        """Store these texts as a version and put it in force, or let it wait for a second person where one is
        demanded. ConfigurationError with all that is wrong in the texts."""
        author = _person(author)
        ruleset = self._checked(files)
        stored = rulesets.publish(
            self.store, ruleset.version, ruleset.files, author=author, note=note, at=self._clock(),
            approval=self.approval,
        )  # fmt: skip
        self.on_change()
        return stored

    def approve(self, name: str, *, by: str) -> Version:
        """Put a version in force that waits for a second person."""
        self._fits(name)
        stored = rulesets.approve(self.store, name, by=_person(by), at=self._clock())
        self.on_change()
        return stored

    def roll_back(self, name: str, *, by: str, note: str = "") -> Version:
        """Put an earlier version in force again."""
        self._fits(name)
        stored = rulesets.roll_back(self.store, name, by=_person(by), note=note, at=self._clock())
        self.on_change()
        return stored

    def follow(self, *, by: str) -> None:
        """Give the rules back to the configuration folder."""
        now = rulesets.standing(self.store)
        if self.approval and now.version != self.folder.ruleset.version:
            raise RefusedError("new rules need a second person here: publish the folder, and let somebody approve it")
        rulesets.follow(self.store, by=_person(by), at=self._clock())
        self.on_change()

    def pause(self, rule: str, *, by: str) -> None:
        """Stop a rule at once, until `resume`."""
        if rule not in self._current():
            raise UnknownError(f"there is no rule {rule} in force; `proximity rules list` shows those of the folder")
        rulesets.pause(self.store, rule, by=_person(by), at=self._clock())
        self.on_change()

    def resume(self, rule: str, *, by: str) -> None:
        """Let a paused rule go on."""
        if rule not in rulesets.standing(self.store).paused and rule not in self._current():
            raise UnknownError(f"there is no rule {rule} in force, and none that is paused")
        rulesets.resume(self.store, rule, by=_person(by), at=self._clock())
        self.on_change()

    def read(self, name: str) -> RuleSet:
        """A version, ready to run. UnknownError, or ConfigurationError when it does not fit the shop any more."""
        one = rulesets.version(self.store, name)
        return self._stored(one.id, self.folder.ruleset)

    def _current(self) -> Mapping[str, Rule]:
        now = rulesets.standing(self.store)
        own = self.folder.ruleset
        return (own if now.version is None else self._stored(now.version, own)).by_id

    def _fits(self, name: str) -> None:
        self._checked(rulesets.files(self.store, rulesets.version(self.store, name).id))

    def _checked(self, files: Mapping[str, str]) -> RuleSet:
        if not files:
            raise ProximityError("there is no rule file to publish")
        loaded = load_rules(files, self.folder.ruleset.catalog)
        if loaded.ruleset is None:
            raise ConfigurationError(loaded.diagnostics)
        return loaded.ruleset

    def _stored(self, version: str, beside: RuleSet) -> RuleSet:
        """A version, checked against the stores and values that `beside` knows."""
        if beside.version == version:
            return beside
        if self._loaded is None or self._loaded[0] != version or self._loaded[1] is not beside:
            loaded = load_rules(rulesets.files(self.store, version), beside.catalog)
            if loaded.ruleset is None:
                raise ConfigurationError(loaded.diagnostics)
            self._loaded = (version, beside, loaded.ruleset)
        return self._loaded[2]


def at_the_start(book: RuleBook) -> Configuration:
    """What is in force when a service starts. ProximityError when the pinned version does not fit the folder."""
    try:
        return book.in_force(book.folder)
    except ConfigurationError as error:
        problems = "\n".join(one.render() for one in error.diagnostics if one.severity == "error")
        raise ProximityError(
            f"the rules that are published do not fit the folder {book.folder.folder}:\n{problems}\n"
            "mend the folder, or give the rules back to it: proximity rules follow"
        ) from None


def with_pauses(ruleset: RuleSet, paused: Mapping[str, Paused]) -> RuleSet:
    """The same rules, some of them paused. They stay among the others, so nothing that is remembered of them goes."""
    stopped = {name: one for name, one in paused.items() if name in ruleset.by_id}
    if not stopped:
        return ruleset
    by_id = dict(ruleset.by_id)
    for name, one in stopped.items():
        at = datetime.fromtimestamp(one.at, ruleset.nowhere.zone)
        by_id[name] = replace(by_id[name], status="paused", paused=f"by {one.by} at {at:%Y-%m-%d %H:%M:%S %Z}")
    return ruleset.having(by_id)


def _person(name: str) -> str:
    """A name that can stand in the log. ProximityError."""
    name = " ".join(name.split())
    if not name or len(name) > LONGEST_NAME or not name.isprintable():
        raise RefusedError(f"say who does it, in {LONGEST_NAME} letters at most")
    if name.casefold() == FOLDER:
        raise RefusedError(f"`{FOLDER}` stands for the configuration folder; write a person's name")
    return name
