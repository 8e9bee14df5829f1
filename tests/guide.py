"""The guide for marketers as its tests read it: its blocks, and the shop that they are about."""

import re
from pathlib import Path

from rules.attributes import load_attributes
from rules.catalog import Catalog, Store, Zone
from rules.load import load_rules

GUIDE = Path(__file__).parent.parent / "docs" / "rules.md"
ZONES = ("entrance", "coffee-aisle", "tea-aisle", "bakery", "tills", "car-park")
_BLOCK = re.compile(r"^```yaml\n((?:(?!```).)*)^```\n(?:\n```text\n((?:(?!```).)*)^```\n)?", re.DOTALL | re.MULTILINE)


def blocks(text: str) -> list[tuple[str, str | None]]:
    """Every YAML block, with the messages that are shown right below it as the answer of the check."""
    return [(block, answer or None) for block, answer in _BLOCK.findall(text)]


def catalog(text: str) -> Catalog:
    """The shop of the guide's examples, with the values that the guide declares."""
    (block,) = [block for block, _ in blocks(text) if re.search(r"^attributes:", block, re.MULTILINE)]
    declared, wrong = load_attributes(block, "attributes.yaml")
    assert declared is not None, wrong
    zones = tuple(Zone(name, tags=frozenset({name.partition("-")[0]})) for name in ZONES)
    return Catalog((Store("demo-store", "Europe/Paris", "Demo", "FR", "Mo-Su 09:00-20:00", zones),), declared)


def diagnostics(block: str, name: str, shop: Catalog) -> str:
    """What the check says of a block."""
    return "".join(f"{one.render()}\n" for one in load_rules({name: block}, shop).diagnostics)
