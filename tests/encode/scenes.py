"""Sources of every kind with findings on them, and a model that made them."""

from collections.abc import Callable, Mapping, Sequence
from copy import deepcopy
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from pydicom.dataset import Dataset
from pydicom.sr.codedict import codes
from pydicom.sr.coding import Code
from pydicom.uid import Comprehensive3DSRStorage

from dicom_ai_node.domain.boxes import Corners
from dicom_ai_node.domain.clinical import KnownFact
from dicom_ai_node.domain.course import Course, Point
from dicom_ai_node.domain.findings import (
    Box,
    Classification,
    Detection,
    Embedding,
    FindingClass,
    Findings,
    Instances,
    Measurement,
    OperatingPoint,
    Segment,
    Segmentation,
    Trajectory,
)
from dicom_ai_node.domain.image import Frames, SourceFrame
from dicom_ai_node.domain.lesions import SUM_OF_DIAMETERS, Fate, Gone, Lesion, Lesions, Response
from dicom_ai_node.domain.model import (
    Golden,
    Grid,
    Intensity,
    ModelFacts,
    Scaling,
    Sees,
)
from dicom_ai_node.domain.pictures import Backdrop, DerivedPixels, HeatMap, Overlay
from dicom_ai_node.domain.ports import Origin
from dicom_ai_node.domain.quality import ImageQuality, QualityCheck
from dicom_ai_node.domain.reports import ReportReference
from dicom_ai_node.domain.similar import LookedAlike
from dicom_ai_node.domain.slide import slide_of
from dicom_ai_node.domain.uids import (
    JobKey,
    SeriesInstanceUID,
    Sha256,
    SOPClassUID,
    SOPInstanceUID,
    StudyInstanceUID,
    derive_uid,
)
from dicom_ai_node.encode.headers import normalised, read_sources
from dicom_ai_node.infer.measure import measurements
from dicom_ai_node.infer.motion import motions
from dicom_ai_node.samples.labs import lab_report
from tests import phantoms

MATERIAL = Path(__file__).parents[2] / "../shared/material"

ANATOMY = Code("91723000", "SCT", "Anatomical Structure")
YEAR = Code("a", "UCUM", "year")
HEIGHT = Code("50373000", "SCT", "Body height")
GLUCOSE = Code("2339-0", "LN", "Glucose [Mass/volume] in Blood")
CREATININE = Code("2160-0", "LN", "Creatinine [Mass/volume] in Serum or Plasma")
MG_PER_DL = Code("mg/dL", "UCUM", "mg/dL")
LIVER = Segment(
    number=1, label="Liver", category=ANATOMY, type=codes.SCT.Liver, colour_rgb=(255, 196, 0)
)
KIDNEY = Segment(
    number=2,
    label="Left kidney",
    category=ANATOMY,
    type=codes.SCT.Kidney,
    modifier=codes.SCT.Left,
    site=codes.SCT.Abdomen,
    colour_rgb=(0, 200, 255),
)
SPLEEN = Segment(
    number=3, label="Spleen", category=ANATOMY, type=codes.SCT.Spleen, colour_rgb=(255, 64, 160)
)
MODEL = ModelFacts(
    name="organs",
    version="1.2.0",
    digest=Sha256("ab" * 32),
    folder=Path("organs"),
    kind="segment",
    title="Abdominal organs",
    manufacturer="dicom_ai_node",
    modality=("CT",),
    sees=Sees.SLICES,
    intensity=Intensity(scaling=Scaling.WINDOW, low=-160, high=240),
    grid=Grid(size_px=(256, 256)),
    golden=Golden(file="golden/golden.npz", min_dice=0.98),
    segments=(LIVER, KIDNEY, SPLEEN),
    parameters={"threshold": "0.5"},
)
LUNG = Code("39607008", "SCT", "Lung")
PNEUMONIA = FindingClass(label="Pneumonia", type=Code("233604007", "SCT", "Pneumonia"), site=LUNG)
NODULE = FindingClass(label="Nodule", type=Code("27925004", "SCT", "Nodule"), site=LUNG)
NORMAL = FindingClass(label="Normal", type=Code("17621005", "SCT", "Normal"))
CLASSIFIER = replace(
    MODEL,
    name="chest_findings",
    kind="classify",
    title="Findings in chest images",
    modality=("CR", "DX"),
    sees=Sees.FRAMES,
    golden=Golden(file="golden/golden.npz", max_difference=0.02),
    segments=(),
    classes=(PNEUMONIA, NODULE, NORMAL),
    settings={
        "temperature": 1.37,
        "operating_point": {"label": "Pneumonia", "threshold": 0.41},
        "explain_layer": "layer4",
    },
)
RIGHT_LUNG = FindingClass(label="Right lung", type=LUNG, modifier=codes.SCT.Right)
LEFT_LUNG = FindingClass(label="Left lung", type=LUNG, modifier=codes.SCT.Left)
DETECTOR = replace(
    CLASSIFIER,
    name="chest_boxes",
    kind="detect",
    title="Boxes in chest images",
    classes=(RIGHT_LUNG, LEFT_LUNG, NODULE),
    settings={"slope": 0.9, "offset": -0.25, "threshold": 0.4, "limit": 10},
)
POINT = OperatingPoint(label="Pneumonia", threshold=0.41)
POINTED_AT = Segment(
    number=2,
    label="Structure",
    category=ANATOMY,
    type=Code("123037004", "SCT", "Body structure"),
    colour_rgb=(0, 200, 255),
)
FOLLOWER = replace(
    MODEL,
    name="motion",
    kind="track",
    title="Motion of the liver",
    modality=("US", "XA"),
    sees=Sees.FRAMES,
    golden=Golden(file="golden/golden.npz", max_difference=0.5),
    segments=(LIVER, POINTED_AT),
)
NUCLEUS = Segment(
    number=1, label="Nucleus", category=ANATOMY, type=Code("84640000", "SCT", "Nucleus")
)
COUNTER = replace(
    MODEL,
    name="counted_nuclei",
    kind="segment_instances",
    title="Cell nuclei",
    modality=("SM", "GM"),
    sees=Sees.REGIONS,
    segments=(NUCLEUS,),
)
ENCODER = replace(MODEL, name="encoder", kind="retrieve", title="Encoder", segments=())
QUANTITY = Code("246205007", "SCT", "Quantity")
NO_UNITS, UM2 = codes.UCUM.NoUnits, codes.UCUM.SquareMicrometer
PER_MM2 = Code("/mm2", "UCUM", "per square millimeter")
SMOOTHING = Code("113087", "DCM", "Smoothing")
RESAMPLING = Code("113085", "DCM", "Spatial resampling")
RESTORER = replace(
    MODEL,
    name="less_noise",
    kind="restore",
    title="Less noise",
    golden=Golden(file="golden/golden.npz", max_difference=0.02),
    grid=Grid(),
    segments=(),
)
VOLUME = codes.SCT.Volume
AREA = codes.SCT.Area
MEAN = codes.SCT.Mean
MM = codes.UCUM.Millimeter
MM2, CM3 = codes.UCUM.SquareMillimeter, codes.UCUM.CubicCentimeter


