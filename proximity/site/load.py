"""A configuration directory to stores and people, with every mistake of every file at once.

One shop: site.yaml, zones.geojson, gateways.yaml, beacons.yaml and shoppers.yaml in the directory. Several shops: the
same files in `sites/<id>/`, and shoppers.yaml in the directory or with a shop. Only the first two are needed.
Parsing is pure (`parse_site`, `parse_people`); `load_sites` reads the files.
"""

import difflib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from proximity import document as documents
from proximity.document import Diagnostic, Document, Mark
from proximity.model import Device
from proximity.site.beacons import ReadFile
from proximity.site.checks import check_plan, lacking
from proximity.site.model import Anchor, Site
from proximity.site.people import People, merge, parse_shoppers
from proximity.site.radios import Claims, parse_gateways, parse_shelf, parse_tags
from proximity.site.shop import NOWHERE, parse_shop
from proximity.site.zones import Plan, parse_zones

__all__ = ["LoadedSites", "People", "load_sites", "parse_people", "parse_site"]

FILES = ("site.yaml", "zones.geojson", "gateways.yaml", "beacons.yaml", "shoppers.yaml")
_OTHERS = ("attributes.yaml",)  # beside ours, read by the rules
_NEEDED = {"site.yaml": "it says what the store is called and where it is", "zones.geojson": "it draws the zones"}


@dataclass(frozen=True, slots=True)
class LoadedSites:
    """What the files say. With errors among the diagnostics it serves further checks only: a zone whose outline is
    wrong is there with an empty one, and a store with a wrong time zone has UTC.
    """

    sites: tuple[Site, ...] = ()
    people: People = field(default_factory=People)
    diagnostics: list[Diagnostic] = field(default_factory=list)
    all_sites: bool = True  # False: some site.yaml could not be read, so a store that is not here may be there
    all_zones: bool = True  # False: the same of zones

    @property
    def ok(self) -> bool:
        """Whether nothing worse than a warning was found."""
        return all(diagnostic.severity != "error" for diagnostic in self.diagnostics)


def parse_site(files: Mapping[str, Document], claims: Claims) -> tuple[Site | None, list[Diagnostic]]:
    """One store from its files by name; a file that does not exist is left out. Shoppers and tags are not read.

    `claims` holds the ids that other stores have taken. None when site.yaml gives no id.
    """
    found: list[Diagnostic] = []
    site, ground = None, NOWHERE
    if "site.yaml" in files:
        site, ground, found = parse_shop(files["site.yaml"])
    if site is not None:
        other = claims.claim(f"site {site.id}", files["site.yaml"], ("id",))
        if other is not None:
            message = f'site "{site.id}" is there twice'
            found.append(files["site.yaml"].diagnostic(("id",), "E307", message, f"first at {other}"))
    plan = parse_zones(files["zones.geojson"], ground) if "zones.geojson" in files else Plan(ground, readable=False)
    gateways, wrong_gateways = parse_gateways(files.get("gateways.yaml"), plan, claims)
    shelf, wrong_shelf = parse_shelf(files.get("beacons.yaml"), plan, claims)
    found += plan.diagnostics + wrong_gateways + wrong_shelf
    anchors: list[Anchor] = [*gateways, *shelf]
    if "zones.geojson" in files:
        all_known = all(d.severity == "warning" for d in wrong_gateways + wrong_shelf)
        found += check_plan(files["zones.geojson"], plan, anchors if all_known else None)
    if site is None:
        return None, found
    site = replace(
        site,
        lat=plan.ground.lat,
        lon=plan.ground.lon,
        bearing=plan.ground.bearing,
        zones=tuple(plan.zones),
        walls=tuple(plan.walls),
        anchors=tuple(anchors),
    )
    return site, found + _check_locator(files["site.yaml"], site, found)


def _check_locator(document: Document, site: Site, found: Sequence[Diagnostic]) -> list[Diagnostic]:
    """A locator that the site has not what it takes for. Said only of files that are right otherwise."""
    name = site.presence.locator
    lack = lacking(site) if name in ("zones", "grid") else None
    if lack is None or any(one.severity == "error" for one in found):
        return []
    hint = "give `x` and `y` (or `lat` and `lon`) to gateways, or write `locator: auto`"
    if "floor" in lack or "zone" in lack:
        hint = "write `locator: auto`"
    return [document.diagnostic(("presence", "locator"), "E305", f"the locator {name!r} cannot be used: {lack}", hint)]


