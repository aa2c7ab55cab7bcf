"""The worklist in SQL: what others create and do, beside what the node does."""

from collections.abc import Callable, Iterator, Sequence
from datetime import datetime
from itertools import islice
from secrets import token_hex
from time import monotonic
from typing import Any

from sqlalchemy import Connection, Row, delete, select

from dicom_ai_node.domain.archive import Archive, Header, Key
from dicom_ai_node.domain.errors import IllegalMove
from dicom_ai_node.domain.job import Job
from dicom_ai_node.domain.matching import header_test
from dicom_ai_node.domain.workitem import (
    ALREADY_CANCELED,
    FILTERED_WORKLIST,
    WORKLIST,
    StepRefused,
    StepState,
    Why,
    after_change,
    check_update,
)
from dicom_ai_node.domain.workitem_events import (
    about_update,
    assigned,
    cancel_requested,
    state_report,
)
from dicom_ai_node.domain.workitem_of_job import Station
from dicom_ai_node.domain.workitem_request import Planning, wanted
from dicom_ai_node.domain.workitem_rules import created, ended, updated
from dicom_ai_node.domain.worklist import Report, Search
from dicom_ai_node.store import workitem_watch as watch
from dicom_ai_node.store.engines import Database
from dicom_ai_node.store.ledger_people import cancel_job
from dicom_ai_node.store.workitem_cancel import cancel_at_once, is_heard
from dicom_ai_node.store.workitem_jobs import AT_ONCE, INPUTS, Following
from dicom_ai_node.store.workitem_keys import narrowed
from dicom_ai_node.store.workitem_rows import check_others, enter, found, lock_of, row_of, write
from dicom_ai_node.store.workitem_tables import channels, reports, workitems

LONGEST_CATCHING_UP = 20
"""So many batches of jobs are entered before a question is answered from what is there by then."""
BETWEEN_LOOKS_SECONDS = 5.0
_PAGE = 50