@dataclass(frozen=True, slots=True, kw_only=True)
class Scene:
    """Inputs and what was found on them."""

    findings: Findings
    origin: Origin


def origin(sources: Sequence[Dataset], **changes: object) -> Origin:
    """Return where a result on these headers comes from."""
    given = Origin(
        job=JobKey("5e" * 32),
        model=MODEL,
        sources=list(sources),
        created_at=datetime(2026, 3, 4, 5, 6, 7, tzinfo=UTC),
        node_version="0.1.0",
        node_serial="node-1",
        encoded={},
    )
    return replace(given, **changes)  # type: ignore[arg-type]


def frames_of(headers: Sequence[Dataset]) -> tuple[SourceFrame, ...]:
    """Return all frames of instances, in order."""
    return tuple(
        SourceFrame(SOPInstanceUID(str(header.SOPInstanceUID)), number + 1)
        for header in headers
        for number in range(int(header.get("NumberOfFrames") or 1))
    )


def scene(received: Sequence[Dataset], **changes: object) -> Scene:
    """Return findings on received images: two segments in some frames, a third in none."""
    headers = [normalised(image) for image in received]
    return scene_of(headers, **changes)


def scene_of(headers: Sequence[Dataset], **changes: object) -> Scene:
    """Return findings on normalised headers."""
    frames = frames_of(headers)
    shape = (len(frames), int(headers[0].Rows), int(headers[0].Columns))
    labels = labels_on(shape)
    probabilities = np.zeros((3, *shape), np.float16)
    for index in range(2):
        probabilities[index] = (labels == index + 1) * np.float16(0.8)
        probabilities[index][:, 1, 1] = 0.25
    found = Segmentation(
        labels=labels,
        sources=frames,
        segments=(LIVER, KIDNEY, SPLEEN),
        probabilities=probabilities,
    )
    findings = Findings(
        segmentation=found,
        measurements=measurements_on(found),
        backdrop=_backdrop(found, headers),
        notes=("Measured on the source pixels.",),
    )
    return Scene(findings=findings, origin=origin(headers, **changes))


