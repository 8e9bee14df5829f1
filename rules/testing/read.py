"""Test files -> suites that can be played, or every mistake of the file."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

import pydantic

from proximity.document import Diagnostic, Document, Loc, did_you_mean, load
from proximity.model import Sent, Shopper
from proximity.shape import check_shape
from rules.attributes import EVENT_NAME, Attributes, attributes_of, misfits
from rules.catalog import Catalog, Store, Zone
from rules.header import check_clock
from rules.load import SUFFIX as RULES
from rules.load import load_documents
from rules.recover import tidy
from rules.ruleset import RuleSet
from rules.schedule import Place
from rules.testing import shape
from rules.testing.given import Facts, read_given, with_budgets
from rules.testing.simulate import Given
from rules.trigger_schema import STORE

SUFFIX = ".test.yaml"
ANYBODY = "somebody"  # the shopper of a test that names none: agreed to everything, and nothing is known about him
_Model = TypeVar("_Model", bound=pydantic.BaseModel)


@dataclass(frozen=True, slots=True)
class Test:
    """One test, ready to be played."""

    __test__ = False  # not one of pytest's

    name: str
    line: int
    shape: shape.Case
    given: Given
    expect_lines: tuple[int, ...] = ()
    ruleset: RuleSet | None = None  # with the budgets of the test; None: that of the suite


@dataclass(frozen=True, slots=True)
class Suite:
    """A test file. Without a rule set nothing of it can be played."""

    file: str
    ruleset: RuleSet | None
    tests: tuple[Test, ...] = ()
    windows: tuple[tuple[int, shape.WindowCase], ...] = ()  # with their lines
    diagnostics: list[Diagnostic] = field(default_factory=list)

    @property
    def errors(self) -> list[Diagnostic]:
        """What prevents the tests from being played."""
        return [one for one in self.diagnostics if one.severity == "error"]


def read_suite(path: Path, catalog: Catalog, shoppers: Mapping[str, Shopper]) -> Suite:
    """A test file with the rules and fixtures it names. `catalog` and `shoppers` are what it does not bring itself."""
    document = load(path, str(path))
    suite = _Reader(document, path.parent, catalog, shoppers).suite()
    suite.diagnostics.sort(key=lambda one: one.sort_key)
    return suite


class _Reader:
    def __init__(self, document: Document, folder: Path, catalog: Catalog, shoppers: Mapping[str, Shopper]) -> None:
        self.document, self.folder = document, folder
        self.catalog, self.shoppers = catalog, dict(shoppers)
        self.found: list[Diagnostic] = list(document.diagnostics)

    def suite(self) -> Suite:
        """The suite; its diagnostics hold what is wrong, also in the files that it names."""
        file = self.document.file
        shaped = self._shape()
        if shaped is None:
            return Suite(file, None, diagnostics=self.found)
        self._fixtures(shaped.fixtures)
        if not self.catalog.stores and not self.found:
            self._say((), "no store is known here", "name some under `fixtures: {stores: …}`, or use --config")
        ruleset = self._rules(shaped)
        if ruleset is None:
            return Suite(file, None, diagnostics=self.found)
        tests = tuple(self._test(i, case, shaped, ruleset) for i, case in enumerate(shaped.tests))
        for i, case in enumerate(shaped.windows):
            self._window(i, case, ruleset)
        windows = tuple((self.document.mark(("windows", i)).line, case) for i, case in enumerate(shaped.windows))
        if any(one.severity == "error" for one in self.found):
            return Suite(file, None, diagnostics=self.found)
        return Suite(file, ruleset, tuple(test for test in tests if test), windows, self.found)

    def _say(self, loc: Loc, message: str, hint: str | None = None, *, code: str = "E501", key: bool = False) -> None:
        self.found.append(self.document.diagnostic(loc, code, message, hint, key=key))

    def _shape(self) -> shape.CaseFile | None:
        if self.found:
            return None
        if not isinstance(self.document.data, dict):
            self._say((), "the file must be a mapping", "it begins with `tests:`", code="E106")
            return None
        shaped, wrong = check_shape(self.document, shape.CaseFile)
        self.found += tidy(wrong)
        return shaped if not self.found else None

    # Fixtures

    def _fixtures(self, given: shape.Fixtures) -> None:
        attributes = self.catalog.attributes
        if given.attributes is not None:
            attributes = self._attributes(given.attributes) or attributes
        stores = self.catalog.stores
        if given.stores is not None:
            shops = self._part(("fixtures", "stores"), given.stores, shape.Shops, "stores")
            stores = tuple(_store(one) for one in shops.stores) if shops else stores
        self.catalog = Catalog(stores, attributes)
        for i, store in enumerate(stores if given.stores is not None else ()):
            try:
                Place.of(store)
            except ValueError as error:
                self._say(("fixtures", "stores", i), str(error))
        if given.shoppers is not None:
            people = self._part(("fixtures", "shoppers"), given.shoppers, shape.People, "shoppers")
            self.shoppers = {one.id: _shopper(one) for one in people.shoppers} if people else self.shoppers

    def _part(self, loc: Loc, given: Any, model: type[_Model], key: str) -> _Model | None:
        """What a fixture says: the list itself, checked already, or a file beside the test file."""
        if not isinstance(given, str):
            return model.model_construct(**{key: given})
        document = self._file(loc, given)
        if document is None:
            return None
        found, wrong = check_shape(document, model)
        self.found += tidy(wrong)
        return found

    def _attributes(self, name: str) -> Attributes | None:
        document = self._file(("fixtures", "attributes"), name)
        if document is None:
            return None
        found, wrong = attributes_of(document)
        self.found += wrong
        return found

    def _file(self, loc: Loc, name: str) -> Document | None:
        path = self.folder / name
        if not path.is_file():
            self._say(loc, f"there is no file {name} beside this one")
            return None
        document = load(path, str(path))
        self.found += document.diagnostics
        return None if document.diagnostics else document

    # Rules

    def _rules(self, shaped: shape.CaseFile) -> RuleSet | None:
        documents = []
        for i, name in enumerate(shaped.rules):
            loc: Loc = ("rules", i) if isinstance(self.document.data["rules"], list) else ("rules",)
            document = self._file(loc, name)
            documents += [document] if document else []
        if not shaped.rules:
            documents = [load(path, str(path)) for path in sorted(self.folder.rglob(f"*{RULES}"))]
            if not documents:
                self._say((), f"no rules: there is no file {RULES} beside this one", "name some under `rules`")
        if self.found:
            return None
        loaded = load_documents(documents, self.catalog)
        self.found += loaded.errors
        return loaded.ruleset

    # Tests

    def _test(self, i: int, case: shape.Case, shaped: shape.CaseFile, ruleset: RuleSet) -> Test | None:
        loc = ("tests", i)
        before = len(self.found)
        if any(case.name == other.name for other in shaped.tests[:i]):
            self._say((*loc, "name"), f'another test is called "{case.name}"', "give one of them another name")
        start = case.clock or shaped.clock
        store = self._store(loc, case.store)
        shopper = self._shopper(loc, case.shopper, ruleset)
        facts, wrong = read_given(self.document, (*loc, "given"), case.given, ruleset)
        self.found += wrong
        if store is not None:
            self._zones(loc, case.events, store)
        self._events(loc, case.events)
        self._rule_names(loc, case.expect, ruleset)
        if len(self.found) > before or start is None or store is None or shopper is None:
            return None
        now = start.timestamp()
        shopper = replace_shopper(shopper, facts)
        history = tuple(
            _earlier(shopper.id, one.rule, one.store or store.id, now - one.ago, ruleset) for one in facts.sent
        )
        given = Given(
            start=now,
            store=store.id,
            shopper=shopper,
            attributes=facts.attributes,
            channels=facts.channels,
            arms=facts.arms,
            holdouts=facts.holdouts,
            history=history,
            push_delay=case.faults.push_delay or 0.0,
            silence=shaped.silence,
        )
        lines = tuple(self.document.mark((*loc, "expect", j)).line for j in range(len(case.expect)))
        line = self.document.mark(loc).line
        return Test(case.name, line, case, given, lines, with_budgets(ruleset, facts.budgets))

    def _store(self, loc: Loc, name: str | None) -> Store | None:
        stores = {store.id: store for store in self.catalog.stores}
        if name is None and len(stores) == 1:
            return next(iter(stores.values()))
        if name is None:
            self._say(loc, "there are several stores; say in which one this happens", f"as in `store: {min(stores)}`")
            return None
        if name not in stores:
            self._say((*loc, "store"), f"there is no store `{name}`", did_you_mean(name, stores))
        return stores.get(name)

    def _shopper(self, loc: Loc, name: str | None, ruleset: RuleSet) -> Shopper | None:
        if name is None:
            return Shopper(ANYBODY, consents={rule.purpose: True for rule in ruleset.by_id.values()})
        if name not in self.shoppers:
            hint = did_you_mean(name, self.shoppers) or "write the shopper into the fixtures, or leave `shopper` out"
            self._say((*loc, "shopper"), f"there is no shopper `{name}`", hint)
        return self.shoppers.get(name)

    def _zones(self, loc: Loc, events: Sequence[shape.Event], store: Store) -> None:
        known = {zone.id for zone in store.zones}
        for i, event in enumerate(events):
            for key in (*shape.ZONE_EVENTS, "approach"):
                name = getattr(event, key)
                if name is not None and name not in known and (key, name) != ("approach", STORE):
                    message = f"{store.id} has no zone `{name}`"
                    self._say((*loc, "events", i, key), message, did_you_mean(name, known), code="E201")

    def _events(self, loc: Loc, events: Sequence[shape.Event]) -> None:
        """Events as they are declared."""
        attributes = self.catalog.attributes
        for i, event in enumerate(events):
            here: Loc = (*loc, "events", i)
            if event.event is None:
                continue
            if event.event not in attributes.events:
                hint = did_you_mean(event.event, attributes.events) or "declare it under `events` in attributes.yaml"
                self._say((*here, "event"), f"unknown event `{event.event}`", hint, code="E214")
                continue
            for key, value in event.data.items():
                name = f"event.{key}"
                if name not in attributes.events[event.event]:
                    known = [one.removeprefix("event.") for one in attributes.events[event.event] - {EVENT_NAME}]
                    text = f"`{event.event}` brings no `{key}`"
                    self._say((*here, "data", key), text, did_you_mean(key, known), code="E204", key=True)
                    continue
                for place, wrong in misfits(name, attributes.types[name], value):
                    self._say((*here, "data", key, *place), wrong, code="E207")

    def _rule_names(self, loc: Loc, expect: Sequence[shape.Expectation], ruleset: RuleSet) -> None:
        for i, one in enumerate(expect):
            names: list[tuple[Loc, str]] = [(("sent", j, "rule"), sent.rule) for j, sent in enumerate(one.sent or ())]
            names += [(("not_sent", j, "rule"), sent.rule) for j, sent in enumerate(one.not_sent)]
            names += [(("withdrawn", j), name) for j, name in enumerate(one.withdrawn or ())]
            names += [(("told", j, "rule"), told.rule) for j, told in enumerate(one.told or ()) if told.rule]
            for place, name in names:
                if name not in ruleset.by_id:
                    hint = did_you_mean(name, ruleset.by_id)
                    self._say((*loc, "expect", i, *place), f"there is no rule `{name}` in the files under test", hint)
            desks = {task.desk for rule in ruleset.by_id.values() for task in rule.tasks}
            for j, told in enumerate(one.told or ()):
                if told.desk not in desks:
                    hint = did_you_mean(told.desk, desks)
                    self._say((*loc, "expect", i, "told", j, "desk"), f"no rule tells the desk `{told.desk}`", hint)

    def _window(self, i: int, case: shape.WindowCase, ruleset: RuleSet) -> None:
        loc = ("windows", i)
        if case.window not in ruleset.windows:
            self._say((*loc, "window"), f"unknown window `{case.window}`", did_you_mean(case.window, ruleset.windows))
        if case.store is not None:
            self._store(loc, case.store)
        if case.zone is not None:
            self.found += check_clock(self.document, (*loc, "zone"), case.zone)


def replace_shopper(shopper: Shopper, facts: Facts) -> Shopper:
    """The shopper with what the test says about her."""
    return Shopper(
        shopper.id,
        shopper.languages,
        shopper.timezone,
        shopper.name,
        {**shopper.attributes, **facts.shopper},
        {**shopper.consents, **facts.consents},
    )


def _earlier(shopper: str, rule: str, site: str, at: float, ruleset: RuleSet) -> Sent:
    """An earlier send, counted as one of this rule is."""
    known = ruleset.by_id.get(rule)
    if known is None:
        return Sent(shopper, rule, site, at)
    return Sent(shopper, rule, site, at, known.service, not known.say)


def _store(shop: shape.Shop) -> Store:
    zones = tuple(
        Zone(one) if isinstance(one, str) else Zone(one.id, one.name, frozenset(one.tags)) for one in shop.zones
    )
    return Store(shop.id, shop.timezone, shop.name, shop.country, shop.opening_hours, zones)


def _shopper(person: shape.Person) -> Shopper:
    return Shopper(person.id, tuple(person.languages), person.timezone, person.name, person.attributes, person.consents)
