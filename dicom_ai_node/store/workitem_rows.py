"""One row of the worklist: made, looked up, changed."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, Row, insert, select, update

from dicom_ai_node.domain.archive import Header
from dicom_ai_node.domain.json_model import text
from dicom_ai_node.domain.workitem import Lock, StepRefused, StepState, Why
from dicom_ai_node.store.workitem_keys import keep
from dicom_ai_node.store.workitem_tables import workitems


def row_of(uid: str, made: Header, now: datetime) -> dict[str, Any]:
    """Return the row of a workitem that somebody has created."""
    return {
        "uid": uid,
        "state": StepState.SCHEDULED.value,
        "transaction_uid": "",
        "data_set": made,
        "study_instance_uid": text(made, "StudyInstanceUID"),
        "patient_id": text(made, "PatientID"),
        "changed_at": now,
        "job": None,
        "follows": None,
        "stage": "",
        "turn": 0,
        "is_of_job": False,
        "is_gone": False,
    }


def found(connection: Connection, uid: str, *, to_change: bool = False) -> Row[Any]:
    """Return the row of a workitem; raise `StepRefused` if there is none, or none any more."""
    query = select(workitems).where(workitems.c.uid == uid)
    row = connection.execute(query.with_for_update() if to_change else query).first()
    if row is None:
        raise StepRefused(Why.UNKNOWN)
    if row.is_gone:
        raise StepRefused(Why.GONE)
    return row


def check_others(row: Row[Any]) -> None:
    """Raise `StepRefused` if the node itself performs a workitem."""
    if row.job is not None:
        raise StepRefused(Why.OURS)


def lock_of(row: Row[Any]) -> Lock:
    """Return where a workitem stands."""
    return Lock(state=StepState(row.state), transaction_uid=row.transaction_uid)


def enter(connection: Connection, row: Mapping[str, Any]) -> None:
    """Enter a workitem, and what it is found by."""
    entering = insert(workitems).values(**row).returning(workitems.c.number)
    keep(connection, connection.execute(entering).scalar_one(), {}, row["data_set"])


def write(connection: Connection, row: Row[Any], now: datetime, **change: Any) -> None:  # noqa: ANN401
    """Change a workitem."""
    connection.execute(
        update(workitems).where(workitems.c.uid == row.uid).values(changed_at=now, **change)
    )
    keep(connection, row.number, row.data_set, change.get("data_set", row.data_set))
