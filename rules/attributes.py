"""`attributes.yaml`: the values that rules may use, with their types.

    version: 1
    attributes:
      shopper:                      # from the shopper's record
        first_name: string
        visits_30d: int
        bought_90d: map<string, int>
      weather: {temp_c: float}      # from the store's systems
      stock: map<string, int>       # a namespace can be a map of its own: stock["KONA-250"]

    scopes:                         # of what a namespace tells; without a line here: of the store
      cart: shopper
    events:                         # what the shop's systems tell of: rules see the values as event.sku
      basket_add: {sku: string, category: string}

A name is lower-case letters, digits and `_`. Types: `string`, `int`, `float`, `bool`, `list<…>` of those and
`map<string, …>` of those. Any declared value may be absent at run time; what happens then is a rule's `missing`.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Literal

from proximity.document import Diagnostic, Document, did_you_mean, parse
from rules.values import event_name, show, words

Scope = Literal["chain", "store", "shopper", "store+shopper", "product", "rule"]
# Of what a namespace tells: of everything, of a store, of a shopper wherever he is, of a shopper in one store, of the
# article that a rule's coupon is for, or of a rule (its margin, say).
SCOPES: tuple[Scope, ...] = ("chain", "store", "shopper", "store+shopper", "product", "rule")
_SCOPE_HINT = f"write one of: {', '.join(SCOPES)}"
Scalar = Literal["string", "int", "float", "bool"]
_SCALARS = ("string", "int", "float", "bool")
_NAME = re.compile(r"[a-z][a-z0-9_]*")
_LIST = re.compile(r"list<\s*(\w+)\s*>")
_MAP = re.compile(r"map<\s*string\s*,\s*(\w+)\s*>")
_KEYS = ("version", "attributes", "scopes", "events")
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
# What only some triggers know: how far away the shopper is, and what an event brought.
SOMETIMES: Mapping[str, Type] = {"approach.metres": _scalar("int"), "approach.minutes": _scalar("int")}
EVENT_NAME = "event.name"
_OWN_NAMESPACES = ("zone", "store", "visit", "approach", "event", "coupon", "stock_left")
_PYTHON: dict[str, tuple[type, ...]] = {"string": (str,), "int": (int,), "float": (int, float), "bool": (bool,)}


@dataclass(frozen=True, slots=True)
class Attributes:
    """Declared and built-in names with their types: `shopper.visits_30d`, `weather.temp_c`, `stock`."""

    types: Mapping[str, Type] = field(default_factory=lambda: {**BUILT_IN, **SOMETIMES})
    scopes: Mapping[str, Scope] = field(default_factory=dict)  # by namespace, where it is not the store
    present: frozenset[str] = frozenset()  # beside the built-in ones, those that always have a value
    events: Mapping[str, frozenset[str]] = field(default_factory=dict)  # event -> the attributes that it brings

    def scope(self, namespace: str) -> Scope:
        """Of what a namespace tells."""
        return self.scopes.get(namespace, "store")

    def adding(self, types: Mapping[str, Type], *, present: bool) -> "Attributes":
        """These and more names, which are always present or may be absent."""
        more = frozenset(types) if present else frozenset()
        return replace(self, types={**self.types, **types}, present=self.present | more)

    def find(self, path: tuple[str, ...]) -> str | None:
        """The attribute that a dotted path starts with, or None: ("stock", "KONA") -> "stock"."""
        if len(path) > 1 and ".".join(path[:2]) in self.types:
            return ".".join(path[:2])
        return path[0] if path and path[0] in self.types else None

    def may_be_absent(self, name: str) -> bool:
        """Whether an attribute can be without a value; built-in ones cannot."""
        return name not in BUILT_IN and name not in self.present

    @property
    def told(self) -> frozenset[str]:
        """Namespaces whose values the shop's systems tell: those declared, but for the shopper's own record."""
        return self.namespaces - {"shopper", *_OWN_NAMESPACES}

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
        if key not in _KEYS:
            hint = did_you_mean(key, _KEYS)
            found.append(document.diagnostic((key,), "E101", f"unknown key `{key}`", hint, key=True))
    if "version" in data and data["version"] != 1:
        found.append(document.diagnostic(("version",), "E103", f"`version` must be 1, not {show(data['version'])}"))
    body = data.get("attributes")
    if not isinstance(body, dict):
        if any(one.hint == "did you mean `attributes`?" for one in found):
            return None, found
        message = "`attributes` is missing" if "attributes" not in data else "`attributes` must be a mapping"
        return None, [*found, document.diagnostic(("attributes",), "E102", message)]
    types = {**BUILT_IN, **SOMETIMES}
    for namespace, content in body.items():
        found.extend(_namespace(document, namespace, content, types))
    scopes, wrong = _scopes(document, types)
    events, mistakes = _events(document, types)
    found += [*wrong, *mistakes]
    return (None if found else Attributes(types, scopes, events=events)), found


def _events(document: Document, types: dict[str, Type]) -> tuple[dict[str, frozenset[str]], list[Diagnostic]]:
    """The declared events. A value of one name has one type, whichever event brings it."""
    data: Any = document.data
    given = data.get("events", {})
    if not isinstance(given, dict):
        return {}, [document.diagnostic(("events",), "E103", f"`events` must be a mapping, not {show(given)}")]
    found: list[Diagnostic] = []
    events: dict[str, frozenset[str]] = {}
    for event, content in given.items():
        loc = ("events", event)
        if bad := _bad_event(event, content):
            found.append(document.diagnostic(loc, "E103", *bad, key=True))
            continue
        types[EVENT_NAME] = Type("scalar", "string")
        events[event] = frozenset({EVENT_NAME, *(f"event.{key}" for key in content or ())})
        for key, text in (content or {}).items():
            name, known = f"event.{key}", types.get(f"event.{key}")
            if problem := bad_name(key):
                found.append(document.diagnostic((*loc, key), "E103", problem, key=True))
            elif name == EVENT_NAME:
                message = f"`{name}` is filled in by the service and cannot be declared"
                found.append(document.diagnostic((*loc, key), "E103", message, "remove this line", key=True))
            elif wrong := _declare(document, (*loc, key), name, text, types, whole=False):
                found += wrong
            elif known is not None and types[name] != known:
                message, hint = f"`{name}` is {known} in another event", "give it one type, or another name"
                found.append(document.diagnostic((*loc, key), "E103", message, hint))
    return events, found


def _bad_event(event: str, content: Any) -> tuple[str, str] | None:
    """What is wrong with the declaration of an event, and what to write."""
    try:
        event_name(event)
    except ValueError as error:
        return str(error), "as in basket_add: {sku: string}"
    if content is None or isinstance(content, dict):
        return None
    return f"`{event}` must be a mapping, not {show(content)}", "name its values with their types, as in {sku: string}"


def _scopes(document: Document, types: Mapping[str, Type]) -> tuple[dict[str, Scope], list[Diagnostic]]:
    """Of what each namespace tells, and what is wrong with that."""
    data: Any = document.data
    given = data.get("scopes", {})
    if not isinstance(given, dict):
        return {}, [document.diagnostic(("scopes",), "E103", f"`scopes` must be a mapping, not {show(given)}")]
    known = Attributes(types).told
    found: list[Diagnostic] = []
    scopes: dict[str, Scope] = {}
    for namespace, scope in given.items():
        loc = ("scopes", namespace)
        if namespace not in known:
            message = f"no attribute is declared in `{namespace}`"
            if namespace == "shopper":
                message = "`shopper` is always of the shopper and has no scope"
            found.append(document.diagnostic(loc, "E103", message, did_you_mean(namespace, known), key=True))
        elif scope not in SCOPES:
            hint = (
                did_you_mean(scope, SCOPES) if isinstance(scope, str) else None
            ) or f"write one of: {', '.join(SCOPES)}"
            found.append(document.diagnostic(loc, "E103", f"`{namespace}` cannot be of {show(scope)}", hint))
        else:
            scopes[namespace] = scope
    return scopes, found


def _namespace(document: Document, namespace: str, content: Any, types: dict[str, Type]) -> list[Diagnostic]:
    loc = ("attributes", namespace)
    if namespace in _OWN_NAMESPACES:
        message = f"`{namespace}` is filled in by the service and cannot be declared"
        return [document.diagnostic(loc, "E103", message, "choose another name", key=True)]
    if problem := bad_name(namespace):
        return [document.diagnostic(loc, "E103", problem, key=True)]
    if not isinstance(content, dict):
        return _declare(document, loc, namespace, content, types, whole=True)
    found: list[Diagnostic] = []
    for name, type_text in content.items():
        if problem := bad_name(name):
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


def misfits(name: str, kind: Type, value: Any) -> list[tuple[tuple[str | int, ...], str]]:
    """Where a value is not of its declared type, and what is wrong there; empty when it is. None is absent: it fits."""
    inner = Type("scalar", kind.of)
    parts: list[tuple[tuple[str | int, ...], Any]] = [((), value)]
    if value is None:
        return []
    if kind.shape == "list" and isinstance(value, list):
        parts = [((i,), one) for i, one in enumerate(value)]
    elif kind.shape == "map" and isinstance(value, Mapping):
        parts = [((key,), one) for key, one in value.items()]
    else:
        inner = kind
    return [
        (place, f"`{name}` is declared as {kind}; {show(one)} is not {inner}")
        for place, one in parts
        if inner.shape != "scalar" or not _is(one, inner.of)
    ]


def _is(value: Any, kind: str) -> bool:
    return isinstance(value, _PYTHON[kind]) and (kind == "bool" or not isinstance(value, bool))


_NEAR_TYPES = {
    "str": "string", "text": "string", "integer": "int", "number": "float", "double": "float", "decimal": "float",
    "boolean": "bool", "list": "list<string>", "map": "map<string, int>", "array": "list<string>",
}  # fmt: skip


def _near_type(text: str) -> str | None:
    hint = did_you_mean(text, _SCALARS)
    return _NEAR_TYPES.get(text.lower()) or (hint.split("`")[1] if hint and hint.startswith("did") else None)


def bad_name(name: str) -> str | None:
    if name in _RESERVED:
        return f"`{name}` is a word of the rule language and cannot name an attribute"
    if not _NAME.fullmatch(name):
        spaced = re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", name)
        better = re.sub(r"[^a-z0-9_]+", "_", spaced.lower()).strip("_")
        tail = f", as in `{better}`" if _NAME.fullmatch(better) else ""
        return f"`{name}` is not a name; use lower-case letters, digits and `_`{tail}"
    return None
