"""Which images of a series are looked at together."""

from pathlib import Path

import numpy as np
import pytest
from pydicom.uid import SecondaryCaptureImageStorage

from dicom_ai_node.domain.model import Sees
from dicom_ai_node.domain.reject import RejectCode
from dicom_ai_node.domain.uids import derive_uid
from tests.infer.reading import frames_of, rejection_of
from tests.phantoms import ct, ct_values, dx, us, us_cine


def _named(name: str) -> dict[str, object]:
    return {"SOPInstanceUID": derive_uid("test", name)}


def test_single_images_of_one_kind_are_read_together_in_order(tmp_path: Path) -> None:
    """By instance number, because they lie nowhere in the patient."""
    images = [us(InstanceNumber=n, **_named(f"still {n}")) for n in (3, 1, 2)]
    frames = frames_of(images, tmp_path)
    assert len(frames.array) == 3
    assert [s.sop_instance_uid for s in frames.sources] == [
        images[i].SOPInstanceUID for i in (1, 2, 0)
    ]
    assert frames.times_ms is None


def test_a_cine_comes_before_a_still_of_the_same_series(tmp_path: Path) -> None:
    """The most frames are read, the others noted."""
    frames = frames_of([us(), us_cine(frames=5)], tmp_path)
    assert len(frames.array) == 5
    assert frames.notes == ("1 other frames left out",)


@pytest.mark.parametrize(
    "images",
    [
        pytest.param([us_cine(), us_cine(**_named("second"))], id="two cines of equal length"),
        pytest.param([dx(), dx(rows=64, **_named("second"))], id="X-rays of two sizes"),
        pytest.param(
            [dx(), dx(ImagerPixelSpacing=[0.1, 0.1], **_named("second"))],
            id="X-rays of two spacings",
        ),
    ],
)
def test_images_that_differ_are_not_thrown_together(images: list[object], tmp_path: Path) -> None:
    """There is no reason to prefer one of them."""
    assert rejection_of(images, Sees.FRAMES, tmp_path) is RejectCode.GEO_MIXED  # type: ignore[arg-type]


def test_a_screenshot_is_not_analysed(tmp_path: Path) -> None:
    """A secondary capture shows what somebody saw, not the patient."""
    ds = dx(SOPClassUID=SecondaryCaptureImageStorage)
    assert rejection_of(ds, Sees.FRAMES, tmp_path) is RejectCode.IN_SECONDARY
    assert len(frames_of(ds, tmp_path, allow_derived=True).array) == 1


def test_tiles_of_a_slide_are_not_frames(tmp_path: Path) -> None:
    """A model that sees X-rays has nothing to say about them."""
    assert rejection_of(us(Modality="SM"), Sees.FRAMES, tmp_path) is RejectCode.PIX_UNSUPPORTED


def test_a_single_ct_slice_may_be_looked_at_as_a_frame(tmp_path: Path) -> None:
    """It is in Hounsfield units and in millimetres."""
    frames = frames_of(ct(slices=1), tmp_path)
    assert np.array_equal(frames.array, ct_values(1, 64, 48))
    assert (frames.spacing_mm, frames.thickness_mm) == ((0.8, 0.8), (2.5,))


def test_an_x_ray_is_no_volume(tmp_path: Path) -> None:
    """It has no position."""
    assert rejection_of(dx(), Sees.VOLUME, tmp_path) is RejectCode.GEO_MISSING_ATTRIBUTE


def test_monochrome1_ultrasound_is_inverted(tmp_path: Path) -> None:
    """More is brighter for every frame."""
    grey = np.arange(80 * 96, dtype=np.uint16).reshape(80, 96).astype(np.uint8)
    changes = {"SamplesPerPixel": 1, "PlanarConfiguration": None, "PixelData": grey.tobytes()}
    for photometric, expected in (("MONOCHROME2", grey), ("MONOCHROME1", 255 - grey)):
        ds = us(PhotometricInterpretation=photometric, **changes)
        assert np.array_equal(frames_of(ds, tmp_path).array[0], expected)
