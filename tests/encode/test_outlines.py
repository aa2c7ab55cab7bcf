"""Objects as lines on a picture, and the bar beside them."""

import numpy as np
import pytest

from dicom_ai_node.domain.findings import Instances
from dicom_ai_node.domain.image import SourceFrame
from dicom_ai_node.encode.outlines import outlines_on, scale_bar
from dicom_ai_node.encode.planes import planes
from dicom_ai_node.encode.secondary_capture import encode
from tests.encode import scenes


def counted(source: str) -> tuple[scenes.Scene, Instances]:
    """Return a scene and its objects."""
    scene = scenes.counted(scenes.COUNTED[source]())
    assert scene.findings.instances is not None
    return scene, scene.findings.instances


def test_a_tile_shows_the_nuclei_that_reach_into_it_and_no_others() -> None:
    """Also those whose middle lies on a neighbour; each in the pixels of the tile."""
    scene, found = counted("whole slide")
    uid = scene.origin.sources[0].SOPInstanceUID
    shown = outlines_on(SourceFrame(uid, 6), found, scene.origin)
    middles = sorted(
        (
            round(np.mean([y for _, y in m.points[:-1]])) + 63.5,
            round(np.mean([x for x, _ in m.points[:-1]])) + 63.5,
        )
        for m in shown
    )
    # Tile 6 is rows and columns 64 to 127; discs of radius 9 lie at 24, 56, 88, 120 ...
    assert middles == [(r, c) for r in (55.5, 87.5, 119.5) for c in (55.5, 87.5, 119.5)]


def test_an_image_in_one_piece_shows_all_of_them() -> None:
    """In its own pixels."""
    scene, found = counted("microscopy image")
    uid = scene.origin.sources[0].SOPInstanceUID
    shown = outlines_on(SourceFrame(uid, 1), found, scene.origin)
    assert len(shown) == len(found)
    assert outlines_on(SourceFrame(uid, 1), None, scene.origin) == []


@pytest.mark.parametrize(
    ("enlarged", "words", "length_px"), [(8.0, "5 um", 80), (2.0, "5 um", 20), (0.25, "5 um", 2)]
)
def test_the_bar_is_as_long_as_it_says(enlarged: float, words: str, length_px: int) -> None:
    """A quarter of the picture at most, and a round number: 64 pixels of 0.5 um are 32 um."""
    scene, found = counted("whole slide")
    (plane,) = planes(found.sources[:1], scene.origin.sources)
    (bar,) = scale_bar(plane, enlarged)
    assert (bar.text, bar.bar_px) == (words, length_px)


def test_an_image_that_is_no_microscope_s_has_no_bar() -> None:
    """Nor has one that does not say how large its pixels are."""
    scene, found = counted("microscopy image")
    assert scale_bar(planes(found.sources, scene.origin.sources)[0], 4) == []
    ct = scenes.scene(scenes.SOURCES["CT"]())
    assert scale_bar(planes(scenes.frames_of(ct.origin.sources)[:1], ct.origin.sources)[0], 4) == []


def test_the_picture_says_that_its_numbers_are_of_the_whole_slide() -> None:
    """The tile shows a few nuclei, and the number below it is of all."""
    scene, _ = counted("whole slide")
    (picture,) = encode(scene.findings, scene.origin)
    assert picture.Rows > 512
    assert picture.SourceImageSequence[0].ReferencedFrameNumber == 1
