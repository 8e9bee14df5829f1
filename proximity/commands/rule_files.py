"""Which rule files a command means, and the shop they are checked against."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from proximity.configuration import catalog_of
from proximity.document import Diagnostic, load
from proximity.errors import ConfigurationError, ProximityError
from proximity.site.load import load_sites
from rules.attributes import Attributes, attributes_of
from rules.catalog import Catalog
from rules.load import SUFFIX, Loaded, load_documents
from rules.ruleset import RuleSet, RuleSummary


@dataclass(frozen=True, slots=True)
class RuleFiles:
    """Loaded rules, and which of their files were asked for."""

    config: Path
    loaded: Loaded
    asked: frozenset[str]

    @property
    def diagnostics(self) -> list[Diagnostic]:
        """What is wrong in the files that were asked for."""
        return [one for one in self.loaded.diagnostics if one.mark.file in self.asked]

    @property
    def rules(self) -> list[RuleSummary]:
        """The rules of the files that were asked for; none when there is an error."""
        if self.loaded.ruleset is None:
            return []
        return [one for one in self.loaded.ruleset.rules if one.where.rpartition(":")[0] in self.asked]

    def ruleset(self) -> RuleSet:
        """All rules. ConfigurationError when there is an error, in whichever file."""
        if self.loaded.ruleset is None:
            raise ConfigurationError(self.loaded.diagnostics)
        return self.loaded.ruleset


def read_rule_files(paths: Sequence[Path], config: Path | None) -> RuleFiles:
    """Configuration folders, folders of rules, or single rule files.

    A file in the `rules` folder of a configuration is read together with its neighbours, whose windows and segments
    it may use. ProximityError when a path does not exist or no shop is found, ConfigurationError when the shop's own
    files have errors.
    """
    for path in paths:
        if not path.exists():
            raise ProximityError(f"{path}: no such file or folder")
    homes = {config or find_config(path) for path in paths}
    if len(homes) > 1:
        raise ProximityError(f"{', '.join(map(str, paths))} belong to several shops; check one at a time")
    (config,) = homes
    asked = {file for path in paths for file in _files(path)}
    if not asked:
        raise ProximityError(f"{', '.join(map(str, paths))}: no file there ends in {SUFFIX}")
    home = (config / "rules").resolve()
    files = {file.resolve(): file for file in asked}
    if any(file.is_relative_to(home) for file in files):
        for file in _files(config):
            files.setdefault(file.resolve(), file)
    loaded = load_documents([load(file, str(file)) for file in files.values()], read_catalog(config))
    return RuleFiles(config, loaded, frozenset(map(str, asked)))


def find_config(path: Path) -> Path:
    """The configuration folder that a path is, or lies in. ProximityError when there is none."""
    here, whole = Path.cwd(), path.resolve()
    for folder in (whole, *whole.parents):
        if (folder / "site.yaml").exists() or (folder / "sites").is_dir():
            return folder.relative_to(here) if folder.is_relative_to(here) else folder
    raise ProximityError(f"{path} lies in no configuration folder; name one with --config, so that zones are known")


def read_catalog(config: Path) -> Catalog:
    """The stores, zones and attributes of a configuration folder. ConfigurationError with all that is wrong."""
    sites = load_sites(config)
    declared: Attributes | None = Attributes()
    found = list(sites.diagnostics)
    if (config / "attributes.yaml").exists():
        declared, wrong = attributes_of(load(config / "attributes.yaml"))
        found += wrong
    if declared is None or not sites.ok:
        raise ConfigurationError(found)
    return catalog_of(sites.sites, declared)


def _files(path: Path) -> list[Path]:
    if path.is_file():
        return [path]
    folder = path / "rules" if (path / "rules").is_dir() else path
    return sorted(folder.rglob(f"*{SUFFIX}"))
