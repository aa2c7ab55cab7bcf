"""One place at many times is a cine, also where every moment is an image of its own."""

from pathlib import Path

import numpy as np
import pytest
from pydicom.dataset import Dataset

from dicom_ai_node.domain.model import Sees
from dicom_ai_node.domain.reject import RejectCode
from dicom_ai_node.domain.uids import derive_uid
from tests import phantoms
from tests.encode.scenes import enhanced
from tests.infer.reading import frames_of, rejection_of, slices_of

WAY = np.array([(n * 0.5, 3 * np.sin(n)) for n in range(8)])
"""Rows and columns."""


def _with(keyword: str, *values: object, **also: object) -> list[Dataset]:
    """Return the cine MR with other times, which are those of its moments in order."""
    series = sorted(phantoms.mr_tissue_cine(WAY, **also), key=lambda ds: ds.InstanceNumber)
    for ds, value in zip(series, values, strict=True):
        del ds.TriggerTime
        setattr(ds, keyword, value)
    return [*series]


def test_a_cine_mr_is_read_frame_by_frame_in_the_order_of_time(tmp_path: Path) -> None:
    """With times, millimetres in its plane, and grey values of 0..255 that do not flicker."""
    cine = phantoms.mr_tissue_cine(WAY)
    image = frames_of(cine, tmp_path)
    assert image.times_ms == tuple(40.0 * n for n in range(8))
    assert image.spacing_mm == (1.5, 1.5)
    assert (image.array.min(), image.array.max()) == (0, 255)
    in_time = sorted(cine, key=lambda ds: ds.TriggerTime)
    assert [s.sop_instance_uid for s in image.sources] == [ds.SOPInstanceUID for ds in in_time]
    values = np.stack([ds.pixel_array for ds in in_time]).astype(float)
    inside = (image.array > 0) & (image.array < 255)
    slope = np.polyfit(values[inside], image.array[inside], 1)
    assert np.abs(np.polyval(slope, values[inside]) - image.array[inside]).max() < 0.01
    assert "8 moments of one place, told apart by TriggerTime" in image.notes


@pytest.mark.parametrize(
    ("keyword", "values", "also", "times_ms"),
    [
        pytest.param(
            "TemporalPositionIdentifier",
            range(1, 9),
            {"TemporalResolution": 50},
            50.0,
            id="counted",
        ),
        pytest.param(
            "TemporalPositionIdentifier", range(1, 9), {}, None, id="a count and nothing else"
        ),
        pytest.param(
            "AcquisitionTime", [f"1015{50 + n}.5" for n in range(8)], {}, 1000.0, id="the clock"
        ),
        pytest.param(
            "AcquisitionTime", [str(n) for n in range(10, 18)], {}, None, id="a coarse clock"
        ),
    ],
)
def test_moments_are_told_apart_by_what_is_there(
    keyword: str,
    values: list[object],
    also: dict[str, object],
    times_ms: float | None,
    tmp_path: Path,
) -> None:
    """Seconds are known only where somebody has told them."""
    image = frames_of(_with(keyword, *values, **also), tmp_path)
    assert len(image.array) == 8
    expected = None if times_ms is None else tuple(times_ms * n for n in range(8))
    assert image.times_ms == expected
    assert any("TIME_UNKNOWN" in note for note in image.notes) == (times_ms is None)


def test_of_several_places_over_time_the_route_names_one(tmp_path: Path) -> None:
    """Which to follow is no guess; one moment of all of them can still be taken."""
    stack = phantoms.mr_tissue_cine(WAY, places=3)
    assert rejection_of(stack, Sees.FRAMES, tmp_path / "a") is RejectCode.GEO_4D
    assert rejection_of(stack, Sees.FRAMES, tmp_path / "b", place=4) is RejectCode.GEO_4D
    image = frames_of(stack, tmp_path / "c", place=2)
    numbers = {ds.SOPInstanceUID: int(ds.InstanceNumber) for ds in stack}
    assert [numbers[s.sop_instance_uid] for s in image.sources] == list(range(9, 17))
    moment = frames_of(stack, tmp_path / "d", time_point=2)
    assert (len(moment.array), moment.times_ms) == (3, None)


def test_a_stack_at_one_time_and_echoes_are_no_cine(tmp_path: Path) -> None:
    """Slices stay slices in their own unit, and weightings are no moments."""
    stack = frames_of(phantoms.mr(), tmp_path / "a")
    assert np.array_equal(stack.array, slices_of(phantoms.mr(), tmp_path / "b").array)
    assert (stack.times_ms, len(stack.thickness_mm or ())) == (None, 12)
    echoes = _with("DiffusionBValue", *range(8))
    assert rejection_of(echoes, Sees.FRAMES, tmp_path / "c") is RejectCode.GEO_4D


def test_an_enhanced_image_of_one_place_over_time_is_a_cine(tmp_path: Path) -> None:
    """Its times stand in the functional groups."""
    image = enhanced(6)
    first = image.PerFrameFunctionalGroupsSequence[0].PlanePositionSequence
    for n, group in enumerate(image.PerFrameFunctionalGroupsSequence):
        group.PlanePositionSequence = first
        cardiac = Dataset()
        cardiac.NominalCardiacTriggerDelayTime = 30.0 * n
        group.CardiacSynchronizationSequence = [cardiac]
    cine = frames_of(image, tmp_path)
    assert cine.times_ms == tuple(30.0 * n for n in range(6))
    assert [source.number for source in cine.sources] == [1, 2, 3, 4, 5, 6]
    assert {s.sop_instance_uid for s in cine.sources} == {derive_uid("phantom", "enhanced")}
