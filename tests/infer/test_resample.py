"""Nothing moves in the patient: to the model's grid and back, every voxel stays where it was."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from pydicom.sr.codedict import codes

from dicom_ai_node.domain.errors import Rejected
from dicom_ai_node.domain.findings import Segment, Segmentation
from dicom_ai_node.domain.image import Frames, Geometry, Image, SourceFrame, Volume
from dicom_ai_node.domain.model import Grid
from dicom_ai_node.domain.reject import RejectCode
from dicom_ai_node.domain.uids import SOPInstanceUID
from dicom_ai_node.infer.orient import canonical
from dicom_ai_node.infer.resample import Placed, placed

SEGMENTS = tuple(
    Segment(number=n, label=str(n), category=codes.SCT.Tissue, type=codes.SCT.Liver) for n in (1, 2)
)
AXIAL = np.array([[0, 0, 1.0], [0, 1.0, 0], [1.0, 0, 0]])
"""Columns: direction of slices (head), rows (back), columns (left)."""


def _volume(
    shape: tuple[int, int, int],
    spacing_mm: tuple[float, float, float] = (1.0, 1.0, 1.0),
    directions: NDArray[np.float64] = AXIAL,
) -> Volume:
    affine = np.eye(4)
    affine[:3, :3] = directions * spacing_mm
    affine[:3, 3] = -20.0, 30.0, 5.0
    values = np.arange(np.prod(shape), dtype=np.float32).reshape(shape)
    return Volume(
        array=values,
        geometry=Geometry(affine, shape, "1.2"),
        unit="1",
        sources=tuple(SourceFrame(SOPInstanceUID(f"1.2.{n}")) for n in range(shape[0])),
        valid=values > 0,
    )


def _frames(
    shape: tuple[int, int, int],
    spacing_mm: tuple[float, float] | None = (0.5, 0.5),
    region: tuple[int, int, int, int] | None = None,
) -> Frames:
    return Frames(
        array=np.arange(np.prod(shape), dtype=np.float32).reshape(shape),
        unit="1",
        sources=tuple(SourceFrame(SOPInstanceUID("1.2"), n + 1) for n in range(shape[0])),
        spacing_mm=spacing_mm,
        region=region or (0, shape[1], 0, shape[2]),
    )


def _found(
    image: Image, labels: NDArray[np.uint8], probabilities: NDArray[np.float16] | None = None
) -> Segmentation:
    return Segmentation(
        labels=labels, sources=image.sources, segments=SEGMENTS, probabilities=probabilities
    )


def _certain(labels: NDArray[np.uint8]) -> NDArray[np.float16]:
    return np.stack([labels == 1, labels == 2]).astype(np.float16)


def _directions() -> list[NDArray[np.float64]]:
    axes = np.eye(3)
    orders = [(0, 1, 2), (0, 2, 1), (1, 0, 2), (1, 2, 0), (2, 0, 1), (2, 1, 0)]
    signs = [(a, b, c) for a in (1, -1) for b in (1, -1) for c in (1, -1)]
    return [axes[:, order] * sign for order in map(list, orders) for sign in signs]


def test_a_grid_that_is_the_same_changes_nothing() -> None:
    """A volume in canonical axes at the model's spacing is handed over and taken back as it is."""
    volume = _volume((4, 5, 6), (2.0, 1.0, 1.0))
    there = placed(volume, Grid(spacing_mm=(2.0, 1.0, 1.0)))
    assert there.is_same
    assert there.image == volume
    labels = np.random.default_rng(1).integers(0, 3, (4, 5, 6)).astype(np.uint8)
    back = there.back(_found(volume, labels, _certain(labels)))
    assert np.array_equal(back.labels, labels)
    assert back.probabilities is not None
    assert np.array_equal(back.probabilities, _certain(labels))
    assert back.sources == volume.sources


