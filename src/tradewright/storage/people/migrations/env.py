"""Runs the migrations of one database on the connection, and in the transaction, of whoever asks.

Alembic loads this file by its path; ``migrating`` hands in connection and layout.
"""

from alembic import context

_layout = context.config.attributes["layout"]
context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=_layout.metadata,
    version_table=_layout.version_table,
)
with context.begin_transaction():
    context.run_migrations()
