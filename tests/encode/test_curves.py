"""Which curves a plot shows."""

from dataclasses import replace

import numpy as np
import pytest

from dicom_ai_node.encode.curves import panels_of
from tests import phantoms
from tests.encode import scenes


def test_a_path_is_shown_along_and_across_its_main_axis_over_time() -> None:
    """In millimetres and seconds, with a gap where it was lost."""
    (panel,) = panels_of(scenes.FOLLOWED["US cine, head followed"]().findings)
    assert (panel.title, panel.value_label, panel.at_label) == (
        "Liver: distance from the start", "mm", "time in s",
    )  # fmt: skip
    across, along = panel.lines
    assert np.ptp(panel.at) == pytest.approx(7 * 0.04)
    assert np.isnan(along.values).tolist() == [n == 2 for n in range(8)]
    assert np.nanmax(along.values) > np.nanmax(np.abs(across.values))


def test_without_calibration_and_times_there_are_pixels_and_frames() -> None:
    """Nothing is assumed."""
    scene = scenes.FOLLOWED["XA, point followed"]()
    (path,) = scene.findings.trajectories
    bare = replace(scene.findings, trajectories=(replace(path, times_ms=None),))
    (panel,) = panels_of(bare)
    assert (panel.value_label, panel.at_label) == ("pixels", "frame")
    assert panel.at.tolist() == [1, 2, 3, 4, 5, 6]


def test_what_was_measured_over_the_cycle_is_shown_area_first() -> None:
    """Of every segment that was found, with gaps where it was not."""
    panels = panels_of(scenes.FOLLOWED["US cine, over the cycle"]().findings)
    assert [panel.title for panel in panels[:3]] == [
        "Left ventricle: Area", "Left kidney: Area", "Left ventricle: Long axis",
    ]  # fmt: skip
    assert {panel.missing for panel in panels} == {"not found"}
    assert np.isnan(panels[1].lines[0].values).tolist() == [n % 2 == 0 for n in range(8)]


def test_what_was_measured_on_frames_alone_is_no_curve() -> None:
    """A route that asks for areas gets areas."""
    assert panels_of(scenes.scene([phantoms.us_cine()]).findings) == []
