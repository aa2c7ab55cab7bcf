"""What is measured on a trajectory, in the units that the source allows."""

from dataclasses import replace

import numpy as np
import pytest
from pydicom.sr.coding import Code

from dicom_ai_node.domain.findings import Measurement, Segment, Trajectory
from dicom_ai_node.domain.image import SourceFrame
from dicom_ai_node.domain.uids import SOPInstanceUID
from dicom_ai_node.infer.motion import motions

FRAMES = 60
HEAD = Segment(
    number=1,
    label="Head",
    category=Code("91723000", "SCT", "Anatomical Structure"),
    type=Code("69536005", "SCT", "Head"),
)
PHASE = 2 * np.pi * np.arange(FRAMES) / 15
PATH = Trajectory(
    points=np.stack([100 + 8 * np.sin(PHASE), np.full(FRAMES, 50.0)], axis=1),
    confidence=np.ones(FRAMES, np.float32),
    sources=tuple(SourceFrame(SOPInstanceUID("1.2"), n + 1) for n in range(FRAMES)),
    of=HEAD,
    times_ms=tuple(40.0 * n for n in range(FRAMES)),
    spacing_mm=(0.5, 0.25),
)


def _values(found: tuple[Measurement, ...]) -> dict[str, tuple[float, str]]:
    assert all(item.of == HEAD.number and item.frame is None for item in found)
    return {
        " ".join([*([item.derivation.meaning] if item.derivation else []), item.concept.meaning]): (
            item.value,
            item.unit.value,
        )
        for item in found
    }


def test_a_calibrated_cine_with_times_is_measured_in_millimetres_and_seconds() -> None:
    """To and fro by 16 pixels of half a millimetre, every 15 frames of 40 ms.

    Smoothing takes some percent off the length of so quick a motion, and off its speed.
    """
    found, notes = motions([PATH])
    values = _values(found)
    assert values["Excursion Distance"] == (pytest.approx(8, abs=0.1), "mm")
    assert values["Path length"] == (pytest.approx(59 / 15 * 16, rel=0.07), "mm")
    assert values["Mean Speed"] == (pytest.approx(16 / 0.6, rel=0.07), "mm/s")
    assert values["Maximum Speed"] == (pytest.approx(4 * 2 * np.pi / 0.6, rel=0.07), "mm/s")
    assert values["Period of motion"] == (pytest.approx(0.6, rel=0.02), "s")
    assert notes == ()


def test_without_calibration_there_are_no_millimetres() -> None:
    """Pixels, and it is said."""
    found, notes = motions([replace(PATH, spacing_mm=None)])
    values = _values(found)
    assert values["Excursion Distance"] == (pytest.approx(16, abs=0.2), "{pixels}")
    assert values["Mean Speed"][1] == "{pixels}/s"
    assert notes == ("the image has no calibration: lengths and speeds are in pixels",)


def test_without_times_there_are_no_speeds_and_no_period() -> None:
    """A rate of frames is never assumed."""
    found, notes = motions([replace(PATH, times_ms=None)])
    assert set(_values(found)) == {"Excursion Distance", "Path length"}
    assert notes == ("TIME_UNKNOWN: no speeds and no period",)


def test_lost_frames_are_told() -> None:
    """And what is left is measured."""
    points = PATH.points.copy()
    points[10:13] = np.nan
    found, notes = motions([replace(PATH, points=points)])
    assert _values(found)["Period of motion"][0] == pytest.approx(0.6, rel=0.02)
    assert notes == ("Head: lost on 3 of 60 frames",)


def test_a_single_place_is_no_motion() -> None:
    """What was lost at once has not been seen to move."""
    points = np.full_like(PATH.points, np.nan)
    points[0] = 1
    found, notes = motions([replace(PATH, points=points)])
    assert found == ()
    assert notes == ("Head: lost on 59 of 60 frames",)
