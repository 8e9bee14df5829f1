"""Which test files a command means, and the shop in which they play."""

from collections.abc import Mapping, Sequence
from pathlib import Path

from proximity.commands.rule_files import find_config, read_catalog
from proximity.errors import ProximityError
from proximity.model import Shopper
from proximity.site.load import load_sites
from rules.catalog import Catalog
from rules.testing.read import SUFFIX, Suite, read_suite


def find_tests(paths: Sequence[Path]) -> list[Path]:
    """The test files in these folders and below, and the files given themselves."""
    found: dict[Path, None] = {}
    for path in paths:
        if not path.exists():
            raise ProximityError(f"{path}: no such file or folder")
        files = sorted(path.rglob(f"*{SUFFIX}")) if path.is_dir() else [path]
        found.update(dict.fromkeys(files))
    if not found:
        raise ProximityError(f"{', '.join(map(str, paths))}: no file there ends in {SUFFIX}")
    return list(found)


def read_suites(files: Sequence[Path], config: Path | None) -> list[Suite]:
    """The suites of these files. A file that lies in no configuration folder must bring its stores itself."""
    shops: dict[Path | None, tuple[Catalog, Mapping[str, Shopper]]] = {None: (Catalog(), {})}
    suites = []
    for file in files:
        home = config or _home(file)
        if home is not None and home not in shops:
            people = load_sites(home).people.shoppers
            shops[home] = (read_catalog(home), {one.id: one for one in people})
        suites.append(read_suite(file, *shops[home]))
    return suites


def _home(file: Path) -> Path | None:
    try:
        return find_config(file.parent)
    except ProximityError:
        return None
