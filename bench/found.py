"""What is to be written as DICOM: a CT series with structures, and the same for every writer.

A folder of it holds `series/`, the labels of so many structures as `labels-N.npy` and `labels-N.nrrd`,
the pixels of a derived series as `derived.npy`, and the findings of the node beside them as its
workers leave them.
"""

import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from pydicom.dataset import Dataset
from pydicom.sr.codedict import codes
from pydicom.sr.coding import Code

from bench import objects
from dicom_ai_node.domain.findings import Findings, Measurement, Segment, Segmentation
from dicom_ai_node.domain.image import SourceFrame
from dicom_ai_node.domain.pictures import Backdrop, DerivedPixels
from dicom_ai_node.domain.uids import SOPInstanceUID
from dicom_ai_node.infer.back import frames_to_show
from dicom_ai_node.store.findings import keep_findings
from tests import phantoms

MEASURED = 10
"""Structures of which a report tells the volume and the mean."""
ANATOMY = Code("91723000", "SCT", "Anatomical Structure")
SMOOTHING = Code("113087", "DCM", "Smoothing")
_COLOURS = ((255, 196, 0), (0, 200, 255), (255, 64, 160), (64, 255, 96), (160, 96, 255))


def lay_out(folder: Path, slices: int, side: int, structures: Sequence[int]) -> None:
    """Write everything about a series of so many slices."""
    made = objects.ct_images(slices, side)
    phantoms.write(made, folder / "series")
    values = np.stack([np.frombuffer(ds.PixelData, "<u2").reshape(side, side) for ds in made])
    for count in {*structures, MEASURED}:
        labels = ellipsoids(count, values.shape)
        np.save(folder / f"labels-{count}.npy", labels)
        _write_nrrd(folder / f"labels-{count}.nrrd", labels, made[0])
        (folder / f"labels-{count}.json").write_text(json.dumps(_for_dcmqi(count)))
        keep_findings(folder / f"findings-{count}", _segmented(labels, values, made, count))
    darker = (values // 2).astype(np.uint16)
    np.save(folder / "derived.npy", darker)
    derived = DerivedPixels(
        pixels=darker, sources=_sources(made), factor=1, unit="[hnsf'U]", derivation=SMOOTHING,
        mean_change=float(np.abs(values - darker.astype(float)).mean()), shown_change=1000.0,
    )  # fmt: skip
    keep_findings(folder / "findings-derived", Findings(derived=derived))


def ellipsoids(count: int, shape: tuple[int, ...], seed: int = 3) -> NDArray[np.uint8]:
    """Return (slices, rows, columns): one large structure, some organs, or many small ones."""
    size = np.asarray(shape)
    least, most = {True: (0.36, 0.37), False: (0.07, 0.2) if count <= MEASURED else (0.03, 0.11)}[
        count == 1
    ]
    labels = np.zeros(shape, np.uint8)
    random = np.random.default_rng(seed)
    for number in range(1, count + 1):
        radius = np.maximum(2, random.uniform(least, most, 3) * size)
        centre = random.uniform(radius, np.maximum(radius + 1, size - radius))
        low = np.maximum(0, centre - radius).astype(int)
        high = np.minimum(size, centre + radius + 1).astype(int)
        grid = np.ogrid[tuple(slice(a, b) for a, b in zip(low, high, strict=True))]
        inside = sum(((axis - c) / r) ** 2 for axis, c, r in zip(grid, centre, radius, strict=True))
        labels[tuple(slice(a, b) for a, b in zip(low, high, strict=True))][inside <= 1] = number
    for number in set(range(1, count + 1)) - set(np.unique(labels)):  # hidden by others
        labels[number % shape[0], number % shape[1], 0] = number
    return labels


def segments(count: int) -> tuple[Segment, ...]:
    """Return the structures."""
    return tuple(
        Segment(
            number=number, label=f"Structure {number}", category=ANATOMY, type=codes.SCT.Liver,
            colour_rgb=_COLOURS[number % len(_COLOURS)],
        )
        for number in range(1, count + 1)
    )  # fmt: skip


def measured(
    labels: NDArray[np.uint8], values: NDArray[np.uint16], number: int
) -> tuple[float, ...]:
    """Return volume in cm3 and mean in HU of a structure."""
    inside = labels == number
    return float(inside.sum()) / 1000, float(values[inside].mean()) - 1024


def _segmented(
    labels: NDArray[np.uint8], values: NDArray[np.uint16], made: Sequence[Dataset], count: int
) -> Findings:
    sources = _sources(made)
    items = []
    for number in range(1, min(count, MEASURED) + 1):
        volume, mean = measured(labels, values, number)
        items += [
            Measurement(
                concept=codes.SCT.Volume, value=volume, unit=codes.UCUM.CubicCentimeter, of=number
            ),
            Measurement(
                concept=codes.DCM.AttenuationCoefficient, value=mean,
                unit=codes.UCUM.HounsfieldUnit, of=number, derivation=codes.SCT.Mean,
            ),
        ]  # fmt: skip
    frames = frames_to_show(labels)
    shown = np.clip((values[frames].astype(np.float32) - 864) * (255 / 400), 0, 255)
    return Findings(
        segmentation=Segmentation(labels=labels, sources=sources, segments=segments(count)),
        measurements=tuple(items),
        backdrop=Backdrop(
            array=shown.astype(np.uint8), sources=tuple(sources[frame] for frame in frames)
        ),
    )


def _sources(made: Sequence[Dataset]) -> tuple[SourceFrame, ...]:
    return tuple(SourceFrame(SOPInstanceUID(str(ds.SOPInstanceUID))) for ds in made)


def _write_nrrd(path: Path, labels: NDArray[np.uint8], first: Dataset) -> None:
    """Write labels for ITK's tools, in the place of the series."""
    slices, rows, columns = labels.shape
    row_mm, column_mm = first.PixelSpacing
    origin = ",".join(map(str, first.ImagePositionPatient))
    head = (
        "NRRD0004\ntype: uchar\ndimension: 3\nspace: left-posterior-superior\n"
        f"sizes: {columns} {rows} {slices}\n"
        f"space directions: ({column_mm},0,0) (0,{row_mm},0) (0,0,{first.SliceThickness})\n"
        f"kinds: domain domain domain\nencoding: raw\nspace origin: ({origin})\n\n"
    )
    with path.open("wb") as file:
        file.write(head.encode())
        labels.tofile(file)


def _for_dcmqi(count: int) -> dict[str, object]:
    """Return what dcmqi wants to know about the labels."""

    def coded(code: Code) -> dict[str, str]:
        return {
            "CodeValue": code.value,
            "CodingSchemeDesignator": code.scheme_designator,
            "CodeMeaning": code.meaning,
        }

    items = [
        {
            "labelID": one.number, "SegmentLabel": one.label, "SegmentDescription": one.label,
            "SegmentAlgorithmType": "AUTOMATIC", "SegmentAlgorithmName": "bench",
            "SegmentedPropertyCategoryCodeSequence": coded(one.category),
            "SegmentedPropertyTypeCodeSequence": coded(one.type),
        }
        for one in segments(count)
    ]  # fmt: skip
    return {
        "ContentCreatorName": "Bench", "ClinicalTrialSeriesID": "1", "SeriesNumber": "300",
        "ClinicalTrialTimePointID": "1", "ClinicalTrialCoordinatingCenterName": "Bench",
        "SeriesDescription": "Segmentation", "InstanceNumber": "1", "BodyPartExamined": "CHEST",
        "ContentLabel": "SEGMENTATION", "ContentDescription": "Bench",
        "segmentAttributes": [items],
    }  # fmt: skip
