"""`proximity rules publish | versions | approve | rollback | follow | pause | resume`: the life of rules."""

import getpass
import json
from collections.abc import Sequence
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from proximity.rulebook import Overview

Url = Annotated[
    str | None, typer.Option("--url", help="A running service, as http://127.0.0.1:8080; without it, the database.")
]
Token = Annotated[
    str | None, typer.Option("--token", help="The operator's token; without it, that of the data folder.")
]
Data = Annotated[Path | None, typer.Option("--data", help="Folder with the database.")]
Database = Annotated[str | None, typer.Option("--database", help="The database, when it is not in the data folder.")]
Config = Annotated[Path | None, typer.Option("--config", help="Configuration folder with the shop.")]
Author = Annotated[str | None, typer.Option("--author", help="Who does it; without it, who is logged in.")]
Note = Annotated[str, typer.Option("--note", help="Why.")]
Json = Annotated[bool, typer.Option("--json", help="Print JSON.")]
SHORT = 8


def add_to(app: typer.Typer) -> None:
    """Add the commands."""
    for command in (publish, versions, approve, rollback, follow, pause, resume):
        app.command()(command)


def publish(
    folder: Annotated[Path, typer.Argument(help="Configuration folder, or folder of rules.")],
    author: Author = None,
    note: Note = "",
    url: Url = None,
    token: Token = None,
    data: Data = None,
    database: Database = None,
    config: Config = None,
) -> None:
    """Put the rules of a folder in force, and pin them; or let them wait for a second person."""
    from proximity.commands.rules_desk import config_of, open_desk, read_texts

    files = read_texts(folder)
    config = config or config_of(folder)
    with open_desk(url=url, token=token, data=data, database=database, config=config) as desk:
        one = desk.publish(files, author=author or getpass.getuser(), note=note)
    if one.state == "review":
        print(f"version {one.id[:SHORT]} waits for approval by somebody else: proximity rules approve {one.id[:SHORT]}")
    else:
        print(f"version {one.id[:SHORT]} is in force, until another one is or `proximity rules follow`")


def versions(
    limit: Annotated[int, typer.Option("--limit", min=1, max=500, help="Changes at most.")] = 20,
    as_json: Json = False,
    url: Url = None,
    token: Token = None,
    data: Data = None,
    database: Database = None,
    config: Config = None,
) -> None:
    """List the versions of the rules, what is in force, and who did what."""
    import msgspec

    from proximity.commands.rules_desk import open_desk

    with open_desk(url=url, token=token, data=data, database=database, config=config) as desk:
        found = desk.overview(limit)
    if as_json:
        print(json.dumps(msgspec.to_builtins(found), ensure_ascii=False, indent=2))
    else:
        print("\n".join(_listed(found)))


def approve(
    version: Annotated[str, typer.Argument(help="A version that waits.")],
    author: Author = None,
    url: Url = None,
    token: Token = None,
    data: Data = None,
    database: Database = None,
    config: Config = None,
) -> None:
    """Agree to a version that somebody else has published: it comes into force."""
    from proximity.commands.rules_desk import open_desk

    with open_desk(url=url, token=token, data=data, database=database, config=config) as desk:
        one = desk.approve(version, by=author or getpass.getuser())
    print(f"version {one.id[:SHORT]} by {one.author} is in force")


def rollback(
    version: Annotated[str, typer.Argument(help="A version that was in force, or `previous`.")],
    author: Author = None,
    note: Note = "",
    url: Url = None,
    token: Token = None,
    data: Data = None,
    database: Database = None,
    config: Config = None,
) -> None:
    """Put an earlier version in force again, and pin it."""
    from proximity.commands.rules_desk import open_desk

    with open_desk(url=url, token=token, data=data, database=database, config=config) as desk:
        one = desk.roll_back(version, by=author or getpass.getuser(), note=note)
    print(f"version {one.id[:SHORT]} by {one.author} is in force again")


def follow(
    author: Author = None,
    url: Url = None,
    token: Token = None,
    data: Data = None,
    database: Database = None,
    config: Config = None,
) -> None:
    """Give the rules back to the configuration folder."""
    from proximity.commands.rules_desk import open_desk

    with open_desk(url=url, token=token, data=data, database=database, config=config) as desk:
        desk.follow(by=author or getpass.getuser())
    print("the configuration folder's rules are in force")


def pause(
    rule: Annotated[str, typer.Argument(help="Id of the rule.")],
    author: Author = None,
    url: Url = None,
    token: Token = None,
    data: Data = None,
    database: Database = None,
    config: Config = None,
) -> None:
    """Stop a rule at once, until `resume`."""
    from proximity.commands.rules_desk import open_desk

    with open_desk(url=url, token=token, data=data, database=database, config=config) as desk:
        desk.pause(rule, by=author or getpass.getuser())
    print(f"rule {rule} is paused")


def resume(
    rule: Annotated[str, typer.Argument(help="Id of the rule.")],
    author: Author = None,
    url: Url = None,
    token: Token = None,
    data: Data = None,
    database: Database = None,
    config: Config = None,
) -> None:
    """Let a paused rule go on."""
    from proximity.commands.rules_desk import open_desk

    with open_desk(url=url, token=token, data=data, database=database, config=config) as desk:
        desk.resume(rule, by=author or getpass.getuser())
    print(f"rule {rule} goes on")


def _listed(found: "Overview") -> list[str]:
    """Versions, then changes, then what is special now."""
    table = [(one.id[:SHORT], one.state, _when(one.created), one.author, one.note) for one in found.versions]
    log = [
        (_when(one.at), one.actor, one.action, one.rule or (one.version or "")[:SHORT], one.note)
        for one in found.changes
    ]
    lines = [*_columns(table), "", *_columns(log), ""]
    if found.current is not None:
        how = "pinned" if found.pinned else "as the folder has it"
        lines.append(f"in force: {found.current[:SHORT]}, {how}{'; approval is required' if found.approval else ''}")
    lines += [f"paused: {rule}, by {one.by}, {_when(one.at)}" for rule, one in sorted(found.paused.items())]
    return [*lines, found.detail] if found.detail else lines


def _columns(rows: Sequence[tuple[str, ...]]) -> list[str]:
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return ["  ".join(text.ljust(width) for text, width in zip(row, widths, strict=True)).rstrip() for row in rows]


def _when(at: float) -> str:
    return datetime.fromtimestamp(at).astimezone().strftime("%Y-%m-%d %H:%M:%S")
