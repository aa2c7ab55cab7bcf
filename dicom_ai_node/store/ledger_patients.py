"""The seventh part of the ledger: which series are of one patient, and what was reported of them.

Who that is nobody knows here: there is a keyed hash, or nothing.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from sqlalchemy import Connection, Row, delete, insert, literal, select

from dicom_ai_node.domain.job import Job, Stage
from dicom_ai_node.domain.uids import SeriesInstanceUID, Sha256, StudyInstanceUID
from dicom_ai_node.store import tables
from dicom_ai_node.store.engines import Database
from dicom_ai_node.store.rows import load_jobs

_REPORTS = "1.2.840.10008.5.1.4.1.1.88."
"""What the UIDs of the SOP classes of structured reports begin with, PS3.4 B.5."""
_AT_WORK = [stage.value for stage in (Stage.READY, Stage.INFERRING, Stage.INFERRED, Stage.ENCODING)]


class SamePatient:
    """What a comparison with earlier studies reads and writes."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def of_unknown_patient(self, limit: int) -> Mapping[SeriesInstanceUID, Sha256]:
        """Return series of which nobody has asked yet whose they are, each with one blob."""
        series, known, table = tables.series, tables.series_patients, tables.instances
        query = (
            select(series.c.series_instance_uid)
            .join(known, known.c.series_instance_uid == series.c.series_instance_uid, isouter=True)
            .where(known.c.series_instance_uid.is_(None))
            .order_by(series.c.last_received.desc(), series.c.series_instance_uid)
            .limit(limit)
        )
        with self._database.reading() as connection:
            uids = connection.scalars(query).all()
            blobs = (
                select(table.c.series_instance_uid, table.c.sha256)
                .where(table.c.series_instance_uid.in_(uids))
                .order_by(table.c.number.desc())
            )
            return {row.series_instance_uid: row.sha256 for row in connection.execute(blobs)}

    def note_patients(self, patients: Mapping[SeriesInstanceUID, str]) -> None:
        """Keep whose series are; one that is gone by now is left out."""
        table, series = tables.series_patients, tables.series.c.series_instance_uid

        def work(connection: Connection) -> None:
            connection.execute(delete(table).where(table.c.series_instance_uid.in_(patients)))
            for uid, patient in patients.items():
                row = select(series, literal(patient)).where(series == uid)
                connection.execute(
                    insert(table).from_select(["series_instance_uid", "patient"], row)
                )

        self._database.transact(work)

    def awaits_earlier(self, job: Job, patient: str) -> bool:
        """Return whether an earlier study of the patient is still arriving or at work.

        What counts is work on the route of `job`: its results are worth waiting for.
        """
        series, jobs = tables.series, tables.jobs
        with self._database.reading() as connection:
            studies = _studies_of(connection, patient) | {job.study_instance_uid}
            rows = connection.execute(
                select(series).where(series.c.study_instance_uid.in_(studies), ~series.c.is_ours)
            ).all()
            studied = {row.study_instance_uid: _studied(row) for row in rows}
            own = studied.get(job.study_instance_uid, "")
            earlier = [uid for uid, at in studied.items() if at and at < own]
            at_work = select(jobs.c.key).where(
                jobs.c.study_instance_uid.in_(earlier),
                jobs.c.route == job.route,
                jobs.c.stage.in_(_AT_WORK),
            )
            is_arriving = any(row.is_open and row.study_instance_uid in earlier for row in rows)
            return is_arriving or connection.execute(at_work.limit(1)).first() is not None

    def reports_of(self, patient: str, but: StudyInstanceUID, limit: int) -> Sequence[Sha256]:
        """Return structured reports of all studies of a patient but one, the latest first.

        They are those that this node has made, unless they were superseded, and those that it
        has received. A study that has series of somebody else too is left out.
        """
        with self._database.reading() as connection:
            studies = _studies_of(connection, patient) - {but}
            made = _made(connection, studies)
            received = _received(connection, studies)
        return list(dict.fromkeys([*made, *received]))[:limit]

    def inputs_of(
        self, patient: str, but: Job, limit: int
    ) -> Sequence[Mapping[str, tuple[Sha256, ...]]]:
        """Return what the route of a job was given of other studies of the patient, by input.

        The latest job of each study, the latest first.
        """
        jobs = tables.jobs
        with self._database.reading() as connection:
            studies = _studies_of(connection, patient) - {but.study_instance_uid}
            query = (
                select(jobs)
                .where(jobs.c.study_instance_uid.in_(studies), jobs.c.route == but.route)
                .order_by(jobs.c.number.desc())
            )
            rows = connection.execute(query).all()
            latest = {row.study_instance_uid: row for row in reversed(rows)}
            chosen = [row for row in rows if row in latest.values()][:limit]
            return [_inputs(job) for job in load_jobs(connection, chosen)]


def _inputs(job: Job) -> Mapping[str, tuple[Sha256, ...]]:
    names = dict.fromkeys(item.name for item in job.inputs)
    return {name: tuple(item.sha256 for item in job.inputs if item.name == name) for name in names}


def _studied(series: Row[Any]) -> str:
    """Return when the study of a series was, as text that sorts as time does, or nothing."""
    day, time = (str(series.attributes.get(f"Study{part}") or "") for part in ("Date", "Time"))
    return day + time if day else ""


def _studies_of(connection: Connection, patient: str) -> set[str]:
    series, known = tables.series, tables.series_patients
    rows = select(series.c.study_instance_uid, known.c.patient).join(
        known, known.c.series_instance_uid == series.c.series_instance_uid
    )
    its = connection.scalars(
        rows.with_only_columns(series.c.study_instance_uid).where(known.c.patient == patient)
    ).all()
    strange = connection.scalars(
        rows.with_only_columns(series.c.study_instance_uid).where(
            series.c.study_instance_uid.in_(its), known.c.patient != patient
        )
    )
    return set(its) - set(strange)


def _made(connection: Connection, studies: set[str]) -> Sequence[Sha256]:
    jobs, results = tables.jobs, tables.results
    later, theirs = jobs.alias(), results.alias()
    is_replaced = (
        select(later.c.key)
        .join(theirs, theirs.c.job == later.c.key)
        .where(later.c.supersedes == jobs.c.key)
        .exists()
    )
    query = (
        select(results.c.sha256)
        .join(jobs, jobs.c.key == results.c.job)
        .where(
            jobs.c.study_instance_uid.in_(studies),
            jobs.c.stage != Stage.SUPERSEDED.value,
            results.c.kind == "structured_report",
            ~is_replaced,
        )
        .order_by(jobs.c.number.desc())
    )
    return connection.scalars(query).all()


def _received(connection: Connection, studies: set[str]) -> Sequence[Sha256]:
    table = tables.instances
    query = (
        select(table.c.sha256)
        .where(
            table.c.study_instance_uid.in_(studies),
            table.c.sop_class_uid.startswith(_REPORTS, autoescape=True),
        )
        .order_by(table.c.number.desc())
    )
    return connection.scalars(query).all()
