"""`context.yaml`: values that rules read, for a demo or until the shop's systems tell them.

version: 1
values:
  - {store: demo-store, values: {weather: {temp_c: 7.5, rain: true}, stock: {KONA-250: 12}}}
  - {product: KONA-250, values: {product: {name: "Kona, 250 g"}}}
"""

from collections.abc import Collection
from pathlib import Path
from typing import Annotated, Any

from pydantic import Field, WithJsonSchema

from proximity.document import Diagnostic, did_you_mean, load
from proximity.shape import check_shape
from proximity.store.context import Told, Value, check
from rules.attributes import Attributes
from rules.forms import Model

NAME = "context.yaml"


class Item(Model):
    """Some values, and of whom or what they tell."""

    values: dict[str, Any]
    store: str | None = None
    shopper: str | None = None
    product: str | None = None
    rule: str | None = None


class ContextFile(Model):
    """The whole file."""

    version: Annotated[int, Field(ge=1, le=1), WithJsonSchema({"const": 1})] = 1
    values: list[Item]


def load_context(
    folder: Path, attributes: Attributes | None, stores: Collection[str], shoppers: Collection[str]
) -> tuple[tuple[Value, ...], list[Diagnostic]]:
    """The values of the folder's file, and what is wrong with them. Empty where there is no file.

    `attributes` None: they could not be read, so the values cannot be checked.
    """
    path = folder / NAME
    if not path.exists():
        return (), []
    document = load(path, NAME)
    if document.diagnostics or not isinstance(document.data, dict):
        whole = document.diagnostic((), "E106", "the file must be a mapping with the key `values`")
        return (), list(document.diagnostics) or [whole]
    shape, found = check_shape(document, ContextFile)
    if shape is None or attributes is None:
        return (), found
    values: list[Value] = []
    for number, item in enumerate(shape.values):
        good, wrong = check(Told(**item.model_dump()), attributes, 0.0)
        values += good
        for one in wrong:
            loc = ("values", number, *one.place)
            found.append(document.diagnostic(loc, "E207", one.message, one.hint, key=one.key))
        for name, known in (("store", stores), ("shopper", shoppers)):
            given = getattr(item, name)
            if given is not None and given not in known:
                hint = did_you_mean(given, known)
                found.append(
                    document.diagnostic(("values", number, name), "E202", f"there is no {name} `{given}`", hint)
                )
    return tuple(values), found