def classified(
    received: Sequence[Dataset],
    probabilities: tuple[float, ...] = (0.45432, 0.4654, 0.08028),
    present: int = 0,
    **changes: object,
) -> Scene:
    """Return a classification of received images with a heat map, hottest on the second frame."""
    headers = [normalised(image) for image in received]
    full = scene_of(headers)
    found = full.findings.segmentation
    assert found is not None
    count, rows, columns = found.labels.shape
    y, x = np.mgrid[:rows, :columns]
    blob = np.exp(-(((y - rows * 0.4) / rows) ** 2 + ((x - columns * 0.6) / columns) ** 2) * 20)
    strength = np.array([1.0 if frame == min(1, count - 1) else 0.5 for frame in range(count)])
    findings = Findings(
        classification=Classification(
            classes=CLASSIFIER.classes,
            probabilities=probabilities,
            present=present,
            operating_point=POINT,
            sources=found.sources,
        ),
        heat_map=HeatMap(
            array=(strength[:, None, None] * blob).astype(np.float16),
            sources=found.sources,
            of=present,
        ),
        backdrop=full.findings.backdrop,
        notes=("The probabilities are the mean over all images.",) if count > 1 else (),
    )
    return Scene(findings=findings, origin=origin(headers, **{"model": CLASSIFIER, **changes}))


def fused(
    reference: Sequence[Dataset], other: Sequence[Dataset], *reports: Dataset, **changes: object
) -> Scene:
    """Return a classification of two series of a patient of whom something is known."""
    answered = classified(reference)
    headers = [normalised(image) for image in (*reference, *other, *reports)]
    answer, shown = answered.findings.classification, answered.findings.backdrop
    assert answer is not None
    assert shown is not None
    count, rows, columns = shown.array.shape
    middle = count // 2
    over = np.linspace(0, 1, rows * columns, dtype=np.float16).reshape(1, rows, columns)
    findings = replace(
        answered.findings,
        classification=replace(
            answer, sources=answer.sources + frames_of([normalised(image) for image in other])
        ),
        backdrop=Backdrop(
            array=shown.array[middle : middle + 1],
            sources=shown.sources[middle : middle + 1],
            overlay=Overlay(array=over, name="pet", low=0, high=8, unit="g/ml{SUVbw}"),
        ),
        clinical=(
            KnownFact(name="age", concept=codes.DCM.SubjectAge, unit=YEAR, value=71.0),
            KnownFact(name="sex", concept=codes.DCM.SubjectSex, unit=None, value=0.0, said="F"),
            KnownFact(name="size", concept=HEIGHT, unit=codes.UCUM.Meter),
            KnownFact(
                name="glucose",
                concept=GLUCOSE,
                unit=MG_PER_DL,
                value=135.123456789,
                report=ReportReference(
                    study_instance_uid=headers[-1].StudyInstanceUID,
                    series_instance_uid=headers[-1].SeriesInstanceUID,
                    sop_class_uid=headers[-1].SOPClassUID,
                    sop_instance_uid=headers[-1].SOPInstanceUID,
                ),
            ),
            KnownFact(
                name="creatinine",
                concept=CREATININE,
                unit=MG_PER_DL,
                value=0.9,
                report=_earlier_report(7),
                days_before=12.25,
            ),
        ),
    )
    return Scene(findings=findings, origin=origin(headers, **{"model": CLASSIFIER, **changes}))


def labs() -> Dataset:
    """Return lab values of the patient of the phantoms, of the study of their CT."""
    report, image = lab_report("labs"), phantoms.ct(2)[0]
    for keyword in ("PatientName", "PatientID", "StudyInstanceUID", "StudyDate", "StudyTime"):
        setattr(report, keyword, image.get(keyword))
    return report


def followed(received: Sequence[Dataset], *, has_pixels: bool, **changes: object) -> Scene:
    """Return a structure that was followed through a cine and was lost on one frame.

    With pixels it is the liver, labelled on every frame on which it was seen; without, a point.
    """
    headers = [normalised(image) for image in received]
    frames = frames_of(headers)
    shape = (len(frames), int(headers[0].Rows), int(headers[0].Columns))
    step = float(headers[0].get("FrameTime") or 0)
    times_ms = tuple(step * index for index in range(len(frames))) if step else None
    if "TriggerTime" in headers[0]:
        times_ms = tuple(float(image.TriggerTime) for image in headers)
    spacing_mm = (0.5, 0.5) if "SequenceOfUltrasoundRegions" in headers[0] else None
    phase = np.arange(len(frames)) / len(frames)
    points = np.stack([shape[1] / 2 + 3 * phase, shape[2] / 2 + 8 * np.sin(9 * phase)], axis=1)
    points[2] = np.nan
    confidence = np.linspace(1, 0.6, len(frames)).astype(np.float32)
    confidence[2] = 0.21
    segment = LIVER if has_pixels else POINTED_AT
    path = Trajectory(
        points=points,
        confidence=confidence,
        sources=frames,
        of=segment,
        times_ms=times_ms,
        spacing_mm=spacing_mm,
    )
    measured, notes = motions([path])
    y, x = np.mgrid[: shape[1], : shape[2]]
    labels = np.stack([np.hypot(y - row, x - column) < shape[1] / 6 for row, column in points])
    found = Segmentation(
        labels=labels.astype(np.uint8),
        sources=frames,
        segments=(LIVER,),
        probabilities=labels[None].astype(np.float16),
    )
    findings = Findings(
        trajectories=(path,),
        segmentation=found if has_pixels else None,
        measurements=measured,
        backdrop=_backdrop(found, headers),
        notes=notes,
    )
    return Scene(findings=findings, origin=origin(headers, **{"model": FOLLOWER, **changes}))


