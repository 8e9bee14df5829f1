"""Alembic runs this file. The connection and its transaction come from `proximity.store.schema`."""

from alembic import context

from proximity.store.tables import metadata

connection = context.config.attributes["connection"]
if connection is None:
    raise RuntimeError("run migrations through proximity.store.database.Store.migrate()")
context.configure(
    connection=connection,
    target_metadata=metadata,
    render_as_batch=connection.dialect.name == "sqlite",  # SQLite alters a table by copying it
    transactional_ddl=True,  # SQLite's BEGIN is ours, so a migration that fails leaves nothing behind
)
with context.begin_transaction():
    context.run_migrations()
