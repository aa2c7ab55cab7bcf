"""Boxes and their names on a picture: both can be read, and neither hides the other."""

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from dicom_ai_node.domain.image import SourceFrame
from dicom_ai_node.domain.uids import SOPInstanceUID
from dicom_ai_node.encode.marks import Mark
from dicom_ai_node.encode.tags import draw_marks, font

RED, BLUE = (255, 0, 0), (0, 0, 255)


def _mark(
    top: float,
    left: float,
    bottom: float,
    right: float,
    text: str = "Lesion 50 %",
    colour: tuple[int, int, int] = RED,
) -> Mark:
    return Mark(
        source=SourceFrame(SOPInstanceUID("1.2")),
        label="Lesion",
        colour_rgb=colour,
        points=((left, top), (right, top), (right, bottom), (left, bottom), (left, top)),
        text=text,
        tracking_id="Lesion 1",
        tracking_uid="1.2.3",
    )


def _drawn(*marks: Mark, grey: int = 128, shape: tuple[int, int] = (50, 60)) -> NDArray[np.uint8]:
    image = Image.new("RGB", (600, 500), (grey, grey, grey))
    draw_marks(image, marks, shape, 16)
    return np.asarray(image)


def _is(picture: NDArray[np.uint8], colour: tuple[int, int, int]) -> NDArray[np.bool_]:
    return np.asarray((picture == colour).all(axis=-1))


def _extent(mask: NDArray[np.bool_]) -> tuple[int, int, int, int]:
    rows, columns = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
    return int(rows[0]), int(columns[0]), int(rows[-1]), int(columns[-1])


def test_a_box_is_drawn_on_its_borders() -> None:
    """Ten times as large as its image, so that a border at 10 lies at 100."""
    line = _is(_drawn(_mark(10, 20, 40, 50, text="")), RED)
    assert _extent(line) == pytest.approx((100, 200, 400, 500), abs=2)
    assert not line[110:390, 210:490].any()


def test_a_box_at_the_edge_is_seen_whole() -> None:
    """All four sides."""
    line = _is(_drawn(_mark(0, 0, 50, 60, text="")), RED)
    assert line[250, :4].any()
    assert line[250, -4:].any()
    assert line[:4, 300].any()
    assert line[-4:, 300].any()


@pytest.mark.parametrize("grey", [0, 255])
def test_a_line_is_seen_on_black_and_on_white(grey: int) -> None:
    """It has a dark edge, which stands out from white."""
    row = _drawn(_mark(10, 20, 40, 50, text=""), grey=grey)[250].astype(int)
    steps = np.abs(np.diff(row.sum(axis=1)))
    assert steps.max() >= 255


def test_the_name_stands_above_the_box_and_leaves_it_open() -> None:
    """In dark letters on the colour of the box."""
    red = _is(_drawn(_mark(10, 20, 40, 50)), RED)
    assert red[80:98].sum() > 500
    assert not red[110:390, 210:490].any()
    assert red[90, 204:260].mean() > 0.3


@pytest.mark.parametrize(
    ("box", "rows"),
    [
        pytest.param((0, 20, 40, 50), slice(401, 430), id="below one that begins at the top"),
        pytest.param((0, 20, 50, 50), slice(4, 24), id="inside one that fills the image"),
    ],
)
def test_where_there_is_no_room_above_the_name_goes_elsewhere(
    box: tuple[float, float, float, float], rows: slice
) -> None:
    """It never leaves the picture."""
    assert _is(_drawn(_mark(*box)), RED)[rows, 210:280].sum() > 300


def test_a_name_at_the_right_edge_moves_in() -> None:
    """It is longer than its box is wide."""
    red = _is(_drawn(_mark(20, 56, 30, 60)), RED)
    wide = font(16).getlength("Lesion 50 %")
    assert _extent(red[178:198])[1] == pytest.approx(600 - wide - 10, abs=6)


def test_two_names_never_cover_each_other() -> None:
    """Two boxes with the same corner: the second name goes below its box."""
    picture = _drawn(_mark(10, 20, 30, 50), _mark(10, 20, 40, 50, colour=BLUE))
    red, blue = _is(picture, RED), _is(picture, BLUE)
    assert red[80:98].sum() > 500
    assert not blue[78:97].any()
    assert blue[403:420].sum() > 500


def test_many_boxes_on_one_spot_are_still_drawn() -> None:
    """Where no place is free, names meet; no box is lost for it."""
    picture = _drawn(*[_mark(10, 20, 40, 50) for _ in range(8)])
    assert _is(picture, RED).any()