def over_cycle(received: Sequence[Dataset]) -> Scene:
    """Return a left ventricle whose area was measured on every frame of a cine."""
    full = scene(received)
    found = full.findings.segmentation
    assert found is not None
    ventricle = replace(
        LIVER, label="Left ventricle", type=Code("87878005", "SCT", "Left ventricle")
    )
    found = replace(found, segments=(ventricle, KIDNEY, SPLEEN))
    shape = found.labels.shape
    image = Frames(
        array=np.zeros(shape, np.float32),
        unit="1",
        sources=found.sources,
        spacing_mm=(0.5, 0.5),
        region=(0, shape[1], 0, shape[2]),
        times_ms=tuple(40.0 * index for index in range(shape[0])),
    )
    measured, notes = measurements(found, image, ["area_over_cycle"])
    findings = replace(full.findings, segmentation=found, measurements=measured, notes=notes)
    return replace(full, findings=findings)


def restored(received: Sequence[Dataset], factor: int = 1, **changes: object) -> Scene:
    """Return a restoration of received images: the pixels they have, a little darker."""
    headers = [normalised(image) for image in received]
    frames = frames_of(headers)
    pixels = []
    for image in received:
        values = image.pixel_array
        several = values if int(image.get("NumberOfFrames") or 1) > 1 else values[None]
        pixels.extend(several - (several > several.min()).astype(values.dtype))
    array = np.stack(pixels).repeat(factor, axis=1).repeat(factor, axis=2)
    grey = (array if array.ndim == 3 else array[..., 0]).astype(np.float64)
    shown = (255 * (grey - grey.min()) / max(float(np.ptp(grey)), 1)).astype(np.uint8)
    step = float(headers[0].get("FrameTime") or 0)
    findings = Findings(
        derived=DerivedPixels(
            pixels=array,
            sources=frames,
            factor=factor,
            derivation=SMOOTHING if factor == 1 else RESAMPLING,
            unit="1",
            mean_change=-0.5,
            shown_change=2.0,
        ),
        backdrop=Backdrop(
            array=np.concatenate([shown, shown, np.full_like(shown, 120)], axis=2),
            sources=frames,
            times_ms=tuple(step * n for n in range(len(frames))) if step else None,
        ),
    )
    return Scene(findings=findings, origin=origin(headers, **{"model": RESTORER, **changes}))


def detected(received: Sequence[Dataset], **changes: object) -> Scene:
    """Return boxes on received images: two lungs on each, a nodule on none."""
    headers = [normalised(image) for image in received]
    full = scene_of(headers)
    found = full.findings.segmentation
    assert found is not None
    _, rows, columns = found.labels.shape
    boxes = tuple(
        Box(of=of, probability=chance - 0.001 * number, source=frame, corners=corners)
        for number, frame in enumerate(found.sources)
        for of, chance, corners in (
            (0, 0.98765, Corners(rows * 0.1, 0.0, rows * 0.9, columns * 0.45)),
            (1, 0.61, Corners(rows * 0.125, columns * 0.5 + 0.25, rows * 0.85, float(columns))),
        )
    )
    findings = Findings(
        detection=Detection(
            classes=DETECTOR.classes, boxes=boxes, threshold=0.4, sources=found.sources
        ),
        backdrop=full.findings.backdrop,
    )
    return Scene(findings=findings, origin=origin(headers, **{"model": DETECTOR, **changes}))


def undetected(received: Sequence[Dataset]) -> Scene:
    """Return a scene in which boxes were looked for and none was found."""
    full = detected(received)
    found = full.findings.detection
    assert found is not None
    return replace(full, findings=replace(full.findings, detection=replace(found, boxes=())))


