"""A trend graph shows courses over the dates of the studies."""

from dataclasses import replace
from datetime import timedelta

import numpy as np
import pytest

from dicom_ai_node.encode.plot import MOST_PANELS
from dicom_ai_node.encode.trends import MOST_DATES, trends_of
from dicom_ai_node.encode.write import ENCODERS, encode_job
from tests import phantoms
from tests.encode import scenes


def test_every_quantity_has_a_graph_of_its_own() -> None:
    """In the colour of its structure, with the change in the title and the range of each value."""
    scene = scenes.compared(phantoms.ct())
    volume, attenuation, whole = trends_of(scene.findings)
    assert volume.title == "Liver: Volume: 1701 cm3, +89 (+5.5 %) in 90 days"
    assert attenuation.title == (
        "Liver: Attenuation Coefficient, mean: 41.25 HU, +1.25 (+3.1 %) in 90 days"
    )
    assert whole.title == "Whole image: Area: 3 mm2, +3 in 90 days"
    assert volume.at.tolist() == pytest.approx([0, 90, 180, 270])
    assert volume.lines[0].colour_rgb == scenes.LIVER.colour_rgb
    assert volume.spread is not None
    assert volume.spread[-1].tolist() == [1698.0, 1704.0]


def test_large_numbers_are_written_out() -> None:
    """Nobody reads an area as 1e+04."""
    course = scenes.course("Liver", 12000.0, 10000.0)
    (panel,) = trends_of(replace(scenes.scene(phantoms.ct()).findings, courses=(course,)))
    assert panel.title == "Liver: Volume: 10000 cm3, -2000 (-16.7 %) in 90 days"


def test_dates_stand_below_the_studies_and_leave_each_other_room() -> None:
    """The date of this study is always there; of a pair close together the later one."""
    course = scenes.course("Liver", *(float(number) for number in range(1, 30)))
    findings = replace(scenes.scene(phantoms.ct()).findings, courses=(course,))
    ticks = trends_of(findings)[0].ticks
    assert 2 <= len(ticks) <= MOST_DATES + 1
    assert ticks[-1] == (pytest.approx(28 * 90), f"{course.points[-1].at:%Y-%m-%d}")
    assert np.diff([place for place, _ in ticks]).min() >= 28 * 90 / MOST_DATES


def test_two_studies_on_one_day_are_hours_apart() -> None:
    """Such as before and after a contrast agent."""
    course = scenes.course("Liver", 1.0, 2.0)
    first, last = course.points
    close = replace(course, points=(first, replace(last, at=first.at + timedelta(hours=3))))
    (panel,) = trends_of(replace(scenes.scene(phantoms.ct()).findings, courses=(close,)))
    assert panel.title.endswith("in 3 h")


def test_no_more_graphs_are_drawn_than_can_be_read() -> None:
    """The report has them all."""
    many = tuple(scenes.course("Liver", 1.0, float(number)) for number in range(9))
    findings = replace(scenes.scene(phantoms.ct()).findings, courses=many)
    assert len(trends_of(findings)) == MOST_PANELS


@pytest.mark.parametrize("name", sorted(scenes.COMPARED))
def test_a_trend_graph_is_a_picture_of_its_own(name: str) -> None:
    """Beside the picture of the image, in the same series; without courses there is none."""
    received = scenes.COMPARED[name]()
    encoders = {"secondary_capture": ENCODERS["secondary_capture"]}
    with_courses, without = (
        [item for _, item in encode_job(scene.findings, scene.origin, encoders)]
        for scene in (scenes.compared(received), scenes.scene(received))
    )
    assert len(with_courses) == len(without) + 1
    assert "plotted over all studies" in with_courses[-1].DerivationDescription
    assert len({item.SeriesInstanceUID for item in with_courses}) == 1
