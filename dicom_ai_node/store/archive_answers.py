"""What is told of each study, series or instance that was found: its header, and what is counted.

A page of an answer takes six statements at most, however long it is.
"""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from sqlalchemy import ColumnElement, Connection, func, select

from dicom_ai_node.domain.archive import Header, Level
from dicom_ai_node.store.archive_narrow import among
from dicom_ai_node.store.archive_tables import held_instances, held_series, held_studies

_SAID_OF_ALL: Mapping[str, Any] = {
    "00080005": {"vr": "CS", "Value": ["ISO_IR 192"]},
    "00080056": {"vr": "CS", "Value": ["ONLINE"]},
}


def answers(connection: Connection, level: Level, uids: Sequence[str]) -> list[Header]:
    """Return a header for each UID of a level, in the same order, but for what has just gone."""
    if not uids:
        return []
    match level:
        case Level.STUDY:
            studies = _studies(connection, uids)
            return [_together(studies[uid]) for uid in uids if uid in studies]
        case Level.SERIES:
            series = _series(connection, uids)
            return [_together(*series[uid]) for uid in uids if uid in series]
        case Level.IMAGE:
            return _instances(connection, uids)


def _together(*parts: Header) -> Header:
    together = dict(_SAID_OF_ALL)
    for part in parts:
        together.update(part)
    return dict(sorted(together.items()))


def _studies(connection: Connection, uids: Iterable[str]) -> dict[str, Header]:
    """Return what is told of studies, with their modalities, classes and numbers."""
    uids = list(uids)
    table, series, instances = held_studies, held_series, held_instances
    headers = connection.execute(
        select(table.c.study_instance_uid, table.c.header).where(
            among(connection, table.c.study_instance_uid, uids)
        )
    )
    modalities = _counted(connection, series.c.study_instance_uid, series.c.modality, uids)
    classes = _counted(connection, instances.c.study_instance_uid, instances.c.sop_class_uid, uids)
    return {uid: {**header, **_of_study(modalities[uid], classes[uid])} for uid, header in headers}


def _counted(
    connection: Connection,
    of: ColumnElement[str],
    by: ColumnElement[str],
    uids: Sequence[str],
) -> dict[str, dict[str, int]]:
    """Return how many rows there are of each study and kind."""
    counted: dict[str, dict[str, int]] = defaultdict(dict)
    query = select(of, by, func.count()).where(among(connection, of, uids)).group_by(of, by)
    for uid, kind, count in connection.execute(query):
        counted[uid][kind] = count
    return counted


def _of_study(modalities: Mapping[str, int], classes: Mapping[str, int]) -> Header:
    return {
        "00080061": _element("CS", *sorted(filter(None, modalities))),
        "00080062": _element("UI", *sorted(classes)),
        "00201206": _element("IS", sum(modalities.values())),
        "00201208": _element("IS", sum(classes.values())),
    }


def _element(vr: str, *values: object) -> dict[str, Any]:
    return {"vr": vr, "Value": list(values)} if values else {"vr": vr}


def _series(connection: Connection, uids: Iterable[str]) -> dict[str, tuple[Header, Header]]:
    """Return what is told of series: of the study, and of each of them."""
    uids = list(uids)
    table, instances = held_series, held_instances
    rows = connection.execute(
        select(table.c.series_instance_uid, table.c.study_instance_uid, table.c.header).where(
            among(connection, table.c.series_instance_uid, uids)
        )
    ).all()
    query = (
        select(instances.c.series_instance_uid, func.count())
        .where(among(connection, instances.c.series_instance_uid, uids))
        .group_by(instances.c.series_instance_uid)
    )
    counted = {uid: count for uid, count in connection.execute(query)}  # noqa: C416 - typed
    studies = _studies(connection, {row.study_instance_uid for row in rows})
    return {
        uid: (studies[study], {**header, "00201209": _element("IS", counted.get(uid, 0))})
        for uid, study, header in rows
        if study in studies
    }


def _instances(connection: Connection, uids: Sequence[str]) -> list[Header]:
    table = held_instances
    query = select(
        table.c.sop_instance_uid,
        table.c.series_instance_uid,
        table.c.transfer_syntax_uid,
        table.c.header,
    ).where(among(connection, table.c.sop_instance_uid, uids))
    rows = {row.sop_instance_uid: row for row in connection.execute(query)}
    series = _series(connection, {row.series_instance_uid for row in rows.values()})
    return [
        _together(
            *series[row.series_instance_uid],
            {**row.header, "00083002": _element("UI", row.transfer_syntax_uid)},
        )
        for row in (rows[uid] for uid in uids if uid in rows)
        if row.series_instance_uid in series
    ]
