"""Conditions: CEL, checked against the declared attributes when a file is loaded.

Each attribute is a CEL variable with a dotted name, so the checker itself knows every name and type, and a value that
is absent is an error of the evaluation, which `&&` and `||` absorb where it cannot matter.
"""

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from cel_expr_python import cel

from rules.attributes import Attributes, Type
from rules.checker import TYPE_NAMES, checker_faults
from rules.scan import Fault, Scan

MAX_LENGTH = 1000  # characters; a condition that needs more is several conditions

# Expressions that differ only in plain texts and numbers are right or wrong together: CEL's checker looks at the types
# of literals alone. Not so what follows a backslash, and what these functions make of a text.
_LITERAL = re.compile(r"""(?P<text>"[^"\n]*"|'[^'\n]*')|(?P<decimal>\b\d{1,15}\.\d{1,15}\b)|\b\d{1,15}\b""")
_BEYOND_TYPES = re.compile(r"""\\|//|\"\"\"|'''|matches|timestamp|duration|bytes""")

_LAZY = re.compile(r"&&|\.(?:exists|exists_one|all|map|filter)\b")  # may not look at all that it names
_ABSENT = re.compile(r'No value with name "([^"]+)"')
_WRONG_TYPE = re.compile(r"Unexpected value type for '(.*?)': (\w+)\. \(Expected (\w+)\)", re.DOTALL)


class Program:
    """A checked expression, compiled when it is first asked: of thousands of rules only some ever are."""

    __slots__ = ("_compiled", "_env", "_text")

    def __init__(self, env: Any, text: str, compiled: Any = None) -> None:
        self._env, self._text, self._compiled = env, text, compiled

    def value(self, activation: Any) -> Any:
        """The value. RuntimeError and its like when there is none."""
        if self._compiled is None:
            self._compiled = self._env.compile(self._text)
        return self._compiled.eval(activation).value()


@dataclass(frozen=True, slots=True)
class Expression:
    """A checked condition or formula."""

    text: str
    program: Program = field(compare=False, repr=False)
    attributes: tuple[str, ...]  # that it reads, sorted
    maps: tuple[str, ...]  # those of them that are maps, and so may lack a key
    certain: frozenset[str]  # attributes that have a value whenever it is true
    strict: bool = False  # without every one of its attributes it has no answer

    def evaluate(self, activation: Any) -> "bool | str":
        """True, False, or the text of what prevented an answer."""
        try:
            value = self.program.value(activation)
        except (RuntimeError, TypeError, ValueError, OverflowError) as error:
            return str(error)
        return value if isinstance(value, bool) else str(value)

    def number(self, activation: Any) -> "float | str":
        """What a formula comes to, or the text of what prevented it. Neither infinite nor not a number."""
        try:
            value = float(self.program.value(activation))
        except (RuntimeError, TypeError, ValueError, OverflowError) as error:
            return str(error)
        return value if math.isfinite(value) else "the result is not a number"

    def missing(self, values: Mapping[str, Any]) -> tuple[str, ...]:
        """The attributes without a value."""
        return tuple([name for name in self.attributes if name not in values])

    def absent(self, problem: str, values: Mapping[str, Any]) -> tuple[str, ...]:
        """The attributes whose absence, or wrong type, `problem` tells of; empty when it is about something else."""
        if match := _ABSENT.search(problem):
            return self.missing(values) or (match[1],)
        if "Key not found in map" in problem:
            return self.maps
        if match := _WRONG_TYPE.search(problem):
            return tuple(name for name in self.attributes if match[1].startswith(name))[-1:] or self.attributes
        return ()


def problem_text(problem: str, absent: tuple[str, ...]) -> str:
    """What prevented an answer, for a trace."""
    if match := _WRONG_TYPE.search(problem):
        return f"{', '.join(f'`{name}`' for name in absent)} is not of its declared type ({match[2]} was given)"
    if match := re.search(r"Key not found in map : (.*)", problem):
        return f"{', '.join(f'`{name}`' for name in absent)} has no {match[1]}"
    if absent:
        return f"{', '.join(f'`{name}`' for name in absent)} has no value"
    return f"it cannot be worked out: {problem.split(': ', 1)[-1]}"