@pytest.mark.parametrize("directions", _directions(), ids=str)
def test_every_stack_is_turned_to_one_order_and_back(directions: NDArray[np.float64]) -> None:
    """All 48 ways to stack a volume look the same to the model, and labels go back exactly."""
    volume = _volume((3, 4, 5), (3.0, 2.0, 1.0), directions)
    turned = canonical(volume)
    seen = turned.volume.geometry
    assert np.allclose(seen.affine[:3, :3] / seen.spacing_mm, AXIAL)
    # Each voxel has kept its place in the patient.
    for index in ((0, 0, 0), tuple(np.subtract(seen.shape, 1)), (1, 2, 1)):
        place = seen.affine @ (*index, 1)
        old = np.round(np.linalg.inv(volume.geometry.affine) @ place)[:3].astype(int)
        assert turned.volume.array[index] == volume.array[tuple(old)]
    assert np.array_equal(turned.back(turned.volume.array), volume.array)
    there = placed(volume, Grid(spacing_mm=seen.spacing_mm))
    assert there.is_same
    labels = (there.image.array.astype(int) % 3).astype(np.uint8)
    back = there.back(_found(there.image, labels))
    assert np.array_equal(back.labels, volume.array.astype(int) % 3)


def test_an_oblique_volume_goes_to_the_nearest_order_and_stays_oblique() -> None:
    """A tilted head is not resampled to the axes of the table."""
    angle = np.radians(20)
    tilt = np.array(
        [[1, 0, 0], [0, np.cos(angle), -np.sin(angle)], [0, np.sin(angle), np.cos(angle)]]
    )
    volume = _volume((3, 4, 5), directions=tilt @ AXIAL * (-1, 1, 1))
    turned = canonical(volume)
    assert turned.flipped == (True, False, False)
    assert np.allclose(turned.volume.geometry.affine[:3, :3], tilt @ AXIAL)


@pytest.mark.parametrize("spacing_mm", [(1.0, 1.0, 1.0), (4.0, 0.5, 3.0), (2.5, 2.5, 2.5)], ids=str)
def test_a_volume_keeps_its_borders_and_its_ramp(spacing_mm: tuple[float, float, float]) -> None:
    """Pixel centres move by half the change: a ramp over the patient is the same ramp after it."""
    volume = _volume((6, 8, 10), (2.0, 1.0, 1.5))
    slices, rows, columns = np.indices(volume.array.shape)
    places = np.einsum("ij,jklm->iklm", volume.geometry.affine[:3, :3], [slices, rows, columns])
    ramp = np.tensordot([1.0, 2.0, 3.0], places, axes=1).astype(np.float32)
    there = placed(
        Volume(array=ramp, geometry=volume.geometry, unit="1", sources=volume.sources),
        Grid(spacing_mm=spacing_mm),
    ).image
    assert isinstance(there, Volume)
    for corner in (-0.5, 0.5):
        old = np.where(corner < 0, corner, np.array(volume.array.shape) - 0.5)
        new = np.where(corner < 0, corner, np.array(there.array.shape) - 0.5)
        assert np.allclose(volume.geometry.affine @ (*old, 1), there.geometry.affine @ (*new, 1))
    indices = np.indices(there.array.shape)
    moved = np.einsum("ij,jklm->iklm", there.geometry.affine[:3, :3], indices)
    offset = there.geometry.affine[:3, 3] - volume.geometry.affine[:3, 3]
    expected = np.tensordot([1.0, 2.0, 3.0], moved + offset[:, None, None, None], axes=1)
    inner = (slice(2, -2),) * 3
    assert np.allclose(there.array[inner], expected[inner], atol=1e-3)


def test_resampled_slices_do_not_pretend_to_be_source_images() -> None:
    """Where slices no longer are what was sent, no source is named."""
    there = placed(_volume((6, 8, 10)), Grid(spacing_mm=(2.0, 2.0, 2.0)))
    assert there.image.sources == ()
    assert there.image.valid is not None
    assert there.image.valid.shape == (3, 4, 5)


