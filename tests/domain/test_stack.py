"""How slices lie behind each other is read from their headers alone."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dicom_ai_node.domain.stack import numbers, stacks
from tests.series import instance, slices


@pytest.mark.parametrize(
    ("positions", "missing", "is_even"),
    [
        pytest.param([0, 2.5, 5, 7.5], 0, True, id="even"),
        pytest.param([7.5, 0, 5, 2.5], 0, True, id="even in any order of arrival"),
        pytest.param([0, 2.5, 7.5, 10], 1, False, id="one slice missing"),
        pytest.param([0, 1, 2, 6, 7, 8, 10], 4, False, id="two holes"),
        pytest.param([0, 1, 2.3, 3.9, 4.1], None, False, id="no rule"),
        pytest.param([0, 1.04, 2.0, 3.02], 0, True, id="even but for rounding"),
        pytest.param([0, 0, 1, 1, 2, 2], 0, True, id="two time points at every place"),
        pytest.param([3], None, None, id="a single slice"),
    ],
)
def test_gaps_tell_what_is_missing(
    positions: list[float], missing: int | None, is_even: bool | None
) -> None:
    """A hole is a gap that is a multiple of the spacing of the others."""
    (stack,) = stacks(slices(positions))
    assert (stack.missing, stack.is_even) == (missing, is_even)


@given(
    count=st.integers(6, 40),
    spacing=st.floats(0.3, 10),
    start=st.floats(-1000, 1000),
    hole=st.integers(2, 4),
)
def test_one_lost_slice_is_found_wherever_it_was(
    count: int, spacing: float, start: float, hole: int
) -> None:
    """Whatever the spacing and the place of the series in the patient."""
    positions = [start + i * spacing for i in range(count) if i != hole]
    (stack,) = stacks(
        instance(str(z), ImageOrientationPatient=r"0\1\0\0\0\-1", ImagePositionPatient=f"{z}\\0\\0")
        for z in positions
    )
    assert stack.missing == 1
    assert stack.spacing_mm == pytest.approx(spacing, rel=1e-3)


def test_a_localizer_in_three_planes_is_three_stacks() -> None:
    """Planes of different orientation have no gaps between each other."""
    planes = [r"1\0\0\0\1\0", r"1\0\0\0\0\-1", r"0\1\0\0\0\-1"]
    images = [
        instance(
            f"{plane} {p}", ImageOrientationPatient=plane, ImagePositionPatient=f"{p}\\{p}\\{p}"
        )
        for plane in planes
        for p in (0, 10)
    ]
    found = stacks(images)
    assert [len(stack.positions_mm) for stack in found] == [2, 2, 2]


@pytest.mark.parametrize(
    ("plane", "position"),
    [
        pytest.param("", r"0\0\0", id="no orientation"),
        pytest.param(r"1\0\0\0\1\0", "", id="no position"),
        pytest.param(r"1\0\0\1\0\0", r"0\0\0", id="rows along columns"),
        pytest.param(r"0\0\0\0\0\0", r"0\0\0", id="no direction"),
        pytest.param(r"1\0\0\0\1", r"0\0\0", id="five numbers"),
        pytest.param(r"1\0\0\0\nan\0", r"0\0\0", id="not a number"),
        pytest.param(r"1\0\0\0\1\0", r"0\0\inf", id="infinitely far away"),
        pytest.param(r"1e308\1e308\1e308\-1e308\1e308\1e308", r"0\0\0", id="too large"),
        pytest.param("left", "right", id="words"),
    ],
)
def test_what_has_no_usable_place_is_left_out(plane: str, position: str) -> None:
    """A wrong header is no evidence, and no reason to fall over."""
    assert not stacks([instance("x", ImageOrientationPatient=plane, ImagePositionPatient=position)])


@given(st.text(max_size=40))
def test_any_text_is_read_as_numbers_or_nothing(text: str) -> None:
    """A sender can write anything into a header."""
    assert all(isinstance(value, float) for value in numbers(text))
