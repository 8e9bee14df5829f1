"""`proximity rules`: check, list, test and explain the rules of a shop; their life is in `rules_versions`."""

import json
import re
import sys
from pathlib import Path
from typing import Annotated

import typer

from proximity.commands import rules_backtest, rules_diff, rules_explain, rules_versions
from proximity.errors import ConfigurationError, ProximityError

app = typer.Typer(help="Check, test, explain and publish rules.", no_args_is_help=True)
app.command()(rules_explain.explain)
app.command()(rules_diff.diff)
app.command()(rules_backtest.backtest)
rules_versions.add_to(app)

Paths = Annotated[
    list[Path] | None,
    typer.Argument(help="Configuration folder, folder of rules, or rule files.", show_default="config"),
]
Config = Annotated[
    Path | None,
    typer.Option("--config", help="Configuration folder with the shop; without it, the one the files lie in."),
]
HERE = Path("config")


@app.command()
def check(
    paths: Paths = None,
    config: Config = None,
    form: Annotated[str, typer.Option("--format", help="text, json or github.")] = "text",
) -> None:
    """Check rules against the shop; every error of every file at once. Exit code 1 when there is one."""
    from proximity.commands.check import FORMATS, show
    from proximity.commands.rule_files import read_rule_files

    _one_of(form, FORMATS)
    found = read_rule_files(paths or [HERE], config)
    show(found.diagnostics, form)
    errors = sum(one.severity == "error" for one in found.diagnostics)
    warnings = len(found.diagnostics) - errors
    elsewhere = sum(one.severity == "error" for one in found.loaded.diagnostics) - errors
    summary = f"{_count(errors, 'error')}, {_count(warnings, 'warning')} in {_count(len(found.asked), 'file')}"
    if found.loaded.ruleset is not None:
        summary += f"; {_count(len(found.rules), 'rule')}"
    elif elsewhere:
        summary += f"; {_count(elsewhere, 'error')} in other files of the folder, so nothing of it can be loaded"
    print(summary, file=sys.stderr)
    raise typer.Exit(1 if errors else 0)


@app.command("list")
def list_rules(
    paths: Paths = None,
    config: Config = None,
    status: Annotated[str | None, typer.Option("--status", help="Only rules with this status.")] = None,
    form: Annotated[str, typer.Option("--format", help="text or json.")] = "text",
) -> None:
    """List the rules: id, status, trigger, owner, and where each is written."""
    from proximity.commands.rule_files import read_rule_files
    from rules.schema import STATUSES

    _one_of(form, ("text", "json"))
    if status is not None:
        _one_of(status, STATUSES, "--status")
    found = read_rule_files(paths or [HERE], config)
    found.ruleset()
    rules = [rule for rule in found.rules if status in (None, rule.status)]
    if form == "json":
        names = ("id", "title", "owner", "status", "trigger", "where")
        rows = [{name: getattr(rule, name) for name in names} for rule in rules]
        print(json.dumps(rows, ensure_ascii=False, indent=2))
        return
    table = [(rule.id, rule.status, rule.trigger, rule.owner or "", rule.where) for rule in rules]
    widths = [max((len(row[i]) for row in table), default=0) for i in range(5)]
    for row in table:
        print("  ".join(text.ljust(width) for text, width in zip(row, widths, strict=True)).rstrip())


@app.command("test")
def play_tests(
    paths: Annotated[
        list[Path] | None, typer.Argument(help="Test files, or folders of them.", show_default="config/rules")
    ] = None,
    run: Annotated[
        str | None, typer.Option("--run", metavar="PATTERN", help="Only tests whose names this expression finds.")
    ] = None,
    config: Config = None,
    form: Annotated[str, typer.Option("--format", help="text, json or junit.")] = "text",
) -> None:
    """Play the tests beside the rules on a simulated clock. Exit code 1 when one fails."""
    from proximity.commands.rule_tests import find_tests, read_suites
    from rules.testing.judge import judge
    from rules.testing.report import FORMATS, render

    _one_of(form, FORMATS)
    try:
        pattern = re.compile(run, re.IGNORECASE) if run is not None else None
    except re.error as error:
        raise ProximityError(f"--run {run}: not a regular expression: {error}") from None
    suites = read_suites(find_tests(paths or [HERE / "rules"]), config)
    if any(suite.errors for suite in suites):
        raise ConfigurationError(list(dict.fromkeys(one for suite in suites for one in suite.diagnostics)))
    results = [result for suite in suites for result in judge(suite, pattern)]
    if not results:
        raise ProximityError(f"no test has a name that `{run}` finds")
    print(render(results, form), end="")
    raise typer.Exit(0 if all(result.passed for result in results) else 1)


@app.command()
def schema(
    tests: Annotated[bool, typer.Option("--tests", help="That of test files, in place of that of rules.")] = False,
) -> None:
    """Print the JSON Schema of rule files, or of their tests, for editors."""
    from rules.json_schema import rules_schema_text, schema_of_tests_text

    print(schema_of_tests_text() if tests else rules_schema_text(), end="")


def _one_of(given: str, known: tuple[str, ...], option: str = "--format") -> None:
    if given not in known:
        raise ProximityError(f"{option} {given}: write one of {', '.join(known)}")


def _count(number: int, what: str) -> str:
    return f"{number} {what}{'' if number == 1 else 's'}"
