"""What a model can find: its segments or its classes, as `configs/dicom.yaml` lists them."""

from dicom_ai_node.domain.findings import FindingClass, Segment
from dicom_ai_node.domain.wording import Wording, is_number

LONGEST_LABEL = 64
"""Characters of Segment Label (0062,0005) and of Tracking Identifier, LO."""
MOST_SEGMENTS = 255
"""Labels are uint8 and 0 is the background."""
MOST_CLASSES = 100
"""With more, probabilities in hundredths of a percent need not add up to a hundred."""


def segments_in(w: Wording) -> tuple[Segment, ...]:
    """Return `segments`: what each channel of the network after the first stands for."""
    segments = tuple(map(_segment, w.parts("segments"))) if w.has("segments") else ()
    if [segment.number for segment in segments] != list(range(1, len(segments) + 1)):
        w.wrong("segments", "numbers must run from 1 without a gap: they are the channels")
    if len(segments) > MOST_SEGMENTS:
        w.wrong("segments", f"there can be at most {MOST_SEGMENTS}")
    meanings = {(segment.type, segment.modifier, segment.site) for segment in segments}
    if len(meanings) < len(segments):
        w.wrong("segments", "two have the same type and modifier, so nobody could tell them apart")
    return segments


def _segment(w: Wording) -> Segment:
    segment = Segment(
        number=w.whole("number"),
        label=_label(w),
        category=w.code("category"),
        type=w.code("type"),
        modifier=w.code("modifier") if w.has("modifier") else None,
        site=w.code("site") if w.has("site") else None,
        colour_rgb=_colour(w) if w.has("colour_rgb") else (255, 196, 0),
    )
    w.no_more()
    return segment


def classes_in(w: Wording) -> tuple[FindingClass, ...]:
    """Return `classes`: what each logit of the network, or each map of its boxes, stands for."""
    if not w.has("classes"):
        return ()
    classes = tuple(map(_class, w.parts("classes")))
    if len(classes) > MOST_CLASSES:
        w.wrong("classes", f"there can be at most {MOST_CLASSES}")
    if len({item.label for item in classes}) < len(classes):
        w.wrong("classes", "two have the same label")
    meanings = {(item.type, item.site, item.modifier) for item in classes}
    if len(meanings) < len(classes):
        w.wrong("classes", "two have the same type and site, so nobody could tell them apart")
    return classes


def _class(w: Wording) -> FindingClass:
    found = FindingClass(
        label=_label(w),
        type=w.code("type"),
        site=w.code("site") if w.has("site") else None,
        modifier=w.code("modifier") if w.has("modifier") else None,
    )
    w.no_more()
    return found


def _label(w: Wording) -> str:
    label = w.text("label")
    if len(label) > LONGEST_LABEL:
        w.wrong("label", f"has more than {LONGEST_LABEL} characters")
    return label


def _colour(w: Wording) -> tuple[int, int, int]:
    value = w.raw("colour_rgb")
    if (
        isinstance(value, list)
        and len(value) == 3  # noqa: PLR2004 - red, green, blue
        and all(is_number(part) and part in range(256) for part in value)
    ):
        return int(value[0]), int(value[1]), int(value[2])
    w.wrong("colour_rgb", "must be three whole numbers from 0 to 255")
    return 0, 0, 0
