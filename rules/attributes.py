"""`attributes.yaml`: the values that rules may use, with their types.

    version: 1
    attributes:
      shopper:                      # from the shopper's record
        first_name: string
        visits_30d: int
        bought_90d: map<string, int>
      weather: {temp_c: float}      # from the store's systems
      stock: map<string, int>       # a namespace can be a map of its own: stock["KONA-250"]

A name is lower-case letters, digits and `_`. Types: `string`, `int`, `float`, `bool`, `list<…>` of those and
`map<string, …>` of those. Any declared value may be absent at run time; what happens then is a rule's `missing`.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from proximity.document import Diagnostic, Document, did_you_mean, parse
from rules.values import show, words

Scalar = Literal["string", "int", "float", "bool"]
_SCALARS = ("string", "int", "float", "bool")
_NAME = re.compile(r"[a-z][a-z0-9_]*")
_LIST = re.compile(r"list<\s*(\w+)\s*>")
_MAP = re.compile(r"map<\s*string\s*,\s*(\w+)\s*>")
# Words of CEL and of Liquid: an attribute of that name could not be written.
_RESERVED = words(
    "true false null in as break const continue else for function if import let loop package namespace return var "
    "void while and or not contains empty blank nil forloop size first last"
)


@dataclass(frozen=True, slots=True)
class Type:
    """The type of an attribute: a scalar, a list of scalars, or a map from text to scalars."""

    shape: Literal["scalar", "list", "map"]
    of: Scalar

    def __str__(self) -> str:
        if self.shape == "scalar":
            return self.of
        return f"list<{self.of}>" if self.shape == "list" else f"map<string, {self.of}>"


def _scalar(of: Scalar) -> Type:
    return Type("scalar", of)


# What every decision knows by itself; always present.
BUILT_IN: Mapping[str, Type] = {
    "shopper.id": _scalar("string"),
    "shopper.languages": Type("list", "string"),
    "zone.id": _scalar("string"),
    "zone.name": _scalar("string"),
    "zone.tags": Type("list", "string"),
    "store.id": _scalar("string"),
    "store.name": _scalar("string"),
    "visit.seconds": _scalar("float"),
    "visit.minutes": _scalar("int"),
    "visit.initial": _scalar("bool"),
    "visit.confidence": _scalar("float"),
}
_OWN_NAMESPACES = ("zone", "store", "visit")


@dataclass(frozen=True, slots=True)
class Attributes:
    """Declared and built-in names with their types: `shopper.visits_30d`, `weather.temp_c`, `stock`."""

    types: Mapping[str, Type] = field(default_factory=lambda: dict(BUILT_IN))

    def find(self, path: tuple[str, ...]) -> str | None:
        """The attribute that a dotted path starts with, or None: ("stock", "KONA") -> "stock"."""
        if len(path) > 1 and ".".join(path[:2]) in self.types:
            return ".".join(path[:2])
        return path[0] if path and path[0] in self.types else None

    def may_be_absent(self, name: str) -> bool:
        """Whether an attribute can be without a value; built-in ones cannot."""
        return name not in BUILT_IN

    @property
    def namespaces(self) -> frozenset[str]:
        """First parts of all names."""
        return frozenset(name.split(".")[0] for name in self.types)


def load_attributes(text: str, file: str) -> tuple[Attributes | None, list[Diagnostic]]:
    """Parse the text of an `attributes.yaml`. None when there is an error; never raises for what the file holds."""
    return attributes_of(parse(text, file))


def attributes_of(document: Document) -> tuple[Attributes | None, list[Diagnostic]]:
    """The attributes in a parsed file."""
    found = list(document.diagnostics)
    if found:
        return None, found
    data = document.data
    if not isinstance(data, dict):
        return None, [document.diagnostic((), "E106", "the file must be a mapping with the key `attributes`")]
    for key in data:
        if key not in ("version", "attributes"):
            hint = did_you_mean(key, ("version", "attributes"))
            found.append(document.diagnostic((key,), "E101", f"unknown key `{key}`", hint, key=True))
    if "version" in data and data["version"] != 1:
        found.append(document.diagnostic(("version",), "E103", f"`version` must be 1, not {show(data['version'])}"))
    body = data.get("attributes")
    if not isinstance(body, dict):
        if any(one.hint == "did you mean `attributes`?" for one in found):
            return None, found
        message = "`attributes` is missing" if "attributes" not in data else "`attributes` must be a mapping"
        return None, [*found, document.diagnostic(("attributes",), "E102", message)]
    types = dict(BUILT_IN)
    for namespace, content in body.items():
        found.extend(_namespace(document, namespace, content, types))
    return (None if found else Attributes(types)), found


def _namespace(document: Document, namespace: str, content: Any, types: dict[str, Type]) -> list[Diagnostic]:
    loc = ("attributes", namespace)
    if namespace in _OWN_NAMESPACES:
        message = f"`{namespace}` is filled in by the service and cannot be declared"
        return [document.diagnostic(loc, "E103", message, "choose another name", key=True)]
    if problem := _bad_name(namespace):
        return [document.diagnostic(loc, "E103", problem, key=True)]
    if not isinstance(content, dict):
        return _declare(document, loc, namespace, content, types, whole=True)
    found: list[Diagnostic] = []
    for name, type_text in content.items():
        if problem := _bad_name(name):
            found.append(document.diagnostic((*loc, name), "E103", problem, key=True))
        elif f"{namespace}.{name}" in BUILT_IN:
            message = f"`{namespace}.{name}` is filled in by the service and cannot be declared"
            found.append(document.diagnostic((*loc, name), "E103", message, "remove this line", key=True))
        else:
            found.extend(_declare(document, (*loc, name), f"{namespace}.{name}", type_text, types, whole=False))
    return found


def _declare(
    document: Document, loc: tuple[str, ...], name: str, content: Any, types: dict[str, Type], *, whole: bool
) -> list[Diagnostic]:
    kind = parse_type(content) if isinstance(content, str) else None
    if kind is None:
        message = f"`{name}` cannot have the type {show(content)}"
        hint = "write one of: string, int, float, bool, list<string>, map<string, int>"
        if isinstance(content, str) and (near := _near_type(content)):
            hint = f"did you mean `{near}`?"
        return [document.diagnostic(loc, "E103", message, hint)]
    if whole and kind.shape != "map":
        message = f"`{name}` is a namespace: give it names with types, or the type map<string, …>"
        return [document.diagnostic(loc, "E103", message, f"for instance {{value: {kind}}}")]
    if whole and name == "shopper":
        return [document.diagnostic(loc, "E103", "`shopper` needs names with types", "for instance {visits_30d: int}")]
    types[name] = kind
    return []


def parse_type(text: str) -> Type | None:
    """`int`, `list<string>`, `map<string, int>` -> a type, or None."""
    if text in _SCALARS:
        return Type("scalar", text)  # type: ignore[arg-type] # the line above narrows it
    for shape, pattern in (("list", _LIST), ("map", _MAP)):
        match = pattern.fullmatch(text)
        if match and match[1] in _SCALARS:
            return Type(shape, match[1])  # type: ignore[arg-type] # both are checked above
    return None


_NEAR_TYPES = {
    "str": "string", "text": "string", "integer": "int", "number": "float", "double": "float", "decimal": "float",
    "boolean": "bool", "list": "list<string>", "map": "map<string, int>", "array": "list<string>",
}  # fmt: skip


def _near_type(text: str) -> str | None:
    hint = did_you_mean(text, _SCALARS)
    return _NEAR_TYPES.get(text.lower()) or (hint.split("`")[1] if hint and hint.startswith("did") else None)


def _bad_name(name: str) -> str | None:
    if name in _RESERVED:
        return f"`{name}` is a word of the rule language and cannot name an attribute"
    if not _NAME.fullmatch(name):
        spaced = re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", name)
        better = re.sub(r"[^a-z0-9_]+", "_", spaced.lower()).strip("_")
        tail = f", as in `{better}`" if _NAME.fullmatch(better) else ""
        return f"`{name}` is not a name; use lower-case letters, digits and `_`{tail}"
    return None
