"""Findings as colour pictures that any viewer can show, PS3.3 A.8: for readers without SEG.

A volume becomes one picture of the image on which most was found, X-rays and single images one
each, a cine a cine (Multi-frame True Color). What was followed or measured over time is plotted
in one more picture, and so is what has changed since earlier studies.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray
from pydicom.dataset import Dataset
from pydicom.tag import Tag
from pydicom.uid import (
    MultiFrameTrueColorSecondaryCaptureImageStorage,
    SecondaryCaptureImageStorage,
)

from dicom_ai_node.domain.findings import Findings
from dicom_ai_node.domain.image import SourceFrame
from dicom_ai_node.domain.pictures import Backdrop
from dicom_ai_node.domain.ports import Origin
from dicom_ai_node.encode.curves import Panel, panels_of
from dicom_ai_node.encode.identity import add_requests, local_time, result_header
from dicom_ai_node.encode.legend import legend_of
from dicom_ai_node.encode.marks import Mark, marks_of
from dicom_ai_node.encode.orientation import edges_of, patient_orientation
from dicom_ai_node.encode.outlines import outlines_on, scale_bar
from dicom_ai_node.encode.overlay import side_by_side
from dicom_ai_node.encode.picture import Entry, Sheet, displayed_size, draw, lines_of
from dicom_ai_node.encode.planes import Plane, are_placed, pixel_aspect, planes
from dicom_ai_node.encode.plot import draw_plot, plot_size
from dicom_ai_node.encode.provenance import add_loss, is_multiframe, source_images
from dicom_ai_node.encode.sides import add_laterality
from dicom_ai_node.encode.tiles import is_on_slide
from dicom_ai_node.encode.trails import Trail
from dicom_ai_node.encode.trends import trends_of

KIND = "secondary_capture"
MOST_BYTES = 256 * 2**20
"""A longer cine is thinned out to every second, third ... frame."""
MOST_STILLS = 16
"""Of a series of single images no more than these become pictures."""

_EVEN_WITHIN_MS = 0.5


@dataclass(frozen=True, slots=True)
class _Scene:
    """All that is needed to draw any frame."""

    findings: Findings
    origin: Origin
    backdrop: Backdrop
    label_index: dict[SourceFrame, int]
    marks: list[Mark]
    size: tuple[int, int]


def encode(findings: Findings, origin: Origin) -> Sequence[Dataset]:
    """Return pictures of the findings, also of none: then the legend says that nothing was found.

    No picture at all if the task gave no backdrop. Raises `TaskFailed` if the findings name a
    frame that is none of the sources.
    """
    backdrop = findings.backdrop
    if backdrop is None or not len(backdrop.sources):
        return []
    where = planes(backdrop.sources, origin.sources)
    found = findings.segmentation
    index = {} if found is None else {frame: at for at, frame in enumerate(found.sources)}
    backdrop, findings = side_by_side(backdrop, findings)
    rows, columns = backdrop.array.shape[1:3]
    size = displayed_size(rows, columns, pixel_aspect(where[0]))
    scene = _Scene(findings, origin, backdrop, index, marks_of(findings, origin), size)
    if len(where) > 1 and _is_cine(findings, where):
        plots = _plot(scene, where[0], 1, panels_of(scene.findings), "all frames")
        return [_cine(scene, where), *plots, *_trend(scene, where[0], 1 + len(plots))]
    chosen = [_fullest(scene)] if are_placed(where) else list(range(min(len(where), MOST_STILLS)))
    stills = [_still(scene, where[at], at, number) for number, at in enumerate(chosen)]
    return [*stills, *_trend(scene, where[chosen[0]], len(stills))]


def _is_cine(findings: Findings, where: Sequence[Plane]) -> bool:
    """Return whether frames follow each other in time: what was followed was so through time."""
    if findings.trajectories:
        return True
    return not are_placed(where) and is_multiframe(where[0].header)


def _still(scene: _Scene, plane: Plane, at: int, number: int) -> Dataset:
    caption = f"Image {plane.header.get('InstanceNumber') or 1}"
    if is_multiframe(plane.header):
        caption += f", frame {plane.frame.number}"
    if is_on_slide(plane.header):
        caption = f"tile {plane.frame.number}; the numbers are those of the whole slide"
    legend = legend_of(scene.findings, scene.origin.model, plane.frame, caption)
    legend += scale_bar(plane, scene.size[0] / scene.backdrop.array.shape[2])
    sheet = replace(_sheet(scene, lines_of(scene.size, legend)), edges=edges_of(plane))
    picture = _drawn(scene, sheet, at, legend)
    image = _image(scene, plane, SecondaryCaptureImageStorage, number)
    image.PatientOrientation = patient_orientation(plane)
    image.SourceImageSequence = source_images([plane.header])
    if is_multiframe(plane.header):
        image.SourceImageSequence[0].ReferencedFrameNumber = plane.frame.number
    _add_pixels(image, picture[None])
    return image


def _cine(scene: _Scene, where: Sequence[Plane]) -> Dataset:
    total = len(where)
    model = scene.origin.model
    legends = [
        legend_of(scene.findings, model, plane.frame, f"Frame {_number(plane, at)} of {total}")
        for at, plane in enumerate(where)
    ]
    sheet = _sheet(scene, max(lines_of(scene.size, legend) for legend in legends))
    pictures = [draw(sheet, scene.backdrop.array[0], [], legends[0])]
    every = -(-total * pictures[0].nbytes // MOST_BYTES)
    kept = range(0, total, every)
    pictures = [_drawn(scene, sheet, at, legends[at]) for at in kept]
    image = _image(scene, where[0], MultiFrameTrueColorSecondaryCaptureImageStorage, 0)
    image.PatientOrientation = where[0].header.get("PatientOrientation") or None
    headers = {str(plane.frame.sop_instance_uid): plane.header for plane in where}
    image.SourceImageSequence = source_images(headers.values())
    if every > 1:
        image.DerivationDescription += f"; every {every}th frame"
    image.NumberOfFrames = len(pictures)
    times = scene.backdrop.times_ms
    _add_times(image, None if times is None else [times[at] for at in kept])
    _add_pixels(image, np.stack(pictures))
    return image


def _number(plane: Plane, at: int) -> int:
    """Return which frame it is; single images of one cine are counted."""
    return plane.frame.number if is_multiframe(plane.header) else at + 1


def _trend(scene: _Scene, plane: Plane, number: int) -> list[Dataset]:
    """Return one picture of what has changed since earlier studies, if there are any."""
    return _plot(scene, plane, number, trends_of(scene.findings), "all studies")


def _plot(
    scene: _Scene, plane: Plane, number: int, panels: Sequence[Panel], over: str
) -> list[Dataset]:
    """Return one picture with all curves, none if there is no curve."""
    if not panels:
        return []
    model, frame = scene.origin.model, SourceFrame(plane.frame.sop_instance_uid, 0)
    legend = legend_of(scene.findings, model, frame, over)
    sheet = _sheet(scene, 0)
    sheet = replace(sheet, size=plot_size(panels))
    sheet = replace(sheet, legend_lines=lines_of(sheet.size, legend))
    image = _image(scene, plane, SecondaryCaptureImageStorage, number)
    image.PatientOrientation = None
    image.SourceImageSequence = source_images([plane.header])
    image.DerivationDescription = f"AI result plotted over {over}, not for measurement"
    _add_pixels(image, draw_plot(sheet, panels, legend)[None])
    return [image]


def _drawn(scene: _Scene, sheet: Sheet, at: int, legend: Sequence[Entry]) -> NDArray[np.uint8]:
    """Return the picture of the backdrop's frame `at`."""
    frame, heat = scene.backdrop.sources[at], scene.findings.heat_map
    warmth = None
    if heat is not None and frame in heat.sources:
        warmth = heat.array[heat.sources.index(frame)]
    marks: list[Mark | Trail] = [mark for mark in scene.marks if mark.source == frame]
    marks += outlines_on(frame, scene.findings.instances, scene.origin)
    marks += _trails(scene, frame)
    return draw(sheet, scene.backdrop.array[at], _masks(scene, frame), legend, warmth, marks)


