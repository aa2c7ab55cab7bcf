"""Structured reports of any origin, read for their numbers, PS3.3 C.17.3 and PS3.16 TID 1500.

Templates are not asked for. A number is understood by what stands next to it and, where nothing
does, by what stands next to the group that it lies in: so does TID 1500 with its groups, and so do
trees that other systems have thought of. Nesting is followed with a list and not by recursion, and
what an item does not say rightly is taken as not said. Whether a file is whole was asked when it
was received.
"""

import math
import warnings
from collections import Counter, deque
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path
from struct import error as struct_error
from typing import Any, Final

from pydicom import dcmread
from pydicom.dataset import Dataset
from pydicom.errors import InvalidDicomError
from pydicom.sequence import Sequence
from pydicom.sr._snomed_dict import mapping
from pydicom.sr.coding import Code

from dicom_ai_node.domain.errors import Rejected
from dicom_ai_node.domain.reject import RejectCode
from dicom_ai_node.domain.reports import Report, ReportedMeasurement
from dicom_ai_node.domain.uids import (
    SeriesInstanceUID,
    SOPClassUID,
    SOPInstanceUID,
    StudyInstanceUID,
    is_uid,
)

MAX_REPORT_BYTES: Final = 64 * 2**20
"""Of a file; reports of thousands of measurements have a few MiB."""
MAX_ITEMS: Final = 200_000
"""Content items of one report."""
MAX_DEPTH: Final = 64
"""Content items within content items, as deep as the node receives sequences."""

_REPORTS: Final = "1.2.840.10008.5.1.4.1.1.88."
"""What the UIDs of all SOP classes of structured reports begin with, PS3.4 B.5."""
_LONGEST_TEXT: Final = 128
"""Characters that are kept of what names a thing."""
_MALFORMED: Final = (
    ValueError, TypeError, AttributeError, LookupError, NotImplementedError, OverflowError,
    RecursionError, OSError, EOFError, struct_error,
)  # fmt: skip
"""What pydicom raises on values that are not what they are said to be."""
_CONTEXT: Final = frozenset({"HAS ACQ CONTEXT", "HAS OBS CONTEXT"})
"""Numbers that tell of the image, the observer or the patient; they are no measurements."""
_MASKS: Final = frozenset({"121191", "121214"})
"""Referenced Segment and Referenced Segmentation Frame: no image that was measured on."""

_NAMES: Final[Mapping[tuple[str, str], str]] = {
    ("DCM", "121401"): "derivation",
    ("DCM", "121071"): "finding",
    ("SCT", "363698007"): "site",
    ("SCT", "272741003"): "laterality",
    ("DCM", "112039"): "tracking_id",
    ("DCM", "112040"): "tracking_uid",
    ("DCM", "121030"): "subject",
    ("LN", "11951-1"): "subject",
}
"""What a content item says whose concept name is this one."""
_SNOMED_RT: Final[Mapping[str, str]] = mapping["SRT"]
"""The codes of SNOMED CT that have replaced those of SNOMED RT, PS3.16 Annex O."""


