"""What Alembic runs: the connection is given by ``core.store.schema``, which holds the advisory lock on it."""

from alembic import context

from core.store.base import SCHEMA, Base

connection = context.config.attributes["connection"]
context.configure(connection=connection, target_metadata=Base.metadata, version_table_schema=SCHEMA, include_schemas=True)
with context.begin_transaction():
    context.run_migrations()
