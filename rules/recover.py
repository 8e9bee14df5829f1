"""The shape of a rule or of a file's head, and what is left to check where some of it is wrong.

A mistake of form should not hide the mistakes of meaning beside it. What is wrong is taken out, and what is missing
stands in, so that the rest can be built; `unsure` names the keys that nothing may be concluded from any more.
"""

import copy
import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, Generic, TypeVar

import pydantic

from proximity.document import Diagnostic, Document
from proximity.shape import check_shape

_Model = TypeVar("_Model", bound=pydantic.BaseModel)

ROUNDS = 8  # taking one thing out can uncover another; a rule is not nested deeper than that
_MESSAGE = {"title": "…", "body": "…"}
# What stands in for a missing key of a rule: nothing that could be wrong by itself.
_STAND_INS: dict[tuple[str, ...], Any] = {
    ("id",): "unnamed",
    ("when",): {"absence": {"for": "1d"}},
    ("say",): {"en": _MESSAGE},
    ("dwell", "for"): "1m",
    ("absence", "for"): "1d",
    ("approach", "within"): "400m",
    ("sequence", "within"): "1h",
    ("schedule", "cron"): "0 0 1 1 *",
    ("compete", "group"): "unnamed",
    ("goal", "within"): "1d",
    ("staff", "desk"): "unnamed",
    ("staff", "text"): "…",
}


@dataclass(frozen=True)
class Shaped(Generic[_Model]):
    """What could be made of a part of a file. `model` is None when nothing could; it is whole when nothing was
    `found`."""

    model: _Model | None
    found: list[Diagnostic]
    unsure: frozenset[str] = frozenset()  # keys with mistakes, or perhaps written under an unknown name


def shape(
    document: Document,
    model: type[_Model],
    loc: tuple[str | int, ...],
    data: dict[str, Any],
    *,
    stand_ins: bool = False,
) -> Shaped[_Model]:
    """The model of `data`, which is what the document says at `loc`. `stand_ins`: for the missing keys of a rule."""
    whole, found = check_shape(document, model, loc, data=data)
    if whole is not None:
        return Shaped(whole, [])
    found = tidy(found)
    left = copy.deepcopy(data)
    unsure: set[str] = set()
    for _ in range(ROUNDS):
        try:
            return Shaped(model.model_validate(left), found, frozenset(unsure))
        except pydantic.ValidationError as error:
            for detail in error.errors(include_url=False):
                place = detail["loc"]
                unsure.add(str(place[0]) if place else "")
                if len(place) == 1 and detail["type"] == "extra_forbidden":  # any of those that are not written
                    unsure |= {info.alias or name for name, info in model.model_fields.items()} - data.keys()
                if not (stand_ins and detail["type"] == "missing" and _stand_in(left, place)):
                    _prune(left, place)
    return Shaped(None, found)


def tidy(found: Sequence[Diagnostic]) -> list[Diagnostic]:
    """Items of lists by their number from 1; and a key is not missing when another is its misspelling."""
    meant = {one.hint for one in found if one.code == "E101"}
    kept = []
    for one in found:
        missing = re.match(r"`(\w+)` is missing", one.message)
        if missing is None or f"did you mean `{missing[1]}`?" not in meant:
            text = re.sub(r"^`(\d+)`", lambda match: f"item {int(match[1]) + 1}", one.message)
            text = re.sub(r"^(`.*`): (?:\w+) should have at least 1 .*", r"\1 is empty", text)
            kept.append(replace(one, message=text))
    return kept


def _stand_in(data: Any, loc: Sequence[str | int]) -> bool:
    """Put something in the place of a missing key, where something can stand there."""
    *way, name = loc
    for part in way:
        keys = data if isinstance(data, dict) else range(len(data)) if isinstance(data, list) else ()
        if part in keys:  # else it is the name of a branch
            data = data[part]
    value = _MESSAGE.get(str(name)) if way and way[0] == "say" else _STAND_INS.get((*map(str, way[-1:]), str(name)))
    if value is None or not isinstance(data, dict):
        return False
    data[name] = copy.deepcopy(value)
    return True


def _prune(data: Any, loc: Sequence[str | int]) -> None:
    """Take out the innermost mapping entry on the way to `loc`, which also names what is no part of the data."""
    owner: dict[Any, Any] | None = None
    entry: Any = None
    for part in loc:
        if isinstance(data, dict) and part in data:
            owner, entry, data = data, part, data[part]
        elif isinstance(data, list) and isinstance(part, int) and part < len(data):
            data = data[part]
    if owner is not None:
        owner.pop(entry, None)
