"""Jobs as workitems: what has moved in the ledger moves in the worklist when somebody looks."""

from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from functools import partial
from typing import Any, TypeVar

from sqlalchemy import Connection, Row, exists, func, select, update

from dicom_ai_node.domain.archive import Archive, Header, Key, Level, Query
from dicom_ai_node.domain.job import HELD, Job
from dicom_ai_node.domain.json_model import merged, tag_of, text
from dicom_ai_node.domain.workitem import FINAL, StepState, way
from dicom_ai_node.domain.workitem_events import assigned, progress_report, state_report
from dicom_ai_node.domain.workitem_of_job import (
    Done,
    Station,
    at_work,
    inputs,
    performed,
    replacing,
    scheduled,
    state_of,
    workitem_uid,
)
from dicom_ai_node.store import tables
from dicom_ai_node.store.engines import Database
from dicom_ai_node.store.ledger_series import list_jobs
from dicom_ai_node.store.rows import job_of, load_jobs, result_of
from dicom_ai_node.store.workitem_keys import keep
from dicom_ai_node.store.workitem_rows import enter as enter_row
from dicom_ai_node.store.workitem_tables import workitems
from dicom_ai_node.store.workitem_watch import enter, tell

T = TypeVar("T")

AT_ONCE = 100
_IN_ONE_TRANSACTION = 10
INPUTS = tag_of("InputInformationSequence")


class Following:
    """Lets workitems follow their jobs; any number of threads and processes may do so at once."""

    def __init__(self, database: Database, archive: Archive, station: Station) -> None:
        self._database = database
        self._archive = archive
        self._station = station

    def catch_up(self) -> int:
        """Enter up to 100 jobs that are new and 100 that have moved; return how many there were.

        In short transactions: on SQLite, who receives waits for each of them.
        """
        with self._database.reading() as connection:
            new = [job_of(row) for row in connection.execute(_new().limit(AT_ONCE))]
            moved = [row.uid for row in connection.execute(_moved().limit(AT_ONCE))]
        studies = self._studies({job.study_instance_uid for job in new})
        made = [(job, self._scheduled(job, studies)) for job in new]
        for some in _chunks(made):
            self._database.transact(partial(self._write, made=some))
        for uids in _chunks(moved):
            self._database.transact(partial(self._follow, uids=uids))
        return len(new) + len(moved)

    def latest_event(self) -> int:
        """Return the number of the last thing that happened to any job or series."""
        with self._database.reading() as connection:
            return connection.scalar(select(func.max(tables.events.c.number))) or 0

    def follow(self, connection: Connection, row: Row[Any]) -> None:
        """Let a workitem go where its job has gone, one state after the other."""
        found = connection.execute(
            select(tables.jobs).where(tables.jobs.c.key == row.follows)
        ).first()
        if found is None or found.stage == row.stage:
            return
        job = job_of(found)
        before, after = StepState(row.state), state_of(job)
        if before is StepState.CANCELED and after is not StepState.CANCELED:
            self._anew(connection, row, job)
            return
        if before in FINAL:
            change: dict[str, Any] = {"stage": job.stage.value}
        else:
            change = self._moved(connection, row, job)
        connection.execute(update(workitems).where(workitems.c.uid == row.uid).values(change))
        keep(connection, row.number, row.data_set, change.get("data_set", row.data_set))

    def start(self, connection: Connection, uid: str, job: Job, now: datetime) -> None:
        """List the job that a workitem of somebody else asks for, and let it follow that job."""
        list_jobs(connection, [job], now)
        mine = workitems.c.uid == uid
        change = update(workitems).where(mine).values(job=job.key, follows=job.key)
        connection.execute(change)
        self.follow(connection, connection.execute(select(workitems).where(mine)).one())

    def complete(self, connection: Connection, row: Row[Any]) -> Header:
        """Return the whole data set of a workitem: with the inputs of its job, and how far that is.

        How far it is within its leg is read and not followed: that would write all the time.
        """
        if not row.is_of_job:
            return row.data_set  # type: ignore[no-any-return]
        found = connection.execute(select(tables.jobs).where(tables.jobs.c.key == row.job)).all()
        if not found:
            return row.data_set  # type: ignore[no-any-return]
        (job,) = load_jobs(connection, found)
        told = {INPUTS: {"vr": "SQ", "Value": inputs(job, _classes(connection, job))}}
        is_held = row.stage == job.stage.value and job.stage in HELD
        return merged(row.data_set, told, at_work(job) if is_held else {})

    def _studies(self, uids: set[str]) -> Mapping[str, Header]:
        if not uids:
            return {}
        key = Key(path=("0020000D",), value="\\".join(sorted(uids)))
        found = self._archive.search(Query(level=Level.STUDY, keys=(key,)))
        return {text(one, "StudyInstanceUID"): one for one in found}

    def _scheduled(self, job: Job, studies: Mapping[str, Header]) -> dict[str, Any]:
        study = studies.get(job.study_instance_uid, {})
        return scheduled(job, workitem_uid(job.key, 0), study, self._station)

    def _write(self, connection: Connection, made: Sequence[tuple[Job, Header]]) -> None:
        """Enter what nobody else has entered in the meantime."""
        keys = [job.key for job, _ in made]
        missing = select(tables.jobs.c.key).where(
            tables.jobs.c.key.in_(keys), ~exists().where(workitems.c.job == tables.jobs.c.key)
        )
        new = set(connection.scalars(missing))
        for job, said in made:
            if job.key in new:
                self._enter(connection, job, 0, said)

    def _anew(self, connection: Connection, row: Row[Any], job: Job) -> None:
        """Enter a job that somebody has set going again as another workitem."""
        connection.execute(update(workitems).where(workitems.c.uid == row.uid).values(follows=None))
        # Of several workitems that one job has served, the first is followed by the next.
        first = select(func.min(workitems.c.number)).where(
            workitems.c.job == job.key, workitems.c.turn == row.turn
        )
        if connection.scalar(first) == row.number:
            uid = workitem_uid(job.key, row.turn + 1)
            again = scheduled(job, uid, row.data_set, self._station)
            self._enter(connection, job, row.turn + 1, merged(again, replacing(row.uid)))

    def _enter(self, connection: Connection, job: Job, turn: int, made: Header) -> None:
        uid = text(made, "SOPInstanceUID")
        enter_row(
            connection,
            {
                "uid": uid,
                "state": StepState.SCHEDULED.value,
                "transaction_uid": "",
                "data_set": made,
                "study_instance_uid": job.study_instance_uid,
                "patient_id": text(made, "PatientID"),
                "changed_at": job.created_at,
                "job": job.key,
                "follows": job.key,
                # As it was read; if it has moved since, it follows at once.
                "stage": job.stage.value if state_of(job) is StepState.SCHEDULED else "",
                "turn": turn,
                "is_of_job": True,
                "is_gone": False,
            },
        )
        for_whom = assigned(uid, made)
        said = [state_report(uid, made), *([for_whom] if for_whom else [])]
        row = connection.execute(select(workitems).where(workitems.c.uid == uid)).one()
        enter(connection, uid, lambda: self.complete(connection, row), said)
        self.follow(connection, row)

    def _follow(self, connection: Connection, uids: Sequence[str]) -> None:
        query = select(workitems).where(workitems.c.uid.in_(uids)).order_by(workitems.c.number)
        for row in connection.execute(query.with_for_update()).all():
            self.follow(connection, row)

    def _moved(self, connection: Connection, row: Row[Any], job: Job) -> dict[str, Any]:
        before, after = StepState(row.state), state_of(job)
        if before is StepState.IN_PROGRESS and after is StepState.SCHEDULED:
            after = before  # it waits for its next attempt; what has begun has begun
        done = _done(connection, job)
        made: Header = row.data_set
        for state in way(before, after) or ((after,) if after is before else ()):
            made = merged(made, performed(job, state, done, self._station))
            said = [] if state is before else [state_report(row.uid, made)]
            if state is StepState.IN_PROGRESS:
                said.append(progress_report(row.uid, made))
            tell(connection, row.uid, said)
        return {
            "state": after.value,
            "data_set": made,
            "stage": job.stage.value,
            "changed_at": done.now,
        }


