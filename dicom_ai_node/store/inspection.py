"""A ledger that is only looked at: nothing is made, migrated or written, not even a lock file."""

import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from sqlalchemy import URL

from dicom_ai_node.domain.errors import NeedsAttention, OutOfResources
from dicom_ai_node.domain.overview import Promised
from dicom_ai_node.domain.uids import Sha256
from dicom_ai_node.store.backup_postgresql import DIGESTS, SCHEMA, looking
from dicom_ai_node.store.engines import database_url
from dicom_ai_node.store.schema import migrations

_NEWEST = "SELECT max(at) FROM events"
_PROMISED = "SELECT count(*), min(until) FROM promised_studies WHERE until > CURRENT_TIMESTAMP"
_UNPROVEN = (
    "SELECT destination, count(*), min(unproven_since), min(note) FROM deliveries"
    " WHERE unproven_since IS NOT NULL AND state = 'done' GROUP BY destination"
)
_HAS_LEDGER = "SELECT 1 FROM sqlite_master WHERE name = 'alembic_version'"
_DAMAGED = frozenset({"SQLITE_NOTADB", "SQLITE_CORRUPT"})


@dataclass(frozen=True, slots=True, kw_only=True)
class InVain:
    """About how many objects a destination was asked in vain, since when, and what it said."""

    objects: int
    since: datetime | None
    note: str


class Inspection:
    """What is asked of a ledger once.

    Raises
    ------
    NeedsAttention
        If it is damaged so badly that it cannot be read.
    OutOfResources
        If the database does not answer.
    """

    def __init__(self, url: str, *, thorough: bool = False) -> None:
        self.schema, self.damage = "", ""
        self.newest: datetime | None = None
        self.digests: tuple[Sha256, ...] = ()
        self.promised = Promised(studies=0, first_until=None)
        self.unproven: dict[str, InVain] = {}
        script = migrations()
        self.head = script.get_current_head() or ""
        self.revisions = frozenset(one.revision for one in script.walk_revisions())
        parsed = database_url(url)
        if parsed.get_backend_name() == "sqlite":
            self._sqlite(Path(parsed.database or ""), thorough=thorough)
        else:
            self._postgresql(parsed)

    def _sqlite(self, path: Path, *, thorough: bool) -> None:
        if not path.exists():
            return
        with _sentences(), closing(_opened(path)) as connection:
            if connection.execute(_HAS_LEDGER).fetchone() is None:
                return
            check = "integrity_check(1)" if thorough else "quick_check(1)"
            (said,) = connection.execute(f"PRAGMA {check}").fetchone()
            # What it says may quote a row: pages and trees only.
            self.damage = "" if said == "ok" else "a page or an index of it is not whole"
            self._ask(lambda query: connection.execute(query).fetchall())

    def _postgresql(self, url: URL) -> None:
        with looking(url) as connection:
            asked = "SELECT to_regclass('alembic_version') IS NOT NULL"
            (is_there,) = connection.execute(asked).fetchone() or (False,)
            if is_there:
                self._ask(lambda query: connection.execute(query).fetchall())

    def _ask(self, ask: Callable[[str], list[tuple[object, ...]]]) -> None:
        [(schema,)] = ask(SCHEMA)
        [(newest,)] = ask(_NEWEST)
        self.schema, self.newest = str(schema), _moment(newest)
        self.digests = tuple(Sha256(str(one)) for (one,) in ask(DIGESTS))
        if self.schema == self.head:
            [(studies, until)] = ask(_PROMISED)
            self.promised = Promised(studies=int(str(studies)), first_until=_moment(until))
            self.unproven = {
                str(name): InVain(objects=int(str(number)), since=_moment(since), note=str(note))
                for name, number, since, note in ask(_UNPROVEN)
            }


def _moment(said: object) -> datetime | None:
    if said is None or isinstance(said, datetime):
        return said
    found = datetime.fromisoformat(str(said))
    return found if found.tzinfo else found.replace(tzinfo=UTC)


def _opened(path: Path) -> sqlite3.Connection:
    # Without a log beside it nobody uses it, and SQLite need not make one to read it.
    is_used = Path(f"{path}-wal").exists()
    how = "mode=ro" if is_used else "mode=ro&immutable=1"
    return sqlite3.connect(f"{path.resolve().as_uri()}?{how}", uri=True, timeout=5)


@contextmanager
def _sentences() -> Iterator[None]:
    try:
        yield
    except sqlite3.DatabaseError as error:
        if error.sqlite_errorname in _DAMAGED:
            raise NeedsAttention("store.database is not a usable database") from error
        raise OutOfResources(f"the ledger cannot be read now ({type(error).__name__})") from error
