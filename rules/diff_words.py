"""Words that all sentences about a difference are made of."""

import re
from collections.abc import Mapping
from datetime import datetime
from typing import Any

from rules.values import show_duration

LONGEST = 120  # letters of a text that are quoted


def was(frame: str, old: str, new: str) -> list[str]:
    """A sentence when the two are not the same."""
    return [] if old == new else [f"{frame.format(new)} instead of {old}"]


def span(seconds: float) -> str:
    """`90 s`, `3 min`, `24 h`."""
    if seconds < 120:
        return f"{seconds:g} s"
    return re.sub(r"([a-z]+)$", lambda unit: f" {'min' if unit[1] == 'm' else unit[1]}", show_duration(seconds))


def text_of(one: Any) -> str | None:
    """The text of an expression or a template."""
    return None if one is None else " ".join(one.text.split())


def either(text: str | None, nothing: str) -> str:
    """The text, or a word for none."""
    return text or nothing


def quote(text: str | None) -> str:
    """As a sentence quotes it."""
    if text is None:
        return "nothing"
    text = " ".join(text.split())
    return f'"{text if len(text) <= LONGEST else text[: LONGEST - 1] + "…"}"'


def day_of(one: datetime) -> str:
    """`2026-12-24`, with the time when it is not midnight."""
    return f"{one:%Y-%m-%d %H:%M%z}".replace(" 00:00", "")


def clock_words(clock: str) -> str:
    """Whose clock it is."""
    return f"the {clock}" if clock in ("store", "shopper") else clock


def segments_mean(old: Mapping[str, str], new: Mapping[str, str]) -> list[str]:
    """Segments of one name whose conditions are not the same."""
    return [
        f"reads the segment {name} as {' '.join(new[name].split())} instead of {' '.join(old[name].split())}"
        for name in sorted(old.keys() & new.keys())
        if old[name].split() != new[name].split()
    ]
