"""Alembic's way in: the connection is always given by monitor.stores.migrate."""

from alembic import context

context.configure(connection=context.config.attributes["connection"], render_as_batch=True)
with context.begin_transaction():
    context.run_migrations()