def read_report(path: Path) -> Report:
    """Return what the report in the Part 10 file `path` says in numbers.

    Raises
    ------
    Rejected
        With SR_UNREADABLE, see `reported`, and if it is no such file or too large.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # pydicom quotes odd values
        try:
            size = path.stat().st_size
            report = dcmread(path) if size <= MAX_REPORT_BYTES else None
        except (*_MALFORMED, InvalidDicomError) as error:
            raise Rejected(RejectCode.SR_UNREADABLE, "it is cut off, or no DICOM file") from error
        if report is None:
            raise Rejected(RejectCode.SR_UNREADABLE, f"it has more than {MAX_REPORT_BYTES} bytes")
        return reported(report)


def reported(report: Dataset) -> Report:
    """Return what a structured report says in numbers.

    Numbers that tell of an image or of a person and not of a finding, such as those of an image
    library, are not measurements and are passed over.

    Raises
    ------
    Rejected
        With SR_UNREADABLE if it is of another SOP class, lacks a UID, or has more or deeper nested
        items than any report needs.
    """
    sop_class_uid = _text(report, "SOPClassUID")
    if not sop_class_uid.startswith(_REPORTS):
        raise Rejected(RejectCode.SR_UNREADABLE, "it is no structured report")
    sop, series, study = (
        _text(report, f"{level}InstanceUID") for level in ("SOP", "Series", "Study")
    )
    if not all(is_uid(uid) for uid in (sop, series, study)):
        raise Rejected(RejectCode.SR_UNREADABLE, "it lacks a UID")
    found = list(_measurements(report))
    reasons = Counter(item for item in found if isinstance(item, str))
    return Report(
        sop_class_uid=SOPClassUID(sop_class_uid),
        sop_instance_uid=SOPInstanceUID(sop),
        series_instance_uid=SeriesInstanceUID(series),
        study_instance_uid=StudyInstanceUID(study),
        studied_at=_time(report, "Study") or _time(report, "Content"),
        measurements=tuple(item for item in found if isinstance(item, ReportedMeasurement)),
        left_out=tuple(f"{count} numbers {why}" for why, count in sorted(reasons.items())),
    )


@dataclass(frozen=True, slots=True)
class _Said:
    """What holds for an item, by itself or by what it lies in."""

    codes: Mapping[str, Code]
    texts: Mapping[str, str]
    sources: tuple[SOPInstanceUID, ...] = ()
    observed_at: datetime | None = None


def _measurements(report: Dataset) -> Iterator[ReportedMeasurement | str]:
    """Yield every measurement in the order of the document, or why a number is none."""
    waiting = deque([(report, _Said({}, {}), 0)])
    count = 0
    while waiting:
        item, around, depth = waiting.popleft()
        count += 1
        children = _children(item)
        if depth > MAX_DEPTH:
            raise Rejected(RejectCode.SR_UNREADABLE, f"it is nested deeper than {MAX_DEPTH}")
        if count + len(waiting) + len(children) > MAX_ITEMS:
            raise Rejected(RejectCode.SR_UNREADABLE, f"it has more than {MAX_ITEMS} items")
        said = _said(item, children, around)
        if _text(item, "ValueType") == "NUM" and not _is_context(item):
            yield _measurement(item, said)
        waiting.extendleft(
            (child, said, depth + 1) for child in reversed(children) if not _is_context(child)
        )


def _said(item: Dataset, children: list[Dataset], around: _Said) -> _Said:
    """Return what holds for `item`: what its children say, else what holds around it."""
    codes, texts = dict(around.codes), dict(around.texts)
    sources: list[SOPInstanceUID] = []
    if any(_says(child) == "site" for child in children):
        codes.pop("laterality", None)  # a side belongs to its site and is not handed on to others
    for child in children:
        what = _says(child)
        meant, words = _code(child, "ConceptCodeSequence"), _text(child, "TextValue", "UID")
        if what and meant is not None:
            codes |= {what: meant} | (_side(child) if what == "site" else {})
        elif what and words:
            texts[what] = words[:_LONGEST_TEXT]
        sources.extend(_images(child))
    time = _moment(_text(item, "ObservationDateTime"))
    return replace(
        around,
        codes=codes,
        texts=texts,
        sources=tuple(dict.fromkeys(sources)) or around.sources,
        observed_at=time or around.observed_at,
    )


def _says(item: Dataset) -> str:
    """Return what an item is about, if it is about what we ask for."""
    name = _code(item)
    return "" if name is None else _NAMES.get((name.scheme_designator, name.value), "")


def _side(site: Dataset) -> dict[str, Code]:
    sides = (_code(child, "ConceptCodeSequence") for child in _children(site) if _says(child))
    side = next((side for side in sides if side is not None), None)
    return {} if side is None else {"laterality": side}


def _images(item: Dataset) -> Iterator[SOPInstanceUID]:
    """Yield the images that `item` names: by itself, or as what its outline was drawn on."""
    name = _code(item)
    if name is not None and name.value in _MASKS and name.scheme_designator == "DCM":
        return
    for image in (item, *(_children(item) if "SCOORD" in _text(item, "ValueType") else ())):
        if _text(image, "ValueType") == "IMAGE":
            for reference in _items(image, "ReferencedSOPSequence"):
                uid = _text(reference, "ReferencedSOPInstanceUID")
                if is_uid(uid):
                    yield SOPInstanceUID(uid)


def _measurement(item: Dataset, said: _Said) -> ReportedMeasurement | str:
    """Return what a NUM item says, PS3.3 C.18.1, or why it says nothing."""
    concept = _code(item)
    if concept is None:
        return "do not say what they measure"
    measured = next(iter(_items(item, "MeasuredValueSequence")), Dataset())
    value = _number(measured)
    unit = _code(measured, "MeasurementUnitsCodeSequence")
    if value is None:
        return "have no value"
    if unit is None:
        return "have no unit"
    return ReportedMeasurement(
        concept=concept,
        value=value,
        unit=unit,
        derivation=said.codes.get("derivation"),
        finding=said.codes.get("finding"),
        site=said.codes.get("site"),
        laterality=said.codes.get("laterality"),
        tracking_id=said.texts.get("tracking_id", ""),
        tracking_uid=said.texts.get("tracking_uid", ""),
        subject=said.texts.get("subject", ""),
        sources=said.sources,
        observed_at=said.observed_at,
    )


def _is_context(item: Dataset) -> bool:
    return _text(item, "RelationshipType") in _CONTEXT


def _number(measured: Dataset) -> float | None:
    """Return the finite number of an item of Measured Value Sequence; the exact one comes first."""
    for keyword in ("FloatingPointValue", "NumericValue"):
        try:
            value = float(_value(measured, keyword))
        except (TypeError, ValueError):
            continue
        if math.isfinite(value):
            return value
    return None


def _code(item: Dataset, keyword: str = "ConceptNameCodeSequence") -> Code | None:
    """Return the first code of a code sequence, PS3.3 8.8, in SNOMED CT what was in SNOMED RT."""
    for coded in _items(item, keyword)[:1]:
        number = _text(coded, "CodeValue", "LongCodeValue", "URNCodeValue")
        scheme = _text(coded, "CodingSchemeDesignator")
        if scheme in {"SRT", "SNM3", "99SDM"} and number in _SNOMED_RT:
            number, scheme = _SNOMED_RT[number], "SCT"
        if number and (scheme or ":" in number):
            return Code(number, scheme, _text(coded, "CodeMeaning"))
    return None


def _children(item: Dataset) -> list[Dataset]:
    return _items(item, "ContentSequence")


def _items(item: Dataset, keyword: str) -> list[Dataset]:
    value = _value(item, keyword)
    return list(value) if isinstance(value, Sequence) else []


def _text(item: Dataset, *keywords: str) -> str:
    """Return the first single text that there is, without padding; "" if there is none."""
    values = (_value(item, keyword) for keyword in keywords)
    return next((text for it in values if isinstance(it, str) and (text := it.strip(" \0"))), "")


def _value(item: Dataset, keyword: str) -> Any:  # noqa: ANN401 (it is what the element holds)
    try:
        return item.get(keyword)
    except _MALFORMED:
        return None


def _time(report: Dataset, of: str) -> datetime | None:
    """Return date and time of the study or of the content; of a day without a time its start."""
    day = _text(report, f"{of}Date")
    return _moment(day + _text(report, f"{of}Time")) or _moment(day)


def _moment(text: str) -> datetime | None:
    """Return a DICOM date and time to the second; its zone is left out, PS3.5 6.2."""
    digits = text[: len(text) - len(text.lstrip("0123456789"))]
    for form in ("%Y%m%d%H%M%S", "%Y%m%d%H%M", "%Y%m%d"):
        try:
            return datetime.strptime(digits, form)  # noqa: DTZ007 (DICOM writes it so)
        except ValueError:
            continue
    return None