@settings(deadline=None, max_examples=30)
@given(
    st.tuples(*[st.integers(6, 14)] * 3),
    st.tuples(*[st.sampled_from([0.5, 0.8, 1.0, 1.7, 2.0])] * 3),
    st.integers(0, 47),
)
def test_a_ball_comes_back_where_it_was(
    shape: tuple[int, int, int], spacing_mm: tuple[float, float, float], turn: int
) -> None:
    """Whatever the grids: the centre of a ball moves by less than half a step of the coarser one."""
    volume = _volume(shape, spacing_mm, _directions()[turn])
    there = placed(volume, Grid(spacing_mm=(1.0, 1.0, 1.0)))
    axes = np.meshgrid(*[np.linspace(-1, 1, n) for n in there.image.array.shape], indexing="ij")
    ball = (sum(x**2 for x in axes) < 0.6).astype(np.uint8)
    if not ball.any():
        return
    back = there.back(_found(there.image, ball, _certain(ball)))
    assert back.labels.shape == shape
    assert back.sources == volume.sources
    if back.labels.any():
        centre = np.argwhere(back.labels == 1).mean(axis=0)
        middle = (np.array(shape) - 1) / 2
        assert np.all(np.abs(centre - middle) * spacing_mm <= np.maximum(spacing_mm, 1.0) / 2)


def test_the_strongest_class_wins_after_interpolation() -> None:
    """Between a certain 1 and a certain 2 there is no third class, and 0.4 does not win."""
    volume = _volume((1, 2, 8))
    there = placed(volume, Grid(spacing_mm=(1.0, 1.0, 2.0)))
    probabilities = np.zeros((2, 1, 2, 4), np.float16)
    probabilities[0, ..., :2] = 1
    probabilities[1, ..., 2:3] = 1
    probabilities[1, ..., 3:] = 0.4
    labels = np.array([[[1, 1, 2, 0]] * 2], np.uint8)
    back = there.back(_found(there.image, labels, probabilities))
    assert back.labels[0, 0].tolist() == [1, 1, 1, 1, 2, 2, 2, 0]
    assert back.probabilities is not None
    assert back.probabilities[0, 0, 0].tolist() == [1, 1, 1, 0.75, 0.25, 0, 0, 0]


def test_labels_alone_go_to_the_nearest_pixel() -> None:
    """A task without probabilities is brought back as well as it can be."""
    there = placed(_volume((1, 2, 8)), Grid(spacing_mm=(1.0, 1.0, 2.0)))
    back = there.back(_found(there.image, np.array([[[1, 1, 2, 0]] * 2], np.uint8)))
    assert back.labels[0, 0].tolist() == [1, 1, 1, 1, 2, 2, 0, 0]


def _cut(size_px: tuple[int, int]) -> tuple[Frames, Placed]:
    frames = _frames((2, 40, 60), region=(10, 30, 0, 50))
    return frames, placed(frames, Grid(size_px=size_px))


def test_a_region_is_fitted_by_one_factor() -> None:
    """The region of tissue, not the whole screen, is scaled, and its aspect stays."""
    frames, there = _cut((64, 100))
    image = there.image
    assert isinstance(image, Frames)
    assert image.array.shape == (2, 40, 100)
    assert image.spacing_mm == (0.25, 0.25)
    assert image.region == (0, 40, 0, 100)
    assert image.sources == frames.sources


def test_labels_of_a_region_come_back_into_the_whole_frame() -> None:
    """Outside of the region is background, in labels and in probabilities."""
    frames, there = _cut((64, 100))
    labels = np.ones((2, 40, 100), np.uint8)
    back = there.back(_found(there.image, labels, _certain(labels)))
    assert back.labels.shape == frames.array.shape
    assert back.labels.sum() == 2 * 20 * 50
    assert back.labels[:, 10:30, :50].all()
    assert back.probabilities is not None
    assert back.probabilities[0].sum() == 2 * 20 * 50


def test_a_frame_that_fits_already_is_not_touched() -> None:
    """Cutting out the region is exact."""
    frames, there = _cut((20, 80))
    assert there.is_same
    assert np.array_equal(there.image.array, frames.array[:, 10:30, :50])


def test_a_thin_line_does_not_vanish_when_a_frame_shrinks() -> None:
    """Frames are smoothed before they shrink: the mean brightness stays."""
    frames = _frames((1, 64, 64))
    line = np.zeros((1, 64, 64), np.float32)
    line[0, :, 30] = 64
    there = placed(
        Frames(
            array=line,
            unit="1",
            sources=frames.sources,
            spacing_mm=(0.5, 0.5),
            region=frames.region,
        ),
        Grid(spacing_mm=(4.0, 4.0)),
    )
    assert there.image.array.shape == (1, 8, 8)
    assert there.image.array.mean() == pytest.approx(1.0, rel=0.05)


