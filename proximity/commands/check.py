"""`proximity check`: what is wrong in a configuration folder."""

import json
import sys
from collections.abc import Sequence
from pathlib import Path

from proximity.configuration import check_configuration
from proximity.document import Diagnostic
from proximity.errors import ProximityError

FORMATS = ("text", "json", "github")


def run(folder: Path, form: str) -> int:
    """Print the diagnostics; 1 when there is an error among them."""
    if form not in FORMATS:
        raise ProximityError(f"--format {form}: write one of {', '.join(FORMATS)}")
    if not folder.is_dir():
        raise ProximityError(f"{folder}: no such folder")
    configuration, diagnostics = check_configuration(folder)
    show(diagnostics, form)
    errors = sum(d.severity == "error" for d in diagnostics)
    summary = f"{errors} error{'' if errors == 1 else 's'}, {len(diagnostics) - errors} warnings"
    if configuration is not None:
        zones = sum(len(site.zones) for site in configuration.sites)
        summary += (
            f"; {len(configuration.sites)} site{'' if len(configuration.sites) == 1 else 's'}, {zones} zones, "
            f"{len(configuration.ruleset.rules)} rules, {len(configuration.people.shoppers)} shoppers"
        )
    print(summary, file=sys.stderr)
    return 1 if errors else 0


def show(diagnostics: Sequence[Diagnostic], form: str) -> None:
    """Print them as text, as JSON, or as annotations of a workflow on GitHub."""
    if form == "json":
        print(json.dumps([_plain(d) for d in diagnostics], ensure_ascii=False, indent=2))
        return
    for diagnostic in diagnostics:
        print(_github(diagnostic) if form == "github" else diagnostic.render())


def _plain(diagnostic: Diagnostic) -> dict[str, object]:
    mark = diagnostic.mark
    return {
        "file": mark.file,
        "line": mark.line,
        "column": mark.column,
        "length": mark.length,
        "severity": diagnostic.severity,
        "code": diagnostic.code,
        "message": diagnostic.message,
        "hint": diagnostic.hint,
    }


def _github(diagnostic: Diagnostic) -> str:
    mark = diagnostic.mark
    text = f"{diagnostic.message}{f' ({diagnostic.hint})' if diagnostic.hint else ''}"
    text = text.replace("%", "%25").replace("\r", "%0D").replace("\n", "%0A")  # as workflow commands want it
    return (
        f"::{diagnostic.severity} file={mark.file},line={mark.line},col={mark.column},title={diagnostic.code}::{text}"
    )
