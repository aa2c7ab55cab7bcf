"""Deleting because a person says so: a study, a series or an instance, with all that hangs on it.

Retention forgets what is old and done; this takes what is named, whatever its age. It takes
nothing from under a job that is at work.
"""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import (
    ColumnElement,
    Connection,
    Delete,
    Select,
    Table,
    and_,
    delete,
    func,
    or_,
    select,
    update,
)

from dicom_ai_node.domain.audit import THE_NODE, Actor
from dicom_ai_node.domain.errors import StillNeeded
from dicom_ai_node.domain.happenings import deleted
from dicom_ai_node.domain.job import ENDED, Stage
from dicom_ai_node.domain.uids import SeriesInstanceUID, Sha256, SOPInstanceUID, StudyInstanceUID
from dicom_ai_node.store import archive_tables as held
from dicom_ai_node.store import tables
from dicom_ai_node.store.audit_notes import study_told, write_happenings
from dicom_ai_node.store.blobs import FolderBlobs
from dicom_ai_node.store.engines import Database
from dicom_ai_node.store.ledger_forget import without_reader
from dicom_ai_node.store.promises import forget_where_gone
from dicom_ai_node.store.retention import ARRIVING
from dicom_ai_node.store.rows import job_event, moved, write_events
from dicom_ai_node.store.workitem_forget import bury_old

_AT_WORK = tuple(stage.value for stage in Stage if stage not in ENDED)
_MIGHT_RUN_AGAIN = tuple(
    stage.value for stage in (Stage.REJECTED, Stage.PARKED, Stage.QUARANTINED, Stage.CANCELLED)
)
_LONG_AGO = datetime.fromtimestamp(0, UTC)


class SqlDeletion:
    """Takes away what is held; implements `domain.archive.Deletion`."""

    def __init__(self, database: Database, blobs: FolderBlobs, now: Callable[[], datetime]) -> None:
        self._database = database
        self._blobs = blobs
        self._now = now

    def delete(
        self,
        study: StudyInstanceUID,
        series: SeriesInstanceUID | None = None,
        instance: SOPInstanceUID | None = None,
        *,
        by: Actor = THE_NODE,
    ) -> int:
        """Delete a study, one of its series or one of its instances; return how many objects.

        The bytes go when no row names them any more; those that came within the last minutes go
        with the next sweep, because they may be arriving again at this moment.

        Raises
        ------
        StillNeeded
            If it is arriving, or a job that needs it, or makes it, has not ended.
        OutOfResources
            If the database cannot answer now.
        """
        now = self._now()

        def work(connection: Connection) -> tuple[int, set[Sha256]]:
            scope = _Scope(study, series, instance)
            told = study_told(connection, study)
            count, free = _Deleting(connection, scope, now).run()
            if count:
                gone = deleted(by, told, now, is_whole=scope.is_whole_study)
                write_happenings(connection, [gone])
            return count, free

        count, free = self._database.transact(work)
        for digest in free:
            self._blobs.discard_aged(digest, now - ARRIVING)
        return count


@dataclass(frozen=True, slots=True)
class _Scope:
    """What is to go."""

    study: StudyInstanceUID
    series: SeriesInstanceUID | None
    instance: SOPInstanceUID | None

    @property
    def is_whole_study(self) -> bool:
        return self.series is None and self.instance is None

    def of(self, table: Table) -> list[ColumnElement[bool]]:
        """Return what a row of these series and instances must be like."""
        wanted: list[ColumnElement[bool]] = []
        if self.series is not None:
            wanted.append(table.c.series_instance_uid == self.series)
        if self.instance is not None:
            wanted.append(table.c.sop_instance_uid == self.instance)
        return wanted


