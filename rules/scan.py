"""The words of a condition: which attributes it uses, and mistakes that are better told here than by CEL."""

import re
from dataclasses import dataclass

from proximity.document import did_you_mean, suggest
from rules.attributes import Attributes
from rules.values import words

MAX_LOOPS = 2  # loops over lists; each nested one multiplies the work

TOKEN = re.compile(
    r"""(?P<comment>//[^\n]*)
      | (?P<string>[rRbB]{0,2}(?:\"\"\"(?:.|\n)*?\"\"\"|'''(?:.|\n)*?'''|"(?:\\.|[^"\\\n])*"|'(?:\\.|[^'\\\n])*'))
      | (?P<number>\d[\w.]*)
      | (?P<name>[^\W\d]\w*(?:\s*\.\s*[^\W\d]\w*)*)
      | (?P<op>==|!=|<=|>=|&&|\|\||<>|\S)""",
    re.VERBOSE,
)
MACROS = frozenset({"all", "exists", "exists_one", "map", "filter"})
FUNCTIONS = MACROS | words(
    "has size matches startsWith endsWith contains int uint double string bool timestamp duration getFullYear "
    "getMonth getDate getDayOfMonth getDayOfWeek getDayOfYear getHours getMinutes getSeconds"
)
_WORDS = words("true false null in")
_TYPES = words("int uint double string bool list map type null_type")
# What people write for what CEL calls otherwise.
_WRITE = {
    "and": "&&", "or": "||", "not": "!", "AND": "&&", "OR": "||", "NOT": "!", "&": "&&", "|": "||", "=": "==",
    "<>": "!=", "≥": ">=", "≤": "<=", "≠": "!=", "“": '"', "”": '"', "True": "true", "False": "false",
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Fault:
    """Something wrong in an expression, by its place in the expression's own text."""

    start: int
    length: int
    code: str
    message: str
    hint: str | None = None


class Scan:
    """Looks over the words of an expression: which attributes it uses, and mistakes better told here than by CEL."""

    def __init__(self, text: str, attributes: Attributes) -> None:
        self.text = text
        self.attributes = attributes
        self.used: set[str] = set()
        self.faults: list[Fault] = []
        self.fatal = False  # the checker's own message would only confuse
        self.choice = False  # holds `||`, `? :` or a loop
        self.tokens = [m for m in TOKEN.finditer(text) if m.lastgroup not in ("comment",)]
        self.bound = self._bound_names()
        for i in range(len(self.tokens)):
            if not self._token(i):
                break

    def _bound_names(self) -> set[str]:
        """Loop variables: `x` in `list.exists(x, …)`."""
        names: set[str] = set()
        loops = 0
        for i, token in enumerate(self.tokens):
            word = token["name"]
            if word and word.split(".")[-1].strip() in MACROS and self._next(i) == "(":
                loops += 1
                if i + 2 < len(self.tokens) and self._next(i + 2) == "," and self.tokens[i + 2]["name"]:
                    names.add(self.tokens[i + 2].group())
        self.choice = loops > 0
        if loops > MAX_LOOPS:
            self.faults.append(
                Fault(0, len(self.text), "E211", f"the condition has {loops} loops; {MAX_LOOPS} is the most")
            )
            self.fatal = True
        return names

    def _next(self, i: int) -> str:
        return self.tokens[i + 1].group() if i + 1 < len(self.tokens) else ""

    def _token(self, i: int) -> bool:
        """False: what follows cannot be read."""
        token = self.tokens[i]
        text = token.group()
        if token.lastgroup == "op":
            self.choice = self.choice or text in ("||", "?")
        if text in _WRITE:
            kind = "a word" if token.lastgroup == "name" else "a sign"
            self._fault(token, "E208", f"`{text}` is not {kind} of conditions", f"write `{_WRITE[text]}`", fatal=True)
        elif token.lastgroup == "op" and text in "\"'":
            self._fault(token, "E208", "a text is not closed", f"it needs a second {text}", fatal=True)
            return False
        elif token.lastgroup == "name":
            self._name(i)
        return True

    def _name(self, i: int) -> None:
        token = self.tokens[i]
        path = tuple(part.strip() for part in token.group().split("."))
        behind_a_value = i > 0 and self.tokens[i - 1].group() == "."
        if self._next(i) == "(":
            name = path[-1]
            if name not in FUNCTIONS:
                start = token.end() - len(name)
                self.faults.append(Fault(start, len(name), "E209", f"unknown function `{name}`",
                                         did_you_mean(name, FUNCTIONS)))  # fmt: skip
                self.fatal = True
            if name == "has" and len(path) == 1:
                self._has(i)
            path = path[:-1]
        if not path or behind_a_value or path[0] in self.bound or path[0] in _WORDS:
            return
        if len(path) == 1 and path[0] in _TYPES and path[0] not in self.attributes.types:
            return
        found = self.attributes.find(path)
        if found is None:
            self.faults.append(unknown_attribute(path, token.start(), self.attributes, quotes=True))
        else:
            self.used.add(found)

    def _has(self, i: int) -> None:
        """`has(shopper.x)` would read the value itself; it makes sense for a key of a map only."""
        if i + 2 >= len(self.tokens) or not self.tokens[i + 2]["name"]:
            return
        path = tuple(part.strip() for part in self.tokens[i + 2].group().split("."))
        if ".".join(path) == self.attributes.find(path):
            name = ".".join(path)
            hint = f"say what a missing value means: `missing: {{{name}: pass}}`, or `fail`, or `skip`"
            self._fault(self.tokens[i], "E212", f"`has({name})` cannot be asked of an attribute", hint, fatal=True)

    def _fault(self, token: "re.Match[str]", code: str, message: str, hint: str | None, *, fatal: bool) -> None:
        self.faults.append(Fault(token.start(), len(token.group()), code, message, hint))
        self.fatal = self.fatal or fatal


def unknown_attribute(path: tuple[str, ...], start: int, attributes: Attributes, *, quotes: bool) -> Fault:
    """The fault for a dotted name that starts with no attribute."""
    namespaces = attributes.namespaces
    known = list(attributes.types)
    name = ".".join(path[:2]) if len(path) > 1 else path[0]
    hint: str | None
    if len(path) > 1 and path[0] in namespaces:
        own = [one for one in known if one.startswith(f"{path[0]}.")]
        hint = did_you_mean(name, own)
    elif len(path) == 1 and path[0] in namespaces:
        hint = "name one of its values: " + ", ".join(sorted(one for one in known if one.startswith(f"{path[0]}.")))
    elif (len(path) == 1 and (near := suggest(name, known))) or (
        len(path) > 1 and (near := _by_parts(path, known, namespaces))
    ):
        hint = f"did you mean `{near}`?"
    elif len(path) == 1 and quotes:
        hint = f'if it is a text, write it in quotes: "{name}"'
    else:
        hint = "declare it in attributes.yaml, or use one of: " + ", ".join(sorted(namespaces))
    return Fault(start, len(name), "E204", f"unknown attribute `{name}`", hint)


def _by_parts(path: tuple[str, ...], known: list[str], namespaces: frozenset[str]) -> str | None:
    """The attribute meant by a name whose namespace is misspelt, or right but for the namespace."""
    namespace = suggest(path[0], namespaces)
    if namespace is None:
        return next((one for one in sorted(known) if one.endswith(f".{path[1]}")), None)
    if namespace in known:
        return namespace
    return suggest(f"{namespace}.{path[1]}", [one for one in known if one.startswith(f"{namespace}.")])
