"""Templates that only put single values into their text, as most do: filled in without Liquid, and word for word alike.

Whatever is out of the ordinary (an absent value, a number with decimals, a long text) is left to Liquid, which also
says what is wrong with it.
"""

import functools
import re
from collections.abc import Callable
from typing import Any, NamedTuple

# An output of one value, with a text as its default or without one.
SINGLE = re.compile(
    r"""\{\{-?\s*(?P<path>[a-z]\w*\.[a-z]\w*)\s*(?:\|\s*default:\s*(?P<default>"[^"{}]*"|'[^'{}]*')\s*)?-?\}\}"""
)
LONGEST = 1024  # characters; longer ones may be more bytes than Liquid lets pass


class Blank(NamedTuple):
    """A place for a value."""

    before: str  # the text between it and the blank before
    name: str  # of the attribute
    default: str | None


def fill(text: str, value: Callable[[str], Any]) -> str | None:
    """The text with its values, stripped. None: ask Liquid. `text` has no outputs but those of `SINGLE`."""
    form = _form(text)
    if form is None:
        return None
    blanks, rest = form
    parts: list[str] = []
    for before, name, default in blanks:
        found = value(name)
        if type(found) is int:
            found = str(found)
        elif not found and default is not None and (found is None or type(found) is str):
            found = default
        elif type(found) is not str:
            return None
        parts += (before, found)
    said = ("".join(parts) + rest).strip()
    return said if len(said) <= LONGEST and "\r" not in said else None  # Liquid writes other ends of lines


@functools.lru_cache(maxsize=16_384)
def _form(text: str) -> tuple[tuple[Blank, ...], str] | None:
    if "{{-" in text or "-}}" in text or "\\" in text:  # these change what is around them, or what is quoted
        return None
    blanks, end = [], 0
    for match in SINGLE.finditer(text):
        default = match["default"]
        blanks.append(Blank(text[end : match.start()], match["path"], None if default is None else default[1:-1]))
        end = match.end()
    return tuple(blanks), text[end:]
