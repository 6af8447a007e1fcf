"""Alembic's entry point: migrates over the connection that models/migrate.py hands in."""

from alembic import context

context.configure(connection=context.config.attributes["connection"])
with context.begin_transaction():
    context.run_migrations()
