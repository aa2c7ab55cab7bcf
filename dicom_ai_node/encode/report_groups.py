"""The measurement groups of a report: what was found, how large it is and where, PS3.16 TID 1500.

A structure with a place in the patient is a volume (TID 1411), on an X-ray, an ultrasound image or
a cine it is a region on a frame (TID 1410), and without a segmentation to refer to, or if it was
looked for in vain, it is a group of its own (TID 1501).
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from math import isfinite

from highdicom import sr
from pydicom.dataset import Dataset
from pydicom.sr.codedict import codes
from pydicom.sr.coding import Code

from dicom_ai_node.domain.errors import TaskFailed
from dicom_ai_node.domain.findings import Findings, Measurement, Segment
from dicom_ai_node.domain.image import SourceFrame
from dicom_ai_node.domain.ports import Origin
from dicom_ai_node.domain.uids import derive_uid
from dicom_ai_node.encode.algorithm import algorithm
from dicom_ai_node.encode.identity import tracking_id, tracking_uid
from dicom_ai_node.encode.planes import Plane, are_placed, planes
from dicom_ai_node.encode.provenance import is_multiframe
from dicom_ai_node.encode.segments import found_segments, planes_with

PRESENT = Code("52101004", "SCT", "Present")
ABSENT = Code("272519000", "SCT", "Absent")
NORMAL = Code("17621005", "SCT", "Normal")
_SEGMENTATIONS = ("segmentation", "segmentation_labelmap", "segmentation_fractional")
"""Which segmentation a report refers to, the first that there is."""

Group = (
    sr.VolumetricROIMeasurementsAndQualitativeEvaluations
    | sr.PlanarROIMeasurementsAndQualitativeEvaluations
    | sr.MeasurementsAndQualitativeEvaluations
)


@dataclass(frozen=True, slots=True)
class Encoded:
    """Where a segment of the findings is in a segmentation that has been made.

    `frames` maps each source frame to the number of the frame that shows the segment on it.
    """

    header: Dataset
    number: int
    frames: Mapping[SourceFrame, int]


def groups(findings: Findings, origin: Origin) -> list[Group]:
    """Return the measurement groups, at least one: nothing found is a finding, too.

    Raises
    ------
    TaskFailed
        If a measurement is not a number, or measures a segment that nobody knows.
    """
    segmentation = findings.segmentation
    segments = origin.model.segments if segmentation is None else segmentation.segments
    found = {segment.number for segment in found_segments(findings)}
    _check(findings.measurements, segments)
    result: list[Group] = []
    for segment in segments:
        of_it = [item for item in findings.measurements if item.of == segment.number]
        if segment.number in found:
            result.extend(_found(findings, origin, segment, of_it))
        elif segmentation is None and of_it:
            result.append(_plain(origin, segment, of_it, None, None))
        else:
            result.append(_plain(origin, segment, of_it, ABSENT, None))
    whole = [item for item in findings.measurements if item.of is None]
    if whole or not result:
        result.append(_whole_image(origin, whole))
    return result


def _check(measurements: Sequence[Measurement], segments: Sequence[Segment]) -> None:
    known = {None, *(segment.number for segment in segments)}
    if any(item.of not in known for item in measurements):
        raise TaskFailed("a measurement is of a segment that the model does not have")
    if not all(isfinite(item.value) for item in measurements):
        raise TaskFailed("a measurement is not a number")


def _found(
    findings: Findings, origin: Origin, segment: Segment, measurements: Sequence[Measurement]
) -> Iterator[Group]:
    segmentation = findings.segmentation
    if segmentation is None:
        return
    mask = segmentation.labels == segment.number
    where = planes([segmentation.sources[index] for index in planes_with(mask)], origin.sources)
    encoded = _encoded(origin, segment)
    if encoded is None:
        fullest = segmentation.sources[int(mask.sum(axis=(1, 2)).argmax())]
        shown = planes([fullest], origin.sources)
        yield _plain(origin, segment, measurements, PRESENT, shown)
    elif are_placed(where) and len(segmentation.sources) > 1:
        yield _volume(origin, segment, measurements, where, encoded)
    else:
        fullest = segmentation.sources[int(mask.sum(axis=(1, 2)).argmax())]
        yield from _regions(origin, segment, measurements, (where, fullest), encoded)


def _encoded(origin: Origin, segment: Segment) -> Encoded | None:
    """Find the segment by its Tracking UID in what the encoders before have made."""
    wanted = tracking_uid(origin, segment)
    objects = next(
        (origin.encoded[kind] for kind in _SEGMENTATIONS if origin.encoded.get(kind)), ()
    )
    for seg in objects:
        for item in seg.SegmentSequence:
            if item.get("TrackingUID") == wanted:
                number = int(item.SegmentNumber)
                return Encoded(seg, number, _frames_of(seg, number))
    return None


def _frames_of(seg: Dataset, number: int) -> Mapping[SourceFrame, int]:
    frames = {}
    for place, group in enumerate(seg.PerFrameFunctionalGroupsSequence, start=1):
        identification = group.get("SegmentIdentificationSequence")
        if identification and identification[0].ReferencedSegmentNumber != number:
            continue
        image = group.DerivationImageSequence[0].SourceImageSequence[0]
        source = SourceFrame(image.ReferencedSOPInstanceUID, image.get("ReferencedFrameNumber", 1))
        frames[source] = place
    return frames


def _volume(
    origin: Origin,
    segment: Segment,
    measurements: Sequence[Measurement],
    where: Sequence[Plane],
    encoded: Encoded,
) -> Group:
    return sr.VolumetricROIMeasurementsAndQualitativeEvaluations(
        tracking_identifier=tracking(origin, segment),
        referenced_segment=sr.ReferencedSegment(
            encoded.header.SOPClassUID,
            encoded.header.SOPInstanceUID,
            encoded.number,
            source_images=[
                sr.SourceImageForSegmentation(header.SOPClassUID, header.SOPInstanceUID, frames)
                for header, frames in by_header(where)
            ],
        ),
        finding_type=segment.type,
        finding_category=segment.category,
        finding_sites=sites(segment),
        algorithm_id=algorithm(origin.model),
        measurements=[measured(item, origin) for item in measurements],
    )


def _regions(
    origin: Origin,
    segment: Segment,
    measurements: Sequence[Measurement],
    where: tuple[Sequence[Plane], SourceFrame],
    encoded: Encoded,
) -> Iterator[Group]:
    """Return one group per measured frame, and one for what was measured over all of them."""
    labelled, fullest = where
    is_single = len(labelled) == 1
    over_all = [item for item in measurements if item.frame is None and not is_single]
    of_frames = {item.frame for item in measurements if item.frame is not None} or {fullest}
    for plane in labelled:
        if plane.frame not in of_frames and not is_single:
            continue
        of_frame = [item for item in measurements if item.frame == plane.frame]
        of_frame += [item for item in measurements if item.frame is None and is_single]
        yield sr.PlanarROIMeasurementsAndQualitativeEvaluations(
            tracking_identifier=tracking(origin, segment),
            referenced_segment=_segmentation_frame(encoded, plane),
            finding_type=segment.type,
            finding_category=segment.category,
            finding_sites=sites(segment),
            algorithm_id=algorithm(origin.model),
            measurements=[measured(item) for item in of_frame],
        )
    if over_all:
        yield _plain(origin, segment, over_all, PRESENT, labelled)


def _segmentation_frame(encoded: Encoded, plane: Plane) -> sr.ReferencedSegmentationFrame:
    header = plane.header
    image = sr.SourceImageForSegmentation(
        header.SOPClassUID,
        header.SOPInstanceUID,
        [plane.frame.number] if is_multiframe(header) else None,
    )
    items = sr.ReferencedSegmentationFrame(
        encoded.header.SOPClassUID,
        encoded.header.SOPInstanceUID,
        encoded.frames[plane.frame],
        encoded.number,
        image,
    )
    # A reference names a frame or a segment, never both, PS3.3 table 10-3.
    del items[0].ReferencedSOPSequence[0].ReferencedSegmentNumber
    return items


def _plain(
    origin: Origin,
    segment: Segment,
    measurements: Sequence[Measurement],
    presence: Code | None,
    where: Sequence[Plane] | None,
) -> Group:
    evaluations = []
    if presence is not None:
        evaluations.append(sr.QualitativeEvaluation(codes.DCM.PresenceOfProperty, presence))
    return sr.MeasurementsAndQualitativeEvaluations(
        tracking_identifier=tracking(origin, segment),
        finding_type=segment.type,
        finding_category=segment.category,
        finding_sites=sites(segment),
        algorithm_id=algorithm(origin.model),
        measurements=[measured(item, origin) for item in measurements],
        qualitative_evaluations=evaluations,
        source_images=[
            sr.SourceImageForMeasurementGroup(header.SOPClassUID, header.SOPInstanceUID, frames)
            for header, frames in by_header(where or ())
        ],
    )


def _whole_image(origin: Origin, measurements: Sequence[Measurement]) -> Group:
    """Return what was measured of the image as a whole, or that nothing at all was found."""
    evaluations = [] if measurements else [
        sr.QualitativeEvaluation(codes.DCM.PresenceOfProperty, PRESENT)
    ]  # fmt: skip
    return sr.MeasurementsAndQualitativeEvaluations(
        tracking_identifier=sr.TrackingIdentifier(
            uid=derive_uid(origin.job, "tracking", "image"), identifier="Whole image"
        ),
        finding_type=codes.DCM.ImageRegion if measurements else NORMAL,
        algorithm_id=algorithm(origin.model),
        measurements=[measured(item, origin) for item in measurements],
        qualitative_evaluations=evaluations,
    )


def tracking(origin: Origin, segment: Segment) -> sr.TrackingIdentifier:
    """Return by what all that is said about a segment is known to belong together."""
    return sr.TrackingIdentifier(uid=tracking_uid(origin, segment), identifier=tracking_id(segment))


def sites(segment: Segment) -> list[sr.FindingSite]:
    """Return where a segment is, with its side if it has one."""
    if segment.place is None:
        return []
    return [sr.FindingSite(segment.place, laterality=segment.laterality)]


def measured(item: Measurement, origin: Origin | None = None) -> sr.Measurement:
    """Return TID 300; with `origin` it names the frame, if it is of one."""
    images = None
    if origin is not None and item.frame is not None:
        images = [
            sr.SourceImageForMeasurement(header.SOPClassUID, header.SOPInstanceUID, frames)
            for header, frames in by_header(planes([item.frame], origin.sources))
        ]
    return sr.Measurement(
        name=item.concept,
        value=float(f"{item.value:.6g}"),  # a pixel more or less changes the digits after these
        unit=item.unit,
        derivation=item.derivation,
        referenced_images=images,
    )


def by_header(where: Sequence[Plane]) -> list[tuple[Dataset, list[int] | None]]:
    """Return each instance once, with the numbers of its frames if it has several."""
    frames: dict[str, tuple[Dataset, list[int]]] = {}
    for plane in where:
        _, numbers = frames.setdefault(plane.frame.sop_instance_uid, (plane.header, []))
        numbers.append(plane.frame.number)
    return [
        (header, numbers if is_multiframe(header) else None) for header, numbers in frames.values()
    ]
