"""Migrations, run from the program: what the files in `migrations/` make of a database."""

from pathlib import Path
from typing import TYPE_CHECKING

import sqlalchemy as sa
from sqlalchemy import Connection

if TYPE_CHECKING:
    from alembic.config import Config

LOCK_KEY = 7_246_391_805_512_201  # of the advisory lock, so that two services on PostgreSQL do not migrate at once
MIGRATIONS = Path(__file__).parent / "migrations"

_version = sa.table("alembic_version", sa.column("version_num"))


def configuration(connection: Connection | None = None) -> "Config":
    """Alembic's settings without a file. `connection` is used as it is, inside its transaction."""
    from alembic.config import Config

    config = Config()
    config.set_main_option("script_location", str(MIGRATIONS).replace("%", "%%"))
    config.set_main_option("path_separator", "os")
    config.attributes["connection"] = connection
    return config


def upgrade(connection: Connection, revision: str = "head") -> None:
    """Run every migration that is missing, up to `revision`."""
    if revision == "head" and current_revision(connection) == revisions()[-1]:
        return  # as at nearly every start: Alembic and what it imports take 8 MB and an eighth of a second

    from alembic import command

    command.upgrade(configuration(connection), revision)


def revisions() -> list[str]:
    """Of the migrations here, in order: each file's name begins with its own."""
    return sorted(path.name.partition("_")[0] for path in (MIGRATIONS / "versions").glob("[0-9]*_*.py"))


def current_revision(connection: Connection) -> str | None:
    """Where the database stands; None for an empty one."""
    if not sa.inspect(connection).has_table(_version.name):
        return None
    return connection.execute(sa.select(_version.c.version_num)).scalar()


def unknown_revision(connection: Connection) -> str | None:
    """The database's revision when no migration here makes it: a newer version wrote it."""
    revision = current_revision(connection)
    return None if revision is None or revision in revisions() else revision
