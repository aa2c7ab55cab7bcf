"""Ledgers as earlier versions of the node have left them."""

from alembic import command
from alembic.script import ScriptDirectory
from sqlalchemy import MetaData, TextClause, insert, select, text

from dicom_ai_node.store import schema
from dicom_ai_node.store.engines import Database
from dicom_ai_node.store.tables import metadata


def revisions() -> list[str]:
    """Return all revisions of the schema, the first one first."""
    found = ScriptDirectory.from_config(schema._config()).walk_revisions()
    return [one.revision for one in found][::-1]


def _counting_on(table: str) -> TextClause:
    """Let the sequence of a table go on after the numbers that were given by hand."""
    return text(
        f"SELECT setval(pg_get_serial_sequence('{table}', 'number'), max(number)) FROM {table}"
    )


def make_older(database: Database, revision: str, source: Database) -> None:
    """Fill an empty database with the tables of a revision and with the rows of another ledger.

    What that revision did not have yet, tables and columns, is left out.
    """
    config = schema._config()
    with database.writing() as connection:
        config.attributes["connection"] = connection
        command.upgrade(config, revision)
    with source.reading() as reading, database.writing() as writing:
        there = MetaData()
        there.reflect(writing)
        for table in metadata.sorted_tables:
            if table.name in there.tables:
                columns = [c for c in table.columns if c.name in there.tables[table.name].columns]
                rows = [dict(row) for row in reading.execute(select(*columns)).mappings()]
                if rows:
                    writing.execute(insert(table).inline(), rows)
                    if writing.dialect.name == "postgresql" and "number" in table.columns:
                        writing.execute(_counting_on(table.name))