def parse_people(
    shoppers: Sequence[tuple[Document, ReadFile]], tags: Sequence[tuple[Document, ReadFile]], claims: Claims
) -> tuple[People, list[Diagnostic]]:
    """Shoppers of all shoppers.yaml, and the tags of all beacons.yaml that they carry.

    Each file comes with what reads the files it names (`password_file`, `key_file`).
    """
    parts: list[People] = []
    known: list[str] | None = []
    devices: list[Device] = []
    found: list[Diagnostic] = []
    for document, read_file in shoppers:
        people, names, wrong = parse_shoppers(document, read_file, claims)
        parts.append(people)
        # A file that cannot be read may well name those who are missing.
        known = None if known is None or document.diagnostics else known + names
        found += wrong
    for document, read_file in tags:
        carried, wrong = parse_tags(document, read_file, known, claims)
        devices += carried
        found += wrong
    return merge(parts, devices), found


def load_sites(config_dir: Path) -> LoadedSites:
    """Everything the site files of a directory say. Never raises for what the files hold."""
    root = Path(config_dir)
    found: list[Diagnostic] = []
    if not root.is_dir():
        return LoadedSites(diagnostics=[Diagnostic(Mark(str(root), 1, 1), "error", "E300", "no such directory")])
    folders = sorted(path for path in (root / "sites").glob("*") if path.is_dir())
    shops = [(folder, f"sites/{folder.name}/") for folder in folders]
    if not shops or (root / "site.yaml").exists():
        shops = [(root, "")]
        if folders:
            message = "there is a shop in this directory, and there are shops in sites/; only one of both can be"
            hint = "move this shop's files to a directory in sites/"
            found.append(Diagnostic(Mark("site.yaml", 1, 1), "error", "E300", message, hint))
    claims = Claims()
    undrawn = False
    sites: list[Site] = []
    people = [(root, "")] if shops != [(root, "")] and (root / "shoppers.yaml").exists() else []
    shoppers = [_shoppers(folder, prefix) for folder, prefix in people]
    tags: list[tuple[Document, ReadFile]] = []
    for folder, prefix in shops:
        files = {name: documents.load(folder / name, prefix + name) for name in FILES if (folder / name).exists()}
        found += _missing(folder, prefix)
        site, wrong = parse_site(files, claims)
        found += wrong
        if site is not None:
            undrawn = undrawn or (not site.zones and _wrong(found, f"{prefix}zones.geojson"))
            sites.append(site)
            if prefix and site.id != folder.name:
                message = f'the directory is called "{folder.name}", but the site "{site.id}"'
                found.append(files["site.yaml"].diagnostic(("id",), "E301", message, "give both one name"))
        reader = _reader(folder)
        if "shoppers.yaml" in files:
            shoppers.append((files["shoppers.yaml"], reader))
        if "beacons.yaml" in files:
            tags.append((files["beacons.yaml"], reader))
    everybody, wrong = parse_people(shoppers, tags, claims)
    found += wrong
    whole = len(sites) == len(shops)
    found.sort(key=lambda d: d.sort_key)
    return LoadedSites(tuple(sites), everybody, found, all_sites=whole, all_zones=whole and not undrawn)


def _wrong(found: Sequence[Diagnostic], file: str) -> bool:
    return any(one.mark.file == file and one.severity == "error" for one in found)


def _shoppers(folder: Path, prefix: str) -> tuple[Document, ReadFile]:
    return documents.load(folder / "shoppers.yaml", f"{prefix}shoppers.yaml"), _reader(folder)


def _reader(folder: Path) -> ReadFile:
    """What reads a file that is named in a file of `folder`; paths are relative to it."""

    def read(path: str) -> str | None:
        try:
            return (folder / path).read_text(encoding="utf-8")
        except (OSError, ValueError):
            return None

    return read


def _missing(folder: Path, prefix: str) -> list[Diagnostic]:
    """Files that are needed and not there, and files that are there under a name that nobody reads."""
    found: list[Diagnostic] = []
    there = {path.name for path in folder.iterdir() if path.is_file()}
    absent = [name for name in FILES if name not in there]
    taken: set[str] = set()
    for name in sorted(there - set(FILES) - set(_OTHERS)):
        stem, _, ending = name.rpartition(".")
        near = difflib.get_close_matches(stem, [a.rpartition(".")[0] for a in absent], n=1, cutoff=0.8)
        if near and ending in ("yaml", "yml", "json", "geojson"):
            meant = next(a for a in absent if a.startswith(f"{near[0]}."))
            taken.add(meant)
            mark = Mark(prefix + name, 1, 1)
            found.append(Diagnostic(mark, "error", "E300", "nobody reads a file of this name", f"call it {meant}"))
    for name in absent:
        if name in _NEEDED and name not in taken:
            found.append(Diagnostic(Mark(prefix + name, 1, 1), "error", "E300", "no such file", _NEEDED[name]))
    return found
