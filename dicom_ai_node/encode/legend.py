"""What stands below a picture: the findings in words, for people."""

from collections.abc import Sequence

import numpy as np

from dicom_ai_node.domain.findings import FindingClass, Findings, Measurement, Trajectory
from dicom_ai_node.domain.image import SourceFrame
from dicom_ai_node.domain.lesions import Fate, lesion_name
from dicom_ai_node.domain.model import ModelFacts
from dicom_ai_node.encode.marks import colour_of
from dicom_ai_node.encode.picture import Entry, measured, unit_of
from dicom_ai_node.encode.report_lesions import response_in_words
from dicom_ai_node.encode.segments import found_segments

MOST_ENTRIES = 12
"""The legend names no more segments or classes."""
MOST_MEASUREMENTS = 4
MOST_LESIONS = 4
_MEAN = "373098007"
"""SNOMED CT Mean."""
_SUV, _MAXIMUM = "126401", "56851009"
"""DCM SUVbw and SNOMED CT Maximum."""


def legend_of(
    findings: Findings, model: ModelFacts, frame: SourceFrame, caption: str
) -> list[Entry]:
    """Return the legend of the picture of one frame; `caption` says which it is."""
    entries = [
        *_restored(findings),
        *_classes(findings),
        *_paths(findings, frame),
        *_boxes(findings, frame),
        *_segments(findings, model, frame),
        *_lesions(findings),
    ]
    whole = _values(findings, None, frame)
    if whole:
        entries.append(Entry(whole))
    entries.append(
        Entry(f"{model.title} ({model.name} {model.version}) - {caption}", is_quiet=True)
    )
    return entries


def _restored(findings: Findings) -> list[Entry]:
    """Return what the three pictures of a restoration are, from left to right."""
    found = findings.derived
    if found is None:
        return []
    unit = unit_of(found.unit)
    size = f"{found.factor} x {found.factor} pixels for each" if found.factor > 1 else "restored"
    change = f"{found.shown_change:g} {unit}".strip()
    return [
        Entry(f"left: as it came; middle: {size}"),
        Entry(f"right: the change, black -{change}, grey none, white +{change}"),
    ]


def _lesions(findings: Findings) -> list[Entry]:
    """Return the largest lesions with their diameters, those that are gone, and the targets."""
    found, segmentation = findings.lesions, findings.segmentation
    if found is None or segmentation is None:
        return []
    label = {item.number: item.label for item in segmentation.segments}
    told = [
        f"no. {it.number}: {it.long_mm:.1f} x {it.short_mm:.1f} mm"
        + (", new" if it.fate is Fate.NEW else "")
        for it in found.present[:MOST_LESIONS]
    ]
    told += [f"{lesion_name(label[it.of], it.number)}: gone" for it in found.gone[:MOST_LESIONS]]
    if found.response is not None:
        told.append(response_in_words(found.response))
    return [Entry(words) for words in told]


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
    return [*entries, *_overlaid(findings), *_heat_of(findings, found.classes)]


def _overlaid(findings: Findings) -> list[Entry]:
    """Return what the colours of the left of two pictures are, where there are two."""
    over = None if findings.backdrop is None else findings.backdrop.overlay
    if over is None:
        return []
    unit = unit_of(over.unit)
    text = f"left: {over.name.upper()} {over.low:g} to {over.high:g} {unit}".strip()
    return [Entry(text, is_quiet=True, is_scale=True)]


def _boxes(findings: Findings, frame: SourceFrame) -> list[Entry]:
    """Return every class that was looked for, with how many were found on this frame."""
    found = findings.detection
    if found is None:
        return []
    entries = []
    for place, item in enumerate(found.classes[:MOST_ENTRIES]):
        chances = [
            f"{100 * box.probability:.0f} %"
            for box in found.boxes
            if box.of == place and box.source == frame
        ]
        told = ", ".join(chances[:MOST_ENTRIES]) if chances else "not found here"
        entries.append(
            Entry(f"{item.label}: {told}", colour_of(place) if chances else None, not chances)
        )
    if len(found.classes) > MOST_ENTRIES:
        entries.append(Entry(f"and {len(found.classes) - MOST_ENTRIES} more", is_quiet=True))
    entries.append(Entry(f"boxes are shown from {100 * found.threshold:g} % on", is_quiet=True))
    return [*entries, *_heat_of(findings, found.classes)]


def _heat_of(findings: Findings, classes: Sequence[FindingClass]) -> list[Entry]:
    heat = findings.heat_map
    if heat is None:
        return []
    has_two = findings.backdrop is not None and findings.backdrop.overlay is not None
    where = "right: " if has_two else ""
    of = classes[heat.of].label
    text = f"{where}what speaks for {of} ({heat.by.words}), from least to most"
    return [Entry(text, is_quiet=True, is_scale=True)]


def _paths(findings: Findings, frame: SourceFrame) -> list[Entry]:
    """Return what was measured on every path, and how far along it the frame is."""
    entries = []
    for path in findings.trajectories:
        values = _values(findings, path.of.number, frame)
        entries.append(Entry(f"{path.of.label}: {values or 'followed'}", path.of.colour_rgb))
        if frame in path.sources:
            entries.append(Entry(_on_frame(path, path.sources.index(frame)), is_quiet=True))
    return entries


def _on_frame(path: Trajectory, index: int) -> str:
    away = (path.points[index] - path.points[0]) * (path.spacing_mm or (1.0, 1.0))
    if not np.isfinite(away).all():
        return f"{path.of.label}: lost in this frame"
    unit = "px" if path.spacing_mm is None else "mm"
    percent = 100 * float(path.confidence[index])
    distance = float(np.linalg.norm(away))
    return f"now {distance:.1f} {unit} from the start, certain to {percent:.0f} %"


def _segments(findings: Findings, model: ModelFacts, frame: SourceFrame) -> list[Entry]:
    found = findings.segmentation
    followed = {path.of.number for path in findings.trajectories}
    segments = model.segments if found is None else found.segments
    segments = tuple(item for item in segments if item.number not in followed)
    if found is None and followed:
        return []
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
    """Spread and extremes are for the report; a picture shows the value itself or its mean.

    Of PET it shows the maximum, too: it is the number that people ask for.
    """
    if item.derivation is None or item.derivation.value == _MEAN:
        return True
    return (item.concept.value, item.derivation.value) == (_SUV, _MAXIMUM)
