"""Curves as a picture: what lies where on it."""

from dataclasses import replace

import numpy as np
import pytest

from dicom_ai_node.encode.curves import Line, Panel
from dicom_ai_node.encode.picture import Entry, Sheet
from dicom_ai_node.encode.plot import (
    MOST_PANELS,
    PANEL_PX,
    WIDTH_PX,
    draw_plot,
    plot_size,
    round_steps,
)

COLOUR = (0, 200, 255)


def _panel(values: list[float]) -> Panel:
    return Panel(
        title="Head: distance",
        at=np.arange(len(values)) / 10,
        at_label="time in s",
        value_label="mm",
        lines=(Line("along", np.array(values), COLOUR),),
        missing="lost",
    )


def _drawn(*panels: Panel) -> np.ndarray:
    sheet = Sheet(size=plot_size(panels), banner="BANNER", legend_lines=1)
    return draw_plot(sheet, panels, [Entry("a legend")])


def _is(picture: np.ndarray, colour: tuple[int, int, int]) -> np.ndarray:
    return np.asarray((picture == colour).all(axis=-1))


def test_a_curve_runs_from_left_to_right_and_up_with_its_values() -> None:
    """The highest value is drawn highest, the last one furthest to the right."""
    rows, columns = np.nonzero(_is(_drawn(_panel([0, 1, 5, 2])), COLOUR))
    top = columns[rows == rows.min()].mean()
    left, right = columns.min(), columns.max()
    assert left + (right - left) * 2 / 3 == pytest.approx(top, abs=4)
    assert rows[columns == left].mean() > rows[columns == right].mean()


def test_where_nothing_is_known_no_line_is_drawn() -> None:
    """It is shaded, and nothing connects what was seen before with what was seen after."""
    whole, gap = _drawn(_panel([0, 1, 2, 3, 4])), _drawn(_panel([0, 1, np.nan, 3, 4]))
    middle = slice(480, 620)
    assert _is(whole, COLOUR)[:, middle].any()
    assert not _is(gap, COLOUR)[:, middle].any()
    shade = (64, 44, 20)
    assert _is(gap, shade)[:, middle].any()
    assert not _is(whole, shade).any()


@pytest.mark.parametrize(
    "values",
    [
        pytest.param([2.0, 2.0, 2.0], id="rest"),
        pytest.param([np.nan] * 3, id="nothing known"),
        pytest.param([1e-9, 2e-9, 0.0], id="next to nothing"),
        pytest.param([1e6, -1e6, 0.0], id="very much"),
    ],
)
def test_every_curve_can_be_drawn(values: list[float]) -> None:
    """A picture comes out, of the size that was announced."""
    width, height = plot_size([_panel(values)])
    picture = _drawn(_panel(values))
    assert picture.shape[1:] == (width, 3)
    assert picture.shape[0] > height


def test_panels_stand_below_each_other_and_are_not_too_many() -> None:
    """More than four nobody could read."""
    one, six = plot_size([_panel([1, 2, 3])]), plot_size([_panel([1, 2, 3])] * 6)
    assert six[1] == MOST_PANELS * one[1]
    assert _drawn(*[_panel([1, 2, 3])] * 6).shape[1] == six[0]


@pytest.mark.parametrize(
    ("low", "high", "steps"),
    [(0, 1, [0, 0.2, 0.4, 0.6, 0.8, 1.0]), (-3.7, 5.2, [-2, 0, 2, 4]), (2, 2, [2])],
)
def test_axes_have_round_numbers(low: float, high: float, steps: list[float]) -> None:
    """One, two or five times a power of ten."""
    assert round_steps(low, high, 5) == pytest.approx(steps)


def test_values_that_stand_for_several_have_a_bar() -> None:
    """From the least to the greatest of them; a single value has none."""
    plain = replace(_panel([0, 5, 10]), spread=np.array([[0, 0], [5, 5], [10, 10]]))
    ranged = replace(plain, spread=np.array([[0, 0], [2, 8], [10, 10]]))
    white = (255, 255, 255)
    bars = [_is(_drawn(panel), white)[100:400, 480:640].sum() for panel in (plain, ranged)]
    assert bars[0] == 0
    assert bars[1] > 100


def test_dates_can_stand_below_the_axis() -> None:
    """In place of round numbers, none cut off at the edge of the picture."""
    dated = replace(_panel([0, 5, 10]), ticks=((0.0, "2025-01-01"), (0.2, "2025-12-31")))
    below = _is(_drawn(dated), (255, 255, 255))[PANEL_PX - 10 : PANEL_PX + 20]
    columns = np.flatnonzero(below.any(axis=0))
    assert columns.max() < WIDTH_PX - 1
    assert columns.max() > WIDTH_PX - 60
