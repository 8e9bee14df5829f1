"""Text files that people write: YAML 1.2 (and JSON, its subset) with a line and a column for every node.

PyYAML's C composer gives nodes with marks; the resolver here is the core schema of YAML 1.2 made strict: `22:00`
and `no` are strings, dates are strings, a duplicate key is an error, and there is no merge key.
"""

import difflib
import re
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import yaml

from proximity.syntax import advice, bad_key

Loc = tuple[str | int, ...]
MAX_DEPTH = 60  # levels; rules and sites need about ten, GeoJSON eight
MAX_NODES = 2_000_000  # an alias repeated in aliases multiplies: stop before memory does


@dataclass(frozen=True, slots=True)
class Mark:
    """A place in a file. `line` and `column` count from 1; `length` is how many characters the caret underlines."""

    file: str
    line: int
    column: int
    length: int = 1


@dataclass(frozen=True, slots=True)
class Diagnostic:
    """One thing wrong, where, and what to write instead."""

    mark: Mark
    severity: Literal["error", "warning"]
    code: str  # "E204"
    message: str
    hint: str | None = None  # stands behind the caret
    source: str | None = None  # the line of the file

    def render(self) -> str:
        """`file:line:column: error[E204]: …`, then the source line with a caret."""
        head = f"{self.mark.file}:{self.mark.line}:{self.mark.column}: {self.severity}[{self.code}]: {self.message}"
        if self.source is None:
            return f"{head}\n      {self.hint}" if self.hint else head
        number = f"{self.mark.line:>5} | "
        caret = " " * (len(number) - 2) + "| " + " " * (self.mark.column - 1) + "^" * max(1, self.mark.length)
        return f"{head}\n{number}{self.source}\n{caret}{' ' + self.hint if self.hint else ''}"

    @property
    def sort_key(self) -> tuple[str, int, int, str]:
        """Files in order, then lines, then columns."""
        return (self.mark.file, self.mark.line, self.mark.column, self.code)


@dataclass(slots=True)
class Document:
    """A parsed file: plain Python data, and where each part of it stands."""

    file: str
    text: str
    data: Any = None
    diagnostics: list[Diagnostic] = field(default_factory=list)  # of the syntax
    _root: yaml.Node | None = None  # marks are looked up in the tree when somebody asks, which is seldom
    _lines: list[str] = field(default_factory=list)

    def mark(self, loc: Sequence[str | int] = (), *, key: bool = False) -> Mark:
        """Where `loc` stands: its value, or with `key` its key. An unknown place gives its nearest known parent."""
        node, own_key = self._root, None
        for i, part in enumerate(loc):
            found = _child(node, part)
            if found is None:
                break
            own_key = found[0] if i == len(loc) - 1 else None
            node = found[1]
        chosen = own_key if key and own_key is not None else node
        return Mark(self.file, 1, 1) if chosen is None else _mark(self.file, chosen)

    def line(self, loc: Sequence[str | int]) -> int:
        """The line of a value. Like `mark`, for those who ask for thousands of them."""
        node = self._root
        for part in loc:
            found = _child(node, part)
            if found is None:
                break
            node = found[1]
        return 1 if node is None else node.start_mark.line + 1

    def diagnostic(
        self,
        loc: Sequence[str | int],
        code: str,
        message: str,
        hint: str | None = None,
        *,
        key: bool = False,
        severity: Literal["error", "warning"] = "error",
    ) -> Diagnostic:
        """A diagnostic at `loc`, with its source line."""
        return self.at(self.mark(loc, key=key), code, message, hint, severity=severity)

    def at(
        self,
        mark: Mark,
        code: str,
        message: str,
        hint: str | None = None,
        *,
        severity: Literal["error", "warning"] = "error",
    ) -> Diagnostic:
        """A diagnostic at a mark of this file, with its source line."""
        lines = self._lines or self.text.splitlines()
        source = lines[mark.line - 1] if 0 < mark.line <= len(lines) else None
        return Diagnostic(mark, severity, code, message, hint, source)


def _child(node: yaml.Node | None, part: str | int) -> tuple[yaml.Node | None, yaml.Node] | None:
    """The key, if it has one, and the value at a step of a path. Of a key written twice, the first."""
    kind = node.__class__
    if kind is yaml.MappingNode:
        for pair in node.value:  # type: ignore[union-attr] # a mapping has a value
            if pair[0].value == part:  # the value of a key that is no plain word is a list, and equals no part
                return pair  # type: ignore[no-any-return] # PyYAML's nodes have no types
    elif kind is yaml.SequenceNode and isinstance(part, int) and 0 <= part < len(node.value):  # type: ignore[union-attr]
        return None, node.value[part]  # type: ignore[union-attr]
    return None


