"""What is said: Liquid, in a sandbox.

No tag that loads another template, no filter that reads a clock, limits on loops, depth and size. A value that is
absent may be tested and may be given a `default`; anything else done with it fails the render, and so withholds the
offer: half a sentence is never sent.
"""

import functools
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

from liquid import BoundTemplate, Environment, RenderContext
from liquid.ast import ConditionalBlockNode, Node
from liquid.builtin.expressions import FilteredExpression, Path
from liquid.builtin.tags.case_tag import CaseNode, MultiExpressionBlockNode
from liquid.builtin.tags.if_tag import IfNode
from liquid.builtin.tags.unless_tag import UnlessNode
from liquid.exceptions import LiquidError, LiquidTypeError, UndefinedError
from liquid.expression import Expression
from liquid.undefined import FalsyStrictUndefined, is_undefined

from proximity.document import did_you_mean
from rules.attributes import Attributes
from rules.filling import SINGLE, fill
from rules.scan import Fault, unknown_attribute
from rules.values import words

MAX_TEMPLATE = 4000  # characters of a template
MAX_OUTPUT = 4096  # bytes of a rendered text: the size of a whole push message

_TAGS = words("content illegal output if unless case for break continue assign capture comment #")
_FILTERS = words(
    "abs append at_least at_most capitalize ceil default divided_by downcase escape first floor join last lstrip "
    "minus modulo plus prepend remove remove_first replace replace_first reverse round rstrip size slice sort split "
    "strip times truncate truncatewords uniq upcase url_encode"
)
_NUMBER_FILTERS = words("abs at_least at_most ceil divided_by floor minus modulo plus round times")
_CONDITIONALS = (IfNode, UnlessNode, ConditionalBlockNode, CaseNode, MultiExpressionBlockNode)
_SINGLE_BRACE = re.compile(r"(?<!\{)\{\s*([a-z_]+(?:\.[a-z0-9_]+)+)\s*\}(?!\})")


class _Sandbox(Environment):
    block_nesting_limit = 10
    context_depth_limit = 10
    loop_iteration_limit = 200
    local_namespace_limit = 10_000
    output_stream_limit = MAX_OUTPUT


def _sandbox() -> Environment:
    env = _Sandbox(undefined=FalsyStrictUndefined, strict_filters=True)
    env.tags = {name: tag for name, tag in env.tags.items() if name in _TAGS}
    env.filters = {name: _strict(name, env.filters[name]) for name in _FILTERS}
    return env


def _strict(name: str, function: Callable[..., Any]) -> Callable[..., Any]:
    """The filter, refusing what Liquid would quietly take for nothing or for 0."""
    if name == "default":
        return function

    @functools.wraps(function)
    def checked(*args: Any, **kwargs: Any) -> Any:
        for value in args:
            if is_undefined(value):
                raise UndefinedError(value.msg, token=None)
            if name in _NUMBER_FILTERS and not _is_number(value):
                raise LiquidTypeError(f"{name}: {value!r} is not a number", token=None)
        return function(*args, **kwargs)

    return checked


def _is_number(value: Any) -> bool:
    if isinstance(value, str):
        return bool(re.fullmatch(r"-?\d+(?:\.\d+)?", value))
    return isinstance(value, int | float) and not isinstance(value, bool)


_ENV = _sandbox()


@dataclass(frozen=True, slots=True)
class Template:
    """A checked template."""

    text: str
    plain: bool = False  # the text stands for itself
    simple: bool = field(default=False, compare=False)  # it only puts single values into its text

    def say(self, source: "Source") -> str:
        """As `render`, and asks for no more values than it needs."""
        said = fill(self.text, source.value) if self.simple else None
        return self.render({} if self.plain else source.context()) if said is None else said

    def render(self, values: Mapping[str, Any]) -> str:
        """The text, stripped. RenderFailed with a sentence when it cannot be said in full."""
        if self.plain:
            return self.text.strip()
        try:
            return _program(self.text).render(values).strip()
        except LiquidError as error:
            raise RenderFailed(_first_line(error)) from None
        except (ArithmeticError, TypeError, ValueError, RecursionError) as error:
            raise RenderFailed(str(error)) from None


class Source(Protocol):
    """Where values come from: one by one, or all of them nested by namespace."""

    def value(self, name: str) -> Any:
        """That of `<namespace>.<key>`; None without one."""
        ...

    def context(self) -> Mapping[str, Any]:
        """All."""
        ...


@functools.lru_cache(maxsize=16_384)  # a parsed template takes about 10 kB, and only some of all rules ever fire
def _program(text: str) -> BoundTemplate:
    return _ENV.from_string(text)


