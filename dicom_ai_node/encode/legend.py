"""What stands below a picture: the findings in words, for people."""

from dicom_ai_node.domain.findings import Findings, Measurement
from dicom_ai_node.domain.image import SourceFrame
from dicom_ai_node.domain.model import ModelFacts
from dicom_ai_node.encode.picture import Entry, measured
from dicom_ai_node.encode.segments import found_segments

MOST_ENTRIES = 12
"""The legend names no more segments or classes."""
MOST_MEASUREMENTS = 4
_MEAN = "373098007"
"""SNOMED CT Mean."""


def legend_of(
    findings: Findings, model: ModelFacts, frame: SourceFrame, caption: str
) -> list[Entry]:
    """Return the legend of the picture of one frame; `caption` says which it is."""
    entries = [*_classes(findings), *_segments(findings, model, frame)]
    whole = _values(findings, None, frame)
    if whole:
        entries.append(Entry(whole))
    entries.append(
        Entry(f"{model.title} ({model.name} {model.version}) - {caption}", is_quiet=True)
    )
    return entries


def _classes(findings: Findings) -> list[Entry]:
    """Return all classes with their probabilities, what is reported first, then the likeliest."""
    found = findings.classification
    if found is None:
        return []
    chances = found.probabilities
    order = sorted(
        range(len(chances)), key=lambda place: (place != found.present, -chances[place], place)
    )
    entries = []
    for place in order[:MOST_ENTRIES]:
        label, is_present = found.classes[place].label, place == found.present
        says = "present" if is_present else "absent"
        text = f"{label}: {says}, probability {100 * chances[place]:.1f} %"
        point = found.operating_point
        if point is not None and point.label == label:
            text += f" (present from {100 * point.threshold:g} %)"
        entries.append(Entry(text, is_quiet=not is_present))
    if len(order) > MOST_ENTRIES:
        entries.append(Entry(f"and {len(order) - MOST_ENTRIES} more", is_quiet=True))
    if findings.heat_map is not None:
        label = found.classes[findings.heat_map.of].label
        entries.append(
            Entry(f"what speaks for {label}, from least to most", is_quiet=True, is_scale=True)
        )
    return entries


def _segments(findings: Findings, model: ModelFacts, frame: SourceFrame) -> list[Entry]:
    found = findings.segmentation
    segments = model.segments if found is None else found.segments
    everywhere = {segment.number for segment in found_segments(findings)}
    entries = []
    for segment in segments[:MOST_ENTRIES]:
        if found is not None and segment.number not in everywhere:
            entries.append(Entry(f"{segment.label}: not found", is_quiet=True))
            continue
        values = _values(findings, segment.number, frame)
        entries.append(Entry(f"{segment.label}: {values or 'found'}", segment.colour_rgb))
    if len(segments) > MOST_ENTRIES:
        entries.append(Entry(f"and {len(segments) - MOST_ENTRIES} more", is_quiet=True))
    return entries


def _values(findings: Findings, of: int | None, frame: SourceFrame) -> str:
    values = [
        measured(item)
        for item in findings.measurements
        if item.of == of and item.frame in {None, frame} and _is_for_people(item)
    ]
    return ", ".join(values[:MOST_MEASUREMENTS])


def _is_for_people(item: Measurement) -> bool:
    """Spread and extremes are for the report; a picture shows the value itself or its mean."""
    return item.derivation is None or item.derivation.value == _MEAN
