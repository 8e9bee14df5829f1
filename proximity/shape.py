"""The shape of a file by a pydantic model: every mistake becomes a diagnostic at its place."""

import re
from collections.abc import Sequence
from dataclasses import replace
from typing import Any, TypeVar

import pydantic

from proximity.document import Diagnostic, Document, Loc, did_you_mean
from proximity.syntax import curly

_Model = TypeVar("_Model", bound=pydantic.BaseModel)


def check_shape(
    document: Document, model: type[_Model], loc: Loc = (), *, context: Any = None, data: Any = None
) -> tuple[_Model | None, list[Diagnostic]]:
    """Validate the part of `document` at `loc` with a pydantic model; every mistake becomes a diagnostic in place.

    Models forbid extra keys (`extra="forbid"`); an unknown key gets a suggestion from the model's own fields.
    `data` is validated in place of the document's own, for a caller that has changed it on the way.
    """
    value = data if data is not None else _at(document.data, loc)
    try:
        return model.model_validate(value, context=context), []
    except pydantic.ValidationError as error:
        return None, [_shape_diagnostic(document, model, loc, detail) for detail in error.errors(include_url=False)]


def _at(data: Any, loc: Loc) -> Any:
    for part in loc:
        data = data[part]
    return data


_WORDS = {
    "missing": "is missing",
    "dict_type": "must be a mapping (`key: value`)",
    "model_type": "must be a mapping (`key: value`)",
    "model_attributes_type": "must be a mapping (`key: value`)",
    "list_type": "must be a list (`- item`)",
    "tuple_type": "must be a list (`[a, b]`)",
    "string_type": "must be text",
    "int_type": "must be a whole number",
    "int_parsing": "must be a whole number",
    "int_from_float": "must be a whole number",
    "float_type": "must be a number",
    "float_parsing": "must be a number",
    "bool_type": "must be true or false",
    "bool_parsing": "must be true or false",
}


def _shape_diagnostic(document: Document, model: type[pydantic.BaseModel], base: Loc, detail: Any) -> Diagnostic:
    # pydantic names union branches and validators in its loc; only the parts that exist in the data are a place.
    loc: Loc = base
    data: Any = _at(document.data, base)
    last: str | int | None = None
    for part in detail["loc"]:
        last = part
        if _has(data, part):
            data, loc = data[part], (*loc, part)
    kind = detail["type"]
    name = str(loc[-1]) if loc else ""
    if kind == "extra_forbidden":
        known = _fields_at(model, detail["loc"][:-1])
        hint = curly(name) or did_you_mean(name, known)
        return document.diagnostic(loc, "E101", f"unknown key `{name}`", hint, key=True)
    if kind == "missing":
        where = f" in `{loc[-1]}`" if loc and isinstance(loc[-1], str) else ""
        return document.diagnostic(
            loc, "E102", f"`{last}` is missing{where}", key=bool(loc and isinstance(loc[-1], str))
        )
    if kind == "literal_error":
        expected = re.findall(r"'([^']*)'", detail["ctx"]["expected"])
        message = f"`{name}` cannot be {_show(data)}"
        return document.diagnostic(
            loc, "E103", message, did_you_mean(str(data), expected) or f"write one of: {', '.join(expected)}"
        )
    message = detail["msg"]
    if kind in ("value_error", "assertion_error"):
        text = message.split(", ", 1)[-1]
        return document.diagnostic(loc, "E104", f"`{name}`: {text}" if name else text)
    if kind in _WORDS:
        said = f"`{name}` {_WORDS[kind]}, not {_show(data)}" if name else f"this {_WORDS[kind]}"
        found = document.diagnostic(loc, "E103", said)
        fields = _fields_at(model, detail["loc"], items=kind in ("list_type", "tuple_type"))
        return replace(found, hint=_meant(kind, data, fields, found))
    return document.diagnostic(loc, "E103", f"`{name}`: {message[0].lower()}{message[1:]}, not {_show(data)}")


def _meant(kind: str, data: Any, fields: Sequence[str], found: Diagnostic) -> str | None:
    """What to write in place of a value that is of another kind."""
    if kind in ("list_type", "tuple_type"):
        if isinstance(data, str) and fields:
            return f"each of its items has keys: {', '.join(fields)}"
        if isinstance(data, str):
            quote = "'" if set(data) & set(',[]{}"#:') and "'" not in data else ""
            return f"write `[{quote}{data}{quote}]`"
        return "put `- ` before it, or square brackets around it" if isinstance(data, dict) else None
    if kind in ("dict_type", "model_type", "model_attributes_type"):
        keys = f"its keys are {', '.join(fields)}" if fields and kind != "dict_type" else None
        if data is None:
            return f"what belongs to it is indented deeper{f'; {keys}' if keys else ''}"
        return keys
    if kind == "string_type" and data is None and "#" in (found.source or "")[found.mark.column - 1 :]:
        return "what follows a `#` is a comment: put the text in quotes"
    number = re.fullmatch(r"(-?\d+(?:\.\d+)?)\s*\D*", data) if isinstance(data, str) else None
    if number is not None and kind.startswith(("int_", "float_")) and not ("." in number[1] and kind.startswith("int")):
        return f"write `{number[1]}`"
    return None


def _has(data: Any, part: str | int) -> bool:
    if isinstance(data, list):
        return isinstance(part, int) and part < len(data)
    return isinstance(data, dict) and part in data


def _show(data: Any) -> str:
    if data is None:
        return "empty"
    if isinstance(data, dict):
        return "a mapping"
    if isinstance(data, list):
        return "a list"
    return repr(data) if isinstance(data, str) else str(data).lower() if isinstance(data, bool) else str(data)


def _fields_at(model: type[pydantic.BaseModel], loc: Sequence[str | int], *, items: bool = False) -> list[str]:
    """Names of the fields of the model at `loc` below `model`, as a file writes them; with `items` of the models in
    the list there, and none when it holds none."""
    models: list[type[pydantic.BaseModel]] = [model]
    inner: list[type[pydantic.BaseModel]] = []
    for part in loc:
        inner = []
        for one in models:
            for name, info in one.model_fields.items():
                if part in (name, info.alias):
                    inner.extend(_models_in(info.annotation))
        if inner:
            models = inner
    if items and not inner:
        return []
    names: list[str] = []
    for one in models:
        names.extend(info.alias or name for name, info in one.model_fields.items())
    return list(dict.fromkeys(names))


def _models_in(annotation: Any) -> list[type[pydantic.BaseModel]]:
    if isinstance(annotation, type) and issubclass(annotation, pydantic.BaseModel):
        return [annotation]
    found: list[type[pydantic.BaseModel]] = []
    for inner in getattr(annotation, "__args__", ()):
        found.extend(_models_in(inner))
    return found
