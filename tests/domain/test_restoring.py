"""Sizes, ends and means of images that are restored can be undone, or are kept."""

from dataclasses import replace

import numpy as np
import pytest
from numpy.typing import NDArray

from dicom_ai_node.domain.errors import TaskFailed
from dicom_ai_node.domain.image import Frames, SourceFrame
from dicom_ai_node.domain.model import Intensity, ModelFacts, Scaling, Sees
from dicom_ai_node.domain.restoring import enlarged, extended, kept_mean, shrunk
from dicom_ai_node.domain.scaling import ends, scaled
from dicom_ai_node.domain.uids import SOPInstanceUID
from tests.encode.scenes import MODEL


def _facts(scaling: Scaling, low: float, high: float, sees: Sees) -> ModelFacts:
    return replace(MODEL, sees=sees, intensity=Intensity(scaling=scaling, low=low, high=high))


def _frames(valid: NDArray[np.bool_] | None = None) -> Frames:
    array = np.linspace(-900, 900, 2 * 8 * 8, dtype=np.float32).reshape(2, 8, 8)
    return Frames(
        array=array,
        unit="1",
        sources=(SourceFrame(SOPInstanceUID("1.2")),) * 2,
        spacing_mm=None,
        region=(0, 8, 0, 8),
        valid=valid,
    )


@pytest.mark.parametrize("sees", [Sees.SLICES, Sees.FRAMES])
@pytest.mark.parametrize(
    ("scaling", "low", "high"),
    [(Scaling.WINDOW, -1000, 1000), (Scaling.PERCENTILE, 0, 100)],
)
def test_the_ends_undo_the_scaling(scaling: Scaling, low: float, high: float, sees: Sees) -> None:
    """What was scaled, times the span of its ends and above the lower one, is the image again."""
    frames, facts = _frames(), _facts(scaling, low, high, sees)
    undone = [
        values * (top - bottom) + bottom
        for values, (bottom, top) in zip(scaled(frames, facts), ends(frames, facts), strict=True)
    ]
    assert np.allclose(undone, frames.array, atol=1e-3)


def test_slices_are_scaled_together_and_frames_each_by_itself() -> None:
    """The slices of one patient are comparable; two X-rays are not."""
    together = ends(_frames(), _facts(Scaling.PERCENTILE, 0, 100, Sees.SLICES))
    alone = ends(_frames(), _facts(Scaling.PERCENTILE, 0, 100, Sees.FRAMES))
    assert together[0] == together[1]
    assert alone[0] != alone[1]


def test_padding_has_no_part_in_the_ends() -> None:
    """Else a black border would darken the image."""
    valid = np.zeros((2, 8, 8), bool)
    valid[:, 2:4] = True
    frames = _frames(valid)
    (low, high), _ = ends(frames, _facts(Scaling.PERCENTILE, 0, 100, Sees.SLICES))
    assert (low, high) == (frames.array[valid].min(), frames.array[valid].max())


def test_an_empty_image_has_a_range_all_the_same() -> None:
    """Division by nothing helps nobody."""
    frames = replace(_frames(), array=np.full((2, 8, 8), 7, np.float32))
    for low, high in ends(frames, _facts(Scaling.PERCENTILE, 0, 100, Sees.FRAMES)):
        assert high > low


def test_enlarging_keeps_the_borders() -> None:
    """A ramp goes on as a ramp, each pixel centre where it lies between the old ones."""
    rows, columns = np.mgrid[:6, :7].astype(np.float32)
    ramp = 3 * rows + 5 * columns
    large = enlarged(ramp, 2)
    assert large.shape == (12, 14)
    fine_rows, fine_columns = (np.mgrid[:12, :14] + 0.5) / 2 - 0.5
    wanted = 3 * fine_rows + 5 * fine_columns
    assert np.allclose(large[4:-4, 4:-4], wanted[4:-4, 4:-4], atol=1e-4)
    assert enlarged(ramp, 1) is ramp


def test_enlarging_keeps_what_is_even_and_shrinking_its_mean() -> None:
    """No pixel becomes brighter of it."""
    even = np.full((4, 6), 9.5, np.float32)
    assert np.allclose(enlarged(even, 2), 9.5)
    image = np.arange(30, dtype=np.float32).reshape(5, 6)
    assert shrunk(image, 2).shape == (2, 3)
    assert shrunk(image, 2)[0, 0] == pytest.approx(image[:2, :2].mean())


def test_images_are_filled_up_with_what_is_at_their_border() -> None:
    """To sixteen, or to the size of a window; a black border would be sharpened as an edge."""
    image = np.arange(20 * 33, dtype=np.float32).reshape(1, 20, 33)
    large = extended(image)
    assert large.shape == (1, 32, 48)
    assert np.array_equal(large[:, :20, :33], image)
    assert (large[0, :20, 33:] == image[0, :, -1:]).all()
    assert (large[0, 20:, :33] == image[0, -1:]).all()
    assert extended(image, (64, 16)).shape == (1, 64, 33)


def test_a_mean_that_has_hardly_moved_is_left_alone() -> None:
    """Within a hundredth of itself."""
    before = np.full((2, 2), 100, np.float32)
    after, notes = kept_mean(before, before * np.float32(1.005), None, 0.0)
    assert notes == ()
    assert after.mean() == pytest.approx(100.5)


def test_a_mean_that_has_moved_is_set_back_around_zero() -> None:
    """Nothing stays nothing, and padding stays padding."""
    before = np.array([[0, 100], [100, 7]], np.float32)
    valid = np.array([[True, True], [True, False]])
    after, notes = kept_mean(before, before * np.float32(1.05), valid, 0.0)
    assert len(notes) == 1
    assert np.allclose(after, before)
    with pytest.raises(TaskFailed):
        kept_mean(before, before * 2, valid, 0.0)
    with pytest.raises(TaskFailed):
        kept_mean(before, before * np.float32("nan"), valid, 0.0)
