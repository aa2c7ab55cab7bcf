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
from typing import Final

import numpy as np
from pydicom import dcmread
from pydicom.dataset import Dataset
from pydicom.errors import InvalidDicomError
from pydicom.sr.coding import Code

from dicom_ai_node.domain.errors import Rejected
from dicom_ai_node.domain.reject import RejectCode
from dicom_ai_node.domain.reports import Place, Report, ReportedMeasurement, ReportReference
from dicom_ai_node.domain.uids import (
    SeriesInstanceUID,
    SOPClassUID,
    SOPInstanceUID,
    StudyInstanceUID,
    is_uid,
)
from dicom_ai_node.infer.content import (
    MALFORMED,
    children_of,
    code_of,
    items_of,
    moment,
    moment_of,
    text_of,
    value_of,
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
        except (*MALFORMED, InvalidDicomError) as error:
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
    sop_class_uid = text_of(report, "SOPClassUID")
    if not sop_class_uid.startswith(_REPORTS):
        raise Rejected(RejectCode.SR_UNREADABLE, "it is no structured report")
    sop, series, study = (
        text_of(report, f"{level}InstanceUID") for level in ("SOP", "Series", "Study")
    )
    if not all(is_uid(uid) for uid in (sop, series, study)):
        raise Rejected(RejectCode.SR_UNREADABLE, "it lacks a UID")
    found = list(_measurements(report))
    reasons = Counter(item for item in found if isinstance(item, str))
    return Report(
        reference=ReportReference(
            study_instance_uid=StudyInstanceUID(study),
            series_instance_uid=SeriesInstanceUID(series),
            sop_class_uid=SOPClassUID(sop_class_uid),
            sop_instance_uid=SOPInstanceUID(sop),
        ),
        written_at=moment_of(report, "Content"),
        made_by=_maker(report),
        replaces=tuple(_replaced(report)),
        studied_at=moment_of(report, "Study") or moment_of(report, "Content"),
        measurements=tuple(item for item in found if isinstance(item, ReportedMeasurement)),
        left_out=tuple(f"{count} numbers {why}" for why, count in sorted(reasons.items())),
    )


@dataclass(frozen=True, slots=True)
class _Said:
    """What holds for an item, by itself or by what it lies in."""

    codes: Mapping[str, Code]
    texts: Mapping[str, str]
    sources: tuple[SOPInstanceUID, ...] = ()
    place: Place | None = None
    observed_at: datetime | None = None


def _measurements(report: Dataset) -> Iterator[ReportedMeasurement | str]:
    """Yield every measurement in the order of the document, or why a number is none."""
    waiting = deque([(report, _Said({}, {}), 0)])
    count = 0
    while waiting:
        item, around, depth = waiting.popleft()
        count += 1
        children = children_of(item)
        if depth > MAX_DEPTH:
            raise Rejected(RejectCode.SR_UNREADABLE, f"it is nested deeper than {MAX_DEPTH}")
        if count + len(waiting) + len(children) > MAX_ITEMS:
            raise Rejected(RejectCode.SR_UNREADABLE, f"it has more than {MAX_ITEMS} items")
        said = _said(item, children, around)
        if text_of(item, "ValueType") == "NUM" and not _is_context(item):
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
        meant, words = code_of(child, "ConceptCodeSequence"), text_of(child, "TextValue", "UID")
        if what and meant is not None:
            codes |= {what: meant} | (_side(child) if what == "site" else {})
        elif what and words:
            texts[what] = words[:_LONGEST_TEXT]
        sources.extend(_images(child))
    time = moment(text_of(item, "ObservationDateTime"))
    return replace(
        around,
        codes=codes,
        texts=texts,
        sources=tuple(dict.fromkeys(sources)) or around.sources,
        place=next(filter(None, map(_place, children)), around.place),
        observed_at=time or around.observed_at,
    )


def _says(item: Dataset) -> str:
    """Return what an item is about, if it is about what we ask for."""
    name = code_of(item)
    return "" if name is None else _NAMES.get((name.scheme_designator, name.value), "")


def _side(site: Dataset) -> dict[str, Code]:
    sides = (code_of(child, "ConceptCodeSequence") for child in children_of(site) if _says(child))
    side = next((side for side in sides if side is not None), None)
    return {} if side is None else {"laterality": side}


def _images(item: Dataset) -> Iterator[SOPInstanceUID]:
    """Yield the images that `item` names: by itself, or as what its outline was drawn on."""
    name = code_of(item)
    if name is not None and name.value in _MASKS and name.scheme_designator == "DCM":
        return
    for image in (item, *(children_of(item) if "SCOORD" in text_of(item, "ValueType") else ())):
        if text_of(image, "ValueType") == "IMAGE":
            for reference in items_of(image, "ReferencedSOPSequence"):
                uid = text_of(reference, "ReferencedSOPInstanceUID")
                if is_uid(uid):
                    yield SOPInstanceUID(uid)


def _place(item: Dataset) -> Place | None:
    """Return the middle of the points of a SCOORD3D item, PS3.3 C.18.9."""
    if text_of(item, "ValueType") != "SCOORD3D":
        return None
    frame = text_of(item, "ReferencedFrameOfReferenceUID")
    try:
        points = np.asarray(value_of(item, "GraphicData"), np.float64).reshape(-1, 3)
    except (TypeError, ValueError):
        return None
    if not len(points) or not np.isfinite(points).all() or not is_uid(frame):
        return None
    x, y, z = points.mean(axis=0).tolist()
    return Place(frame, (x, y, z))


def _measurement(item: Dataset, said: _Said) -> ReportedMeasurement | str:
    """Return what a NUM item says, PS3.3 C.18.1, or why it says nothing."""
    concept = code_of(item)
    if concept is None:
        return "do not say what they measure"
    measured = next(iter(items_of(item, "MeasuredValueSequence")), Dataset())
    value = _number(measured)
    unit = code_of(measured, "MeasurementUnitsCodeSequence")
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
        place=said.place,
        observed_at=said.observed_at,
    )


def _is_context(item: Dataset) -> bool:
    return text_of(item, "RelationshipType") in _CONTEXT


def _number(measured: Dataset) -> float | None:
    """Return the finite number of an item of Measured Value Sequence; the exact one comes first."""
    for keyword in ("FloatingPointValue", "NumericValue"):
        try:
            value = float(value_of(measured, keyword))
        except (TypeError, ValueError):
            continue
        if math.isfinite(value):
            return value
    return None


def _maker(report: Dataset) -> str:
    versions = value_of(report, "SoftwareVersions")
    version = versions if isinstance(versions, str) else next(iter(versions or ()), "")
    named = (
        text_of(report, "Manufacturer"),
        text_of(report, "ManufacturerModelName"),
        str(version),
    )
    return " ".join(filter(None, named))[:_LONGEST_TEXT]


def _replaced(report: Dataset) -> Iterator[SOPInstanceUID]:
    for study in items_of(report, "PredecessorDocumentsSequence"):
        for series in items_of(study, "ReferencedSeriesSequence"):
            for document in items_of(series, "ReferencedSOPSequence"):
                yield SOPInstanceUID(text_of(document, "ReferencedSOPInstanceUID"))
