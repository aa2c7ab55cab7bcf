"""What workitems are searched by, one row for each value: a search reads those that may match.

What SQL says of a key lets more through than matches, never less; it is compared again.
"""

from collections.abc import Iterator, Sequence
from datetime import date
from types import MappingProxyType
from typing import Any

from sqlalchemy import ColumnElement, Connection, and_, delete, func, insert, or_, select

from dicom_ai_node.domain.archive import Header, Key
from dicom_ai_node.domain.levels import path_of, vr_of
from dicom_ai_node.domain.names import folded
from dicom_ai_node.domain.spans import MICROSECONDS_A_DAY, moments
from dicom_ai_node.domain.values import EMPTY, is_universal, parts_of
from dicom_ai_node.store.archive_narrow import Condition, like_date, like_name, like_text
from dicom_ai_node.store.workitem_tables import workitem_keys, workitems

PATHS = tuple(map(path_of, (
    "ProcedureStepState", "SOPInstanceUID", "StudyInstanceUID", "PatientID", "IssuerOfPatientID",
    "PatientName", "PatientBirthDate", "AdmissionID", "WorklistLabel", "ProcedureStepLabel",
    "ScheduledProcedureStepPriority", "ScheduledProcedureStepStartDateTime",
    "ExpectedCompletionDateTime", "InputReadinessState", "ScheduledProcedureStepID",
    *(
        f"{sequence}.CodeValue"
        for sequence in (
            "ScheduledStationNameCodeSequence", "ScheduledStationClassCodeSequence",
            "ScheduledStationGeographicLocationCodeSequence", "ScheduledWorkitemCodeSequence",
            "ScheduledHumanPerformersSequence.HumanPerformerCodeSequence",
        )
    ),
    "ScheduledHumanPerformersSequence.HumanPerformerName",
    *(
        f"ReferencedRequestSequence.{keyword}"
        for keyword in (
            "AccessionNumber", "RequestedProcedureID", "StudyInstanceUID",
            "PlacerOrderNumberImagingServiceRequest", "FillerOrderNumberImagingServiceRequest",
        )
    ),
)))  # fmt: skip
"""Matching keys of PS3.4 Table CC.2.5-3 that tell one workitem from another."""

MOST_VALUES = 100
"""Of one attribute of one workitem; of one that has more, it is only noted that it has."""
LONGEST = 400
"""Characters; of a longer value, too, it is only noted that it is there."""
_SOMETHING = "\x7f"
"""Stands for values that are not kept; what has it is always read."""
_MOST_PARTS = 100
_DAY = 8
_EXACT = MappingProxyType({
    path_of("ProcedureStepState"): workitems.c.state,
    path_of("SOPInstanceUID"): workitems.c.uid,
    path_of("StudyInstanceUID"): workitems.c.study_instance_uid,
})  # fmt: skip
"""Attributes that are columns of the workitem itself."""


def keep(connection: Connection, number: int, before: Header, after: Header) -> None:
    """Let a workitem be found by what it says now; mostly that is what it has said before."""
    made = list(rows_of(number, after))
    if made == list(rows_of(number, before)):
        return
    connection.execute(delete(workitem_keys).where(workitem_keys.c.workitem == number))
    if made:
        connection.execute(insert(workitem_keys), made)


def rows_of(number: int, workitem: Header) -> Iterator[dict[str, Any]]:
    """Yield a row for each value by which a workitem is found."""
    for path in PATHS:
        if path in _EXACT:
            continue
        found = sorted(set(_values(workitem, path)))
        is_kept = len(found) <= MOST_VALUES and all(len(value) <= LONGEST for value in found)
        for value in found if is_kept else [_SOMETHING]:
            yield {"path": ".".join(path), "value": value, "workitem": number}


def _values(header: Header, path: Sequence[str]) -> Iterator[str]:
    element = header.get(path[0], {})
    values = [value for value in element.get("Value", ()) if value is not None]
    if len(path) > 1:
        for item in values:
            yield from _values(item, path[1:])
    elif element.get("vr") == "PN":
        yield _kept(folded({"Value": values}))
    else:
        yield from (_kept(str(value)) for value in values)


def _kept(value: str) -> str:
    """Return a value as every database keeps it and as it is compared."""
    return value.replace("\0", "").strip().encode("utf-8", "replace").decode()


def narrowed(key: Key, *, is_fuzzy: bool) -> Condition | None:
    """Return what SQL says of a key, `None` if that is nothing."""
    if is_universal(key.value) or key.path not in PATHS:
        return None
    parts = [part for part in parts_of(vr_of(key.path[-1]), key.value) if part]
    if EMPTY in parts or not 0 < len(parts) <= _MOST_PARTS:
        return None
    value = _EXACT.get(key.path, workitem_keys.c.value)
    narrow = _NARROW.get(vr_of(key.path[-1]), like_text)
    either = [narrow(value, _kept(part), is_fuzzy) for part in parts]
    known = [condition for condition in either if condition is not None]
    if len(known) < len(either):
        return None
    if key.path in _EXACT:
        return or_(*known)
    mine = workitem_keys.c.path == ".".join(key.path)
    rows = select(workitem_keys.c.workitem).where(mine, or_(*known, value == _SOMETHING))
    return workitems.c.number.in_(rows)


def _day(value: ColumnElement[Any], part: str, _: bool) -> Condition | None:  # noqa: FBT001 - see like_text
    """Return that a day may be in a range; one that is written with dots is read."""
    known = like_date(value, part, False)  # noqa: FBT003 - likewise
    return None if known is None else or_(known, func.length(value) != _DAY)


def _moment(value: ColumnElement[Any], part: str, _: bool) -> Condition | None:  # noqa: FBT001 - likewise
    """Return that a moment may be in a range, by its day: one more at each end for time zones."""
    asked = moments(part)
    try:
        low = "" if asked.low is None else _day_of(asked.low.low, -1)
        high = "9" * _DAY if asked.high is None else _day_of(asked.high.high, 2)
    except (ValueError, OverflowError):  # beyond the calendar
        return None
    return or_(and_(value >= low, value < high), func.length(value) < _DAY)


def _day_of(microseconds: int, more: int) -> str:
    return date.fromordinal(microseconds // MICROSECONDS_A_DAY + more).isoformat().replace("-", "")


_NARROW = MappingProxyType({"PN": like_name, "DA": _day, "DT": _moment})
