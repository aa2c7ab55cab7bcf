"""A query of the archive as SQL, and what is computed for each answer."""

from collections.abc import Sequence
from typing import Any

from sqlalchemy import Connection, Select, select

from dicom_ai_node.domain.archive import Header, Level, Query
from dicom_ai_node.store.archive_tables import held_instances, held_series, held_studies

_UIDS = {
    "0020000D": held_studies.c.study_instance_uid,
    "0020000E": held_series.c.series_instance_uid,
    "00080018": held_instances.c.sop_instance_uid,
}


def found(connection: Connection, query: Query) -> Sequence[Header]:
    """Return what matches `query`, in a stable order."""
    rows = connection.execute(_statement(query).limit(query.limit).offset(query.offset))
    return [_header(row) for row in rows]


def _statement(query: Query) -> Select[Any]:
    statement = {
        Level.STUDY: _studies,
        Level.SERIES: _series,
        Level.IMAGE: _instances,
    }[query.level]()
    for key in query.keys:
        column = _UIDS.get(key.path[0])
        if column is not None and key.value:
            statement = statement.where(column.in_(key.value.split("\\")))
    return statement


def _studies() -> Select[Any]:
    return select(held_studies.c.header.label("study")).order_by(
        held_studies.c.study_date.desc(), held_studies.c.study_instance_uid
    )


def _series() -> Select[Any]:
    return (
        select(held_studies.c.header.label("study"), held_series.c.header.label("series"))
        .join(held_series, held_series.c.study_instance_uid == held_studies.c.study_instance_uid)
        .order_by(held_series.c.series_number, held_series.c.series_instance_uid)
    )


def _instances() -> Select[Any]:
    return (
        _series()
        .add_columns(held_instances.c.header.label("instance"))
        .join(
            held_instances,
            held_instances.c.series_instance_uid == held_series.c.series_instance_uid,
        )
        .order_by(held_instances.c.instance_number, held_instances.c.sop_instance_uid)
    )


def _header(row: Any) -> dict[str, Any]:  # noqa: ANN401 - one to three headers
    together: dict[str, Any] = {}
    for part in row:
        together.update(part)
    return dict(sorted(together.items()))
