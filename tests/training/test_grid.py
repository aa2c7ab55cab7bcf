"""The grid rules, which the runner follows as well."""

import pytest
import torch

from dicom_ai_node.training.grid import (
    fitted_shape,
    pad_end,
    resize,
    resize_labels,
    scaled,
    shape_on_grid,
)


@pytest.mark.parametrize(
    ("shape", "fitted"),
    [
        pytest.param((540, 800), (151, 224), id="a wide frame fills the columns"),
        pytest.param((800, 540), (160, 108), id="a high frame fills the rows"),
        pytest.param((80, 112), (160, 224), id="a small frame is enlarged"),
    ],
)
def test_a_frame_is_fitted_and_keeps_its_aspect(
    shape: tuple[int, int], fitted: tuple[int, int]
) -> None:
    """One factor for both axes, never more than the grid."""
    assert fitted_shape(shape, (160, 224)) == fitted


def test_a_grid_in_millimetres_rounds_the_shape() -> None:
    """512 pixels of 0.488 mm are 167 of 1.5 mm."""
    facts = {"grid": {"spacing_mm": [1.5, 1.5]}}
    assert shape_on_grid(facts, (512, 512), (0.488, 0.488)) == (167, 167)


@pytest.mark.parametrize("axes", [2, 3])
def test_resampling_does_not_shift_what_it_shows(axes: int) -> None:
    """The centre of mass stays at the same part of the image's length, borders being fixed."""
    image = torch.zeros((1, 1, *(32,) * axes))
    image[(0, 0, *(slice(6, 14),) * axes)] = 1.0
    for length in (16, 21, 48):
        small = resize(image, (length,) * axes)[0, 0]
        along = small.sum(tuple(range(1, axes)))
        centre = float((along * (torch.arange(length) + 0.5)).sum() / along.sum()) / length
        assert centre == pytest.approx(10 / 32, abs=0.01)


def test_labels_are_resized_by_majority_and_never_mixed() -> None:
    """Between label 1 and label 3 no label 2 appears, and areas keep their share."""
    labels = torch.zeros((40, 40), dtype=torch.uint8)
    labels[:, 10:20], labels[:, 20:30] = 1, 3
    resized = resize_labels(labels, (20, 30), classes=4)
    assert resized.unique().tolist() == [0, 1, 3]
    assert float((resized == 3).float().mean()) == pytest.approx(0.25, abs=0.04)


def test_padding_goes_to_the_end_so_that_the_image_stays_at_the_top_left() -> None:
    """What was at (0, 0) still is."""
    padded = pad_end(torch.ones((1, 1, 2, 3)), (4, 5), -7.0)[0, 0]
    assert padded[:2, :3].eq(1).all()
    assert padded[2:].eq(-7).all()
    assert padded[:, 3:].eq(-7).all()


@pytest.mark.parametrize(
    ("intensity", "expected"),
    [
        pytest.param(
            {"scaling": "window", "low": 0, "high": 200},
            [0.0, 0.25, 0.5, 1.0],
            id="window, clipped",
        ),
        pytest.param(
            {"scaling": "percentile", "low": 0, "high": 100},
            [0.0, 1 / 6, 1 / 3, 1.0],
            id="percentile",
        ),
        pytest.param(
            {"scaling": "zscore"}, [-0.987878, -0.548821, -0.109764, 1.646464], id="z-score"
        ),
    ],
)
def test_values_are_scaled_as_the_facts_say(
    intensity: dict[str, object], expected: list[float]
) -> None:
    """The three scalings of a model folder."""
    found = scaled(torch.tensor([0.0, 50.0, 100.0, 300.0]), {"intensity": intensity})
    assert found.tolist() == pytest.approx(expected, abs=1e-5)
