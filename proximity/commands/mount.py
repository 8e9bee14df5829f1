"""Groups of commands that live beside what they command."""

import typer


def mount(app: typer.Typer) -> None:
    """Add the groups."""
    from proximity.bench.cli import app as bench
    from proximity.commands.presence import app as presence
    from proximity.commands.rules import app as rules
    from proximity.evaluate.cli import app as evaluate

    app.add_typer(bench, name="bench")
    app.add_typer(evaluate, name="evaluate")
    app.add_typer(presence, name="presence")
    app.add_typer(rules, name="rules")
