"""`proximity rules diff`: what a change of rules does, in words."""

import json
import sys
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from proximity.commands.rules_versions import Config, Data, Database, Json
from proximity.errors import ConfigurationError, ProximityError

if TYPE_CHECKING:
    from rules.diff import Difference

TROUBLE = 2  # as diff(1) has it


def diff(
    old: Annotated[str, typer.Argument(help="Folder, file, or version.")],
    new: Annotated[str, typer.Argument(help="Folder, file, or version.")],
    as_json: Json = False,
    data: Data = None,
    database: Database = None,
    config: Config = None,
) -> None:
    """Say in words what a change of rules does. Exit code 0: nothing, 1: something, 2: trouble."""
    try:
        found = _found(old, new, data, database, config)
    except ConfigurationError as error:
        for one in error.diagnostics:
            print(one.render(), file=sys.stderr)
        print(f"proximity: {error}", file=sys.stderr)
        raise typer.Exit(TROUBLE) from None
    except ProximityError as error:
        print(f"proximity: {error}", file=sys.stderr)
        raise typer.Exit(TROUBLE) from None
    from rules.diff import render

    if as_json:
        print(json.dumps([asdict(one) for one in found], ensure_ascii=False, indent=2))
    elif found:
        print(render(found))
    raise typer.Exit(1 if found else 0)


def _found(old: str, new: str, data: Path | None, database: str | None, config: Path | None) -> "list[Difference]":
    from proximity.commands.rules_desk import read_either
    from proximity.settings import read_settings
    from rules.diff import differences

    settings = read_settings(data=data, config=config, database=database)
    before, some = read_either(old, settings, config)
    after, others = read_either(new, settings, config)
    found = differences(before, after)
    if some is None and others is None:
        return found
    asked = (some or frozenset()) | (others or frozenset())  # of a file, its own rules, and not its neighbours'
    return [one for one in found if one.rule in asked]
