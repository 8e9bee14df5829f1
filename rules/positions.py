"""Where a character of a YAML scalar stands in its file.

Expressions and templates have positions of their own; people want those of the file. The scalar may be plain,
quoted, or a block, so its text and the file's are walked side by side.
"""

from proximity.document import Document, Mark

_ESCAPES = {"n": "\n", "t": "\t", "r": "\r", "0": "\0", "a": "\a", "b": "\b", "v": "\v", "f": "\f", "e": "\x1b"}
_WIDTHS = {"x": 2, "u": 4, "U": 8}


def place(document: Document, mark: Mark, value: str, start: int, length: int = 1) -> Mark:
    """The mark of `value[start:start + length]`, where `value` is the scalar at `mark`.

    A span that runs over the end of a line is cut there; a place that cannot be found gives the scalar's own mark.
    """
    lines = document.text.splitlines()
    end = max(start, min(start + length, len(value)) - 1)
    walked = _walk(lines, mark, value, end + 1)
    if start >= len(walked):
        return _after(walked, mark, lines)
    line, column = walked[start]
    last = max((c for r, c in walked[start : end + 1] if r == line), default=column)
    return Mark(mark.file, line, column, max(1, last - column + 1))


def _after(walked: list[tuple[int, int]], mark: Mark, lines: list[str]) -> Mark:
    """Just behind the last character found: where something is missing."""
    if not walked:
        return mark
    line, column = walked[-1]
    return Mark(mark.file, line, min(column + 1, len(lines[line - 1]) + 1))


def _walk(lines: list[str], mark: Mark, value: str, count: int) -> list[tuple[int, int]]:
    """(line, column) of the first `count` characters of `value`; shorter when file and value do not agree."""
    row, col = mark.line - 1, mark.column - 1
    if row >= len(lines) or col >= len(lines[row]):
        return []
    style = lines[row][col]
    if style in "|>":
        row, col = row + 1, 0
    elif style in "\"'":
        col += 1
    found: list[tuple[int, int]] = []
    for char in value[:count]:
        if char in " \n":
            # Folding turns a line end and the next line's indentation into one space or one line end.
            if row < len(lines) and col < len(lines[row]) and lines[row][col] == char:
                found.append((row + 1, col + 1))
                col += 1
                continue
            if row < len(lines) and not lines[row][col:].strip():
                found.append((row + 1, col + 1))
                row, col = row + 1, 0
                continue
        row, col = _skip_indentation(lines, row, col)
        width = _match(lines, row, col, char, style)
        if not width:
            break
        found.append((row + 1, col + 1))
        col += width
    return found


def _skip_indentation(lines: list[str], row: int, col: int) -> tuple[int, int]:
    while row < len(lines) and not lines[row][col:].strip():
        row, col = row + 1, 0
    if row < len(lines) and not lines[row][:col].strip():
        col += len(lines[row][col:]) - len(lines[row][col:].lstrip(" "))
    return row, col


def _match(lines: list[str], row: int, col: int, char: str, style: str) -> int:
    """How many characters of the file stand for `char`; 0: another one stands there."""
    if row >= len(lines) or col >= len(lines[row]):
        return 0
    here = lines[row][col]
    if style == "'" and here == "'" and char == "'":
        return 2
    if style == '"' and here == "\\" and col + 1 < len(lines[row]):
        kind = lines[row][col + 1]
        if kind in _WIDTHS:
            return 2 + _WIDTHS[kind]
        return 2 if _ESCAPES.get(kind, kind) == char else 0
    return 1 if here == char else 0
