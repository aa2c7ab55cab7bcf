"""Lesions are matched by where they are, all at once, and never on a guess."""

from dataclasses import replace

import numpy as np
import pytest

from dicom_ai_node.domain.image import SourceFrame
from dicom_ai_node.domain.lesions import Fate, Lesion, Lesions
from dicom_ai_node.domain.reports import Place, ReportReference
from dicom_ai_node.domain.uids import (
    SeriesInstanceUID,
    SOPClassUID,
    SOPInstanceUID,
    StudyInstanceUID,
)
from dicom_ai_node.infer.followed import Known, matched

HERE, ELSEWHERE = "1.2.3", "4.5.6"
REPORT = ReportReference(
    study_instance_uid=StudyInstanceUID("1"),
    series_instance_uid=SeriesInstanceUID("2"),
    sop_class_uid=SOPClassUID("3"),
    sop_instance_uid=SOPInstanceUID("4"),
)


def _now(*places: tuple[float, float, float], long_mm: float = 10.0) -> Lesions:
    present = tuple(
        Lesion(
            number=number,
            of=1,
            tracking_uid=f"1.{number}",
            centre_mm=place,
            frame=SourceFrame(SOPInstanceUID("1")),
            ends_px=(0, 0, 1, 1),
            long_mm=long_mm,
            short_mm=5.0,
            volume_cm3=1.0,
        )
        for number, place in enumerate(places, start=1)
    )
    return Lesions(frame_of_reference_uid=HERE, present=present)


def _known(number: int, *at_mm: float, frame: str = HERE, of: int = 1) -> Known:
    return Known(
        tracking_uid=f"9.{number}",
        number=number,
        of=of,
        place=Place(frame, (at_mm[0], at_mm[1], at_mm[2])),
        sizes={REPORT: 10.0},
        is_there=True,
    )


def _numbers(found: Lesions) -> list[int]:
    return [lesion.number for lesion in found.present]


def test_the_distances_together_are_least() -> None:
    """Taking the nearest one after the other would leave the last pair too far apart."""
    found = matched(
        _now((0, 0, 0), (8, 0, 0)), [_known(1, 6, 0, 0), _known(2, 14, 0, 0)], {HERE: np.eye(4)}
    )
    assert _numbers(found) == [1, 2]


def test_a_lesion_of_another_structure_is_another_lesion() -> None:
    """Even at the same place."""
    found = matched(_now((0, 0, 0)), [_known(1, 0, 0, 0, of=2)], {HERE: np.eye(4)})
    assert found.present[0].fate is Fate.NEW


@pytest.mark.parametrize(("apart", "fate"), [(14.9, Fate.FOLLOWED), (15.1, Fate.NEW)])
def test_how_far_a_lesion_may_have_moved(apart: float, fate: Fate) -> None:
    """10 mm and half of its diameter."""
    found = matched(_now((apart, 0, 0)), [_known(1, 0, 0, 0)], {HERE: np.eye(4)})
    assert found.present[0].fate is fate


def test_places_of_another_frame_are_moved_first() -> None:
    """By the move that belongs to it."""
    move = np.eye(4)
    move[:3, 3] = (100, 0, 0)
    found = matched(
        _now((100, 0, 0)), [_known(1, 0, 0, 0, frame=ELSEWHERE)], {ELSEWHERE: move, HERE: np.eye(4)}
    )
    assert _numbers(found) == [1]
    assert found.present[0].fate is Fate.FOLLOWED


def test_without_a_move_nothing_is_called_new_or_gone() -> None:
    """It gets a number of its own that nobody had before."""
    found = matched(_now((0, 0, 0)), [_known(4, 0, 0, 0, frame=ELSEWHERE)], {HERE: np.eye(4)})
    assert [(it.number, it.fate) for it in found.present] == [(5, Fate.UNKNOWN)]
    assert found.gone == ()


def test_what_was_gone_before_is_not_gone_again() -> None:
    """It is told once, by the study that missed it."""
    known = replace(_known(1, 0, 0, 0), is_there=False)
    assert matched(_now(), [known], {HERE: np.eye(4)}).gone == ()
