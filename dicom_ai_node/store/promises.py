"""Until when studies stay because somebody was told that they are kept.

A promise is entered before it is looked at what is held, and retention looks for it after it has
locked its rows: whichever of the two comes second sees what the first has done.
"""

from collections.abc import Collection, Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import Column, Connection, Select, Table, Text, delete, exists, select, union_all
from sqlalchemy.dialects import postgresql, sqlite

from dicom_ai_node.domain.commitment import Asked
from dicom_ai_node.store import tables
from dicom_ai_node.store.columns import Instant

promised_studies = Table(
    "promised_studies",
    tables.metadata,
    Column("study_instance_uid", Text, primary_key=True),
    # As it was told then, whatever `store.keep_days` says by now.
    Column("until", Instant, nullable=False, index=True),
)

_AT_ONCE = 500


def promise(connection: Connection, asked: Sequence[Asked], until: datetime) -> frozenset[Asked]:
    """Let the studies of these instances stay until then; return which of them are here.

    What comes a moment later is not among them, and may not be answered for.
    """
    found = _studies(connection, asked)
    series = tables.series
    # Against retention alone: who receives more of the study need not wait, nor do we for them.
    locking = (
        select(series.c.series_instance_uid)
        .where(series.c.study_instance_uid.in_(set(found.values())))
        .order_by(series.c.series_instance_uid)
        .with_for_update(read=True, key_share=True)
    )
    connection.execute(locking).all()
    left = _studies(connection, asked)
    relied_on = {one: study for one, study in left.items() if found.get(one) == study}
    if relied_on:
        dialect = postgresql if connection.dialect.name == "postgresql" else sqlite
        entering = dialect.insert(promised_studies)
        later = entering.on_conflict_do_update(
            index_elements=["study_instance_uid"],
            set_={"until": entering.excluded.until},
            where=promised_studies.c.until < entering.excluded.until,
        )
        studies = sorted(set(relied_on.values()))
        rows = [{"study_instance_uid": study, "until": until} for study in studies]
        connection.execute(later, rows)
    return frozenset(relied_on)


def _studies(connection: Connection, asked: Sequence[Asked]) -> dict[Asked, str]:
    """Return with which study retention would remove each of these, as far as they are here."""
    instances, series, made, jobs = tables.instances, tables.series, tables.results, tables.jobs
    found: dict[Asked, str] = {}
    for start in range(0, len(asked), _AT_ONCE):
        uids = [one.sop_instance_uid for one in asked[start : start + _AT_ONCE]]
        received = (
            select(
                instances.c.sop_instance_uid, instances.c.sop_class_uid, series.c.study_instance_uid
            )
            .join(series, series.c.series_instance_uid == instances.c.series_instance_uid)
            .where(instances.c.sop_instance_uid.in_(uids))
        )
        results = (
            select(made.c.sop_instance_uid, made.c.sop_class_uid, jobs.c.study_instance_uid)
            .join(jobs, jobs.c.key == made.c.job)
            .where(made.c.sop_instance_uid.in_(uids))
        )
        # What was received counts where an own result has come back, as for who looks for it.
        for row in connection.execute(union_all(results, received)):
            found[Asked(row.sop_class_uid, row.sop_instance_uid)] = row.study_instance_uid
    return {one: found[one] for one in asked if one in found}


def promised(now: datetime) -> Select[Any]:
    """Return the query for the studies that have to stay."""
    return select(promised_studies.c.study_instance_uid).where(promised_studies.c.until > now)


def still_promised(connection: Connection, studies: Collection[str], now: datetime) -> set[str]:
    """Return those of these studies that have to stay."""
    query = promised(now).where(promised_studies.c.study_instance_uid.in_(studies))
    return set(connection.scalars(query))


def forget_promises(connection: Connection, studies: Collection[str], now: datetime) -> None:
    """Forget what was promised of studies that have gone, and what has had its time."""
    table = promised_studies
    connection.execute(delete(table).where(table.c.study_instance_uid.in_(studies)))
    connection.execute(delete(table).where(table.c.until <= now))


def forget_where_gone(connection: Connection, study: str) -> None:
    """Forget what was promised of a study of which a person has deleted all that there was."""
    series, made, jobs = tables.series, tables.results, tables.jobs
    received = exists().where(series.c.study_instance_uid == study)
    results = exists().where(made.c.job == jobs.c.key, jobs.c.study_instance_uid == study)
    gone = delete(promised_studies).where(
        promised_studies.c.study_instance_uid == study, ~received, ~results
    )
    connection.execute(gone)