class RenderFailed(Exception):
    """A text cannot be said in full."""


def literal_size(text: str) -> int:
    """Bytes of a template's own words, without its tags and outputs."""
    return len(re.sub(r"\{\{.*?\}\}|\{%.*?%\}", "", text, flags=re.DOTALL).strip().encode())


def check_template(text: str, attributes: Attributes, certain: frozenset[str]) -> tuple[Template | None, list[Fault]]:
    """The template and what is wrong with it; warnings have codes that begin with W.

    `certain` are attributes that the rule's conditions have made sure of.
    """
    if len(text) > MAX_TEMPLATE:
        return None, [Fault(0, 1, "E307", f"the text has {len(text)} characters; {MAX_TEMPLATE} is the most")]
    if "{" not in text and "}" not in text:
        return Template(text, plain=True), []
    simple = _check_simple(text, attributes, certain)
    return check_any(text, attributes, certain) if simple is None else (Template(text, simple=True), simple)


def _check_simple(text: str, attributes: Attributes, certain: frozenset[str]) -> list[Fault] | None:
    """The faults of a template that only puts single values into its text, as most do, without parsing it.

    None: it has something else in it, and only the parser knows.
    """
    if "{" in (rest := SINGLE.sub("", text)) or "}" in rest:
        return None
    faults = []
    for match in SINGLE.finditer(text):
        name = match["path"]
        kind = attributes.types.get(name)
        if kind is None or kind.shape != "scalar":
            return None
        if match["default"] is None and attributes.may_be_absent(name) and name not in certain:
            faults.append(_may_be_absent(match.start("path"), len(name), name))
    return faults


def _may_be_absent(start: int, length: int, shown: str) -> Fault:
    hint = f'give it a default: `{{{{ {shown} | default: "…" }}}}`'
    return Fault(start, length, "W305", f"`{shown}` may be absent, and then nothing is sent", hint)


def check_any(text: str, attributes: Attributes, certain: frozenset[str]) -> tuple[Template | None, list[Fault]]:
    """`check_template` for any template, by parsing it."""
    faults = [
        Fault(match.start(), len(match.group()), "W308", f"`{match.group()}` is sent as it stands",
              f"write `{{{{ {match[1]} }}}}` to put in its value")
        for match in _SINGLE_BRACE.finditer(text)
    ]  # fmt: skip
    if "{{" not in text and "{%" not in text:
        return Template(text, plain=True), faults
    try:
        program = _ENV.from_string(text)
    except LiquidError as error:
        return None, [*faults, _syntax_fault(text, error)]
    faults.extend(_Check(program, text, attributes, certain).faults())
    failed = any(fault.code.startswith("E") for fault in faults)
    return (None if failed else Template(text)), faults


def _first_line(error: LiquidError) -> str:
    return str(error.args[0] if error.args else error).splitlines()[0]


def _syntax_fault(text: str, error: LiquidError) -> Fault:
    message = _first_line(error)
    start = error.token.start_index if error.token is not None else -1
    if match := re.fullmatch(r"unexpected tag '(.*)'", message):
        if match[1].startswith(("end", "else", "elsif", "when")):
            return Fault(max(start, 0), len(match[1]), "E301", f"`{match[1]}` has no beginning before it")
        hint = did_you_mean(match[1], _TAGS - {"content", "illegal", "output", "#"})
        return Fault(max(start, 0), len(match[1]), "E302", f"unknown tag `{match[1]}`", hint)
    if match := re.match(r"expected tag (end\w+)", message):
        opener = text.rfind(f"{{% {match[1][3:]}")
        return Fault(max(opener, 0), 2, "E301", f"this has no end; write `{{% {match[1]} %}}`")
    for mark, closer in (("{{", "}}"), ("{%", "%}")):
        place = text.rfind(mark)
        if place >= 0 and text.find(closer, place) < 0:
            return Fault(place, 2, "E301", f"`{mark}` is never closed", f"write `{closer}` behind it")
    if "primitive expression" in message:
        place = max(start, next((m.start() for m in re.finditer(r"\{\{\s*\}\}", text)), 0))
        return Fault(place, 2, "E301", "`{{ }}` is empty", "name a value in it")
    if match := re.search(r"found '=' *$", message):
        return Fault(max(start, 0), 1, "E301", "`=` does not compare", "write `==`")
    word = text[start:].split(maxsplit=1)[0].rstrip("}%") if 0 <= start < len(text) and text[start:].split() else ""
    if start < 0:
        place = max(text.find("{{"), text.find("{%"), 0)
        return Fault(place, 2, "E301", f"the template cannot be read: {message}")
    return Fault(
        start, max(1, len(word)), "E301", f"`{word}` cannot stand here", "check the quotes, `|` and `:` around it"
    )


