"""Where YAML cannot be read: the parser's words turned into what is wrong and what to write instead."""

import re
from collections.abc import Sequence

_QUOTES = "“”„‟«»‘’"
_DASH = re.compile(r"(?:- +)+")
_COLON_WITHOUT_SPACE = re.compile(r"^\s*(?:- +)*(\w[\w-]*):(?=[^\s/:])")


def advice(lines: Sequence[str], line: int, column: int, problem: str) -> tuple[str, str | None]:
    """Message and hint for a problem of the parser at a line and a column, both counted from 1."""
    source = lines[line - 1] if line <= len(lines) else ""
    indent = len(source) - len(source.lstrip())
    if "\t" in source[: max(column, indent)]:
        return "a tab stands in the indentation", "use spaces: YAML does not take tabs there"
    if "expected a single document" in problem:
        return problem, "one document a file: remove the `---`"
    if "mapping values are not allowed" in problem:
        return "a `:` where none can stand", _colon(lines, line, source, column)
    if "could not find expected ':'" in problem:
        return problem, "a key needs `: ` after it"
    if "cannot start any token" in problem:
        return "a sign where none can stand", "put all of the text between `'`"
    if "did not find expected ',' or" in problem:
        return f"a `,` or a `{problem[-2]}` is missing", _bracket(lines, line, source[: column - 1])
    if "did not find expected" in problem:
        open_text = _open_text(lines, line)
        if open_text is not None and column > indent + 1:
            return "this text cannot stand here", open_text
        if column > indent + 1:
            return "this cannot stand here", _behind(source[: column - 1])
        return _indentation(lines, line, indent)
    return problem, None


def bad_key(source: str, column: int) -> str | None:
    """What was meant by a key that is no word, which begins at a column counted from 1."""
    if source[max(0, column - 2) :].startswith("{{"):
        return 'put the text in quotes: "{{ … }}"'
    return None


def curly(word: str) -> str | None:
    """The hint for typographic quotes, which are letters like any other."""
    return 'use straight quotes: "' if any(one in word for one in _QUOTES) else None


def _colon(lines: Sequence[str], line: int, source: str, column: int) -> str:
    for number in range(line - 1, 0, -1):
        above = lines[number - 1]
        if above.strip() and not above.lstrip().startswith("#"):
            if (found := _COLON_WITHOUT_SPACE.match(above)) is not None:
                return f"on line {number} a space is missing after `{found[1]}:`"
            break
    if ":" in source[: column - 1]:
        return "put the text in quotes: it has a `: ` in it"
    return "check the indentation, or put the text in quotes"


def _bracket(lines: Sequence[str], line: int, before: str) -> str:
    if re.search(r"'[^']*'$", before):
        return "an apostrophe ends a text between `'`: put the text between `\"`"
    if before.strip():
        return "put a `,` before this, or all of the text between `'`"
    for number in range(line - 1, 0, -1):
        above = lines[number - 1]
        if sum(map(above.count, "[{")) > sum(map(above.count, "]}")):
            return f"a bracket that opens on line {number} is not closed"
    return "a bracket is not closed"


def _open_text(lines: Sequence[str], line: int) -> str | None:
    for number in range(line - 1, max(0, line - 10), -1):
        if lines[number - 1].count('"') % 2:
            return f'a text begins on line {number} and is not closed: it needs a second `"`'
    return None


def _behind(before: str) -> str:
    """Something follows a value that was complete."""
    if re.search(r":\s+\{\{", before):
        return "put the text in quotes: it begins with `{{`"
    if before.rstrip().endswith(('"', "'")):
        return "the text ends at the quotes before this: put all of it between `'`"
    if re.search(r"[\[{,:\s]!\w", before):
        return "put the text in quotes: it begins with `!`"
    return "check the brackets and quotes of this line"


def _indentation(lines: Sequence[str], line: int, indent: int) -> tuple[str, str | None]:
    """The line stands where nothing that is open above it begins."""
    fits: dict[int, int] = {}  # indentation -> the line above that has it
    inner = 10**9
    for number in range(line - 1, 0, -1):
        above = lines[number - 1]
        if not above.strip() or above.lstrip().startswith("#"):
            continue
        start = len(above) - len(above.lstrip())
        dash = _DASH.match(above.lstrip())
        for place in {start, start + len(dash[0])} if dash else {start}:
            if place < inner:
                fits.setdefault(place, number)
        inner = min(inner, start)
    if indent in fits or not fits:
        return "this cannot stand here", "check the indentation and the brackets of this block"
    near = min(fits, key=lambda place: (abs(place - indent), -place))
    spaces = f"{indent} space{'' if indent == 1 else 's'}"
    what = f"the line is indented by {spaces}, like nothing above that it could belong to"
    return what, f"write {near} spaces, as on line {fits[near]}"
