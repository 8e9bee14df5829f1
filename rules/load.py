"""Rule files -> a rule set, or every mistake of every file.

`load_rules` is pure: names and texts in, a rule set or diagnostics out. `read_rules` is the thin shell that reads the
files. One error anywhere gives no rule set: a folder is loaded whole or not at all.
"""

import copy
import gc
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

from proximity.document import Diagnostic, Document, Mark, load, parse
from proximity.model import derive_id
from rules import schema
from rules.build import Builder
from rules.catalog import Catalog
from rules.expressions import Compiler
from rules.header import Part, Shared, share
from rules.lint import Site, disagreements, lint, unused
from rules.recover import shape
from rules.ruleset import Rule, RuleSet
from rules.schedule import Place

SUFFIX = ".rules.yaml"


@dataclass(frozen=True, slots=True)
class Loaded:
    """The outcome of a load. `ruleset` is None when one of the diagnostics is an error."""

    ruleset: RuleSet | None
    diagnostics: list[Diagnostic]

    @property
    def errors(self) -> list[Diagnostic]:
        """Those that prevent the load."""
        return [one for one in self.diagnostics if one.severity == "error"]


def read_rules(paths: Path | Iterable[Path], catalog: Catalog) -> Loaded:
    """Read and load rule files. A folder stands for the `*.rules.yaml` files in it and below.

    Diagnostics name a file by its path as given, a folder's files by their path in the folder.
    """
    with _without_collecting():
        documents, strays = _read(paths)
        loaded = load_documents(documents, catalog)
    return Loaded(loaded.ruleset, sorted([*loaded.diagnostics, *strays], key=lambda one: one.sort_key))


def _read(paths: Path | Iterable[Path]) -> tuple[list[Document], list[Diagnostic]]:
    """The rule files, and warnings about files that look like some."""
    documents: list[Document] = []
    strays: list[Diagnostic] = []
    for path in [paths] if isinstance(paths, Path) else paths:
        if not path.is_dir():
            documents.append(load(path, str(path)))
            continue
        for file in sorted(path.rglob("*.y*ml")):
            name = file.relative_to(path).as_posix()
            if file.name.endswith(SUFFIX):
                documents.append(load(file, name))
            elif not file.name.endswith(".test.yaml"):
                message = f"not read: the name of a rule file ends in `{SUFFIX}`"
                strays.append(Diagnostic(Mark(name, 1, 1), "warning", "W001", message))
    return documents, strays


def load_rules(files: Mapping[str, str], catalog: Catalog) -> Loaded:
    """Load rule files given as name -> text."""
    with _without_collecting():
        return load_documents([parse(text, name) for name, text in files.items()], catalog)


def load_documents(documents: Sequence[Document], catalog: Catalog) -> Loaded:
    """Load parsed rule files. Never raises for what a file holds; their order changes nothing.

    ValueError when a store of the catalog has a time zone or opening hours that cannot be read.
    """
    with _without_collecting():
        return _load(sorted(documents, key=lambda document: document.file), catalog)


@contextmanager
def _without_collecting() -> Iterator[None]:
    """Leave out garbage collection: a load makes millions of objects and nearly no garbage.

    With 10,000 rules the collector, which looks at all objects again and again, would take a third of the time.
    """
    on = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if on:
            gc.enable()


def _load(documents: Sequence[Document], catalog: Catalog) -> Loaded:
    places = {store.id: Place.of(store) for store in catalog.stores}
    compiler = Compiler(catalog.attributes)
    found: list[Diagnostic] = [one for document in documents for one in document.diagnostics]
    parts = []
    for document in documents:
        header, wrong = _header(document)
        found += wrong
        if header is not None:
            parts.append((document, header))
    shared = share(parts, compiler, complete=not any(one.severity == "error" for one in found))
    found += shared.diagnostics
    rules, used, wrong = _rules(parts, shared, catalog)
    found += [*wrong, *disagreements(rules)]
    if not any(one.severity == "error" for one in found):
        found += [*lint(rules, catalog), *unused(shared, used)]
    found = sorted(set(found), key=lambda one: (one.sort_key, one.message))
    if any(one.severity == "error" for one in found):
        return Loaded(None, found)
    version = derive_id(*(part for document in documents for part in (document.file, document.text)))
    by_id = {rule_id: rule for rule_id, (rule, _) in rules.items()}
    files = {document.file: document.text for document in documents}
    return Loaded(RuleSet(version, by_id, catalog, places, compiler, files, shared.windows), found)