class _Check:
    """Looks over a parsed template: variables, filters, values that may be absent."""

    def __init__(self, program: BoundTemplate, text: str, attributes: Attributes, certain: frozenset[str]) -> None:
        self.program = program
        self.text = text
        self.attributes = attributes
        self.certain = certain
        self.context = RenderContext(program)
        self.safe: set[int] = set()  # starts of paths that may be absent without harm
        self.found: list[Fault] = []

    def faults(self) -> list[Fault]:
        """Everything wrong, in the order of the text."""
        for node in self.program.nodes:
            self._node(node, frozenset())
        analysis = self.program.analyze(include_partials=False)
        for name, spans in analysis.filters.items():
            if name not in _FILTERS:
                place = self.text.find(name, spans[0].index)
                hint = did_you_mean(name, _FILTERS)
                self.found.append(Fault(place, len(name), "E303", f"unknown filter `{name}`", hint))
        for uses in analysis.globals.values():
            for use in uses:
                self._variable(tuple(use.segments), use.span.index)
        wrong = {fault.start for fault in self.found if fault.code.startswith("E")}
        kept = [fault for fault in self.found if fault.code.startswith("E") or fault.start not in wrong]
        return sorted(kept, key=lambda fault: fault.start)

    def _variable(self, segments: tuple[Any, ...], start: int) -> None:
        path: tuple[str, ...] = ()
        for segment in segments:
            if not isinstance(segment, str):
                break
            path = (*path, segment)
        name = self.attributes.find(path)
        if name is None:
            self.found.append(unknown_attribute(path or ("?",), start, self.attributes, quotes=False))
            return
        rest = segments[len(name.split(".")) :]
        kind = self.attributes.types[name]
        if kind.shape == "scalar" and rest:
            shown = ".".join(map(str, segments))
            self.found.append(
                Fault(start, len(name), "E305", f"`{shown}` does not exist: `{name}` is {kind}, a single value")
            )
            return
        maybe = (self.attributes.may_be_absent(name) and name not in self.certain) or (bool(rest) and rest != ("size",))
        if maybe and start not in self.safe:
            self.found.append(_may_be_absent(start, len(self._written(start)), _show_path(segments)))

    def _written(self, start: int) -> str:
        match = re.match(r"""[\w.\-]+(?:\[[^\]]*\])*""", self.text[start:])
        return match.group() if match else "?"

    def _node(self, node: Node, guarded: frozenset[str]) -> None:
        inside = guarded
        for expression in node.expressions():
            if isinstance(node, _CONDITIONALS):
                for path in _paths(expression):
                    self.safe.add(path.token.start_index)
                    inside |= {str(path)}
            else:
                self._expression(expression, guarded, printed=node.token.kind == "output")
        for child in node.children(self.context, include_partials=False):
            self._node(child, inside)

    def _expression(self, expression: Expression, guarded: frozenset[str], *, printed: bool) -> None:
        for path in _paths(expression):
            if str(path) in guarded:
                self.safe.add(path.token.start_index)
        if not isinstance(expression, FilteredExpression) or not isinstance(expression.left, Path):
            return
        filters = expression.filters or []
        start = expression.left.token.start_index
        if filters and filters[0].name == "default":
            self.safe.add(start)
            if not filters[0].args:
                self.found.append(
                    Fault(start, len(self._written(start)), "E306", "`default` needs a value", 'as in `default: "Hi"`')
                )
        segments = tuple(expression.left.path)
        name = self.attributes.find(tuple(s for s in segments[:2] if isinstance(s, str)))
        if printed and name and self.attributes.types[name].shape != "scalar" and len(segments) == len(name.split(".")):
            kind = self.attributes.types[name]
            if not any(f.name in ("join", "first", "last", "size") for f in filters):
                hint = (
                    f'as in `{{{{ {name} | join: ", " }}}}`'
                    if kind.shape == "list"
                    else f"as in `{{{{ {name}.coffee }}}}`"
                )
                self.found.append(
                    Fault(start, len(name), "E306", f"`{name}` is a {kind.shape}: say which part of it", hint)
                )


def _paths(expression: Expression) -> Iterable[Path]:
    if isinstance(expression, Path):
        yield expression
    for child in expression.children():
        yield from _paths(child)


def _show_path(segments: tuple[Any, ...]) -> str:
    text = str(segments[0])
    for segment in segments[1:]:
        if isinstance(segment, str) and re.fullmatch(r"\w+", segment):
            text += f".{segment}"
        else:
            text += f"[{segment!r}]" if isinstance(segment, str) else f"[{segment}]"
    return text.replace("'", '"')