def _image(scene: _Scene, plane: Plane, sop_class_uid: str, number: int) -> Dataset:
    origin, source = scene.origin, plane.header
    image = result_header(origin, source, sop_class_uid, KIND, number)
    add_requests(image, source)
    add_laterality(image, source)
    image.ConversionType = "WSD"
    image.ImageType = ["DERIVED", "SECONDARY", "OTHER"]
    now = local_time(origin, source)
    image.DateOfSecondaryCapture = now.strftime("%Y%m%d")
    image.TimeOfSecondaryCapture = now.strftime("%H%M%S")
    image.BurnedInAnnotation = "YES"
    image.DerivationDescription = "AI result drawn on the image, not for measurement"
    add_loss(image, [source])
    return image


def _add_pixels(image: Dataset, pictures: NDArray[np.uint8]) -> None:
    _, image.Rows, image.Columns, image.SamplesPerPixel = pictures.shape
    image.PhotometricInterpretation, image.PlanarConfiguration = "RGB", 0
    image.BitsAllocated, image.BitsStored, image.HighBit, image.PixelRepresentation = 8, 8, 7, 0
    pixels = pictures.tobytes()
    image.PixelData = pixels + b"\0" * (len(pixels) % 2)
    image["PixelData"].VR = "OB"


def _add_times(image: Dataset, times_ms: Sequence[float] | None) -> None:
    """Keep the time of every frame, PS3.3 C.7.6.5 and C.7.6.6."""
    steps = [] if times_ms is None else [float(step) for step in np.diff(times_ms)]
    if not steps:
        image.FrameIncrementPointer = Tag("PageNumberVector")
        image.PageNumberVector = list(range(1, image.NumberOfFrames + 1))
    elif max(steps) - min(steps) <= _EVEN_WITHIN_MS:
        image.FrameIncrementPointer = Tag("FrameTime")
        image.FrameTime = f"{sum(steps) / len(steps):.6g}"
    else:
        image.FrameIncrementPointer = Tag("FrameTimeVector")
        image.FrameTimeVector = ["0", *(f"{step:.6g}" for step in steps)]


