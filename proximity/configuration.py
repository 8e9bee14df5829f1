"""A configuration folder as a whole: shops, people, attributes and rules, checked together, in force together."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from proximity.context_files import load_context
from proximity.document import Diagnostic, Document, load
from proximity.errors import ConfigurationError
from proximity.site.load import People, load_sites
from proximity.site.model import Site
from proximity.store.context import Value
from rules.attributes import Attributes, attributes_of
from rules.catalog import Catalog, Store, Zone
from rules.load import SUFFIX, load_documents
from rules.ruleset import RuleSet
from rules.trigger_schema import STORE

NO_ZONE = "E201"
NO_NAMES = ("E202", "E203")  # stores, windows and segments that are not there; the other E2 codes need the attributes


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
    found = [*sites.diagnostics, *found, *wrong, *_without_echoes(rules.diagnostics, sites.diagnostics, attributes)]
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
                zones=tuple(Zone(zone.id, zone.name, zone.tags, zone.outdoor) for zone in site.zones),
                located=site.lat is not None or any(zone.id == STORE and zone.outdoor for zone in site.zones),
            )
            for site in sites
        ),
        attributes=attributes,
    )


def _without_echoes(
    found: Sequence[Diagnostic], of_sites: Sequence[Diagnostic], attributes: Attributes | None
) -> list[Diagnostic]:
    """What is wrong in the rules, less what only follows from zones or attributes that could not be read."""
    zones_unread = any(one.mark.file.endswith("zones.geojson") and one.code.startswith("E0") for one in of_sites)
    return [
        one
        for one in found
        if not (zones_unread and one.code == NO_ZONE)
        and not (attributes is None and one.code.startswith("E2") and one.code not in (NO_ZONE, *NO_NAMES))
    ]


def _attributes(path: Path) -> tuple[Attributes | None, list[Diagnostic]]:
    return attributes_of(load(path)) if path.exists() else (Attributes(), [])


def _rule_documents(folder: Path) -> list[Document]:
    paths = sorted((folder / "rules").rglob(f"*{SUFFIX}"))
    return [load(path, path.relative_to(folder).as_posix()) for path in paths]
