"""Pictures."""

from dataclasses import replace

import numpy as np
import pytest
from pydicom.sr.codedict import codes

from dicom_ai_node.domain.findings import Measurement
from dicom_ai_node.encode.orientation import Edges
from dicom_ai_node.encode.picture import (
    LONG_SIDE_PX,
    SHORT_SIDE_PX,
    Entry,
    Sheet,
    displayed_size,
    draw,
    lines_of,
    measured,
)

RED = (255, 0, 0)


def _sheet(size: tuple[int, int] = (512, 512), lines: int = 2) -> Sheet:
    return Sheet(size=size, banner="AI RESULT - RESEARCH - NOT FOR DIAGNOSIS", legend_lines=lines)


@pytest.mark.parametrize(
    ("rows", "columns", "aspect", "size"),
    [
        pytest.param(64, 64, 1.0, (512, 512), id="small images are enlarged"),
        pytest.param(512, 512, 1.0, (512, 512), id="usual ones stay"),
        pytest.param(64, 64, 2.0, (512, 1024), id="high pixels make a high picture"),
        pytest.param(64, 64, 0.5, (1024, 512), id="wide pixels make a wide one"),
        pytest.param(3000, 2400, 1.0, (1638, 2048), id="huge ones are reduced"),
        pytest.param(10, 1000, 1.0, (2048, 20), id="a strip does not grow without end"),
    ],
)
def test_pictures_have_a_size_that_can_be_read(
    rows: int, columns: int, aspect: float, size: tuple[int, int]
) -> None:
    """Whatever comes, with its true proportions."""
    assert displayed_size(rows, columns, aspect) == size
    assert max(size) <= LONG_SIDE_PX
    assert min(size) >= SHORT_SIDE_PX or max(size) == LONG_SIDE_PX


def test_nothing_is_written_over_the_image() -> None:
    """Banner above, legend below: the image itself is all there, in grey."""
    frame = (np.arange(64 * 64) % 256).astype(np.uint8).reshape(64, 64)
    sheet = _sheet()
    picture = draw(sheet, frame, [], [Entry("text")])
    bare = draw(sheet, frame, [], [])
    assert picture.shape == bare.shape
    height = picture.shape[0]
    same = (picture == bare).all(axis=(1, 2))
    assert same[: height - 90].all()
    middle = picture[100:500]
    assert (middle[..., 0] == middle[..., 1]).all()


def test_the_sides_of_the_patient_stand_at_the_edges_of_the_image() -> None:
    """White with a black rim, so that they can be read on anything; nothing where not known."""
    grey = np.full((64, 64), 100, np.uint8)
    plain = draw(_sheet(lines=0), grey, [], [])
    sheet = replace(_sheet(lines=0), edges=Edges("R", "L", "A", "P"))
    told = draw(sheet, grey, [], [])
    begin = next(row for row in range(len(plain)) if (plain[row] == 100).all())
    image, before = told[begin : begin + 512], plain[begin : begin + 512]
    rows, columns = np.nonzero((image != before).any(axis=2))
    for distance in (rows, 511 - rows, columns, 511 - columns):
        letter = image[rows[distance < 30], columns[distance < 30]]
        assert letter.max() == 255
        assert letter.min() == 0
    assert (np.minimum.reduce([rows, 511 - rows, columns, 511 - columns]) < 30).all()


def test_a_finding_is_outlined_and_hardly_covered() -> None:
    """The outline in full colour, inside it the image shines through."""
    frame = np.full((128, 128), 100, np.uint8)
    mask = np.zeros((128, 128), bool)
    mask[32:96, 32:96] = True
    picture = draw(_sheet(), frame, [(mask, RED)], [])
    top = picture.shape[0] - draw(_sheet(lines=0), frame, [], []).shape[0]
    assert top >= 0
    reds = (picture == RED).all(axis=-1)
    rows, columns = np.nonzero(reds)
    assert columns.max() - columns.min() == pytest.approx(256, abs=6)
    assert rows.max() - rows.min() == pytest.approx(256, abs=6)
    centre = picture[(rows.max() + rows.min()) // 2, 256]
    assert centre[0] < 140
    assert 80 <= centre[1] < 100


def test_a_finding_of_one_pixel_can_be_seen() -> None:
    """After enlarging, too."""
    mask = np.zeros((64, 64), bool)
    mask[30, 30] = True
    picture = draw(_sheet(), np.zeros((64, 64), np.uint8), [(mask, RED)], [])
    assert (picture == RED).all(axis=-1).sum() > 20


def test_long_legends_are_wrapped_and_get_their_room() -> None:
    """No word is cut off at the border."""
    entry = Entry("word " * 60, RED)
    assert lines_of((512, 512), [entry]) > 4
    assert lines_of((512, 512), [Entry("short"), Entry("short")]) == 2
    tall = draw(_sheet(lines=8), np.zeros((9, 9), np.uint8), [], [entry])
    flat = draw(_sheet(lines=1), np.zeros((9, 9), np.uint8), [], [])
    assert tall.shape[0] > flat.shape[0]
    assert not tall[:, -8:][-150:].any()


def test_the_banner_is_the_first_thing_one_sees() -> None:
    """Dark on amber over the whole width, at any size."""
    for size in ((512, 512), (2048, 600)):
        picture = draw(_sheet(size), np.zeros((8, 8), np.uint8), [], [])
        first = picture[2]
        assert (first == (255, 176, 0)).all()
        strip = picture[: picture.shape[0] // 40 + 10]
        assert (strip == 0).any()


@pytest.mark.parametrize(
    ("measurement", "text"),
    [
        (
            Measurement(concept=codes.SCT.Volume, value=12.3456, unit=codes.UCUM.CubicCentimeter),
            "Volume 12.35 cm3",
        ),
        (
            Measurement(concept=codes.SCT.Area, value=24613.2, unit=codes.UCUM.SquareMillimeter),
            "Area 24613 mm2",
        ),
        (
            Measurement(
                concept=codes.DCM.AttenuationCoefficient,
                value=41.25,
                unit=codes.UCUM.HounsfieldUnit,
                derivation=codes.SCT.Mean,
            ),
            "Mean Attenuation Coefficient 41.25 HU",
        ),
    ],
)
def test_measurements_are_written_as_people_read_them(measurement: Measurement, text: str) -> None:
    """Name, number, unit."""
    assert measured(measurement) == text
