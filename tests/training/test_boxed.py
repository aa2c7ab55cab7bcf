"""Pictures with boxes, and simple ways to find boxes in them."""

import numpy as np
import pytest
import torch

from dicom_ai_node.domain.boxes import Corners
from dicom_ai_node.training.boxed import (
    BoxPicture,
    around,
    example_of,
    mean_boxes,
    method_of,
    parts_of,
)
from dicom_ai_node.training.detections import Truth

FACTS = {
    "intensity": {"scaling": "window", "low": 0, "high": 100},
    "grid": {"size_px": [32, 32]},
    "classes": [{"label": "Spot"}],
    "settings": {"limit": 5},
}


def picture(corners: Corners, shape: tuple[int, int] = (64, 128)) -> BoxPicture:
    """Return a bright box in the dark."""
    objects = np.zeros(shape, np.uint8)
    rows, columns = (
        slice(int(corners.top), int(corners.bottom)),
        slice(int(corners.left), int(corners.right)),
    )
    objects[rows, columns] = 1
    return BoxPicture(
        name="one",
        image=objects.astype(np.float32) * 100,
        objects=objects,
        truths=(Truth(0, corners),),
        group="1",
    )


def test_an_example_lies_on_the_grid_with_its_objects() -> None:
    """Both at a quarter of their size, and not padded yet."""
    image, objects = example_of(picture(Corners(16, 32, 48, 64)), FACTS)
    assert tuple(image.shape) == tuple(objects.shape) == (16, 32)
    assert objects[4:12, 8:16].all()
    assert int(objects.sum()) == 64
    assert float(image[6, 10]) == 1.0


def test_boxes_come_back_in_pixels_of_the_picture() -> None:
    """Through a grid of another size and shape."""

    class Fixed(torch.nn.Module):
        def forward(self, images: torch.Tensor) -> torch.Tensor:
            said = torch.full((1, 5, 32, 32), -9.0)
            said[0, 0, 8, 12] = 2.0
            said[0, 1:, 8, 12] = torch.logit(torch.tensor([4.5, 4.5, 3.5, 3.5]) / 32)
            return said

    (found,) = method_of(Fixed(), FACTS, (0.5, -1.0))(picture(Corners(16, 32, 48, 64)))
    assert found.score == pytest.approx(0.5)
    at = found.corners
    assert (at.top, at.left, at.bottom, at.right) == pytest.approx((16, 32, 48, 64), abs=0.01)


def test_the_mean_box_has_the_size_of_the_picture_that_it_is_put_on() -> None:
    """Its score is how often a picture has one."""
    method = mean_boxes([picture(Corners(16, 32, 48, 64)), picture(Corners(0, 0, 32, 32))])
    (found,) = method(picture(Corners(1, 1, 9, 9), (32, 32)))
    at = found.corners
    assert (at.top, at.left, at.bottom, at.right) == pytest.approx((4, 4, 20, 12))
    assert found.score == 1.0
    assert mean_boxes([])(picture(Corners(1, 1, 9, 9))) == []


def test_a_box_around_labels_ends_where_they_end() -> None:
    """Each label that is there has one, from border to border."""
    labels = np.zeros((10, 12), np.uint8)
    labels[2:5, 3:9] = 2
    (found,) = around(labels, 3)
    assert (found.of, found.corners) == (1, Corners(2.0, 3.0, 5.0, 9.0))


def test_parts_of_a_picture_do_not_depend_on_its_size() -> None:
    """They are what a golden file holds."""
    assert parts_of(Corners(5, 10, 10, 20), (20, 40)) == (0.25, 0.25, 0.5, 0.5)
