"""Where source frames lie."""

import pytest

from dicom_ai_node.domain.errors import TaskFailed
from dicom_ai_node.domain.image import SourceFrame
from dicom_ai_node.domain.uids import SOPInstanceUID
from dicom_ai_node.encode.headers import normalised
from dicom_ai_node.encode.planes import are_placed, even_spacing_mm, order, planes
from tests import phantoms
from tests.encode import scenes


def _planes(images: list[phantoms.FileDataset]) -> list[scenes.Dataset]:
    headers = [normalised(image) for image in images]
    return planes(scenes.frames_of(headers), headers)


def test_slices_know_their_place() -> None:
    """In the digits of the source, from its header."""
    found = _planes(phantoms.ct())
    assert are_placed(found)
    assert even_spacing_mm(found) == pytest.approx(2.5)
    assert found[3].position == ("-18.8", "-25.2", "-6.25")
    assert order(found) == [(1, place + 1) for place in range(12)]


def test_frames_of_enhanced_images_know_theirs_from_functional_groups() -> None:
    """The shared group says what all have in common."""
    single, multi = _planes(phantoms.mr(slices=6)), _planes([scenes.enhanced(6)])
    assert [plane.position for plane in multi] == [plane.position for plane in single]
    assert {plane.spacing for plane in multi} == {("1", "1")} or are_placed(multi)


def test_uneven_gaps_have_no_spacing_but_an_order() -> None:
    """Places are counted along the normal, however far apart."""
    found = _planes(scenes.tilted())
    assert even_spacing_mm(found) is None
    assert [place for _, place in order(found)] == list(range(1, 11))


def test_slices_that_came_in_any_order_are_counted_by_place() -> None:
    """Not by their number or by when they arrived."""
    found = _planes(list(reversed(phantoms.ct(slices=4))))
    assert [place for _, place in order(found)] == [4, 3, 2, 1]


def test_the_same_place_a_second_time_is_another_time() -> None:
    """As in perfusion: (which time, which place)."""
    again = phantoms.ct(slices=2, SeriesInstanceUID="2.25.7")
    found = _planes([*phantoms.ct(slices=2), *again])
    assert order(found) == [(1, 1), (1, 2), (2, 1), (2, 2)]


def test_projections_and_cines_have_no_place() -> None:
    """Their frames are counted as they come."""
    found = _planes([phantoms.us_cine(frames=3)])
    assert not are_placed(found)
    assert order(found) == [(1, 1), (1, 2), (1, 3)]


def test_findings_on_foreign_images_are_refused() -> None:
    """A task that names an image it was not given has a fault."""
    with pytest.raises(TaskFailed):
        planes([SourceFrame(SOPInstanceUID("2.25.1"))], [normalised(phantoms.dx())])
