"""Ultrasound: tissue, millimetres and milliseconds, or an honest word that they are not known."""

from pathlib import Path

import numpy as np
import pytest
from pydicom import dcmread
from pydicom.dataset import Dataset

from dicom_ai_node.domain.model import Sees
from dicom_ai_node.domain.reject import RejectCode
from tests.infer.reading import frames_of, material, rejection_of
from tests.phantoms import us, us_cine, us_region, us_values


def _region(bounds: tuple[int, int, int, int], **changes: object) -> Dataset:
    item = us().SequenceOfUltrasoundRegions[0]
    (
        item.RegionLocationMinY0,
        item.RegionLocationMaxY1,
        item.RegionLocationMinX0,
        item.RegionLocationMaxX1,
    ) = bounds
    for keyword, value in changes.items():
        setattr(item, keyword, value)
    return item


def test_the_calibrated_region_is_where_tissue_is(tmp_path: Path) -> None:
    """Burnt-in text outside of it is not shown to a model; ends are exclusive."""
    frames = frames_of(us(), tmp_path)
    assert frames.region == us_region(80, 96) == (8, 72, 8, 88)
    assert frames.spacing_mm == pytest.approx((0.5, 0.5))
    assert frames.array[0] == pytest.approx(us_values(1, 80, 96)[0], abs=1e-3)
    assert frames.notes == ()


def test_rows_and_columns_may_have_different_millimetres(tmp_path: Path) -> None:
    """PhysicalDeltaY is for rows, its sign only says where the axis points."""
    item = _region((8, 71, 8, 87), PhysicalDeltaX=0.04, PhysicalDeltaY=-0.06)
    frames = frames_of(us(SequenceOfUltrasoundRegions=[item]), tmp_path)
    assert frames.spacing_mm == pytest.approx((0.6, 0.4))


@pytest.mark.parametrize(
    ("changes", "spacing_mm"),
    [
        pytest.param(
            {"SequenceOfUltrasoundRegions": None, "PixelSpacing": [0.3, 0.4]},
            (0.3, 0.4),
            id="PixelSpacing where there are no regions",
        ),
        pytest.param({"SequenceOfUltrasoundRegions": None}, None, id="nothing at all"),
        pytest.param(
            {"SequenceOfUltrasoundRegions": [_region((8, 71, 8, 87), PhysicalUnitsYDirection=0)]},
            None,
            id="a region without units",
        ),
        pytest.param(
            {"SequenceOfUltrasoundRegions": [_region((8, 71, 8, 87), RegionSpatialFormat=2)]},
            None,
            id="an M-mode, whose columns are seconds",
        ),
    ],
)
def test_millimetres_need_a_calibration(
    changes: dict[str, object], spacing_mm: tuple[float, float] | None, tmp_path: Path
) -> None:
    """Without one the image is analysed and nothing is reported in millimetres."""
    frames = frames_of(us(**changes), tmp_path)
    assert frames.spacing_mm == spacing_mm
    assert ("MEAS_UNCALIBRATED: measured in pixels only" in frames.notes) == (spacing_mm is None)


def test_of_two_tissue_regions_the_larger_is_taken(tmp_path: Path) -> None:
    """The small one is a scout in the corner; the report says that there were two."""
    small = _region((0, 9, 0, 9), PhysicalDeltaX=0.5, PhysicalDeltaY=0.5)
    large = _region((20, 500, 10, 87))
    frames = frames_of(us(SequenceOfUltrasoundRegions=[small, large]), tmp_path)
    assert frames.region == (20, 80, 10, 88)  # clipped to the image
    assert frames.spacing_mm == pytest.approx((0.5, 0.5))
    assert frames.notes == ("the largest of 2 tissue regions taken",)


@pytest.mark.parametrize(
    "changes",
    [
        pytest.param(
            {
                "SequenceOfUltrasoundRegions": [
                    _region((8, 71, 8, 87)),
                    _region((30, 50, 30, 50), RegionDataType=2),
                ]
            },
            id="a flow box over the tissue",
        ),
        pytest.param(
            {"SequenceOfUltrasoundRegions": [_region((30, 50, 30, 50), RegionDataType=2)]},
            id="nothing but flow",
        ),
        pytest.param(
            {"SequenceOfUltrasoundRegions": None, "UltrasoundColorDataPresent": 1},
            id="colour, nobody says where",
        ),
    ],
)
def test_colour_doppler_is_rejected_unless_allowed(
    changes: dict[str, object], tmp_path: Path
) -> None:
    """Red and blue would be read as tissue of some grey."""
    assert rejection_of(us(**changes), Sees.FRAMES, tmp_path) is RejectCode.US_DOPPLER
    assert frames_of(us(**changes), tmp_path, allow_doppler=True).array.shape == (1, 80, 96)


def test_a_doppler_box_beside_the_tissue_does_no_harm(tmp_path: Path) -> None:
    """Dual screens show the grey image on the left and the colours on the right."""
    regions = [_region((8, 71, 8, 47)), _region((8, 71, 48, 87), RegionDataType=2)]
    assert frames_of(us(SequenceOfUltrasoundRegions=regions), tmp_path).region == (8, 72, 8, 48)


@pytest.mark.parametrize(
    ("changes", "times_ms"),
    [
        pytest.param({}, (0, 40, 80, 120), id="FrameTime"),
        pytest.param(
            {"FrameTime": None, "FrameTimeVector": [7, 30, 50, 20]},
            (0, 30, 80, 100),
            id="FrameTimeVector, whose first value means nothing",
        ),
        pytest.param({"FrameTime": None, "CineRate": 50}, (0, 20, 40, 60), id="CineRate"),
        pytest.param(
            {"FrameTime": 0, "RecommendedDisplayFrameRate": 25},
            (0, 40, 80, 120),
            id="a frame time of 0 is none",
        ),
    ],
)
def test_frames_of_a_cine_have_times(
    changes: dict[str, object], times_ms: tuple[float, ...], tmp_path: Path
) -> None:
    """Counted from the first frame, in milliseconds."""
    frames = frames_of(us_cine(frames=4, **changes), tmp_path)
    assert frames.times_ms == pytest.approx(times_ms)
    assert [source.number for source in frames.sources] == [1, 2, 3, 4]
    assert frames.array == pytest.approx(us_values(4, 80, 96).astype(float), abs=1e-3)


def test_a_cine_without_times_is_read_and_noted(tmp_path: Path) -> None:
    """There will be no velocities, but there will be areas."""
    frames = frames_of(us_cine(FrameTime=None, FrameTimeVector=[0, 1]), tmp_path)
    assert frames.times_ms is None
    assert frames.notes == ("TIME_UNKNOWN: frames have no times",)


def test_real_ultrasound_with_a_palette_and_regions_is_read(tmp_path: Path) -> None:
    """An ALOKA image: palette colours, two tissue regions."""
    frames = frames_of(dcmread(material("pydicom-data/gdcm-US-ALOKA-16.dcm")[0]), tmp_path)
    assert frames.array.shape == (1, 480, 640)
    assert frames.spacing_mm == pytest.approx((0.3827, 0.3827), abs=1e-4)


def test_a_real_cine_in_jpeg_is_read(tmp_path: Path) -> None:
    """30 frames of baseline JPEG in YBR_FULL_422, 33 ms apart."""
    frames = frames_of(dcmread(material("pydicom/test_files/examples_ybr_color.dcm")[0]), tmp_path)
    assert frames.array.shape == (30, 240, 320)
    assert frames.times_ms is not None
    assert np.diff(frames.times_ms) == pytest.approx(33.333)
