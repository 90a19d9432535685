"""Alembic's entry, for both trees: it runs in the transaction that lakehouse.postgres.migrate has opened."""

from __future__ import annotations

from alembic import context

options = context.config.attributes
context.configure(
    connection=options["connection"],
    version_table_schema=options["schema"],
    on_version_apply=options["on_version_apply"],
)
with context.begin_transaction():
    context.run_migrations()
