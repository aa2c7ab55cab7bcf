"""The end of a workitem of others, at the request of somebody who does not perform it."""

from datetime import datetime
from typing import Any

from sqlalchemy import Connection, Row, select

from dicom_ai_node.domain.archive import Header
from dicom_ai_node.domain.json_model import code_item, data_set, merged, text, values
from dicom_ai_node.domain.workitem import StepState, way
from dicom_ai_node.domain.workitem_events import state_report
from dicom_ai_node.domain.workitem_rules import ended
from dicom_ai_node.store import workitem_watch as watch
from dicom_ai_node.store.workitem_rows import write
from dicom_ai_node.store.workitem_tables import subscriptions


def cancel_at_once(connection: Connection, row: Row[Any], request: Header, now: datetime) -> None:
    """End what nobody has claimed; it is IN PROGRESS for a moment, as the standard has it."""
    codes = values(request, "ProcedureStepDiscontinuationReasonCodeSequence")
    unspecified = [code_item("110513", "DCM", "Discontinued for unspecified reason")]
    progress = data_set(
        ReasonForCancellation=text(request, "ReasonForCancellation"),
        ProcedureStepDiscontinuationReasonCodeSequence=codes or unspecified,
    )
    made = merged(row.data_set, data_set(ProcedureStepProgressInformationSequence=[progress]))
    said = []
    for state in way(StepState.SCHEDULED, StepState.CANCELED):
        made = ended(made, state, now)
        said.append(state_report(row.uid, made))
    write(connection, row, now, data_set=made, state=StepState.CANCELED.value)
    watch.tell(connection, row.uid, said)


def is_heard(connection: Connection, uid: str) -> bool:
    """Return whether anybody hears of a workitem, its performer perhaps."""
    query = select(subscriptions.c.aetitle).where(subscriptions.c.workitem == uid).limit(1)
    return connection.scalar(query) is not None