def test_millimetres_need_a_calibration() -> None:
    """A frame without calibration is rejected by a model that works in millimetres."""
    with pytest.raises(Rejected) as caught:
        placed(_frames((1, 8, 8), spacing_mm=None), Grid(spacing_mm=(1.0, 1.0)))
    assert caught.value.code is RejectCode.MEAS_UNCALIBRATED


@pytest.mark.parametrize(
    ("image", "grid"),
    [
        pytest.param(_frames((2, 32, 24)), Grid(size_px=(32, 24)), id="frames on their own grid"),
        pytest.param(_frames((2, 32, 24)), Grid(size_px=(64, 64)), id="frames on a larger grid"),
        pytest.param(_frames((2, 32, 24)), Grid(size_px=(16, 16)), id="frames on a smaller grid"),
        pytest.param(
            _frames((2, 32, 24), region=(4, 28, 6, 24)), Grid(size_px=(48, 48)), id="a region"
        ),
        pytest.param(_volume((8, 32, 24)), Grid(spacing_mm=(1.0, 1.0, 1.0)), id="a volume"),
        pytest.param(_volume((8, 32, 24)), Grid(spacing_mm=(2.0, 0.5, 0.5)), id="another volume"),
        pytest.param(
            _volume((8, 32, 24), directions=-AXIAL),
            Grid(spacing_mm=(1.0, 1.0, 1.0)),
            id="a volume that runs the other way",
        ),
    ],
)
def test_a_heat_map_comes_back_to_where_it_was(image: Image, grid: Grid) -> None:
    """Bright is warm: a map that is the image itself lies on the image, and on nothing else."""
    rows, columns = np.arange(32)[:, None] / 31, np.arange(24) / 23
    picture = (rows * columns).astype(np.float32)
    smooth = np.broadcast_to(picture, image.array.shape).copy()
    there = placed(replace(image, array=smooth), grid)
    back = there.back_map(there.image.array.astype(np.float16))
    assert back.shape == image.array.shape
    assert back.dtype == np.float16
    top, end, left, stop = image.region if isinstance(image, Frames) else (0, 32, 0, 24)
    inside = np.zeros((32, 24), bool)
    inside[top:end, left:stop] = True
    assert not back[:, ~inside].any()
    assert np.abs(back - smooth)[:, inside].max() < 0.06
    if there.is_same and isinstance(image, Frames):
        assert np.array_equal(back, smooth.astype(np.float16))


def test_some_frames_of_a_heat_map_come_back_alone() -> None:
    """Those that are shown; the others need no memory."""
    there = placed(_frames((5, 32, 24)), Grid(size_px=(16, 16)))
    values = np.ones((2, *there.image.array.shape[1:]), np.float16)
    assert there.back_map(values).shape == (2, 32, 24)


@pytest.mark.parametrize("directions", _directions()[::7])
def test_points_of_a_volume_come_back_to_where_they_were(
    directions: NDArray[np.float64],
) -> None:
    """Through turned axes and another spacing, they are the same places in the patient."""
    source = _volume((6, 9, 12), (3.0, 1.0, 2.0), directions)
    grid = placed(source, Grid(spacing_mm=(1.5, 2.0, 1.0)))
    assert isinstance(grid.image, Volume)
    points = np.array([[0.0, 0.0, 0.0], [2.5, 1.0, 3.25]])
    there = points @ grid.image.geometry.affine[:3, :3].T + grid.image.geometry.affine[:3, 3]
    back = grid.back_points(points)
    again = back @ source.geometry.affine[:3, :3].T + source.geometry.affine[:3, 3]
    assert np.allclose(again, there)


def test_points_of_a_region_come_back_into_the_whole_frame() -> None:
    """The corner of the grid is the corner of the region, half a pixel before its first centre."""
    source, grid = _cut((32, 32))
    top, end, left, stop = source.region
    rows, columns = grid.image.array.shape[1:]
    corners = np.array([[-0.5, -0.5], [rows - 0.5, columns - 0.5]])
    assert np.allclose(
        grid.back_points(corners), [[top - 0.5, left - 0.5], [end - 0.5, stop - 0.5]]
    )
