"""Uptake of known bodies."""

from dataclasses import replace

import numpy as np
import pytest
from pydicom.sr.codedict import codes

from dicom_ai_node.domain.findings import Segment, Segmentation
from dicom_ai_node.domain.image import Geometry, SourceFrame, Volume
from dicom_ai_node.domain.uids import SOPInstanceUID
from dicom_ai_node.infer.uptake import uptake

LESION = Segment(
    number=1,
    label="Lesion",
    category=codes.SCT.MorphologicallyAbnormalStructure,
    type=codes.SCT.Lesion,
)


def _volume(array: np.ndarray, spacing_mm: tuple[float, float, float] = (2, 2, 2)) -> Volume:
    affine = np.diag([*spacing_mm, 1.0])
    return Volume(
        array=array.astype(np.float32),
        geometry=Geometry(affine, array.shape, "1.2.3"),
        unit="g/ml{SUVbw}",
        sources=tuple(SourceFrame(SOPInstanceUID("1.2"), n + 1) for n in range(len(array))),
    )


def _labels(mask: np.ndarray, image: Volume) -> Segmentation:
    return Segmentation(labels=mask.astype(np.uint8), sources=image.sources, segments=(LESION,))


def _numbers(image: Volume, mask: np.ndarray) -> dict[str, float]:
    found, notes = uptake(_labels(mask, image), image, LESION)
    assert notes == []
    return {
        " ".join([*([m.derivation.meaning] if m.derivation else []), m.concept.meaning]): m.value
        for m in found
    }


def test_a_cube_of_known_uptake_has_known_numbers() -> None:
    """A cube of 20 mm, half of it at SUV 4 and half at SUV 8."""
    array = np.full((20, 20, 20), 1.0)
    mask = np.zeros(array.shape, bool)
    mask[5:15, 5:15, 5:15] = True
    array[mask] = 4.0
    array[5:10, 5:15, 5:15] = 8.0
    found = _numbers(_volume(array), mask)
    assert found["Maximum SUVbw"] == 8
    assert found["Mean SUVbw"] == 6
    assert found["Metabolic Volume"] == pytest.approx(8)
    assert found["Total Lesion Glycolysis"] == pytest.approx(48)


def test_the_peak_is_the_mean_of_the_hottest_ball_of_one_cubic_centimetre() -> None:
    """One hot pixel hardly counts, a hot ball of 1 cm3 counts in full."""
    array = np.full((31, 31, 31), 1.0)
    places = np.indices(array.shape) - 15
    ball = np.linalg.norm(places * 1.0, axis=0) <= 6.2035
    one = array.copy()
    one[15, 15, 15] = 1001.0
    image = _volume(one, (1, 1, 1))
    assert _numbers(image, ball)["Peak Value Within ROI SUVbw"] == pytest.approx(
        1 + 1000 / ball.sum()
    )
    array[ball] = 7.0
    assert _numbers(_volume(array, (1, 1, 1)), ball)["Peak Value Within ROI SUVbw"] == 7


def test_a_lesion_at_the_edge_of_the_image_is_measured_where_there_is_an_image() -> None:
    """What lies outside, and what is padding, takes no part."""
    array = np.full((8, 8, 8), 3.0)
    array[:, :, 4:] = -100
    mask = np.zeros(array.shape, bool)
    mask[:2, :2, :6] = True
    image = replace(_volume(array), valid=array > 0)
    found = _numbers(image, mask)
    assert found["Peak Value Within ROI SUVbw"] == found["Mean SUVbw"] == 3


def test_values_that_are_no_suv_give_no_uptake() -> None:
    """Counts are no uptake, and a note says so."""
    image = replace(_volume(np.ones((4, 4, 4))), unit="1")
    found, notes = uptake(_labels(np.ones((4, 4, 4), bool), image), image, LESION)
    assert found == []
    assert notes == ["Lesion: no uptake, the image is no volume in SUV"]
    padded = replace(_volume(np.ones((4, 4, 4))), valid=np.zeros((4, 4, 4), bool))
    assert uptake(_labels(np.ones((4, 4, 4), bool), padded), padded, LESION)[0] == []
