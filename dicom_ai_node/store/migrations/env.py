"""Alembic runs this file; `store.schema.migrate` hands it an open transaction."""

from alembic import context

context.configure(connection=context.config.attributes["connection"], transactional_ddl=True)
context.run_migrations()
