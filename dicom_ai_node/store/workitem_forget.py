"""What is left of a workitem when its study is forgotten: that it was."""

from collections.abc import Sequence
from datetime import datetime

from sqlalchemy import ColumnElement, Connection, and_, delete, exists, select, update

from dicom_ai_node.domain.workitem import FINAL
from dicom_ai_node.store.tables import jobs
from dicom_ai_node.store.workitem_tables import subscriptions, workitems

_ENDED = workitems.c.state.in_([state.value for state in FINAL])


def bury_of_studies(connection: Connection, studies: Sequence[str]) -> None:
    """Leave of the workitems of forgotten studies that they were, unless somebody holds them.

    What nobody has ended yet stays: it may be that the study is still to come.
    """
    _bury(connection, and_(workitems.c.study_instance_uid.in_(studies), _ENDED))


def bury_old(connection: Connection, older_than: datetime) -> None:
    """Leave of what others have ended before `older_than` that it was."""
    _bury(connection, and_(~workitems.c.is_of_job, _ENDED, workitems.c.changed_at < older_than))


def bury_what_is_over(connection: Connection) -> None:
    """Leave of what nobody holds any more, and whose job is forgotten, that it was."""
    is_there = exists().where(jobs.c.key == workitems.c.job)
    _bury(connection, and_(workitems.c.job.is_not(None), ~is_there))


def _bury(connection: Connection, which: ColumnElement[bool]) -> None:
    is_held = exists().where(subscriptions.c.workitem == workitems.c.uid, subscriptions.c.has_lock)
    over = select(workitems.c.uid).where(which, ~workitems.c.is_gone, ~is_held)
    uids = connection.scalars(over).all()
    for start in range(0, len(uids), 500):
        some = uids[start : start + 500]
        connection.execute(
            update(workitems)
            .where(workitems.c.uid.in_(some))
            .values(is_gone=True, data_set={}, patient_id="", transaction_uid="", follows=None)
        )
        connection.execute(delete(subscriptions).where(subscriptions.c.workitem.in_(some)))
