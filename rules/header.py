"""What the rules of all files share: defaults, windows and segments.

A folder is one set of rules. Defaults, windows and segments of any file hold in every file, so cutting a file in two
changes nothing; two files may say the same thing, and must not say different things.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import date
from typing import Any
from zoneinfo import available_timezones

from proximity.document import Diagnostic, Document, did_you_mean
from rules import schema
from rules.attributes import Attributes
from rules.expressions import Compiler, Expression
from rules.forms import PUBLIC_HOLIDAYS
from rules.limits import Limit
from rules.positions import place
from rules.ruleset import Policy
from rules.scan import Fault
from rules.schedule import Window, zone_info
from rules.values import DAYS, language


@dataclass(frozen=True, slots=True)
class Segment:
    """A named condition. `expression` is None when it has an error of its own."""

    name: str
    expression: Expression | None
    where: str


@dataclass(slots=True)
class Shared:
    """The merged headers."""

    attributes: Attributes
    compiler: Compiler
    clock: str = "store"
    languages: tuple[str, ...] = ()
    missing: Policy = "skip"
    limits: tuple[Limit, ...] = ()
    quiet: tuple[schema.Quiet, str] | None = None  # with file:line
    windows: dict[str, Window] = field(default_factory=dict)
    segments: dict[str, Segment] = field(default_factory=dict)
    complete: bool = True  # False: some file could not be read, so a name that is not here may be there
    defined: dict[tuple[str, str], tuple[Document, tuple[str, ...]]] = field(default_factory=dict)
    diagnostics: list[Diagnostic] = field(default_factory=list)


Part = tuple[Document, schema.Header]


def where(document: Document, loc: Sequence[str | int], *, key: bool = False) -> str:
    """`file:line` of a place."""
    line = document.mark(loc, key=True).line if key else document.line(loc)
    return f"{document.file}:{line}"


def at_faults(document: Document, loc: Sequence[str | int], value: str, faults: Sequence[Fault]) -> list[Diagnostic]:
    """Faults of an expression or template at their places in the file."""
    found = []
    for fault in faults:
        mark = place(document, document.mark(loc), value, fault.start, fault.length)
        severity: Any = "warning" if fault.code.startswith("W") else "error"
        found.append(document.at(mark, fault.code, fault.message, fault.hint, severity=severity))
    return found


def share(parts: Sequence[Part], compiler: Compiler, *, complete: bool) -> Shared:
    """Merge the headers of all files; what is wrong with them is in `diagnostics`."""
    shared = Shared(compiler.attributes, compiler, complete=complete)
    stated: dict[tuple[str, str], Any] = {}
    for document, header in parts:
        for key in header.defaults.model_fields_set:
            value = getattr(header.defaults, key)
            if value is not None and _once(shared, stated, document, ("defaults", key), value):
                _default(shared, document, key, value)
    for document, header in parts:  # windows take their clock from the defaults, so those come first
        for name, window in header.windows.items():
            if _once(shared, stated, document, ("windows", name), window):
                shared.windows[name] = _window(shared, document, name, window)
        for name, text in header.segments.items():
            if _once(shared, stated, document, ("segments", name), text):
                expression, faults = compiler.compile(text)
                found = at_faults(document, ("segments", name), text, faults)
                shared.diagnostics.extend(_named(one, f"segment `{name}`") for one in found)
                shared.segments[name] = Segment(name, expression, where(document, ("segments", name)))
    if shared.quiet is not None and complete and shared.quiet[0].window not in shared.windows:
        document, loc = shared.defined["defaults", "quiet"]
        name = shared.quiet[0].window
        hint = did_you_mean(name, shared.windows) or "define it under `windows`"
        shared.diagnostics.append(document.diagnostic((*loc, "window"), "E205", f"unknown window `{name}`", hint))
    return shared


def _named(diagnostic: Diagnostic, name: str) -> Diagnostic:
    return Diagnostic(
        diagnostic.mark,
        diagnostic.severity,
        diagnostic.code,
        f"{name}: {diagnostic.message}",
        diagnostic.hint,
        diagnostic.source,
    )


def _once(
    shared: Shared, stated: dict[tuple[str, str], Any], document: Document, loc: tuple[str, str], value: Any
) -> bool:
    """Whether this is the first statement of `loc`; a later one must be the same."""
    if loc not in stated:
        stated[loc] = value
        shared.defined[loc] = (document, loc)
        return True
    if stated[loc] != value:
        first, _ = shared.defined[loc]
        message = f"`{'.'.join(loc)}` is not the same as at {where(first, loc, key=True)}"
        hint = "defaults, windows and segments hold for all files: keep one of the two"
        shared.diagnostics.append(document.diagnostic(loc, "E108", message, hint, key=True))
    return False


def _default(shared: Shared, document: Document, key: str, value: Any) -> None:
    loc = ("defaults", key)
    if key == "timezone":
        shared.diagnostics.extend(check_clock(document, loc, value))
        shared.clock = value
    elif key == "languages":
        shared.languages = _languages(shared, document, loc, value)
    elif key == "missing":
        shared.missing = value
    elif key == "limits":
        shared.limits = limits_of(document, loc, value)
    else:
        shared.quiet = (value, where(document, loc))
        if "clock" in value.model_fields_set:
            shared.diagnostics.extend(check_clock(document, (*loc, "clock"), value.clock))


def _languages(shared: Shared, document: Document, loc: tuple[str, str], codes: Sequence[str]) -> tuple[str, ...]:
    known: list[str] = []
    for i, code in enumerate(codes):
        try:
            if language(code) in known:
                raise ValueError(f"`{code}` is named twice")
            known.append(code)
        except ValueError as error:
            shared.diagnostics.append(document.diagnostic((*loc, i), "E104", str(error)))
    return tuple(known)


def limits_of(document: Document, loc: Sequence[str | int], found: Sequence[schema.Limit]) -> tuple[Limit, ...]:
    """Limits with their places."""
    return tuple(
        Limit(one.scope, one.max, one.every, one.window, where(document, (*loc, i))) for i, one in enumerate(found)
    )


def _window(shared: Shared, document: Document, name: str, window: schema.Window) -> Window:
    loc = ("windows", name)
    if window.clock is not None:
        shared.diagnostics.extend(check_clock(document, (*loc, "clock"), window.clock))
    days = range(7) if window.days is None else (DAYS.index(day) for day in window.days)
    return Window(
        name=name,
        clock=window.clock or shared.clock,
        start=window.from_ or 0,
        end=1440 if window.to is None else window.to,
        days=frozenset(days),
        public_holidays=PUBLIC_HOLIDAYS in window.except_,
        dates=frozenset(date.fromisoformat(one) for one in window.except_ if one != PUBLIC_HOLIDAYS),
        where=where(document, loc),
    )


def check_clock(document: Document, loc: Sequence[str | int], clock: str) -> list[Diagnostic]:
    """A clock is the store's, the shopper's, or an IANA time zone's."""
    if clock in ("store", "shopper") or zone_info(clock):
        return []
    hint = did_you_mean(clock, ("store", "shopper")) if "/" not in clock else None
    if hint is None or not hint.startswith("did"):
        hint = did_you_mean(clock, available_timezones()) or "write `store`, `shopper` or a name as `Europe/Paris`"
    return [document.diagnostic(loc, "E401", f"`{clock}` is not a clock", hint)]
