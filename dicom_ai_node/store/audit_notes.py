"""Notes for the audit trail, written in the transaction of the fact that they are about."""

import base64
from collections import Counter
from collections.abc import Sequence
from datetime import datetime
from typing import Any

import cattrs
from sqlalchemy import Connection, Row, func, insert, select

from dicom_ai_node.domain.audit import Happening, Noted, Outcome, Passage, StudyTold, Way
from dicom_ai_node.domain.job import Delivery
from dicom_ai_node.domain.study import Arrival, Received
from dicom_ai_node.store import tables
from dicom_ai_node.store.archive_tables import held_studies
from dicom_ai_node.store.audit_tables import audit_notes
from dicom_ai_node.store.prepared import into

_INSERT = insert(audit_notes)
_PREPARED = into(audit_notes, "at", "what", "fields")


def write_happenings(connection: Connection, happenings: Sequence[Happening]) -> None:
    """Write down what has happened; none is fine."""
    rows = [
        {"at": one.at, "what": "happening", "fields": _CONVERTER.unstructure(one)}
        for one in happenings
    ]
    if rows:
        connection.execute(_INSERT, rows)


def write_arrivals(
    connection: Connection, arrivals: Sequence[Arrival], became: Sequence[Received], now: datetime
) -> None:
    """Write down what has come in: one row per sender, study and SOP class, however many came."""
    counted = Counter(
        (
            one.calling_ae_title,
            one.address,
            one.instance.study_instance_uid,
            one.instance.sop_class_uid,
            received is Received.DUPLICATE,
        )
        for one, received in zip(arrivals, became, strict=True)
    )
    rows = [
        {
            "at": now,
            "what": "passage",
            "fields": [Way.IN.value, *where, count, int(is_known), int(Outcome.SUCCESS)],
        }
        for (*where, is_known), count in counted.items()
    ]
    _PREPARED.write(connection, rows)


def write_sent(
    connection: Connection, way: Way, deliveries: Sequence[Delivery], now: datetime,
    outcome: Outcome = Outcome.SUCCESS,
) -> None:  # fmt: skip
    """Write down what goes, or has gone, to a destination; none is fine."""
    if not deliveries:
        return
    jobs = tables.jobs
    query = select(jobs.c.key, jobs.c.study_instance_uid)
    keys = {one.result.job for one in deliveries}
    studies = {row.key: row.study_instance_uid
               for row in connection.execute(query.where(jobs.c.key.in_(keys)))}  # fmt: skip
    counted = Counter(
        (one.destination, "", studies[one.result.job], one.result.sop_class_uid)
        for one in deliveries
        if one.result.job in studies
    )
    rows = [
        {"at": now, "what": "passage", "fields": [way.value, *where, count, 0, int(outcome)]}
        for where, count in counted.items()
    ]
    if rows:
        connection.execute(_INSERT, rows)


def study_told(connection: Connection, study: str) -> StudyTold:
    """Return what is to be told of a study that is about to go: nobody can look it up later."""
    held = held_studies
    query = select(held.c.patient_id).where(held.c.study_instance_uid == study)
    patient = connection.scalar(query) or ""
    kinds = tables.instances.c.sop_class_uid
    counted = select(kinds, func.count()).group_by(kinds)
    rows = connection.execute(counted.where(tables.instances.c.study_instance_uid == study))
    return StudyTold(
        study_instance_uid=study,
        sop_classes={sop_class_uid: count for sop_class_uid, count in rows},  # noqa: C416 - rows
        patient_id=patient,
    )


def noted(row: Row[Any]) -> Noted:
    """Return the note of one row."""
    if row.what == "happening":
        return Noted(number=row.number, what=_CONVERTER.structure(row.fields, Happening))
    way, peer, address, study, sop_class, count, is_known, outcome = row.fields
    passage = Passage(
        way=Way(way),
        at=row.at,
        peer=peer,
        address=address,
        study_instance_uid=study,
        sop_class_uid=sop_class,
        count=count,
        is_known=bool(is_known),
        outcome=Outcome(outcome),
    )
    return Noted(number=row.number, what=passage)


def _converter() -> cattrs.Converter:
    made = cattrs.Converter()
    made.register_unstructure_hook(datetime, datetime.isoformat)
    made.register_structure_hook(datetime, lambda said, _: datetime.fromisoformat(said))
    made.register_unstructure_hook(bytes, lambda said: base64.b64encode(said).decode())
    made.register_structure_hook(bytes, lambda said, _: base64.b64decode(said))
    return made


_CONVERTER = _converter()
