"""Rules of IHE AI Results and TID 1500 that neither dciodvfy nor the SR validator enforces."""

from collections.abc import Iterator

from pydicom.dataset import Dataset
from pydicom.uid import Comprehensive3DSRStorage

_AT_ROOT = {
    "121049": "language",
    "121005": "observer type",
    "121012": "device observer UID",
    "121058": "procedure reported",
    "111028": "image library",
    "126010": "imaging measurements",
}
_IN_GROUP = {
    "112039": "tracking identifier",
    "112040": "tracking unique identifier",
    "121071": "finding",
    "111001": "algorithm name",
    "111003": "algorithm version",
}
_HEADINGS = frozenset({"121071", "276214006"})
"""Finding and its category: what is looked for, not yet what is said about it."""


def objections(document: Dataset) -> list[str]:
    """Return one sentence per broken rule."""
    return [*_on_document(document), *_on_items(document), *_on_groups(document)]


def _on_document(document: Dataset) -> Iterator[str]:
    if document.SOPClassUID != Comprehensive3DSRStorage:
        yield "is no Comprehensive 3D SR"
    template = document.get("ContentTemplateSequence")
    if not template or template[0].TemplateIdentifier != "1500":
        yield "does not follow TID 1500"
    if document.PreliminaryFlag != "PRELIMINARY" or document.VerificationFlag != "UNVERIFIED":
        yield "claims that a person has looked at it"
    for value, meaning in _AT_ROOT.items():
        if not _children(document, value):
            yield f"has no {meaning}"
    if not any(item.get("DeviceUID") for item in document.get("ContributingEquipmentSequence", [])):
        yield "AIR 6.5.3.1: no contributing equipment has a Device UID"


def _on_items(document: Dataset) -> Iterator[str]:
    evidence = {
        instance.ReferencedSOPInstanceUID
        for keyword in (
            "CurrentRequestedProcedureEvidenceSequence",
            "PertinentOtherEvidenceSequence",
        )
        for study in document.get(keyword, [])
        for series in study.ReferencedSeriesSequence
        for instance in series.ReferencedSOPSequence
    }
    for item in _descendants(document):
        for referenced in item.get("ReferencedSOPSequence", []):
            if referenced.ReferencedSOPInstanceUID not in evidence:
                yield "refers to what is not in its evidence"
        if item.ValueType == "NUM" and not item.MeasuredValueSequence:
            yield "has a number without value and unit"


def _on_groups(document: Dataset) -> Iterator[str]:
    for measurements in _children(document, "126010"):
        groups = _children(measurements, "125007")
        if not groups:
            yield "says nothing"
        for number, group in enumerate(groups):
            for value, meaning in _IN_GROUP.items():
                if not _children(group, value):
                    yield f"group {number} has no {meaning}"
            if not any(_says(item) for item in group.ContentSequence):
                yield f"group {number} says nothing about its finding"


def _says(item: Dataset) -> bool:
    is_heading = item.ConceptNameCodeSequence[0].CodeValue in _HEADINGS
    is_content = item.RelationshipType == "CONTAINS" and item.ValueType in {"CODE", "IMAGE"}
    return item.ValueType in {"NUM", "SCOORD", "SCOORD3D"} or (is_content and not is_heading)


def _children(item: Dataset, value: str) -> list[Dataset]:
    return [
        child
        for child in item.get("ContentSequence", [])
        if child.get("ConceptNameCodeSequence")
        and child.ConceptNameCodeSequence[0].CodeValue == value
    ]


def _descendants(item: Dataset) -> Iterator[Dataset]:
    for child in item.get("ContentSequence", []):
        yield child
        yield from _descendants(child)
