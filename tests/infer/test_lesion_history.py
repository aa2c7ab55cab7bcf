"""Lesions keep their names from study to study, from one report to the next."""

from pathlib import Path

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from dicom_ai_node.domain.findings import Findings
from dicom_ai_node.domain.lesions import PARTIAL, PROGRESSIVE, Fate, Lesions
from tests.lesion_studies import SEGMENT, Ball, Clinic
from tests.model_folders import threshold_model

LEFT: Ball = (24.0, -8.0, -15.0, 9.0)
RIGHT: Ball = (-25.0, -10.0, 10.0, 7.0)
SMALL: Ball = (-10.0, 12.0, -30.0, 4.0)


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the folder of a model that finds balls."""
    folder = tmp_path_factory.mktemp("models")
    grid = {"spacing_mm": [2.5, 2.0, 2.0]}
    return threshold_model(folder, segments=[SEGMENT], grid=grid, measure=["volume", "lesions"])


@pytest.fixture
def clinic(tmp_path: Path, model: Path) -> Clinic:
    """Return a clinic that has not seen the patient yet."""
    return Clinic(tmp_path, model)


def _grown(ball: Ball, radius: float, by: tuple[float, float, float] = (0, 0, 0)) -> Ball:
    return (ball[0] + by[0], ball[1] + by[1], ball[2] + by[2], radius)


def _lesions(found: Findings) -> Lesions:
    assert found.lesions is not None
    return found.lesions


def test_the_first_study_gives_names(clinic: Clinic) -> None:
    """By size; nothing is compared and nothing is new."""
    found = _lesions(clinic.sees("20250101", RIGHT, LEFT))
    large, small = found.present
    assert (large.fate, small.fate) == (Fate.FIRST, Fate.FIRST)
    assert large.centre_mm == pytest.approx(LEFT[:3], abs=1.5)
    assert large.long_mm == pytest.approx(18, abs=2)
    assert found.response is None


def test_names_stay_although_sizes_change(clinic: Clinic) -> None:
    """The smaller one has outgrown the other, and both have moved by a breath."""
    first = _lesions(clinic.sees("20250101", LEFT, RIGHT))
    found = clinic.sees("20250301", _grown(LEFT, 7.0, (2, 0, 3)), _grown(RIGHT, 11.0, (-2, 1, 3)))
    now = {lesion.number: lesion for lesion in _lesions(found).present}
    before = {lesion.number: lesion for lesion in first.present}
    assert {it.tracking_uid for it in now.values()} == {it.tracking_uid for it in before.values()}
    assert now[1].long_mm < before[1].long_mm
    assert now[2].long_mm > before[2].long_mm
    assert {it.fate for it in now.values()} == {Fate.FOLLOWED}
    courses = {course.label: course for course in found.courses if course.unit.value == "mm"}
    assert list(courses) == ["Target lesions 1, 2", "Nodule no. 2", "Nodule no. 1"]
    assert courses["Nodule no. 1"].points[0].value == pytest.approx(before[1].long_mm, rel=1e-5)
    total = courses["Target lesions 1, 2"]
    assert total.points[-1].value == pytest.approx(sum(it.long_mm for it in now.values()))


def test_what_is_new_and_what_is_gone_is_told(clinic: Clinic) -> None:
    """A new one gets the next number, and it is progression whatever the sum says."""
    clinic.sees("20250101", LEFT, RIGHT)
    found = _lesions(clinic.sees("20250301", LEFT, SMALL))
    assert [(it.number, it.fate) for it in found.present] == [(1, Fate.FOLLOWED), (3, Fate.NEW)]
    assert [(it.number, it.merged_into) for it in found.gone] == [(2, 0)]
    assert found.response is not None
    assert found.response.category == PARTIAL
    assert found.response.new == 1
    assert found.response.is_progressive


def test_a_lesion_that_comes_back_is_the_same(clinic: Clinic) -> None:
    """It was gone for a study, and is told as gone once."""
    clinic.sees("20250101", LEFT, RIGHT)
    assert len(_lesions(clinic.sees("20250201", LEFT)).gone) == 1
    assert _lesions(clinic.sees("20250301", LEFT)).gone == ()
    again = _lesions(clinic.sees("20250401", LEFT, RIGHT))
    assert [(it.number, it.fate) for it in again.present] == [
        (1, Fate.FOLLOWED), (2, Fate.FOLLOWED),
    ]  # fmt: skip
    assert again.response is not None
    assert again.response.category == PROGRESSIVE  # the least sum was that without it


def test_two_that_grow_together_are_one(clinic: Clinic) -> None:
    """One is followed, the other one told to have merged with it."""
    one, other = (20.0, -8.0, 0.0, 8.0), (38.0, -8.0, 0.0, 6.0)
    clinic.sees("20250101", one, other)
    found = _lesions(clinic.sees("20250301", _grown(one, 12.0), _grown(other, 9.0)))
    (lesion,) = found.present
    assert lesion.number == 1
    assert [(it.number, it.merged_into) for it in found.gone] == [(2, 1)]


def test_one_that_falls_apart_is_told_so(clinic: Clinic) -> None:
    """The other part is not new, and its diameter counts to the sum."""
    clinic.sees("20250101", (20.0, -8.0, 0.0, 18.0))
    found = _lesions(clinic.sees("20250301", (16.0, -8.0, 0.0, 6.0), (32.0, -8.0, 0.0, 5.0)))
    assert sorted(it.fate for it in found.present) == [Fate.FOLLOWED, Fate.PART]
    assert found.response is not None
    assert found.response.new == 0
    assert found.response.sum_mm == pytest.approx(sum(it.long_mm for it in found.present))


def test_lesions_far_apart_are_never_the_same(clinic: Clinic) -> None:
    """However alike they are."""
    clinic.sees("20250101", LEFT)
    found = _lesions(clinic.sees("20250301", _grown(RIGHT, LEFT[3])))
    assert [it.fate for it in found.present] == [Fate.NEW]
    assert len(found.gone) == 1


def test_the_sum_is_compared_with_the_first_and_the_least(clinic: Clinic) -> None:
    """Of three studies, at which the ball is 9, 5 and 8 mm in radius."""
    for date, radius in (("20250101", 9.0), ("20250201", 5.0)):
        before = _lesions(clinic.sees(date, _grown(LEFT, radius)))
    assert before.response is not None
    assert before.response.category == PARTIAL
    told = _lesions(clinic.sees("20250301", _grown(LEFT, 8.0))).response
    assert told is not None
    assert told.baseline_mm == pytest.approx(18, abs=2)
    assert told.nadir_mm == pytest.approx(10, abs=2)
    assert told.sum_mm == pytest.approx(16, abs=2)
    assert told.category == PROGRESSIVE


def test_small_lesions_are_followed_but_are_no_targets(clinic: Clinic) -> None:
    """Without a target there is no response."""
    clinic.sees("20250101", SMALL)
    found = _lesions(clinic.sees("20250301", SMALL))
    assert [it.fate for it in found.present] == [Fate.FOLLOWED]
    assert found.response is None


def test_a_study_without_lesions_is_a_study(clinic: Clinic) -> None:
    """All are gone then; and what comes after a first study without any is new."""
    clinic.sees("20250101", LEFT)
    found = _lesions(clinic.sees("20250301"))
    assert found.present == ()
    assert len(found.gone) == 1
    assert found.response is not None
    assert found.response.sum_mm == 0


def test_what_comes_after_an_empty_study_is_new(clinic: Clinic) -> None:
    """There is no target, for nothing was there at first."""
    clinic.sees("20250101")
    found = _lesions(clinic.sees("20250301", LEFT))
    assert [it.fate for it in found.present] == [Fate.NEW]
    assert found.response is None
    assert np.isfinite(found.present[0].long_mm)


def _lying_differently() -> np.ndarray:
    """Return where a place of the scanner is in a body that is turned and lies elsewhere."""
    to_body = np.eye(4)
    to_body[:3, :3] = Rotation.from_euler("xyz", (2, -3, 6), degrees=True).as_matrix()
    to_body[:3, 3] = (14, -6, 8)
    return to_body


def test_a_patient_who_lies_differently_is_registered(clinic: Clinic) -> None:
    """In a frame of reference of its own the places of both lesions have moved by centimetres."""
    first = _lesions(clinic.sees("20250101", LEFT, RIGHT))
    found = clinic.sees(
        "20250301", _grown(LEFT, 7.0), _grown(RIGHT, 11.0),
        frame="another", to_body=_lying_differently(),
    )  # fmt: skip
    now = {lesion.number: lesion for lesion in _lesions(found).present}
    before = {lesion.number: lesion for lesion in first.present}
    assert {it.fate for it in now.values()} == {Fate.FOLLOWED}
    assert now[1].tracking_uid == before[1].tracking_uid
    assert now[1].long_mm < before[1].long_mm
    assert np.linalg.norm(np.subtract(now[1].centre_mm, before[1].centre_mm)) > 15
    assert any("was registered" in note for note in found.notes)


def test_without_the_earlier_images_nothing_is_matched(clinic: Clinic) -> None:
    """Retention has taken them; the note says why, and nobody is told that something is new."""
    clinic.sees("20250101", LEFT, RIGHT)
    clinic.images.clear()
    found = clinic.sees("20250301", LEFT, RIGHT, frame="another")
    lesions = _lesions(found)
    assert {it.fate for it in lesions.present} == {Fate.UNKNOWN}
    assert lesions.gone == ()
    assert lesions.response is None
    assert found.notes[-1] == (
        "2 earlier lesions lie in another frame of reference and were not matched"
    )
