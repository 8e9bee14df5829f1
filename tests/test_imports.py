"""What is imported, by a service at its start and by a command that only prints its help. Each import is looked at in a
process of its own, because tests have imported everything."""

import subprocess
import sys
from pathlib import Path

import pytest

LOADED = "import sys; print(*sorted({name.split('.')[0] for name in sys.modules}))"
# What surveys, simulations, evaluations, tests and plots use; an HTTP client, migrations and pictures of codes are
# imported where they are needed.
NOT_OF_A_SERVICE = {
    "alembic",
    "hypothesis",
    "httpx",
    "matplotlib",
    "networkx",
    "nicegui",
    "pandas",
    "psycopg",
    "pytest",
    "scipy",
    "segno",
    "sklearn",
    "statsmodels",
    "typer",
}
HEAVY = {"cryptography", "fastapi", "numpy", "pydantic_settings", "scipy", "shapely", "sqlalchemy", "structlog"}


def loaded(code: str, *words: str) -> set[str]:
    """Top-level packages after `code`, which may not print."""
    done = subprocess.run(
        [sys.executable, "-c", f"{code}\n{LOADED}", *words], capture_output=True, text=True, check=True
    )
    return set(done.stdout.split())


def test_a_service_imports_nothing_that_it_does_not_need() -> None:
    found = loaded("import proximity.runtime")
    assert {"numpy", "shapely", "sqlalchemy", "fastapi"} <= found  # it is a service that was looked at
    assert found & NOT_OF_A_SERVICE == set()


def test_a_service_on_a_database_that_is_up_to_date_needs_no_migrations(tmp_path: Path) -> None:
    code = "from proximity.store.database import open_store; import sys; open_store(sys.argv[1]).migrate()"
    url = f"sqlite:///{tmp_path}/proximity.db"
    assert "alembic" in loaded(code, url)
    assert "alembic" not in loaded(code, url)


HELP = """
import contextlib, io, sys
from proximity.cli import main
with contextlib.redirect_stdout(io.StringIO()) as said, contextlib.suppress(SystemExit):
    main()
assert "Usage" in said.getvalue(), said.getvalue()
"""


@pytest.mark.parametrize(
    "words",
    [
        [],
        ["check"],
        ["serve"],
        ["demo"],
        ["replay"],
        ["bench"],
        ["bench", "memory"],
        ["evaluate"],
        ["evaluate", "danis"],
        ["presence", "explain"],
        ["rules"],
        ["rules", "check"],
    ],
    ids=" ".join,
)
def test_help_imports_nothing_heavy(words: list[str]) -> None:
    assert loaded(HELP, *words, "--help") & HEAVY == set()