def _chunks(found: Sequence[T]) -> Iterator[Sequence[T]]:
    for start in range(0, len(found), _IN_ONE_TRANSACTION):
        yield found[start : start + _IN_ONE_TRANSACTION]


def _new() -> Any:  # noqa: ANN401 - a Select
    jobs = tables.jobs
    return (
        select(jobs)
        .outerjoin(workitems, workitems.c.job == jobs.c.key)
        .where(workitems.c.number.is_(None))
        .order_by(jobs.c.number)
    )


def _moved() -> Any:  # noqa: ANN401 - a Select
    jobs = tables.jobs
    return (
        select(workitems.c.uid)
        .join(jobs, jobs.c.key == workitems.c.follows)
        .where(workitems.c.stage != jobs.c.stage)
        .order_by(workitems.c.number)
    )


def _done(connection: Connection, job: Job) -> Done:
    """Return what the time line and the results say of a job."""
    events, made = tables.events, tables.results
    mine = events.c.job == job.key
    last = connection.scalar(select(func.max(events.c.at)).where(mine)) or job.created_at
    began = select(func.min(events.c.at)).where(mine, events.c.what == "job_inferring")
    rows = connection.execute(select(made).where(made.c.job == job.key).order_by(made.c.position))
    return Done(
        began_at=connection.scalar(began) or last,
        now=last,
        results=tuple(result_of(row) for row in rows),
    )


def _classes(connection: Connection, job: Job) -> Mapping[str, Any]:
    """Return the SOP classes of what a job looks at, by SOP Instance UID."""
    table, asked = tables.instances, tables.job_inputs
    query = (
        select(table.c.sop_instance_uid, table.c.sop_class_uid)
        .join(asked, asked.c.sop_instance_uid == table.c.sop_instance_uid)
        .where(asked.c.job == job.key)
    )
    return {row.sop_instance_uid: row.sop_class_uid for row in connection.execute(query)}