_RULE_KEYS = frozenset(info.alias or name for name, info in schema.Rule.model_fields.items())


def _header(document: Document) -> tuple[schema.Header | None, list[Diagnostic]]:
    data = document.data
    if any(one.code.startswith("E00") and one.code != "E002" for one in document.diagnostics):
        return None, []
    if data is None:
        return None, [document.diagnostic((), "E106", "the file is empty", "it begins with `rules:`")]
    if not isinstance(data, dict):
        return None, [document.diagnostic((), "E106", "the file must be a mapping", "it begins with `rules:`")]
    rules = data.get("rules")
    stated = "rules" in data
    data = copy.deepcopy({key: value for key, value in data.items() if key != "rules"})
    if stated:
        data["rules"] = [None] * len(rules) if isinstance(rules, list) else rules  # each is checked by itself
    shaped = shape(document, schema.Header, (), data)
    return shaped.model, [_of_a_rule(one) for one in shaped.found]


def _of_a_rule(one: Diagnostic) -> Diagnostic:
    """A rule that was written without `rules` around it."""
    key = re.fullmatch(r"unknown key `(\w+)`", one.message)
    if key is None or key[1] not in _RULE_KEYS:
        return one
    return replace(one, hint="a rule stands below `rules:`, and `- ` before its first key")


def _rules(
    parts: Sequence[Part], shared: Shared, catalog: Catalog
) -> tuple[dict[str, tuple[Rule, Site]], set[tuple[str, str]], list[Diagnostic]]:
    rules: dict[str, tuple[Rule, Site]] = {}
    used: set[tuple[str, str]] = set()
    found: list[Diagnostic] = []
    first: dict[str, Document] = {}
    places: dict[str, int] = {}
    for document, header in parts:
        for index in range(len(header.rules)):
            data = document.data["rules"][index]
            name = data.get("id") if isinstance(data, dict) else None
            prefix = f'rule "{name}"' if isinstance(name, str) else f"rule {index + 1}"
            if isinstance(name, str) and name in first:
                line = first[name].mark(("rules", places[name], "id")).line
                message = f"another rule has this id, at {first[name].file}:{line}"
                wrong = [document.diagnostic(("rules", index, "id"), "E107", message, "give one of them another id")]
                found += _prefixed(wrong, prefix)
            elif isinstance(name, str):
                first[name], places[name] = document, index
            rule, uses, wrong = _rule(document, index, shared, catalog)
            found += _prefixed(wrong, prefix)
            used |= uses
            if rule is not None:
                rules[rule.id] = (rule, (document, index))
    return rules, used, found


def _prefixed(found: Iterable[Diagnostic], prefix: str) -> list[Diagnostic]:
    return [replace(one, message=f"{prefix}: {one.message}") for one in found]


def _rule(
    document: Document, index: int, shared: Shared, catalog: Catalog
) -> tuple[Rule | None, set[tuple[str, str]], list[Diagnostic]]:
    loc = ("rules", index)
    data = document.data["rules"][index]
    if not isinstance(data, dict):
        hint = "a rule begins with `id:`"
        return None, set(), [document.diagnostic(loc, "E103", "must be a mapping (`key: value`)", hint)]
    shaped = shape(document, schema.Rule, loc, data, stand_ins=True)
    if shaped.model is None:
        return None, set(), shaped.found
    builder = Builder(document, index, shaped.model, shared, catalog, shaped.unsure)
    rule = builder.build()
    if shaped.found:  # parts were left out to go on, so only certain errors count
        return None, builder.used, shaped.found + [one for one in builder.diagnostics if one.severity == "error"]
    return rule, builder.used, builder.diagnostics
