"""What the CEL checker reports, in the words and with the advice of this language."""

import re

from rules.scan import TOKEN, Fault

TYPE_NAMES = {
    "int": "a whole number", "double": "a number with decimals", "string": "text", "bool": "true or false",
    "null_type": "null", "dyn": "anything",
}  # fmt: skip
_CEL_ERROR = re.compile(r"ERROR: <input>:(\d+):(\d+): (.*)")
_OVERLOAD = re.compile(r"found no matching overload for '([^']*)' applied to '([^']*)'")
_OPERATOR = re.compile(r"_?@?([^_\w\s@]+|in)_?")


def checker_faults(report: str, text: str) -> list[Fault]:
    """CEL's own report, in our words."""
    starts = [0]
    for line in text.split("\n"):
        starts.append(starts[-1] + len(line) + 1)
    faults: list[Fault] = []
    for match in _CEL_ERROR.finditer(report):
        message = match[3].removesuffix(" [INVALID_ARGUMENT]")
        start = starts[min(int(match[1]), len(starts)) - 1] + int(match[2]) - 1
        if overload := _OVERLOAD.search(message):
            faults.append(_type_fault(text, start, overload[1], overload[2]))
        elif "cannot be the operand of a select" in message:
            kind = re.search(r"type '(\w+)'", message)
            what = TYPE_NAMES.get(kind[1], kind[1]) if kind else "this"
            faults.append(Fault(start, 1, "E207", f"nothing can follow the dot: the value before it is {what}"))
        elif message.startswith("Syntax error"):
            return [*faults, _syntax_fault(text, start, message)]  # what follows is only its echo
        elif function := re.match(r"undeclared reference to '(\w+)'", message):
            faults.append(Fault(start, 1, "E207", f"`{function[1]}` cannot be used with these values"))
        else:
            faults.append(Fault(start, 1, "E208", message[0].lower() + message[1:]))
    return faults or [Fault(0, 1, "E208", report.splitlines()[0])]


def _syntax_fault(text: str, start: int, message: str) -> Fault:
    if start >= len(text.rstrip()) or "'<EOF>' expecting" in message:
        return Fault(len(text.rstrip()), 1, "E208", "the condition ends too early", "something is missing here")
    token = TOKEN.match(text, start)
    word = token.group() if token else text[start]
    hint = "check the brackets and operators around it"
    if word == "," and text[start - 1 : start].isdigit() and text[start + 1 : start + 2].isdigit():
        hint = "write decimals with a point, as in `80.5`"
    return Fault(start, len(word), "E208", f"`{word}` cannot stand here", hint)


def _type_fault(text: str, start: int, function: str, arguments: str) -> Fault:
    kinds = [part.strip() for part in re.split(r",(?![^(]*\))", arguments.strip("()"))]
    operator = _OPERATOR.fullmatch(function)
    names = [TYPE_NAMES.get(kind, kind) for kind in kinds]
    if operator is None:
        name = function.strip("_")
        message = f"`{name}` does not work on {' and '.join(names)}"
        return Fault(start, 1, "E207", message)
    sign = operator[1]
    if len(names) == 1:
        return Fault(start, len(sign), "E207", f"`{sign}` does not work on {names[0]}")
    message = f"`{sign}` cannot take {names[0]} on its left and {names[1]} on its right"
    return Fault(start, len(sign), "E207", message, _type_hint(text, start, sign, kinds))


def _type_hint(text: str, start: int, sign: str, kinds: list[str]) -> str | None:
    """What to write so that both sides have one type."""
    if sign == "in":
        return "look into a text with `.contains(…)`" if kinds[1] == "string" else "`in` looks into a list or a map"
    right = next(TOKEN.finditer(text, start + len(sign)), None)
    left = next(reversed(list(TOKEN.finditer(text, 0, start))), None)
    for token, kind, other in ((right, kinds[1], kinds[0]), (left, kinds[0], kinds[1])):
        literal = token.group() if token and token.lastgroup in ("number", "string") else None
        if literal is None:
            continue
        if kind == "int" and other == "double":
            return f"write `{literal}.0`"
        if kind == "double" and other == "int" and sign in "*/+-" and "." in literal:
            value = left if token is right else right
            return f"write `double({value.group() if value else '…'})`"
        if kind == "double" and other == "int":
            return f"write a whole number, such as `{literal.split('.')[0]}`"
        if kind == "string" and other in ("int", "double") and literal[1:-1].replace(".", "", 1).isdigit():
            return f"write it without quotes: {literal[1:-1]}"
        if kind in ("int", "double") and other == "string":
            return f'write it in quotes: "{literal}"'
    return None
