"""Runs the migrations on the connection that is given, as part of its transaction.

`skillpm_registry.db.schema` gives it; there is no other way in, so that a catalogue is only
changed under its lock.
"""

from alembic import context

from skillpm_registry.tables import metadata

context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=metadata,
    # SQLite can roll back DDL; Alembic assumes that it cannot.
    transactional_ddl=True,
)
with context.begin_transaction():
    context.run_migrations()