def quality(sources: tuple[SourceFrame, ...], **changes: object) -> ImageQuality:
    """Return what a guard says about an input that looks manipulated, but familiar."""
    given = ImageQuality(
        checks=(
            QualityCheck(
                concept=Code("ADVSCORE", "99DAIN", "Adversarial perturbation score"),
                flag=Code("ADVFLAG", "99DAIN", "Adversarial perturbation"),
                says="looks manipulated",
                score=7.25,
                threshold=1.5,
            ),
            QualityCheck(
                concept=Code("OODSCORE", "99DAIN", "Distance from training data"),
                flag=Code("OODFLAG", "99DAIN", "Unlike training data"),
                says="is unlike the training data",
                score=0.93,
                threshold=1.62,
            ),
        ),
        sources=sources,
    )
    return replace(given, **changes)  # type: ignore[arg-type]


def doubtful(received: Sequence[Dataset], **changes: object) -> Scene:
    """Return a classification of images that look manipulated."""
    found = classified(received)
    seen = quality(frames_of(found.origin.sources), **changes)
    return replace(found, findings=replace(found.findings, quality=seen))


def declined(received: Sequence[Dataset]) -> Scene:
    """Return what is left where the model did not look."""
    origin_ = scene(received).origin
    seen = ImageQuality(declined="GEO_MISSING_SLICE: a slice is missing; send the series again")
    return Scene(findings=Findings(quality=seen, notes=("between 3 and 6 mm",)), origin=origin_)


def course(name: str, *values: float, **changes: object) -> Course:
    """Return a course of the liver with these values, 90 days apart; the last is of this study."""
    start = datetime(2025, 1, 1, 9, 30)  # noqa: DTZ001 (as DICOM writes it)
    points = [
        Point(
            at=start + timedelta(days=90 * place),
            value=value,
            low=value - place,
            high=value + place,
            report=None if place == len(values) - 1 else _earlier_report(place),
        )
        for place, value in enumerate(values)
    ]
    given = Course(of=LIVER.number, label=name, concept=VOLUME, unit=CM3, points=tuple(points))
    return replace(given, **changes)  # type: ignore[arg-type]


def _earlier_report(place: int) -> ReportReference:
    uids = [derive_uid("earlier", level, str(place)) for level in ("study", "series", "report")]
    return ReportReference(
        study_instance_uid=StudyInstanceUID(uids[0]),
        series_instance_uid=SeriesInstanceUID(uids[1]),
        sop_class_uid=SOPClassUID(Comprehensive3DSRStorage),
        sop_instance_uid=SOPInstanceUID(uids[2]),
    )


def compared(received: Sequence[Dataset], **changes: object) -> Scene:
    """Return findings with the courses of three quantities, one of the image as a whole."""
    plain = scene(received, **changes)
    courses = (
        course("Liver", 1500.0, 1490.0, 1612.0, 1701.0),
        course(
            "Liver", 40.0, 41.25, concept=codes.DCM.AttenuationCoefficient,
            unit=codes.UCUM.HounsfieldUnit, derivation=MEAN,
        ),
        course("Whole image", 0.0, 3.0, of=None, concept=AREA, unit=MM2),
    )  # fmt: skip
    return replace(plain, findings=replace(plain.findings, courses=courses))


def with_lesions(received: Sequence[Dataset], **changes: object) -> Scene:
    """Return three lesions in slices, two that are gone, the response, and the sum's course."""
    plain = scene(received, **changes)
    found = plain.findings.segmentation
    assert found is not None
    lesions = tuple(
        Lesion(
            number=number,
            of=LIVER.number,
            tracking_uid=derive_uid("lesion", str(number)),
            centre_mm=(10.0 * number, -5.0, 40.0),
            frame=found.sources[number],
            ends_px=(10.0, 10.0, 20.0, 20.0),
            long_mm=30.0 / number,
            short_mm=20.0 / number,
            volume_cm3=4.0 / number,
            suv_max=9.5 if number == 1 else None,
            fate=fate,
            part_of=derive_uid("lesion", "1") if fate is Fate.PART else "",
        )
        for number, fate in enumerate((Fate.FOLLOWED, Fate.NEW, Fate.PART), start=1)
    )
    gone = (
        Gone(number=4, of=LIVER.number, tracking_uid=derive_uid("lesion", "4"), merged_into=1),
        Gone(number=5, of=LIVER.number, tracking_uid=derive_uid("lesion", "5")),
    )
    told = Response(targets=(1, 5), sum_mm=40.0, baseline_mm=50.0, nadir_mm=35.0, new=1)
    total = course("Target lesions 1, 5", 50.0, 35.0, 40.0, concept=SUM_OF_DIAMETERS, unit=MM)
    frame = str(received[0].FrameOfReferenceUID)
    found_lesions = Lesions(frame_of_reference_uid=frame, present=lesions, gone=gone, response=told)
    findings = replace(plain.findings, lesions=found_lesions, courses=(total,))
    return replace(plain, findings=findings)


