"""Groups of commands that live beside what they command."""

import typer


def mount(app: typer.Typer) -> None:
    """Add the groups."""
    from proximity.commands.rules import app as rules
    from proximity.evaluate.cli import app as evaluate

    app.add_typer(evaluate, name="evaluate")
    app.add_typer(rules, name="rules")
