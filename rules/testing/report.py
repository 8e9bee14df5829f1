"""The results of tests as text for people, as JSON, and as JUnit XML for build servers."""

import json
from collections.abc import Sequence
from itertools import groupby
from xml.etree import ElementTree

from rules.testing.judge import Failure, Result

FORMATS = ("text", "json", "junit")


def render(results: Sequence[Result], form: str) -> str:
    """The report in one of `FORMATS`, with its last line end."""
    return {"text": _text, "json": _json, "junit": _junit}[form](results)


def summary(results: Sequence[Result]) -> str:
    """`12 tests passed`, or how many failed."""
    failed = sum(not one.passed for one in results)
    if failed:
        return f"{failed} of {len(results)} tests failed"
    return f"{len(results)} test{'' if len(results) == 1 else 's'} passed"


def _text(results: Sequence[Result]) -> str:
    lines: list[str] = []
    for file, group in groupby(results, key=lambda one: one.file):
        lines.append(file)
        for one in group:
            lines.append(f"  {'ok  ' if one.passed else 'FAIL'}  {one.name}")
            for failure in one.failures:
                lines += [f"        {line}".rstrip() for line in _failure(one, failure)]
    return "\n".join([*lines, f"{summary(results)}\n"])


def _failure(result: Result, failure: Failure) -> list[str]:
    where = f"{result.file}:{failure.line}"
    return [f"{failure.what}  (- wanted, + got)  [{where}]", *(f"  {line}" for line in failure.diff),
            *(f"    {line}" for line in failure.trace)]  # fmt: skip


def _json(results: Sequence[Result]) -> str:
    rows = [
        {
            "file": one.file,
            "line": one.line,
            "name": one.name,
            "passed": one.passed,
            "failures": [
                {"line": failure.line, "what": failure.what, "diff": failure.diff, "trace": failure.trace}
                for failure in one.failures
            ],
        }
        for one in results
    ]
    return json.dumps(rows, ensure_ascii=False, indent=2) + "\n"


def _junit(results: Sequence[Result]) -> str:
    failed = sum(not one.passed for one in results)
    root = ElementTree.Element("testsuites", tests=str(len(results)), failures=str(failed))
    for file, group in groupby(results, key=lambda one: one.file):
        cases = list(group)
        failures = str(sum(not one.passed for one in cases))
        suite = ElementTree.SubElement(root, "testsuite", name=file, tests=str(len(cases)), failures=failures)
        for one in cases:
            attributes = {"name": one.name, "classname": file, "file": file, "line": str(one.line)}
            case = ElementTree.SubElement(suite, "testcase", attributes)
            for failure in one.failures:
                element = ElementTree.SubElement(case, "failure", message=failure.what)
                element.text = "\n".join(_failure(one, failure))
    ElementTree.indent(root)
    return ElementTree.tostring(root, encoding="unicode", xml_declaration=True) + "\n"
