"""What all segmentations share: segments, frames and where they lie, PS3.3 A.51 and C.8.20.

One writer for every source: slices that are tilted or unevenly spaced, enhanced multi-frame
images, single images without a frame of reference and cines. Frames are always those of the
source, in the source's own geometry; nothing is resampled here.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from highdicom import AlgorithmIdentificationSequence
from highdicom.color import CIELabColor
from highdicom.seg import SegmentAlgorithmTypeValues, SegmentDescription
from numpy.typing import NDArray
from pydicom.dataelem import RawDataElement
from pydicom.dataset import Dataset
from pydicom.sr.codedict import codes
from pydicom.uid import SegmentationStorage

from dicom_ai_node.domain.findings import Findings, Segment, Segmentation
from dicom_ai_node.domain.ports import Origin
from dicom_ai_node.domain.uids import derive_uid
from dicom_ai_node.encode.copies import written_once
from dicom_ai_node.encode.frame_groups import Dimensions, common_geometry, measures, place
from dicom_ai_node.encode.identity import add_requests, result_header, tracking_id, tracking_uid
from dicom_ai_node.encode.planes import Plane, are_placed, order, planes
from dicom_ai_node.encode.provenance import (
    add_loss,
    add_references,
    concept,
    derived_from,
    primary_first,
    source_images,
)
from dicom_ai_node.encode.tiles import add_place, add_tiles, is_on_slide

MOST_SEGMENTS = 20
"""More segments than this go into another instance of the series: viewers choke on one."""
MOST_FRAMES = 4000
"""The same for frames."""


@dataclass(frozen=True, slots=True)
class Part:
    """What one instance holds: frames, each as (index of a segment or `None`, index of a plane)."""

    segments: tuple[Segment, ...]
    frames: tuple[tuple[int | None, int], ...]


def found_segments(findings: Findings) -> tuple[Segment, ...]:
    """Return the segments of which at least one pixel is labelled; none if nothing was found."""
    if findings.segmentation is None:
        return ()
    return segments_on(findings.segmentation, labels_by_frame(findings.segmentation.labels))


def segments_on(found: Segmentation, on_frames: NDArray[np.bool_]) -> tuple[Segment, ...]:
    """Return the segments that are on any of the frames, as `labels_by_frame` has found them."""
    return tuple(item for item in found.segments if on_frames[:, item.number].any())


def labels_by_frame(labels: NDArray[np.uint8]) -> NDArray[np.bool_]:
    """Return which labels are on which frame of (frames, rows, columns): (frames, 256).

    Eight pixels at a time: where they are as the eight before, they say nothing new.
    """
    found = np.zeros((len(labels), 256), np.bool_)
    for present, frame in zip(found, labels, strict=True):
        pixels = np.ascontiguousarray(frame).reshape(-1)
        eights = pixels[: pixels.size // 8 * 8].view(np.uint64)
        present[eights[:1].view(np.uint8)] = True
        present[eights[1:][eights[1:] != eights[:-1]].view(np.uint8)] = True
        present[pixels[eights.nbytes :]] = True
    return found


def split(wanted: Sequence[tuple[Segment, Sequence[int]]]) -> Iterator[Part]:
    """Deal segments and the planes each is on into parts that a viewer can open."""
    segments: list[Segment] = []
    frames: list[tuple[int | None, int]] = []
    for segment, where in wanted:
        for start in range(0, len(where), MOST_FRAMES):
            chunk = where[start : start + MOST_FRAMES]
            if segments and (
                len(segments) == MOST_SEGMENTS or len(frames) + len(chunk) > MOST_FRAMES
            ):
                yield Part(tuple(segments), tuple(frames))
                segments, frames = [], []
            segments.append(segment)
            frames.extend((len(segments) - 1, plane) for plane in chunk)
    if segments:
        yield Part(tuple(segments), tuple(frames))


def segmentation_header(
    origin: Origin, found: Segmentation, part: Part, kind: str, index: int
) -> Dataset:
    """Return everything of a segmentation but its type, its segments' pixels and their format.

    Parameters
    ----------
    part
        The segments and frames of this instance. A segment is numbered by its place in it, unless
        the frames name no segment: then its number is its value.
    """
    where = planes([found.sources[plane] for _, plane in part.frames], origin.sources)
    source = where[0].header
    seg = result_header(origin, source, SegmentationStorage, kind, index)
    add_requests(seg, source)
    _add_image(seg, origin, found, source)
    if are_placed(where):
        seg.FrameOfReferenceUID = source.FrameOfReferenceUID
        seg.PositionReferenceIndicator = source.get("PositionReferenceIndicator") or None
    elif is_on_slide(source):
        add_place(seg, source)
        seg.PatientOrientation = None
    else:
        seg.PatientOrientation = source.get("PatientOrientation") or None
    inputs = primary_first(origin.sources, source)
    seg.SourceImageSequence = source_images(inputs)
    add_references(seg, inputs)
    add_loss(seg, inputs)
    is_numbered = part.frames[0][0] is not None
    seg.SegmentSequence = [
        _described(origin, segment, place if is_numbered else segment.number)
        for place, segment in enumerate(part.segments, start=1)
    ]
    seg.NumberOfFrames = len(part.frames)
    _add_groups(seg, origin, part, where)
    return seg


def _add_image(seg: Dataset, origin: Origin, found: Segmentation, source: Dataset) -> None:
    seg.ImageType = ["DERIVED", "PRIMARY"]
    seg.ContentLabel = "SEGMENTATION"
    seg.ContentDescription = origin.model.title[:64]
    seg.ContentCreatorName = "AI^dicom_ai_node"
    seg.SamplesPerPixel = 1
    seg.PhotometricInterpretation = "MONOCHROME2"
    seg.PixelRepresentation = 0
    _, seg.Rows, seg.Columns = found.labels.shape
    if source.get("BurnedInAnnotation") in {"YES", "NO"}:
        seg.BurnedInAnnotation = "NO"  # labels show no text, whatever the source shows


def _described(origin: Origin, segment: Segment, number: int) -> Dataset:
    """Return the item of Segment Sequence (0062,0002)."""
    item = SegmentDescription(
        segment_number=number,
        segment_label=segment.label[:64],
        segmented_property_category=segment.category,
        segmented_property_type=segment.type,
        algorithm_type=SegmentAlgorithmTypeValues.AUTOMATIC,
        algorithm_identification=AlgorithmIdentificationSequence(
            name=origin.model.name[:64],
            version=origin.model.version,
            family=codes.DCM.ArtificialIntelligence,
            source=origin.model.manufacturer or None,
            parameters={"model digest": origin.model.digest},
        ),
        tracking_uid=tracking_uid(origin, segment),
        tracking_id=tracking_id(segment),
        anatomic_regions=None if segment.site is None else [segment.site],
        display_color=CIELabColor.from_rgb(*segment.colour_rgb),
    )
    if segment.modifier is not None:
        item.SegmentedPropertyTypeCodeSequence[0].SegmentedPropertyTypeModifierCodeSequence = [
            concept(segment.modifier)
        ]
    return item


def _add_groups(seg: Dataset, origin: Origin, part: Part, where: Sequence[Plane]) -> None:
    """Add dimensions and functional groups, PS3.3 C.7.6.16 and C.7.6.17."""
    if is_on_slide(where[0].header):
        _add_groups_of_tiles(seg, origin, part, where)
        return
    is_placed = are_placed(where)
    distinct = list(dict.fromkeys(plane.frame for plane in where))
    first = {plane.frame: plane for plane in reversed(where)}
    ranks = dict(zip(distinct, order([first[frame] for frame in distinct]), strict=True))
    is_timed = any(time > 1 for time, _ in ranks.values())
    is_numbered = part.frames[0][0] is not None
    dimensions = Dimensions(is_numbered, is_timed, is_placed, derive_uid(origin.job, "dimensions"))
    dimensions.describe(seg)
    shared = common_geometry(where) if is_placed else Dataset()
    seg.SharedFunctionalGroupsSequence = [shared]
    lying = {plane.frame: _lying(plane, shared, is_placed=is_placed) for plane in first.values()}
    identified = [_identified(number) for number in range(1, len(part.segments) + 1)]
    groups = []
    for (segment, _), plane in zip(part.frames, where, strict=True):
        item = Dataset()
        number = None if segment is None else segment + 1
        item.FrameContentSequence = [dimensions.values(number, *ranks[plane.frame])]
        if number is not None:
            _add(item, identified[number - 1])
        for group in lying[plane.frame]:
            _add(item, group)
        groups.append(item)
    seg.PerFrameFunctionalGroupsSequence = groups


def _lying(plane: Plane, shared: Dataset, *, is_placed: bool) -> list[RawDataElement]:
    """Return the groups that all frames on one plane have in common, whatever their segment."""
    item = Dataset()
    if is_placed:
        place(item, plane, shared)
    item.DerivationImageSequence = [derived_from(plane.header, plane.frame)]
    return [written_once(group.keyword, group.value) for group in item]


def _add_groups_of_tiles(seg: Dataset, origin: Origin, part: Part, where: Sequence[Plane]) -> None:
    shared = Dataset()
    shared.PixelMeasuresSequence = [measures(where[0], None)]
    seg.SharedFunctionalGroupsSequence = [shared]
    seg.PerFrameFunctionalGroupsSequence = []
    numbers = [None if segment is None else segment + 1 for segment, _ in part.frames]
    identified = [_identified(number) for number in range(1, len(part.segments) + 1)]
    for number, plane in zip(numbers, where, strict=True):
        item = Dataset()
        if number is not None:
            _add(item, identified[number - 1])
        item.DerivationImageSequence = [derived_from(plane.header, plane.frame)]
        seg.PerFrameFunctionalGroupsSequence.append(item)
    add_tiles(seg, numbers, where, derive_uid(origin.job, "dimensions"))


def _add(item: Dataset, group: RawDataElement) -> None:
    item[group.tag] = group


def _identified(number: int) -> RawDataElement:
    identification = Dataset()
    identification.ReferencedSegmentNumber = number
    return written_once("SegmentIdentificationSequence", [identification])


def planes_with(mask: NDArray[np.bool_]) -> list[int]:
    """Return the indices of the frames of (frames, rows, columns) that are not empty."""
    return [int(index) for index in np.flatnonzero(mask.any(axis=(1, 2)))]
