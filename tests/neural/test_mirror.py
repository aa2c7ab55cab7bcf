"""A network that also looks at mirror images."""

import torch
from torch import Tensor

from dicom_ai_node.neural.mirror import mirrored


def _leaning(image: Tensor) -> Tensor:
    """Say of every place what lies to its left."""
    return image.roll(1, -1)


def test_the_answer_is_the_mean_over_all_mirror_images() -> None:
    """Each brought back to where the image was."""
    image = torch.rand(2, 1, 4, 6, 8)
    found = mirrored(_leaning, ["columns"])(image)
    assert isinstance(found, Tensor)
    assert torch.allclose(found, (image.roll(1, -1) + image.roll(-1, -1)) / 2)
    both = mirrored(_leaning, ["columns", "rows"])(image)
    assert isinstance(both, Tensor)
    assert torch.allclose(both, found, atol=1e-6)


def test_a_mirrored_image_gets_the_mirrored_answer() -> None:
    """Whatever the network prefers."""
    torch.manual_seed(1)
    network = torch.nn.Conv2d(1, 3, 3, padding=1)
    image = torch.rand(1, 1, 9, 12)
    look = mirrored(network, ["columns", "rows"])
    for way in ((-1,), (-2,), (-1, -2)):
        there, back = look(image.flip(way)), look(image)
        assert isinstance(there, Tensor)
        assert isinstance(back, Tensor)
        assert torch.allclose(there, back.flip(way), atol=1e-6)


def test_without_axes_it_is_the_network_itself() -> None:
    """And an answer of another shape is given back for whoever checks it."""
    assert mirrored(_leaning, ()) is _leaning
    assert mirrored(lambda _: "nothing", ["rows"])(torch.zeros(1, 1, 4, 4)) == "nothing"
    flat = mirrored(lambda image: image.mean((2, 3)), ["rows"])(torch.zeros(1, 1, 4, 4))
    assert isinstance(flat, Tensor)
    assert flat.shape == (1, 1)