def alike(received: Sequence[Dataset], **changes: object) -> Scene:
    """Return images that two earlier studies of the same patient look like."""
    headers = [normalised(image) for image in received]
    priors = []
    for number, score in ((1, 0.93), (2, 0.81)):
        prior = deepcopy(headers[0])
        for keyword in ("StudyInstanceUID", "SeriesInstanceUID", "SOPInstanceUID"):
            setattr(prior, keyword, derive_uid("prior", keyword, str(number)))
        prior.StudyDate = f"2024010{number}"
        priors.append(LookedAlike(header=prior, score=score))
    found = Findings(embedding=Embedding(vector=np.array([1, 0], np.float32), sources=()))
    from_past = origin(headers, model=ENCODER, priors=priors, **changes)
    return Scene(findings=found, origin=from_past)


def labels_on(shape: tuple[int, int, int]) -> NDArray[np.uint8]:
    """Return a liver on all but the first frame of several and a kidney on every second."""
    frames, rows, columns = shape
    y, x = np.mgrid[:rows, :columns]
    labels = np.zeros(shape, np.uint8)
    for frame in range(frames):
        if frame or frames == 1:
            reach = rows / 4 - abs(frame - frames / 2) * rows / 8 / frames
            labels[frame][np.hypot(y - rows / 2, x - columns / 3) < reach] = 1
        if frame % 2 or frames == 1:
            labels[frame, rows // 2 : rows // 2 + rows // 5, columns * 2 // 3 : -3 - frame % 3] = 2
    return labels


def measurements_on(found: Segmentation) -> tuple[Measurement, ...]:
    """Return a volume of each, a mean of one, and an area on every second frame of the first."""
    counts = [int((found.labels == number).sum()) for number in (1, 2)]
    items = [
        Measurement(concept=VOLUME, value=count / 1000, unit=CM3, of=number)
        for number, count in enumerate(counts, start=1)
    ]
    items.append(
        Measurement(
            concept=codes.DCM.AttenuationCoefficient,
            value=41.25,
            unit=codes.UCUM.HounsfieldUnit,
            of=1,
            derivation=MEAN,
        )
    )
    for index, frame in enumerate(found.sources):
        area = int((found.labels[index] == 1).sum())
        if area and index % 2 == 0:
            items.append(Measurement(concept=AREA, value=float(area), unit=MM2, of=1, frame=frame))
    return tuple(items)


def _backdrop(found: Segmentation, headers: Sequence[Dataset]) -> Backdrop:
    count, rows, columns = found.labels.shape
    step = float(headers[0].get("FrameTime") or 0)
    y, x = np.mgrid[:rows, :columns]
    grey = ((y * 200 // rows + x * 40 // columns) % 256).astype(np.uint8)
    return Backdrop(
        array=np.repeat(grey[None], count, axis=0),
        sources=found.sources,
        times_ms=tuple(step * index for index in range(count)) if step else None,
    )


def counted(received: Sequence[Dataset], **changes: object) -> Scene:
    """Return discs found one by one on a microscopy image of a phantom, as many as it shows."""
    headers = [normalised(image) for image in received]
    header = headers[0]
    slide = slide_of(header)
    _, middles = phantoms.sm_values(*slide.shape)
    turn = np.linspace(0, 2 * np.pi, 24, endpoint=False)
    circle = np.stack([np.sin(turn), np.cos(turn)], axis=1) * 9
    outlines = [(circle + middle).astype(np.float32) for middle in middles]
    y, x = np.mgrid[: slide.shape[0], : slide.shape[1]]
    matrix = np.zeros(slide.shape, np.uint8)
    for row, column in middles:
        matrix[(y - row) ** 2 + (x - column) ** 2 <= 81] = 1
    high, wide = slide.tile_shape
    labels = np.stack(
        [matrix[t.row : t.row + high, t.column : t.column + wide] for t in slide.tiles]
    )
    sources = frames_of(headers)
    on = [
        next(
            place for place, tile in enumerate(slide.tiles)
            if tile.row <= row < tile.row + high and tile.column <= column < tile.column + wide
        )
        for row, column in middles
    ]  # fmt: skip
    findings = Findings(
        segmentation=Segmentation(
            labels=labels,
            sources=sources,
            segments=(NUCLEUS,),
            probabilities=labels[None] * np.float16(0.9),
        ),
        instances=Instances(
            points=np.concatenate(outlines),
            starts=np.arange(len(outlines) + 1, dtype=np.int64) * len(turn),
            numbers=np.ones(len(outlines), np.uint8),
            areas_px=np.full(len(outlines), 253, np.int32),
            frames=np.array(on, np.int32),
            sources=sources,
            segments=(NUCLEUS,),
        ),
        measurements=(
            Measurement(concept=QUANTITY, value=len(middles), unit=NO_UNITS, of=1),
            Measurement(concept=QUANTITY, value=1953.125, unit=PER_MM2, of=1),
            Measurement(concept=AREA, value=63.25, unit=UM2, of=1, derivation=MEAN),
        ),
        backdrop=Backdrop(
            array=np.repeat(labels[:1, ..., None] * np.uint8(60) + 100, 3, axis=-1),
            sources=sources[:1],
        ),
    )
    return Scene(findings=findings, origin=origin(headers, **{"model": COUNTER, **changes}))


def nothing(received: Sequence[Dataset]) -> Scene:
    """Return a scene in which the model looked and found nothing."""
    full = scene(received)
    found = full.findings.segmentation
    assert found is not None
    empty = replace(found, labels=np.zeros_like(found.labels))
    return replace(full, findings=replace(full.findings, segmentation=empty, measurements=()))


def enhanced(slices: int = 6) -> Dataset:
    """Return an enhanced MR whose frames lie where those of the phantom MR lie."""
    single = phantoms.mr(slices=slices)
    image = single[0].copy()
    image.SOPClassUID = "1.2.840.10008.5.1.4.1.1.4.1"
    image.file_meta.MediaStorageSOPClassUID = image.SOPClassUID
    image.SOPInstanceUID = derive_uid("phantom", "enhanced")
    image.SeriesInstanceUID = derive_uid("phantom", "enhanced series")
    image.NumberOfFrames = slices
    image.PixelData = b"".join(one.PixelData for one in single)
    measures, orientation, shared = Dataset(), Dataset(), Dataset()
    measures.PixelSpacing, measures.SliceThickness = image.PixelSpacing, image.SliceThickness
    orientation.ImageOrientationPatient = image.ImageOrientationPatient
    shared.PixelMeasuresSequence = [measures]
    shared.PlaneOrientationSequence = [orientation]
    image.SharedFunctionalGroupsSequence = [shared]
    image.PerFrameFunctionalGroupsSequence = []
    for one in single:
        position, group = Dataset(), Dataset()
        position.ImagePositionPatient = one.ImagePositionPatient
        group.PlanePositionSequence = [position]
        image.PerFrameFunctionalGroupsSequence.append(group)
    for keyword in ("ImagePositionPatient", "ImageOrientationPatient", "PixelSpacing"):
        delattr(image, keyword)
    return image


def tilted(slices: int = 10) -> list[Dataset]:
    """Return a CT whose slices lean against the table's way, with gaps that change."""
    series = phantoms.ct(slices=slices)
    for index, image in enumerate(series):
        image.ImageOrientationPatient = [1, 0, 0, 0, 0.951057, -0.309017]
        gap = 2.5 * index if index < slices // 2 else 2.5 * index + 1.5 * (index - slices // 2)
        image.ImagePositionPatient = [-20, -20, round(gap, 4)]
        image.GantryDetectorTilt = 18
    return list(series)


def head_ct() -> list[Dataset] | None:
    """Return the headers of a real head CT with tilt and two spacings, or `None` without it."""
    files = sorted((MATERIAL / "dicom/ct-head-ge-28").glob("*.dcm"))
    return read_sources(files) if files else None


def bare(images: Sequence[Dataset]) -> list[Dataset]:
    """Return images without any Type 2 attribute of patient and study, with odd values."""
    for image in images:
        for keyword in ("PatientBirthDate", "StudyID", "AccessionNumber", "StudyTime",
                        "ReferringPhysicianName", "BodyPartExamined"):  # fmt: skip
            if keyword in image:
                delattr(image, keyword)
    return list(images)


def named(images: Sequence[Dataset], character_set: str | list[str], name: str) -> list[Dataset]:
    """Return images of a patient whose name is in this character set."""
    for image in images:
        image.SpecificCharacterSet = character_set
        image.PatientName = name
    return list(images)


SOURCES: Mapping[str, Callable[[], Sequence[Dataset]]] = {
    "CT": phantoms.ct,
    "CT tilted, uneven": tilted,
    "MR": phantoms.mr,
    "PET": phantoms.pet,
    "enhanced MR": lambda: [enhanced()],
    "DX": lambda: [phantoms.dx()],
    "CR": lambda: [phantoms.cr()],
    "US": lambda: [phantoms.us()],
    "US cine": lambda: [phantoms.us_cine()],
    "two CR": lambda: [
        phantoms.cr(),
        phantoms.cr(InstanceNumber=2, SOPInstanceUID=derive_uid("phantom", "second CR")),
    ],
    "name in UTF-8": lambda: named(phantoms.ct(4), "ISO_IR 192", "Wang^XiaoDong=王^小东"),
    "name in ISO 2022": lambda: named(
        phantoms.ct(4), ["", "ISO 2022 IR 87"], "Yamada^Tarou=山田^太郎=やまだ^たろう"
    ),
    "no Type 2": lambda: bare(phantoms.ct(4)),
}
"""Every kind of source, by the name that the table of the validators shows."""

CLASSIFIED: Mapping[str, Callable[[], Sequence[Dataset]]] = {
    name: SOURCES[name]
    for name in (
        "CT", "CT tilted, uneven", "enhanced MR", "MR", "DX", "CR", "US", "US cine", "two CR",
        "name in ISO 2022", "no Type 2",
    )
} | {"one MR slice": lambda: phantoms.mr(slices=1)}  # fmt: skip
"""Sources of which there is a classification with a heat map."""

FUSED: Mapping[str, Callable[[], Scene]] = {
    "CT and PET with lab values": lambda: fused(phantoms.ct(), phantoms.pet(), labs()),
    "CT and PET, no report": lambda: fused(phantoms.ct(4), phantoms.pet(4)),
    "CT and PET, report of another study": lambda: fused(
        phantoms.ct(4), phantoms.pet(4), lab_report("labs")
    ),
}
"""What is said about two series together, by the name that the table of the validators shows."""

FOLLOWED: Mapping[str, Callable[[], Scene]] = {
    "US cine, head followed": lambda: followed([phantoms.us_cine()], has_pixels=True),
    "US cine, point followed": lambda: followed([phantoms.us_cine()], has_pixels=False),
    "XA, point followed": lambda: followed([phantoms.xa_run()], has_pixels=False),
    "XA, wire followed": lambda: followed([phantoms.xa_run()], has_pixels=True),
    "RF, wire followed": lambda: followed([phantoms.rf()], has_pixels=True),
    "cine MR, outline followed": lambda: followed(
        sorted(phantoms.mr_tissue_cine(np.zeros((6, 2))), key=lambda one: one.TriggerTime),
        has_pixels=True,
    ),
    "US cine, over the cycle": lambda: over_cycle([phantoms.us_cine()]),
}
"""What is said about cines, by the name that the table of the validators shows."""

COMPARED: Mapping[str, Callable[[], Sequence[Dataset]]] = {
    name: SOURCES[name] for name in ("CT", "DX", "US", "US cine")
}
"""Sources whose measurements are compared with those of earlier studies."""

LESIONS: Mapping[str, Callable[[], Sequence[Dataset]]] = {
    name: SOURCES[name] for name in ("CT", "PET", "enhanced MR")
}
"""Sources in which single lesions are followed from study to study."""

COUNTED: Mapping[str, Callable[[], Sequence[Dataset]]] = {
    "whole slide": lambda: [phantoms.sm()],
    "sparse slide": lambda: [phantoms.sparse(phantoms.sm(), range(12))],
    "microscopy image": lambda: [phantoms.vl_microscopic()],
}
"""Sources on which objects were found one by one."""

RESTORED: Mapping[str, Callable[[], Sequence[Dataset]]] = {
    name: SOURCES[name]
    for name in (
        "CT", "CT tilted, uneven", "MR", "PET", "DX", "CR", "US", "US cine", "two CR",
        "name in ISO 2022", "no Type 2",
    )
} | {
    "inverted DX": lambda: [
        phantoms.dx(PhotometricInterpretation="MONOCHROME1", PresentationLUTShape="INVERSE")
    ],
    "hand": lambda: [phantoms.cr(BodyPartExamined="HAND")],
    "XA": lambda: [phantoms.xa_run()],
    "one XA frame": lambda: [phantoms.xa_run(frames=1)],
    "RF": lambda: [phantoms.rf()],
}  # fmt: skip
"""Sources from which an image is derived."""
DETECTED: Mapping[str, Callable[[], Sequence[Dataset]]] = {
    name: SOURCES[name] for name in ("DX", "CR", "US", "US cine", "two CR")
} | {
    "inverted DX": lambda: [phantoms.dx(PhotometricInterpretation="MONOCHROME1")],
    "name in UTF-8": lambda: named([phantoms.cr()], "ISO_IR 192", "Wang^XiaoDong=王^小东"),
    "no Type 2": lambda: bare([phantoms.cr()]),
    "grey US": lambda: [
        phantoms.us(
            SamplesPerPixel=1, PhotometricInterpretation="MONOCHROME2", PlanarConfiguration=None
        )
    ],
    "a pair of hands": lambda: [phantoms.cr(BodyPartExamined="HAND")],
}
"""Sources of which there is a detection with boxes."""

ALIKE: Mapping[str, Callable[[], Sequence[Dataset]]] = {
    name: SOURCES[name]
    for name in ("CT", "MR", "PET", "enhanced MR", "DX", "CR", "US", "US cine", "name in ISO 2022")
} | {
    "whole slide": lambda: [phantoms.sm()],
    "two series": lambda: [*phantoms.ct(2), *phantoms.mr(2)],
}
"""Sources that something in the patient's past looks like."""
