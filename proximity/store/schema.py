"""Migrations, run from the program: what the files in `migrations/` make of a database."""

from pathlib import Path

from alembic import command
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection

LOCK_KEY = 7_246_391_805_512_201  # of the advisory lock, so that two services on PostgreSQL do not migrate at once


def configuration(connection: Connection | None = None) -> Config:
    """Alembic's settings without a file. `connection` is used as it is, inside its transaction."""
    config = Config()
    config.set_main_option("script_location", str(Path(__file__).parent / "migrations").replace("%", "%%"))
    config.set_main_option("path_separator", "os")
    config.attributes["connection"] = connection
    return config


def upgrade(connection: Connection, revision: str = "head") -> None:
    """Run every migration that is missing, up to `revision`."""
    command.upgrade(configuration(connection), revision)


def current_revision(connection: Connection) -> str | None:
    """Where the database stands; None for an empty one."""
    return MigrationContext.configure(connection).get_current_revision()


def unknown_revision(connection: Connection) -> str | None:
    """The database's revision when no migration here makes it: a newer version wrote it."""
    revision = current_revision(connection)
    known = {script.revision for script in ScriptDirectory.from_config(configuration()).walk_revisions()}
    return None if revision is None or revision in known else revision
