"""A segment is taken apart into lesions, each measured as a radiologist would."""

from pathlib import Path

import numpy as np
import pytest

from dicom_ai_node.domain.errors import ConfigError
from dicom_ai_node.domain.findings import Segmentation
from dicom_ai_node.domain.image import Frames, Geometry, SourceFrame, Volume
from dicom_ai_node.domain.uids import SOPInstanceUID
from dicom_ai_node.infer.catalog import Catalog
from dicom_ai_node.infer.lesions import MOST_LESIONS, axes_on, lesions_of
from dicom_ai_node.infer.suv import SUVBW
from tests.encode import scenes
from tests.model_folders import threshold_model

SPACING_MM = (3.0, 1.0, 0.5)


def _volume(labels: np.ndarray, unit: str = "[hnsf'U]") -> tuple[Segmentation, Volume]:
    sources = tuple(SourceFrame(SOPInstanceUID(f"1.{n + 1}")) for n in range(len(labels)))
    affine = np.eye(4)
    affine[:3, :3] = np.array([[0, 0, 0.5], [0, 1.0, 0], [3.0, 0, 0]])
    affine[:3, 3] = (100, 200, 300)
    shape = (labels.shape[0], labels.shape[1], labels.shape[2])
    image = Volume(
        array=np.arange(labels.size, dtype=np.float32).reshape(labels.shape) / labels.size,
        geometry=Geometry(affine, shape, "1.2.3"),
        unit=unit,
        sources=sources,
    )
    found = Segmentation(
        labels=labels.astype(np.uint8), sources=sources, segments=(scenes.LIVER, scenes.KIDNEY)
    )
    return found, image


def test_every_connected_part_is_a_lesion() -> None:
    """The largest first, with its place in the patient, its volume and its slice."""
    labels = np.zeros((5, 20, 40))
    labels[1:4, 2:6, 4:12] = 1
    labels[0, 12:14, 30:34] = 1
    found, notes = lesions_of(*_volume(labels))
    assert found is not None
    assert notes == []
    large, small = found.present
    assert large.centre_mm == pytest.approx((100 + 7.5 * 0.5, 200 + 3.5, 300 + 2 * 3.0))
    assert large.volume_cm3 == pytest.approx(3 * 4 * 8 * 1.5 / 1000)
    assert small.frame == SourceFrame(SOPInstanceUID("1.1"))
    assert (large.number, small.number) == (1, 2)
    assert large.tracking_uid != small.tracking_uid
    assert found.frame_of_reference_uid == "1.2.3"


def test_parts_that_touch_at_a_corner_are_one() -> None:
    """Through the slices, too; other segments are never mixed in."""
    labels = np.zeros((2, 6, 6))
    labels[0, 1, 1] = labels[1, 2, 2] = 1
    labels[1, 3, 3] = 2
    found, _ = lesions_of(*_volume(labels))
    assert found is not None
    assert [lesion.of for lesion in found.present] == [1, 2]


def test_diameters_are_those_of_a_disc() -> None:
    """Within half a pixel, with pixels that are not square."""
    y, x = np.mgrid[:80, :160]
    disc = np.hypot(y - 40, (x - 80) * 0.5) < 15
    long_mm, short_mm, ends = axes_on(disc, (1.0, 0.5))
    assert long_mm == pytest.approx(30, abs=1.0)
    assert short_mm == pytest.approx(30, abs=1.0)
    assert np.linalg.norm((ends[1] - ends[0]) * (1.0, 0.5)) == pytest.approx(long_mm)


def test_the_short_axis_lies_across_the_long_one() -> None:
    """Of an ellipse that is turned by 30 degrees."""
    y, x = np.mgrid[-40:41, -40:41].astype(float)
    turn = np.radians(30)
    along, across = x * np.cos(turn) + y * np.sin(turn), y * np.cos(turn) - x * np.sin(turn)
    long_mm, short_mm, ends = axes_on((along / 30) ** 2 + (across / 12) ** 2 < 1, (1.0, 1.0))
    assert long_mm == pytest.approx(60, abs=1.2)
    assert short_mm == pytest.approx(24, abs=1.2)
    down, right = abs(ends[1] - ends[0])
    assert np.degrees(np.arctan2(down, right)) == pytest.approx(30, abs=3)


@pytest.mark.parametrize(("rows", "columns"), [(1, 1), (1, 4)])
def test_even_the_smallest_lesion_has_a_size(rows: int, columns: int) -> None:
    """A single pixel, or a row of them."""
    long_mm, short_mm, _ = axes_on(np.ones((rows, columns), bool), (1.0, 1.0))
    assert long_mm >= columns
    assert short_mm >= 1 or rows == 1
    assert axes_on(np.zeros((3, 3), bool), (1.0, 1.0))[:2] == (0.0, 0.0)


def test_only_a_pet_has_an_uptake() -> None:
    """The maximum within the lesion."""
    labels = np.zeros((2, 6, 6))
    labels[0, 1:3, 1:3] = 1
    found, image = _volume(labels, SUVBW)
    pet, _ = lesions_of(found, image)
    ct, _ = lesions_of(*_volume(labels))
    assert pet is not None
    assert ct is not None
    assert pet.present[0].suv_max == pytest.approx(float(image.array[0, 2, 2]))
    assert ct.present[0].suv_max is None


def test_what_has_no_place_in_the_patient_has_no_single_lesions() -> None:
    """A note says so; of very many the smallest are left out, and a note says that."""
    labels = np.zeros((1, 9, 2 * MOST_LESIONS + 6))
    labels[0, 4, ::2] = 1
    found, image = _volume(labels)
    many, notes = lesions_of(found, image)
    assert many is not None
    assert len(many.present) == MOST_LESIONS
    assert notes == ["Liver: 3 smaller lesions are left out"]
    still = Frames(
        array=image.array, unit="1", sources=image.sources, spacing_mm=None, region=(0, 9, 0, 9)
    )
    assert lesions_of(found, still) == (None, ["no single lesions, the image is no volume"])


def test_a_model_asks_for_lesions_by_name(tmp_path: Path) -> None:
    """Beside what is measured on the whole segment."""
    folder = threshold_model(tmp_path, measure=["volume", "lesions"])
    assert Catalog([tmp_path]).facts(folder.name).measure == ("volume", "lesions")
    wrong = threshold_model(tmp_path / "other", measure=["lesion"])
    with pytest.raises(ConfigError, match="lesions"):
        Catalog([wrong.parent]).facts(wrong.name)
