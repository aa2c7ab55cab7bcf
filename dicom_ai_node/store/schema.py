"""Bring a database to the schema that this version knows."""

from pathlib import Path

from alembic import command
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, text
from sqlalchemy.exc import DatabaseError

from dicom_ai_node.domain.errors import ConfigError, OutOfResources
from dicom_ai_node.store.engines import Database, database_url, open_database

_MIGRATIONS = Path(__file__).parent / "migrations"
_ONE_AT_A_TIME = 0x44414E  # any number, the same in every process: PostgreSQL's advisory lock


def migrate(database: Database) -> None:
    """Run the migrations that `database` has not seen; all of them or none.

    Several processes may start at once: one migrates, the others wait and find nothing to do.

    Raises
    ------
    ConfigError
        If a newer version of the node has written this database, or if it is damaged.
    OutOfResources
        If the database does not answer.
    """
    config = _config()
    script = ScriptDirectory.from_config(config)
    try:
        with database.writing() as connection:
            _wait_for_turn(connection)
            present = MigrationContext.configure(connection).get_current_revision()
            if present is not None and not is_known(present):
                raise ConfigError(
                    f"store.database has schema {present}, which a newer version of this node has"
                    f" made; this version knows {script.get_current_head()}"
                )
            config.attributes["connection"] = connection
            command.upgrade(config, "head")
    except OutOfResources as error:
        if _is_damaged(error):
            raise ConfigError(
                "store.database is not a usable database: stop the node, move store.folder away"
                " and make it again of the last backup, with `dicom-ai-node restore`"
            ) from error
        raise


def migrations() -> ScriptDirectory:
    """Return the migrations of this version."""
    return ScriptDirectory.from_config(_config())


def is_known(revision: str) -> bool:
    """Return whether this version can use, or migrate, a ledger of a revision."""
    return revision in {one.revision for one in migrations().walk_revisions()}


def has_ledger(url: str) -> bool:
    """Return whether a ledger lives at `url`; look at it and make nothing.

    Raises
    ------
    ConfigError
        If the URL names no database that the ledger can live in, or it may not be opened.
    OutOfResources
        If the database does not answer.
    """
    return _revision(url) is not None


def is_current(url: str) -> bool:
    """Return whether a ledger with all tables of this version lives at `url`.

    Raises
    ------
    ConfigError
        If the URL names no database that the ledger can live in, or it may not be opened.
    OutOfResources
        If the database does not answer.
    """
    return _revision(url) == migrations().get_current_head()


def _revision(url: str) -> str | None:
    parsed = database_url(url)
    if parsed.get_backend_name() == "sqlite" and not Path(parsed.database or "").is_file():
        return None
    database = open_database(url)
    try:
        with database.reading() as connection:
            return MigrationContext.configure(connection).get_current_revision()
    finally:
        database.close()


def _config() -> Config:
    config = Config()
    config.set_main_option("script_location", str(_MIGRATIONS).replace("%", "%%"))
    config.set_main_option("path_separator", "os")
    return config


def _wait_for_turn(connection: Connection) -> None:
    """Let one process migrate at a time; on SQLite BEGIN IMMEDIATE has done so already."""
    if connection.dialect.name == "postgresql":
        connection.execute(text(f"SELECT pg_advisory_xact_lock({_ONE_AT_A_TIME})"))


def _is_damaged(error: OutOfResources) -> bool:
    """Return whether SQLite says that the file is no database, or a broken one."""
    cause = error.__cause__
    if not isinstance(cause, DatabaseError):
        return False
    return getattr(cause.orig, "sqlite_errorname", "") in {"SQLITE_NOTADB", "SQLITE_CORRUPT"}