def _sheet(scene: _Scene, legend_lines: int) -> Sheet:
    qualification = scene.origin.content_qualification
    banner = (
        "AI RESULT"
        if qualification == "PRODUCT"
        else f"AI RESULT - {qualification} - NOT FOR DIAGNOSIS"
    )
    return Sheet(
        size=scene.size, banner=banner, legend_lines=legend_lines, warning=_warning(scene.findings)
    )


def _warning(findings: Findings) -> str:
    """Return what stands in a line of its own below the banner: that the input is doubtful."""
    quality = findings.quality
    if quality is None or not quality.is_flagged:
        return ""
    said = " and ".join(check.says for check in quality.checks if check.is_over)
    done = ", smoothed for the model" if quality.is_purified else ""
    return f"INPUT {said}{done}".upper()


def _masks(
    scene: _Scene, frame: SourceFrame
) -> list[tuple[NDArray[np.bool_], tuple[int, int, int]]]:
    found = scene.findings.segmentation
    is_by_outline = scene.findings.instances is not None
    if found is None or frame not in scene.label_index or is_by_outline:
        return []
    labels = found.labels[scene.label_index[frame]]
    present = np.bincount(labels.ravel(), minlength=256)
    return [
        (labels == segment.number, segment.colour_rgb)
        for segment in found.segments
        if present[segment.number]
    ]


def _trails(scene: _Scene, frame: SourceFrame) -> list[Trail]:
    """Return the ways up to a frame, of all frames that lead to it."""
    return [
        Trail(path.points[: path.sources.index(frame) + 1], path.of.colour_rgb)
        for path in scene.findings.trajectories
        if frame in path.sources
    ]


def _fullest(scene: _Scene) -> int:
    """Return the index of the backdrop's frame with most on it, the middle one if none has."""
    areas = [_amount(scene, frame) for frame in scene.backdrop.sources]
    return areas.index(max(areas)) if any(areas) else len(areas) // 2


def _amount(scene: _Scene, frame: SourceFrame) -> float:
    """Return how many pixels are labelled on a frame, or how much heat lies on it."""
    found, heat = scene.findings.segmentation, scene.findings.heat_map
    if found is not None and frame in scene.label_index:
        return float(np.count_nonzero(found.labels[scene.label_index[frame]]))
    if found is None and heat is not None and frame in heat.sources:
        return float(heat.array[heat.sources.index(frame)].sum(dtype=np.float64))
    return 0.0
