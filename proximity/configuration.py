"""A configuration folder as a whole: shops, people, attributes and rules, checked together, in force together."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from proximity.document import Diagnostic
from proximity.errors import ConfigurationError
from proximity.site.load import People, load_sites
from proximity.site.model import Site
from rules.attributes import load_attributes
from rules.catalog import Catalog, Store, ZoneEntry
from rules.load import RuleSet, load_rules

RULES = "*.rules.yaml"


@dataclass(frozen=True, slots=True)
class Configuration:
    """A folder without errors."""

    folder: Path
    sites: tuple[Site, ...]
    people: People
    ruleset: RuleSet
    texts: dict[str, str]  # rule file -> text
    warnings: tuple[Diagnostic, ...] = ()


def check_configuration(folder: Path) -> tuple[Configuration | None, list[Diagnostic]]:
    """Everything in the folder, with every mistake of every file; None when there is an error among them."""
    loaded = load_sites(folder)
    declared = load_attributes(folder / "attributes.yaml")
    texts = rule_texts(folder)
    rules = load_rules(texts, catalog_of(loaded.sites, declared.attributes))
    found = sorted([*loaded.diagnostics, *declared.diagnostics, *rules.diagnostics], key=lambda d: d.sort_key)
    if rules.ruleset is None or any(d.severity == "error" for d in found):
        return None, found
    return Configuration(folder, loaded.sites, loaded.people, rules.ruleset, texts, tuple(found)), found


def load_configuration(folder: Path) -> Configuration:
    """The folder, or ConfigurationError with everything that is wrong in it."""
    configuration, diagnostics = check_configuration(folder)
    if configuration is None:
        raise ConfigurationError(diagnostics)
    return configuration


def rule_texts(folder: Path) -> dict[str, str]:
    """The rule files below `rules/`, by their path in it. Bytes that are no UTF-8 show as the replacement character."""
    rules = folder / "rules"
    return {
        path.relative_to(rules).as_posix(): path.read_text(encoding="utf-8", errors="replace")
        for path in sorted(rules.rglob(RULES))
    }


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


def catalog_of(sites: Sequence[Site], attributes: "Catalog.Attributes") -> Catalog:
    """What rules may speak of."""
    return Catalog(
        stores=tuple(
            Store(
                id=site.id,
                timezone=site.timezone,
                country=site.country,
                opening_hours=site.opening_hours,
                zones=tuple(ZoneEntry(zone.id, zone.name, zone.tags) for zone in site.zones),
            )
            for site in sites
        ),
        attributes=attributes,
    )
