"""What a person sees behind a result."""

from pathlib import Path

import numpy as np
import pytest

from dicom_ai_node.infer.display import backdrop
from tests.infer.reading import frames_of, volume_of
from tests.phantoms import ct, ct_values, mr, pet, us_cine


def test_a_ct_is_shown_in_the_window_of_soft_tissue(tmp_path: Path) -> None:
    """From -160 to 240 HU: air is black, the body (40 HU) in the middle, 240 HU would be white."""
    volume = volume_of(ct(), tmp_path)
    shown = backdrop(volume, [6], None)
    assert shown.array.shape == (1, 64, 48)
    assert shown.array.dtype == np.uint8
    values = ct_values(12, 64, 48)[6]
    assert set(shown.array[0][values == 40]) == {128}
    assert set(shown.array[0][values == -1000]) == {0}
    assert shown.sources == (volume.sources[6],)


def test_suv_is_shown_from_0_to_10_more_is_brighter(tmp_path: Path) -> None:
    """A lesion is bright on dark."""
    volume = volume_of(pet(), tmp_path)
    shown = backdrop(volume, range(12), None).array
    assert shown.max() == int(volume.array.max() * 25.5 + 0.5)
    assert shown.min() == 0


def test_the_window_of_the_model_comes_first(tmp_path: Path) -> None:
    """A bone model shows bone."""
    shown = backdrop(volume_of(ct(), tmp_path), [6], (40.0, 120.0)).array
    assert set(np.unique(shown)) == {0, 255}


def test_without_a_unit_the_percentiles_are_black_and_white(tmp_path: Path) -> None:
    """From the 1st to the 99th of the frames that are shown."""
    shown = backdrop(volume_of(mr(), tmp_path), [5, 6], None).array
    assert (shown.min(), shown.max()) == (0, 255)


def test_padding_does_not_spoil_the_window(tmp_path: Path) -> None:
    """Percentiles are those of the valid pixels."""
    volume = volume_of(mr(PixelPaddingValue=20), tmp_path)
    assert volume.valid is not None
    shown = backdrop(volume, [6], None).array[0]
    assert set(shown[volume.valid[6] & (volume.array[6] == 400)]) == {0}


def test_frames_keep_their_order_and_times(tmp_path: Path) -> None:
    """A cine may be shown in part."""
    frames = frames_of(us_cine(), tmp_path)
    shown = backdrop(frames, [2, 5], (0.0, 255.0))
    assert shown.times_ms == pytest.approx((80, 200))
    assert shown.sources == (frames.sources[2], frames.sources[5])
    assert np.abs(shown.array - frames.array[[2, 5]]).max() <= 0.51


def test_no_frames_give_an_empty_backdrop(tmp_path: Path) -> None:
    """A result without findings has nothing to be drawn on."""
    assert backdrop(volume_of(mr(), tmp_path), [], None).array.shape == (0, 64, 48)
