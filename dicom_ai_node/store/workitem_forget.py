"""What is left of a workitem when its study is forgotten: that it was."""

from collections.abc import Sequence
from datetime import datetime

from sqlalchemy import ColumnElement, Connection, and_, delete, exists, or_, select, update

from dicom_ai_node.domain.workitem import FINAL
from dicom_ai_node.store.tables import jobs
from dicom_ai_node.store.workitem_tables import subscriptions, workitem_keys, workitems

_AT_ONCE = 500
_HAS_ENDED = workitems.c.state.in_([state.value for state in FINAL])
_IS_HELD = exists().where(subscriptions.c.workitem == workitems.c.uid, subscriptions.c.has_lock)


def bury_old(connection: Connection, studies: Sequence[str], older_than: datetime) -> None:
    """Leave of what has ended that it was: of forgotten studies, and of what is old.

    A deletion lock keeps it. What nobody has ended yet stays: its study may be still to come.
    """
    of_others = and_(~workitems.c.is_of_job, workitems.c.changed_at < older_than)
    over = or_(workitems.c.study_instance_uid.in_(studies), of_others)
    _bury(connection, and_(over, _HAS_ENDED, ~_IS_HELD))
    bury_without_job(connection)


def bury_without_job(connection: Connection) -> None:
    """Leave of workitems whose jobs are gone that they were, unless somebody holds them.

    One that has not ended by then never will: nobody has looked since its job has, and no lock
    keeps what cannot be told any more.
    """
    is_there = exists().where(jobs.c.key == workitems.c.job)
    is_kept = and_(_HAS_ENDED, _IS_HELD)
    _bury(connection, and_(workitems.c.job.is_not(None), ~is_there, ~is_kept))


def _bury(connection: Connection, which: ColumnElement[bool]) -> None:
    uids = connection.scalars(select(workitems.c.uid).where(which, ~workitems.c.is_gone)).all()
    for start in range(0, len(uids), _AT_ONCE):
        some = uids[start : start + _AT_ONCE]
        connection.execute(
            update(workitems)
            .where(workitems.c.uid.in_(some))
            .values(is_gone=True, data_set={}, patient_id="", transaction_uid="", follows=None)
        )
        numbers = select(workitems.c.number).where(workitems.c.uid.in_(some))
        connection.execute(delete(workitem_keys).where(workitem_keys.c.workitem.in_(numbers)))
        connection.execute(delete(subscriptions).where(subscriptions.c.workitem.in_(some)))