class SqlWorklist:
    """The workitems; implements `domain.worklist.Worklist`."""

    def __init__(
        self,
        database: Database,
        archive: Archive,
        station: Station,
        planning: Planning | None = None,
    ) -> None:
        self._database = database
        self._ae_title = station.ae_title
        self._planning = planning
        self._seen = (0, 0.0)
        self._jobs = Following(database, archive, station)

    def catch_up(self) -> None:
        """Let workitems follow their jobs."""
        for _ in range(LONGEST_CATCHING_UP):
            if self._jobs.catch_up() < AT_ONCE:
                return

    def create(self, uid: str, said: Header, now: datetime) -> bool:
        """Enter a workitem of somebody else; return whether what was said had to be completed."""
        self.catch_up()
        made, is_completed = created(said, uid, now)
        job = self._asked_for(made, now)

        def work(connection: Connection) -> bool:
            if connection.scalar(select(workitems.c.number).where(workitems.c.uid == uid)):
                raise StepRefused(Why.THERE_ALREADY)
            enter(connection, row_of(uid, made, now))
            for_whom = assigned(uid, made)
            said = [state_report(uid, made), *([for_whom] if for_whom else [])]
            watch.enter(connection, uid, lambda: made, said)
            if job is not None:
                self._jobs.start(connection, uid, job, now)
            return is_completed

        return self._database.transact(work)

    def workitem(self, uid: str) -> Header:
        """Return a workitem, without its Transaction UID."""
        self.catch_up()
        with self._database.reading() as connection:
            return self._jobs.complete(connection, found(connection, uid))

    def search(self, search: Search) -> Iterator[Header]:
        """Yield what matches, without Transaction UIDs, in the order in which they were entered."""
        self.catch_up()
        test = header_test(search.keys, is_fuzzy=search.is_fuzzy)
        matching = self._matching(search, test)
        yield from islice(matching, search.offset, search.offset + search.limit)

    def update(self, uid: str, changes: Header, transaction_uid: str, now: datetime) -> None:
        """Set attributes; raise `StepRefused` if they cannot be set, not now or not by this one."""
        self.catch_up()
        # Planning may have to read models, which is no thing to do while the database is locked.
        job = self._asked_for_by(uid, changes, now)

        def work(connection: Connection) -> None:
            row = found(connection, uid, to_change=True)
            check_others(row)
            lock = lock_of(row)
            check_update(lock, transaction_uid)
            made = updated(row.data_set, changes, lock.state, now)
            write(connection, row, now, data_set=made)
            watch.tell(connection, uid, about_update(uid, row.data_set, made))
            if job is not None and wanted(made, self._ae_title) is not None:
                self._jobs.start(connection, uid, job, now)

        self._database.transact(work)

    def change_state(self, uid: str, to: StepState, transaction_uid: str, now: datetime) -> str:
        """Claim, complete or cancel a workitem; return a warning, empty if there is none."""
        self.catch_up()

        def work(connection: Connection) -> str:
            row = found(connection, uid, to_change=True)
            check_others(row)
            lock, warning = after_change(lock_of(row), to, transaction_uid)
            if not warning:
                made = ended(row.data_set, to, now)
                write(
                    connection, row, now,
                    data_set=made, state=lock.state.value, transaction_uid=lock.transaction_uid,
                )  # fmt: skip
                watch.tell(connection, uid, [state_report(uid, made)])
            return warning

        return self._database.transact(work)

    def request_cancel(self, uid: str, request: Header, requesting_ae: str, now: datetime) -> str:
        """Ask the performer to stop; return a warning, empty if there is none."""
        self.catch_up()

        def work(connection: Connection) -> str:
            row = found(connection, uid, to_change=True)
            match StepState(row.state):
                case StepState.CANCELED:
                    return ALREADY_CANCELED
                case StepState.COMPLETED:
                    raise StepRefused(Why.COMPLETED)
                case state:
                    asked = cancel_requested(uid, request, requesting_ae)
                    watch.tell(connection, uid, [asked])
                    self._cancel(connection, row, state, request, now)
                    return ""

        return self._database.transact(work)

    def subscribe(
        self, aetitle: str, resource: str, keys: Sequence[Key], *, has_lock: bool
    ) -> None:
        """Let `aetitle` hear of a workitem, of all, or of all that match."""
        self.catch_up()

        def work(connection: Connection) -> None:
            if resource in {WORKLIST, FILTERED_WORKLIST}:
                watch.subscribe_to_many(
                    connection, (aetitle, resource), keys, self._jobs.complete, has_lock=has_lock
                )
                return
            row = found(connection, resource)
            watch.subscribe_to_one(connection, aetitle, row, row.data_set, has_lock=has_lock)

        self._database.transact(work)

    def unsubscribe(self, aetitle: str, resource: str) -> None:
        """Let it hear no more; raise `StepRefused` if it does not."""
        self._database.transact(lambda it: watch.unsubscribe(it, aetitle, resource))

    def suspend(self, aetitle: str, resource: str) -> None:
        """Let it hear of no new workitems, but still of those that it hears of."""
        self._database.transact(lambda it: watch.suspend(it, aetitle, resource))

    def open_channel(self, aetitle: str) -> str:
        """Return the name of a new channel for the reports to `aetitle`; it ends the one before."""
        channel = token_hex(8)
        self._database.transact(lambda it: watch.open_channel(it, aetitle, channel))
        return channel

    def reports(self, aetitle: str, channel: str, most: int) -> Sequence[Report] | None:
        """Return the oldest reports that were not told yet; `None` if another channel is open."""
        self._look_now_and_then()
        query = (
            select(reports)
            .where(reports.c.aetitle == aetitle)
            .order_by(reports.c.number)
            .limit(most)
        )
        with self._database.reading() as connection:
            newest = select(channels.c.channel).where(channels.c.aetitle == aetitle)
            if connection.scalar(newest) != channel:
                return None
            return [Report(number=row.number, said=row.said) for row in connection.execute(query)]

    def told(self, aetitle: str, reports_told: Sequence[Report]) -> None:
        """Forget reports that have been told."""
        numbers = [one.number for one in reports_told]
        gone = delete(reports).where(reports.c.aetitle == aetitle, reports.c.number.in_(numbers))
        self._database.transact(lambda connection: connection.execute(gone))

    def _look_now_and_then(self) -> None:
        """Catch up if anything has happened: channels ask all the time, and mostly nothing has.

        On PostgreSQL an event may be seen after one with a higher number, so that a look that
        seems to be in vain is taken now and then.
        """
        latest, (seen, at) = self._jobs.latest_event(), self._seen
        if latest != seen or monotonic() - at > BETWEEN_LOOKS_SECONDS:
            self._seen = (latest, monotonic())
            self.catch_up()

    def _asked_for(self, made: Header, now: datetime) -> Job | None:
        """Return the job that a workitem asks this node for; `None` if it is for others."""
        if self._planning is None:
            return None
        asked = wanted(made, self._ae_title)
        return None if asked is None else self._planning(asked, now)

    def _asked_for_by(self, uid: str, changes: Header, now: datetime) -> Job | None:
        """Return the job that a workitem asks for once it is changed: when it becomes READY."""
        with self._database.reading() as connection:
            row = found(connection, uid)
        if row.job is not None or row.state != StepState.SCHEDULED.value:
            return None
        return self._asked_for(updated(row.data_set, changes, StepState.SCHEDULED, now), now)

    def _matching(self, search: Search, test: Callable[[Header], bool]) -> Iterator[Header]:
        query = select(workitems).where(~workitems.c.is_gone).order_by(workitems.c.number)
        known = [narrowed(key, is_fuzzy=search.is_fuzzy) for key in search.keys]
        query = query.where(*(one for one in known if one is not None))
        # Of a job the inputs are read one by one: only of those that match, if possible.
        asks_for_inputs = any(key.path[0] == INPUTS for key in search.keys)
        last = 0
        # Page by page, so that a slow reader keeps neither memory nor a transaction.
        while True:
            with self._database.reading() as connection:
                page = query.where(workitems.c.number > last).limit(_PAGE)
                rows = connection.execute(page).all()
                whole = [
                    self._jobs.complete(connection, row)
                    for row in rows
                    if asks_for_inputs or test(row.data_set)
                ]
            yield from (one for one in whole if not asks_for_inputs or test(one))
            if len(rows) < _PAGE:
                return
            last = rows[-1].number

    def _cancel(
        self,
        connection: Connection,
        row: Row[Any],
        state: StepState,
        request: Header,
        now: datetime,
    ) -> None:
        if row.follows is not None:
            try:
                # The note of a job names no patient; what the asker says of it may.
                cancel_job(connection, row.follows, "asked for over the worklist", now)
            except IllegalMove as no:
                raise StepRefused(Why.GOES_ON, str(no)) from no
            self._jobs.follow(connection, row)
        elif state is StepState.SCHEDULED:
            cancel_at_once(connection, row, request, now)
        elif not is_heard(connection, row.uid):
            raise StepRefused(Why.UNREACHABLE, "nobody has subscribed to hear of it")
