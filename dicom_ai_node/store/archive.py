"""The archive in SQL: search, and the way from a UID to the bytes."""

import zlib
from collections.abc import Iterator, Sequence
from types import MappingProxyType
from typing import Any

from sqlalchemy import Row, Select, bindparam, select

from dicom_ai_node.domain.archive import Header, Held, Query
from dicom_ai_node.domain.uids import SeriesInstanceUID, SOPInstanceUID, StudyInstanceUID
from dicom_ai_node.store.archive_search import found
from dicom_ai_node.store.archive_tables import held_headers, held_instances, held_series
from dicom_ai_node.store.blobs import FolderBlobs
from dicom_ai_node.store.engines import Database
from dicom_ai_node.store.header_json import encoded, header_json
from dicom_ai_node.store.indexing import AT_ONCE, Indexing

LONGEST_CATCHING_UP = 5
"""So many batches are indexed before a question is answered from what is there by then."""


class SqlArchive:
    """What the node holds; implements `domain.archive.Archive`."""

    def __init__(self, database: Database, blobs: FolderBlobs) -> None:
        self._database = database
        self._blobs = blobs
        self._indexing = Indexing(database, blobs)

    def catch_up(self) -> int:
        """Index one batch of what has been recorded; return how many objects that were."""
        return self._indexing.catch_up()

    def search(self, query: Query) -> Sequence[Header]:
        """Return what matches, each with all that is known at its level and above it."""
        self._keep_up()
        with self._database.reading() as connection:
            return found(connection, query)

    def held(
        self,
        study: StudyInstanceUID,
        series: SeriesInstanceUID | None = None,
        instance: SOPInstanceUID | None = None,
    ) -> Sequence[Held]:
        """Return a study, one of its series or one of its instances, by series and number."""
        self._keep_up()
        query = _OF[series is not None, instance is not None]
        wanted = {"study": study, "series": series, "instance": instance}
        said = {name: uid for name, uid in wanted.items() if uid is not None}
        with self._database.reading() as connection:
            return [_held(row) for row in connection.execute(query, said)]

    def instances(self, sop_instance_uids: Sequence[SOPInstanceUID]) -> Sequence[Held]:
        """Return those of these instances that are here, wherever they belong."""
        self._keep_up()
        query = _ordered().where(held_instances.c.sop_instance_uid.in_(sop_instance_uids))
        with self._database.reading() as connection:
            return [_held(row) for row in connection.execute(query)]

    def headers(self, held: Sequence[Held]) -> Iterator[bytes]:
        """Yield the whole header of each object as encoded DICOM JSON, one object at a time."""
        for start in range(0, len(held), AT_ONCE):
            some = held[start : start + AT_ONCE]
            known = self._deflated([one.sop_instance_uid for one in some])
            for one in some:
                deflated = known.get(one.sop_instance_uid)
                if deflated is None:
                    yield encoded(header_json(self._blobs.path(one.sha256)))
                else:
                    yield zlib.decompress(deflated)

    def _deflated(self, uids: Sequence[SOPInstanceUID]) -> dict[str, bytes]:
        query = select(held_headers).where(held_headers.c.sop_instance_uid.in_(uids))
        with self._database.reading() as connection:
            return {row.sop_instance_uid: row.deflated for row in connection.execute(query)}

    def _keep_up(self) -> None:
        for _ in range(LONGEST_CATCHING_UP):
            if self._indexing.catch_up() < AT_ONCE:
                return


def _ordered() -> Select[Any]:
    table, series = held_instances, held_series
    return (
        # Without the headers: they are long, and nobody who asks here wants them.
        select(*(column for column in table.c if column is not table.c.header))
        .join(series, series.c.series_instance_uid == table.c.series_instance_uid)
        .order_by(
            series.c.series_number,
            table.c.series_instance_uid,
            table.c.instance_number,
            table.c.sop_instance_uid,
        )
    )


def _of(*, series: bool, instance: bool) -> Select[Any]:
    """Return the question for a study, and for one of its series or of its instances."""
    table = held_instances
    query = _ordered().where(table.c.study_instance_uid == bindparam("study"))
    if series:
        query = query.where(table.c.series_instance_uid == bindparam("series"))
    if instance:
        query = query.where(table.c.sop_instance_uid == bindparam("instance"))
    return query


_OF = MappingProxyType({
    (series, instance): _of(series=series, instance=instance)
    for series in (False, True) for instance in (False, True)
})  # fmt: skip
"""Made once: making one takes as long as its answer."""


def _held(row: Row[Any]) -> Held:
    return Held(
        study_instance_uid=row.study_instance_uid,
        series_instance_uid=row.series_instance_uid,
        sop_instance_uid=row.sop_instance_uid,
        sop_class_uid=row.sop_class_uid,
        transfer_syntax_uid=row.transfer_syntax_uid,
        sha256=row.sha256,
        size_bytes=row.size_bytes,
    )
