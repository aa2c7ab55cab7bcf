"""RT Structure Sets, filled again in the planes of their sources."""

from collections.abc import Callable, Sequence
from dataclasses import replace

import numpy as np
import pytest
from numpy.typing import NDArray
from pydicom.dataset import Dataset
from skimage.draw import polygon2mask

from dicom_ai_node.domain.findings import Segmentation
from dicom_ai_node.encode.planes import Plane, planes
from dicom_ai_node.encode.rt_structure_set import encode
from tests import phantoms
from tests.encode import scenes

PLACED = ["CT", "CT tilted, uneven", "MR", "PET", "enhanced MR", "name in ISO 2022"]
NOWHERE = ["DX", "US", "US cine"]
FLAT_MM = 0.005
"""How far a point may lie out of its plane: coordinates are written in micrometres."""


def oblique() -> list[Dataset]:
    """Return a CT that is turned about all three axes, its steps along its normal."""
    series = phantoms.ct(slices=6)
    row = np.array([0.836516, 0.482963, -0.258819])
    column = np.array([-0.519726, 0.850651, -0.092421])
    column -= (column @ row) * row
    column /= np.linalg.norm(column)
    for index, image in enumerate(series):
        image.ImageOrientationPatient = [*np.round(row, 7), *np.round(column, 7)]
        place = np.array([-31.7, 12.4, -8.9]) + 2.5 * index * np.cross(row, column)
        image.ImagePositionPatient = list(np.round(place, 6))
    return list(series)


def filled(outline: Dataset, plane: Plane, shape: tuple[int, int]) -> NDArray[np.bool_]:
    """Return the pixels of a frame whose centres lie in an outline, found by their geometry."""
    points = np.asarray(outline.ContourData, np.float64).reshape(-1, 3) - plane.corner_mm
    assert np.abs(points @ plane.normal).max() < FLAT_MM
    along_row, along_column = np.asarray(plane.orientation, np.float64).reshape(2, 3)
    row_mm, column_mm = map(float, plane.spacing or ())
    polygon = np.stack([points @ along_column / row_mm, points @ along_row / column_mm], 1)
    return np.asarray(polygon2mask(shape, polygon))


def refilled(result: Dataset, found: Segmentation, sources: Sequence[Dataset]) -> NDArray[np.uint8]:
    """Return the labels that the outlines of a structure set enclose on its source frames."""
    labels = np.zeros_like(found.labels)
    index = {frame: at for at, frame in enumerate(found.sources)}
    where = planes(found.sources, sources)
    for region in result.ROIContourSequence:
        for outline in region.ContourSequence:
            image = outline.ContourImageSequence[0]
            number = image.get("ReferencedFrameNumber", 1)
            frame = next(
                one
                for one in index
                if (one.sop_instance_uid, one.number) == (image.ReferencedSOPInstanceUID, number)
            )
            assert outline.NumberOfContourPoints * 3 == len(outline.ContourData)
            inside = filled(outline, where[index[frame]], labels.shape[1:])
            labels[index[frame]][inside] = region.ReferencedROINumber
    return labels


@pytest.mark.parametrize(
    "make", [*(scenes.SOURCES[name] for name in PLACED), oblique], ids=[*PLACED, "oblique"]
)
def test_filling_the_outlines_gives_the_segmentation_back(
    make: Callable[[], Sequence[Dataset]],
) -> None:
    """Pixel for pixel on slices upright, oblique and tilted, so that no volume changes."""
    scene = scenes.scene(make())
    found = scene.findings.segmentation
    assert found is not None
    (result,) = encode(scene.findings, scene.origin)
    assert np.array_equal(refilled(result, found, scene.origin.sources), found.labels)


def test_a_real_head_ct_keeps_its_volume_though_its_slices_are_tilted() -> None:
    """Where no volume can be made, outlines can still be drawn slice by slice."""
    headers = scenes.head_ct()
    if headers is None:
        pytest.skip("the real head CT is not here")
    scene = scenes.scene_of(headers)
    found = scene.findings.segmentation
    assert found is not None
    few = replace(found, labels=found.labels * (np.arange(len(headers)) < 4)[:, None, None])
    (result,) = encode(replace(scene.findings, segmentation=few), scene.origin)
    assert np.array_equal(refilled(result, few, scene.origin.sources), few.labels)


@pytest.mark.parametrize("source", NOWHERE)
def test_what_has_no_place_in_the_patient_has_no_structure_set(source: str) -> None:
    """An X-ray has no frame of reference in which anybody could plan."""
    scene = scenes.scene(scenes.SOURCES[source]())
    assert encode(scene.findings, scene.origin) == []


def test_nothing_found_is_no_structure_set() -> None:
    """The report says that nothing was found."""
    scene = scenes.nothing(phantoms.ct())
    assert encode(scene.findings, scene.origin) == []
    assert encode(scenes.Findings(), scene.origin) == []


def test_a_structure_set_says_what_each_region_is_and_where_it_comes_from() -> None:
    """Names, codes and colours of the model; frame of reference, study and series of the source."""
    scene = scenes.scene(phantoms.ct())
    (result,) = encode(scene.findings, scene.origin)
    source = scene.origin.sources[0]
    assert [item.ROIName for item in result.StructureSetROISequence] == ["Liver", "Left kidney"]
    observed = result.RTROIObservationsSequence[1]
    code = observed.RTROIIdentificationCodeSequence[0]
    assert code.CodeValue == scenes.KIDNEY.type.value
    assert code.SegmentedPropertyTypeModifierCodeSequence[0].CodeMeaning == "Left"
    assert observed.RTROIInterpretedType == "ORGAN"
    assert result.ROIContourSequence[1].ROIDisplayColor == list(scenes.KIDNEY.colour_rgb)
    frame = result.ReferencedFrameOfReferenceSequence[0]
    assert frame.FrameOfReferenceUID == source.FrameOfReferenceUID
    series = frame.RTReferencedStudySequence[0].RTReferencedSeriesSequence[0]
    assert series.SeriesInstanceUID == source.SeriesInstanceUID
    assert len(series.ContourImageSequence) == len(scene.origin.sources)
    assert (result.Modality, result.ApprovalStatus) == ("RTSTRUCT", "UNAPPROVED")
