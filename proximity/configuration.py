"""A configuration folder as a whole: shops, people, attributes and rules, checked together, in force together."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from proximity.context_files import load_context
from proximity.document import Diagnostic, Document, load
from proximity.errors import ConfigurationError
from proximity.site.load import LoadedSites, People, load_sites
from proximity.site.model import Site
from proximity.store.context import Value
from rules.attributes import Attributes, attributes_of
from rules.catalog import Catalog, Store, Zone
from rules.load import SUFFIX, load_documents
from rules.ruleset import RuleSet
from rules.trigger_schema import STORE

NO_STORE = "E202"
NO_ZONE = ("E201", "E203")  # by name and by tag
# The others of the E2 codes that need no attributes: windows and segments that are not there, zones indoors, clocks.
NEED_NO_ATTRIBUTES = (NO_STORE, *NO_ZONE, "E205", "E206", "E213", "E217")


@dataclass(frozen=True, slots=True)
class Configuration:
    """A folder without errors."""

    folder: Path
    sites: tuple[Site, ...]
    people: People
    ruleset: RuleSet
    context: tuple[Value, ...] = ()  # values that rules read, until the shop's systems tell others


def check_configuration(folder: Path) -> tuple[Configuration | None, list[Diagnostic]]:
    """Everything in the folder, with every mistake of every file; None when there is an error among them."""
    sites = load_sites(folder)
    attributes, found = _attributes(folder / "attributes.yaml")
    rules = load_documents(_rule_documents(folder), catalog_of(sites.sites, attributes or Attributes()))
    people = [one.id for one in sites.people.shoppers]
    values, wrong = load_context(folder, attributes, [site.id for site in sites.sites], people)
    found = [*sites.diagnostics, *found, *_without_echoes([*rules.diagnostics, *wrong], sites, attributes)]
    found = sorted(set(found), key=lambda one: (one.sort_key, one.message))
    if rules.ruleset is None or any(one.severity == "error" for one in found):
        return None, found
    return Configuration(folder, sites.sites, sites.people, rules.ruleset, values), found


def load_configuration(folder: Path) -> Configuration:
    """The folder, or ConfigurationError with everything that is wrong in it."""
    configuration, diagnostics = check_configuration(folder)
    if configuration is None:
        raise ConfigurationError(diagnostics)
    return configuration


def signature(folder: Path) -> tuple[tuple[str, int, int], ...]:
    """Changes whenever a file of the folder does: names, sizes and times of modification."""
    found: list[tuple[str, int, int]] = []
    for path in sorted(folder.rglob("*")):
        if path.suffix in (".yaml", ".yml", ".geojson", ".json"):
            try:
                status = path.stat()
            except FileNotFoundError:
                continue  # an editor that replaces the file was between its two steps
            found.append((path.as_posix(), status.st_size, status.st_mtime_ns))
    return tuple(found)


def catalog_of(sites: Sequence[Site], attributes: Attributes) -> Catalog:
    """What rules may speak of."""
    return Catalog(
        stores=tuple(
            Store(
                id=site.id,
                timezone=site.timezone,
                name=site.name,
                country=site.country,
                opening_hours=site.opening_hours,
                zones=tuple(Zone(zone.id, zone.name, zone.tags, zone.outdoor, zone.sound) for zone in site.zones),
                located=site.lat is not None or any(zone.id == STORE and zone.outdoor for zone in site.zones),
            )
            for site in sites
        ),
        attributes=attributes,
    )


def _without_echoes(found: Sequence[Diagnostic], sites: LoadedSites, attributes: Attributes | None) -> list[Diagnostic]:
    """What is wrong in the rules and the values, less what only follows from stores, zones or attributes that could
    not be read."""
    needless = {*(() if sites.all_sites else (NO_STORE,)), *(() if sites.all_zones else NO_ZONE)}
    return [
        one
        for one in found
        if one.code not in needless
        and not (attributes is None and one.code.startswith("E2") and one.code not in NEED_NO_ATTRIBUTES)
    ]


def _attributes(path: Path) -> tuple[Attributes | None, list[Diagnostic]]:
    return attributes_of(load(path)) if path.exists() else (Attributes(), [])


def _rule_documents(folder: Path) -> list[Document]:
    paths = sorted((folder / "rules").rglob(f"*{SUFFIX}"))
    return [load(path, path.relative_to(folder).as_posix()) for path in paths]