class Compiler:
    """Compiles expressions over one set of attributes."""

    def __init__(self, attributes: Attributes) -> None:
        self.attributes = attributes
        self._env = cel.NewEnv(variables={name: _cel_type(kind) for name, kind in attributes.types.items()})
        self._done: dict[tuple[str, bool], tuple[Expression | None, tuple[Fault, ...]]] = {}
        self._right: dict[tuple[str, bool], Expression] = {}  # by the text without its literals: one that is right

    def activation(self, values: Mapping[str, Any]) -> Any:
        """Values by attribute name, for `Expression.evaluate`."""
        return self._env.Activation(values)

    def compile(self, text: str, *, number: bool = False) -> tuple[Expression | None, tuple[Fault, ...]]:
        """The expression, or what is wrong with it: a condition, or with `number` a formula. Kept by its text."""
        key = (text, number)
        if key not in self._done:
            self._done[key] = self._like_another(text, number=number) or self._compile(text, number=number)
        return self._done[key]

    def _like_another(self, text: str, *, number: bool) -> tuple[Expression, tuple[Fault, ...]] | None:
        """The expression, when one that differs only in its literals is right already."""
        if len(text) > MAX_LENGTH or (shape := _shape(text)) is None:
            return None
        twin = self._right.get((shape, number))
        return None if twin is None else (replace(twin, text=text, program=Program(self._env, text)), ())

    def _compile(self, text: str, *, number: bool) -> tuple[Expression | None, tuple[Fault, ...]]:
        if not text.strip():
            return None, (Fault(0, 1, "E208", f"the {'formula' if number else 'condition'} is empty"),)
        if len(text) > MAX_LENGTH:
            message = f"the condition has {len(text)} characters; {MAX_LENGTH} is the most"
            return None, (Fault(0, 1, "E211", message, "split it into several lines of `all`"),)
        scan = Scan(text, self.attributes)
        if scan.fatal:
            return None, tuple(scan.faults)
        try:
            program = self._env.compile(text)
        except RuntimeError as error:
            return None, tuple(scan.faults) or tuple(checker_faults(str(error), text))
        given = program.return_type().name().lower()
        kind = TYPE_NAMES.get(given, given)
        if not scan.faults and number and given not in ("int", "double"):
            scan.faults.append(Fault(0, len(text), "E210", f"the formula gives {kind}, not a number",
                                     "as in `offer.margin * 2.0`, or `… ? 1 : 0` for a question"))  # fmt: skip
        if not scan.faults and not number and given != "bool":
            scan.faults.append(Fault(0, len(text), "E210", f"the condition gives {kind}, not true or false",
                                     "compare it with something, as in `… >= 3`"))  # fmt: skip
        if scan.faults:
            return None, tuple(scan.faults)
        used = tuple(sorted(scan.used))
        maps = tuple(name for name in used if self.attributes.types[name].shape == "map")
        # Without a choice in it, every part of a true condition had its values.
        certain = frozenset(used) if not scan.choice else frozenset()
        strict = not scan.choice and not _LAZY.search(text)
        expression = Expression(text, Program(self._env, text, program), used, maps, certain, strict)
        if (shape := _shape(text)) is not None:
            self._right[shape, number] = expression
        return expression, ()


def _shape(text: str) -> str | None:
    """The text with all plain literals of one type made the same; None when more than types may matter."""
    if _BEYOND_TYPES.search(text):
        return None
    return _LITERAL.sub(lambda match: '""' if match["text"] else "1.0" if match["decimal"] else "1", text)


def _cel_type(kind: Type) -> Any:
    scalar = {"string": cel.Type.STRING, "int": cel.Type.INT, "float": cel.Type.DOUBLE, "bool": cel.Type.BOOL}[kind.of]
    if kind.shape == "list":
        return cel.Type.List(scalar)
    return cel.Type.Map(cel.Type.STRING, scalar) if kind.shape == "map" else scalar