class _Deleting:
    """One deletion in its transaction."""

    def __init__(self, connection: Connection, scope: _Scope, now: datetime) -> None:
        self._connection = connection
        self._scope = scope
        self._now = now
        self._digests: set[Sha256] = set()
        instances, results, jobs = tables.instances, tables.results, tables.jobs
        of_study = select(jobs.c.key).where(jobs.c.study_instance_uid == scope.study)
        self._instances = and_(instances.c.study_instance_uid == scope.study, *scope.of(instances))
        self._results = and_(results.c.job.in_(of_study), *scope.of(results))
        self._inputs = and_(
            tables.job_inputs.c.sop_instance_uid.in_(
                select(instances.c.sop_instance_uid).where(self._instances)
            ),
            *scope.of(tables.job_inputs),
        )

    def run(self) -> tuple[int, set[Sha256]]:
        """Return how many objects have gone, and which blobs have no reader left."""
        self._check_arrivals()
        self._check_jobs()
        uids = self._uids()
        if not uids:
            return 0, set()
        self._take_from_jobs()
        if self._scope.is_whole_study:
            self._end_jobs()
        self._take(tables.results, self._results)
        self._take(tables.instances, self._instances)
        self._tidy_series()
        self._tidy_index()
        forget_where_gone(self._connection, self._scope.study)
        return len(uids), without_reader(self._connection, self._digests)

    def _check_arrivals(self) -> None:
        """Lock the series, in one order as whoever records arrivals, and see that all is quiet."""
        table = tables.series
        mine = [table.c.study_instance_uid == self._scope.study]
        if self._scope.series is not None:
            mine.append(table.c.series_instance_uid == self._scope.series)
        query = select(table.c.is_open).where(*mine).order_by(table.c.series_instance_uid)
        if any(self._connection.scalars(query.with_for_update())):
            raise StillNeeded("it is still arriving; delete it when its series are complete")

    def _check_jobs(self) -> None:
        jobs, inputs = tables.jobs, tables.job_inputs
        concerned = or_(
            jobs.c.study_instance_uid == self._scope.study,
            jobs.c.key.in_(select(inputs.c.job).where(self._inputs)),
        )
        query = select(jobs.c.key, jobs.c.stage).where(concerned).order_by(jobs.c.key)
        busy = [
            row.key[:12]
            for row in self._connection.execute(query.with_for_update())
            if row.stage in _AT_WORK
        ]
        if busy:
            raise StillNeeded(
                f"a job is at work on it or waits ({', '.join(busy[:3])}); delete it when the job"
                " has ended or was cancelled"
            )

    def _uids(self) -> set[str]:
        found: set[str] = set()
        for table, wanted in ((tables.instances, self._instances), (tables.results, self._results)):
            found.update(self._connection.scalars(select(table.c.sop_instance_uid).where(wanted)))
        return found

    def _take_from_jobs(self) -> None:
        """Take the inputs away from jobs that have ended; none may run again without them."""
        jobs, inputs, results = tables.jobs, tables.job_inputs, tables.results
        losing = and_(
            jobs.c.key.in_(select(inputs.c.job).where(self._inputs)),
            jobs.c.stage.in_(_MIGHT_RUN_AGAIN),
            jobs.c.key.not_in(select(results.c.job)),
        )
        stopped = update(jobs).where(losing).values(stage=Stage.SUPERSEDED.value, who=None)
        keys = self._connection.scalars(stopped.returning(jobs.c.key)).all()
        told = moved(Stage.SUPERSEDED, self._now, "an input was deleted by a person")
        write_events(self._connection, [job_event(key, told) for key in keys])
        self._take(inputs, self._inputs)

    def _end_jobs(self) -> None:
        """Remove the jobs of the study, with their results, deliveries and time lines."""
        jobs, inputs, waits = tables.jobs, tables.job_inputs, tables.waits
        mine = select(jobs.c.key).where(jobs.c.study_instance_uid == self._scope.study)
        self._take(inputs, inputs.c.job.in_(mine))
        self._take(tables.results, tables.results.c.job.in_(mine))
        for table in (jobs, waits):
            self._run(delete(table).where(table.c.study_instance_uid == self._scope.study))
        bury_old(self._connection, [self._scope.study], _LONG_AGO)

    def _take(self, table: Table, wanted: ColumnElement[bool]) -> None:
        """Delete rows that name blobs, and remember which."""
        gone = self._connection.scalars(delete(table).where(wanted).returning(table.c.sha256))
        self._digests.update(map(Sha256, gone))

    def _tidy_series(self) -> None:
        """Remove series that are empty now, and count the others again."""
        series, instances = tables.series, tables.instances
        mine = series.c.study_instance_uid == self._scope.study
        its_own = instances.c.series_instance_uid == series.c.series_instance_uid
        left = select(func.count()).where(its_own).scalar_subquery()
        self._run(delete(series).where(mine, left == 0))
        # A revision is the number of instances, but for ours in a series of others. The series is
        # closed, so that nobody who has seen an earlier one can close it by that.
        counted = or_(~instances.c.is_ours, series.c.is_ours)
        left = select(func.count()).where(its_own, counted).scalar_subquery()
        self._run(update(series).where(mine, series.c.revision != left).values(revision=left))

    def _tidy_index(self) -> None:
        table = held.held_instances
        mine = [table.c.study_instance_uid == self._scope.study, *self._scope.of(table)]
        self._run(delete(table).where(*mine))
        self._run(_childless(held.held_series, table, "series_instance_uid", self._scope.study))
        self._run(
            _childless(held.held_studies, held.held_series, "study_instance_uid", self._scope.study)
        )

    def _run(self, statement: Any) -> None:  # noqa: ANN401 - a DELETE or an UPDATE
        self._connection.execute(statement)


def _childless(parents: Table, children: Table, key: str, study: StudyInstanceUID) -> Delete:
    there: Select[Any] = select(children.c[key]).where(children.c.study_instance_uid == study)
    return delete(parents).where(
        parents.c.study_instance_uid == study, parents.c[key].not_in(there)
    )
