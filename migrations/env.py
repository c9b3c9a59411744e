"""Alembic's environment: runs the migrations on a given connection, in its transaction.

`skillpm_registry.db.migrate` passes the connection. Alembic's command line cannot be used, because
a catalogue must be changed only under its lock.
"""

from alembic import context

from skillpm_registry.tables import metadata

context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=metadata,
    # SQLite can roll back DDL, but Alembic assumes that it cannot.
    transactional_ddl=True,
)
with context.begin_transaction():
    context.run_migrations()