def _mark(file: str, node: yaml.Node) -> Mark:
    start, end = node.start_mark, node.end_mark
    length = end.column - start.column if end.line == start.line else 1
    return Mark(file, start.line + 1, start.column + 1, max(1, length))


class _Loader(yaml.CSafeLoader):
    """The C loader without YAML 1.1's idea of what is a number, a date or a truth."""

    yaml_implicit_resolvers: dict[str | None, list[Any]] = {}  # noqa: RUF012 - PyYAML's own class attribute

    def resolve(self, kind: type[yaml.Node], value: str, implicit: tuple[bool, bool]) -> str:
        """The tag of a node; PyYAML's own way is the same with much ceremony for resolvers by path."""
        if kind is yaml.ScalarNode and implicit[0]:
            for tag, pattern in self.yaml_implicit_resolvers.get(value[:1], ()):
                if pattern.match(value):
                    return tag  # type: ignore[no-any-return]
        return _DEFAULT_TAGS[kind]


_TEXT = "tag:yaml.org,2002:str"
_DEFAULT_TAGS = {
    yaml.ScalarNode: _TEXT,
    yaml.SequenceNode: "tag:yaml.org,2002:seq",
    yaml.MappingNode: "tag:yaml.org,2002:map",
}
_Loader.add_implicit_resolver("tag:yaml.org,2002:null", re.compile(r"^(?:~|null|Null|NULL|)$"), ["~", "n", "N", ""])
_Loader.add_implicit_resolver(
    "tag:yaml.org,2002:bool", re.compile(r"^(?:true|True|TRUE|false|False|FALSE)$"), list("tTfF")
)
_Loader.add_implicit_resolver("tag:yaml.org,2002:int", re.compile(r"^[-+]?(?:0|[1-9][0-9]*)$"), list("-+0123456789"))
_Loader.add_implicit_resolver(
    "tag:yaml.org,2002:float",
    re.compile(
        r"^[-+]?(?:\.[0-9]+|[0-9]+\.[0-9]*|[0-9]+(?=[eE]))(?:[eE][-+]?[0-9]+)?$|^[-+]?\.(?:inf|Inf|INF)$|^\.(?:nan|NaN|NAN)$"
    ),
    list("-+.0123456789"),
)


def load(path: Path, name: str | None = None) -> Document:
    """Read and parse a file. An unreadable file is a diagnostic too; this never raises for what the file holds."""
    shown = name or path.name
    try:
        text = path.read_text(encoding="utf-8")
    except FileNotFoundError:
        return _unreadable(shown, "no such file")
    except UnicodeDecodeError as error:
        return _unreadable(shown, f"not UTF-8 at byte {error.start}; save it as UTF-8")
    except OSError as error:
        return _unreadable(shown, error.strerror or str(error))
    return parse(text, shown)


def parse(text: str, name: str) -> Document:
    """Parse text as one YAML document. Syntax errors and duplicate keys are in `diagnostics`."""
    document = Document(name, text)
    document._lines = text.splitlines()
    too_deep = _too_deep(text)
    if too_deep is not None:
        message = f"more than {MAX_DEPTH} levels, one within another"
        mark = Mark(name, too_deep, 1)
        document.diagnostics.append(document.at(mark, "E005", message, "nobody could read that: write it flatter"))
        return document
    loader = _Loader(text)
    try:
        node = loader.get_single_node()
    except yaml.MarkedYAMLError as error:
        document.diagnostics.append(_syntax_error(document, error))
        return document
    except yaml.reader.ReaderError as error:
        line = text.count("\n", 0, error.position) + 1
        document.diagnostics.append(
            document.at(Mark(name, line, 1), "E001", f"the character {error.character!r} is not allowed in YAML")
        )
        return document
    finally:
        loader.dispose()
    if node is not None:
        document._root = node
        document.data = _Builder(document).build(node)
    return document


_FLOW = re.compile(r"[\[\]{}]")
_DEEP_BLOCK = re.compile(r"(?:[-?][ \t]+){50}|^ {100}", re.MULTILINE)


def _too_deep(text: str) -> int | None:
    """The line on which nesting passes `MAX_DEPTH`, or None. The C composer would end the process far beyond it.

    Only a text that looks deep, by its brackets or its indentation, is walked event by event.
    """
    depth = deepest = 0
    for bracket in _FLOW.finditer(text):
        depth += 1 if bracket[0] in "[{" else -1
        deepest = max(deepest, depth)
    if deepest <= MAX_DEPTH and not _DEEP_BLOCK.search(text):
        return None
    depth = 0
    try:
        for event in yaml.parse(text, Loader=_Loader):
            if isinstance(event, yaml.CollectionStartEvent):
                depth += 1
                if depth > MAX_DEPTH:
                    return event.start_mark.line + 1 if event.start_mark else 1
            elif isinstance(event, yaml.CollectionEndEvent):
                depth -= 1
    except yaml.YAMLError:
        return None  # composing tells it, and stops at the same place
    return None


