"""Alembic runs this file; `store.schema.migrate` hands it an open transaction."""

from alembic import context

from dicom_ai_node.store import account_tables, archive_tables, tables

assert archive_tables.held_studies.metadata is tables.metadata  # noqa: S101 - all of them
assert account_tables.accounts.metadata is tables.metadata  # noqa: S101
connection = context.config.attributes["connection"]
context.configure(connection=connection, target_metadata=tables.metadata, transactional_ddl=True)
context.run_migrations()
