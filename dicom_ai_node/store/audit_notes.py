"""Notes for the audit trail, written in the transaction of the fact that they are about."""

import base64
from collections import Counter
from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import Any

import cattrs
from sqlalchemy import Connection, Row, insert

from dicom_ai_node.domain.audit import Happening, Noted, Outcome, Passage, Way
from dicom_ai_node.domain.study import Arrival, Received
from dicom_ai_node.store.audit_tables import audit_notes

_INSERT = insert(audit_notes)


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
    connection.execute(_INSERT, rows)


def write_passages(connection: Connection, passages: Iterable[Passage]) -> None:
    """Write down what has gone, or is about to go; none is fine."""
    rows = [{"at": one.at, "what": "passage", "fields": _fields(one)} for one in passages]
    if rows:
        connection.execute(_INSERT, rows)


def _fields(one: Passage) -> list[str | int]:
    where = (one.peer, one.address, one.study_instance_uid, one.sop_class_uid)
    return [one.way.value, *where, one.count, int(one.is_known), int(one.outcome)]


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