def suggest(word: str, known: Iterable[str]) -> str | None:
    """The known word that was probably meant, or None."""
    found = difflib.get_close_matches(word, list(known), n=1, cutoff=0.6)
    return found[0] if found else None


def did_you_mean(word: str, known: Iterable[str], quote: str = "`") -> str | None:
    """A hint for a misspelt word: the near one, else the list of what there is when it is short."""
    words = sorted(set(known))
    near = suggest(word, words)
    if near:
        return f"did you mean {quote}{near}{quote}?"
    if words and len(words) <= 12:
        return f"known here: {', '.join(words)}"
    return None


def is_stranger(word: str, known: Collection[str], refused: Collection[str]) -> bool:
    """Whether `word` is none of `known` for certain. Some of those are `refused`: they have errors of their own, so
    nobody can tell whether a word that is near to one of them will be right when they are."""
    return word not in known and not (refused and suggest(word, sorted(known)) in refused)


class _Builder:
    """Nodes to plain data, noting where everything stands."""

    def __init__(self, document: Document) -> None:
        self.document = document
        self.count = 0
        self.open: set[int] = set()

    def build(self, node: yaml.Node) -> Any:
        self.count += 1
        plain = node.__class__ is yaml.ScalarNode
        if self.count > MAX_NODES or (not plain and id(node) in self.open):
            if not any(d.code == "E004" for d in self.document.diagnostics):
                self._say(node, "E004", "aliases repeat one another without end; write the parts out")
            return None
        if plain:
            return node.value if node.tag is _TEXT else self._scalar(node)
        self.open.add(id(node))
        try:
            if isinstance(node, yaml.SequenceNode):
                return [self.build(item) for item in node.value]
            return self._mapping(node)
        finally:
            self.open.discard(id(node))

    def _mapping(self, node: yaml.Node) -> dict[Any, Any]:
        data: dict[Any, Any] = {}
        first: dict[str, yaml.Node] = {}
        for key_node, value_node in node.value:
            if not isinstance(key_node, yaml.ScalarNode):
                mark = key_node.start_mark
                hint = bad_key(self.document._lines[mark.line], mark.column + 1)
                self._say(key_node, "E003", "a key must be a plain word, not a list or a mapping", hint)
                continue
            key: str = key_node.value  # keys are text, whatever they look like: `no:` is the language Norwegian
            if key in data:
                line = first[key].start_mark.line + 1
                self._say(key_node, "E002", f"`{key}` is written twice", f"first on line {line}; keep one of them")
                continue
            first[key] = key_node
            if value_node.__class__ is yaml.ScalarNode and value_node.tag is _TEXT:  # as most are
                self.count += 1
                data[key] = value_node.value
            else:
                data[key] = self.build(value_node)
        return data

    def _scalar(self, node: yaml.Node) -> Any:
        kind, text = node.tag.rsplit(":", 1)[-1], node.value
        if kind == "str":
            return text
        if kind == "null":
            return None
        if kind == "bool":
            return text.lower() == "true"
        if kind == "int":
            return int(text) if len(text) < 300 else text
        if kind == "float":
            return float(text.lower().replace(".inf", "inf").replace(".nan", "nan"))
        hint = f"put the text in quotes: '{node.tag}'" if node.tag.startswith("!") else None
        self._say(node, "E003", f"the tag `{node.tag}` is not used here; write the plain value", hint)
        return text

    def _say(self, node: yaml.Node, code: str, message: str, hint: str | None = None) -> None:
        mark = _mark(self.document.file, node)
        self.document.diagnostics.append(self.document.at(mark, code, message, hint))


def _unreadable(name: str, why: str) -> Document:
    document = Document(name, "")
    document.diagnostics.append(Diagnostic(Mark(name, 1, 1), "error", "E000", why))
    return document


def _syntax_error(document: Document, error: yaml.MarkedYAMLError) -> Diagnostic:
    mark = error.problem_mark or error.context_mark
    place = Mark(document.file, mark.line + 1, mark.column + 1) if mark else Mark(document.file, 1, 1)
    problem = error.problem or "cannot be read as YAML"
    problem, hint = advice(document._lines, place.line, place.column, problem)
    return document.at(place, "E001", problem, hint)
