"""What can be drawn on a frame with lines: boxes, each with what it is and how probable."""

from collections.abc import Sequence
from dataclasses import dataclass

from dicom_ai_node.domain.errors import TaskFailed
from dicom_ai_node.domain.findings import Box, Detection, Findings
from dicom_ai_node.domain.image import SourceFrame
from dicom_ai_node.domain.ports import Origin
from dicom_ai_node.domain.uids import derive_uid
from dicom_ai_node.encode.planes import planes

COLOURS = (
    (0, 200, 255), (255, 196, 0), (255, 96, 64), (0, 190, 140), (230, 150, 220), (240, 240, 100),
)  # fmt: skip
"""Of classes by their place: told apart without seeing red or green, and bright enough on grey."""
_LONGEST_LO = 64


@dataclass(frozen=True, slots=True, kw_only=True)
class Mark:
    """A closed line on one frame, with the words that belong to it.

    Attributes
    ----------
    points
        (column, row), the last one equal to the first. Borders of pixels are whole numbers and
        0 is the upper left corner of the first pixel, PS3.3 C.18.6.1 and C.10.5.
    text
        What stands beside it, or nothing.
    tracking_id, tracking_uid
        By which the report names the same finding.
    """

    source: SourceFrame
    label: str
    colour_rgb: tuple[int, int, int]
    points: tuple[tuple[float, float], ...]
    text: str
    tracking_id: str
    tracking_uid: str


def marks_of(findings: Findings, origin: Origin) -> list[Mark]:
    """Return a mark for every box.

    Raises
    ------
    TaskFailed
        If a box does not lie in its frame, or its frame is none of the sources.
    """
    found = findings.detection
    if found is None:
        return []
    check_boxes(found, origin)
    return [
        Mark(
            source=box.source,
            label=found.classes[box.of].label,
            colour_rgb=colour_of(box.of),
            points=outline(box),
            text=spoken(found, box),
            tracking_id=tracking_id,
            tracking_uid=tracking_uid,
        )
        for box, (tracking_id, tracking_uid) in zip(
            found.boxes, tracking_of(found, origin), strict=True
        )
    ]


def check_boxes(found: Detection, origin: Origin) -> None:
    """Check that boxes lie in their frames and say what somebody could believe.

    Raises
    ------
    TaskFailed
        If one does not.
    """
    for box, plane in zip(
        found.boxes, planes([box.source for box in found.boxes], origin.sources), strict=True
    ):
        at = box.corners
        if not (0 <= at.top < at.bottom <= plane.header.Rows):
            raise TaskFailed("a box does not lie in the rows of its image")
        if not (0 <= at.left < at.right <= plane.header.Columns):
            raise TaskFailed("a box does not lie in the columns of its image")
        if not 0 <= box.probability <= 1 or not 0 <= box.of < len(found.classes):
            raise TaskFailed("a box has no probability or no class")


def outline(box: Box) -> tuple[tuple[float, float], ...]:
    """Return the five points of a box, from its upper left corner and back to it."""
    at = box.corners
    top, left, bottom, right = (round(n, 2) for n in (at.top, at.left, at.bottom, at.right))
    return ((left, top), (right, top), (right, bottom), (left, bottom), (left, top))


def spoken(found: Detection, box: Box) -> str:
    """Return what a person reads beside a box: `Right lung 98 %`."""
    return f"{found.classes[box.of].label} {100 * box.probability:.0f} %"


def colour_of(place: int) -> tuple[int, int, int]:
    """Return the colour of the class at this place."""
    return COLOURS[place % len(COLOURS)]


def tracking_of(found: Detection, origin: Origin) -> Sequence[tuple[str, str]]:
    """Return (Tracking ID, Tracking UID) of every box: `Right lung 1`, counted in each class."""
    counts = [0] * len(found.classes)
    names = []
    for number, box in enumerate(found.boxes):
        counts[box.of] += 1
        name = f"{found.classes[box.of].label[: _LONGEST_LO - 8]} {counts[box.of]}"
        names.append((name, derive_uid(origin.job, "tracking", "box", str(number))))
    return names
