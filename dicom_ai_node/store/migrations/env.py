"""Alembic runs this file; `store.schema.migrate` hands it an open transaction."""

from alembic import context

from dicom_ai_node.store.tables import metadata

connection = context.config.attributes["connection"]
context.configure(connection=connection, target_metadata=metadata, transactional_ddl=True)
context.run_migrations()
