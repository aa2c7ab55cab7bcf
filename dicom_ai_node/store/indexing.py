"""The archive's index grows: what has been recorded since the last look, header by header.

The index is derived from the blobs. Whoever asks the archive lets it catch up first, so that what
was recorded before a question is found by it, and receiving does not wait for it.
"""

import zlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import structlog
from sqlalchemy import Connection, Table, bindparam, select, update
from sqlalchemy.dialects import postgresql, sqlite

from dicom_ai_node.domain.levels import of_instance, of_series, of_study
from dicom_ai_node.domain.names import folded
from dicom_ai_node.domain.spans import date_span
from dicom_ai_node.domain.uids import Sha256
from dicom_ai_node.store import archive_tables as held
from dicom_ai_node.store import tables
from dicom_ai_node.store.blobs import FolderBlobs
from dicom_ai_node.store.engines import Database
from dicom_ai_node.store.header_json import encoded, header_json

log = structlog.get_logger()

AT_ONCE = 100
_SOURCES = (tables.instances, tables.results)
# Made once: every question to the archive begins with these.
_UNINDEXED = tuple(
    select(
        source.c.sop_instance_uid,
        source.c.sop_class_uid,
        source.c.transfer_syntax_uid,
        source.c.sha256,
    )
    .where(~source.c.is_indexed)
    .limit(bindparam("most"))
    for source in _SOURCES
)


@dataclass(frozen=True, slots=True, kw_only=True)
class _New:
    """An object that the index does not know yet."""

    source: Table
    sop_instance_uid: str
    sop_class_uid: str
    transfer_syntax_uid: str
    sha256: Sha256


class Indexing:
    """Brings the index up to date; any number of threads and processes may do so at once."""

    def __init__(self, database: Database, blobs: FolderBlobs) -> None:
        self._database = database
        self._blobs = blobs

    def catch_up(self, most: int = AT_ONCE) -> int:
        """Index up to `most` objects and return how many were new; 0 means up to date."""
        new = self._unindexed(most)
        read = [(one, _rows(one, self._blobs.path(one.sha256))) for one in new]
        if read:
            self._database.transact(lambda connection: _write(connection, read))
        return len(read)

    def _unindexed(self, most: int) -> list[_New]:
        found: list[_New] = []
        with self._database.reading() as connection:
            for source, query in zip(_SOURCES, _UNINDEXED, strict=True):
                rows = connection.execute(query, {"most": most - len(found)})
                found += [_New(source=source, **row._mapping) for row in rows]  # noqa: SLF001 - public in spite of its name
        return found


_Rows = Mapping[Table, Mapping[str, Any]]


def _rows(new: _New, path: Path) -> _Rows | None:
    """Return a row for each table, or `None` if the file is gone or cannot be read."""
    try:
        header = header_json(path)
        size_bytes = path.stat().st_size
    except Exception:
        # It stays stored and may be routed, but by a header that nobody can read nobody finds it.
        log.warning("header_not_indexed", exc_info=True)
        return None
    study, series, instance = of_study(header), of_series(header), of_instance(header)
    return {
        held.held_studies: {
            "study_instance_uid": text(header, "0020000D"),
            "patient_id": text(header, "00100020"),
            "patient_name": folded(header.get("00100010", {})),
            "accession_number": text(header, "00080050"),
            "study_date": day(header, "00080020"),
            "is_odd": has_several(header, "00100020", "00100010", "00080050", "00080020"),
            "header": study,
        },
        held.held_series: {
            "series_instance_uid": text(header, "0020000E"),
            "study_instance_uid": text(header, "0020000D"),
            "modality": text(header, "00080060"),
            "series_number": number(header, "00200011"),
            "is_odd": has_several(header, "00080060", "00200011"),
            "header": series,
        },
        held.held_instances: {
            "sop_instance_uid": new.sop_instance_uid,
            "series_instance_uid": text(header, "0020000E"),
            "study_instance_uid": text(header, "0020000D"),
            "sop_class_uid": new.sop_class_uid,
            "transfer_syntax_uid": new.transfer_syntax_uid,
            "instance_number": number(header, "00200013"),
            "sha256": new.sha256,
            "size_bytes": size_bytes,
            "is_odd": has_several(header, "00200013"),
            "header": instance,
        },
        held.held_headers: {
            "sop_instance_uid": new.sop_instance_uid,
            "deflated": zlib.compress(encoded(header)),
        },
    }


def text(header: Mapping[str, Any], tag: str) -> str:
    """Return the first value of an element as text, empty if there is none."""
    values = header.get(tag, {}).get("Value") or [""]
    return str(values[0] if values[0] is not None else "").strip(" \0")


def day(header: Mapping[str, Any], tag: str) -> str:
    """Return the first value of an element as YYYYMMDD, empty if it is no date."""
    try:
        return date_span(text(header, tag)).low or ""
    except ValueError:
        return ""


def has_several(header: Mapping[str, Any], *tags: str) -> bool:
    """Return whether one of these elements has several values, of which a column has the first."""
    return any(len(header.get(tag, {}).get("Value", ())) > 1 for tag in tags)


def number(header: Mapping[str, Any], tag: str) -> int:
    """Return the first value of an element as a whole number, 0 if there is none."""
    try:
        return max(-(2**31), min(2**31 - 1, int(float(text(header, tag)))))
    except (ValueError, OverflowError):
        return 0


def _write(connection: Connection, read: Sequence[tuple[_New, _Rows | None]]) -> None:
    """Enter what is still there: a study may have been forgotten since it was read."""
    for source in _SOURCES:
        uids = [one.sop_instance_uid for one, _ in read if one.source is source]
        marked = (
            update(source)
            .where(source.c.sop_instance_uid.in_(uids))
            .values(is_indexed=True)
            .returning(source.c.sop_instance_uid)
        )
        there = set(connection.scalars(marked))
        rows = [
            rows
            for one, rows in read
            if one.source is source and one.sop_instance_uid in there and rows is not None
        ]
        for table in (
            held.held_studies, held.held_series, held.held_instances, held.held_headers,
        ):  # fmt: skip
            _insert(connection, table, [one[table] for one in rows])


def _insert(connection: Connection, table: Table, rows: Iterable[Mapping[str, Any]]) -> None:
    """Insert what is not there yet, in one order, so that two processes cannot block each other."""
    key = next(iter(table.primary_key.columns)).name
    ordered = sorted({row[key]: row for row in rows}.values(), key=lambda row: str(row[key]))
    if not ordered:
        return
    dialect = sqlite if connection.dialect.name == "sqlite" else postgresql
    connection.execute(dialect.insert(table).on_conflict_do_nothing(), ordered)
