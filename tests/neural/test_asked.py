"""Every network can be asked the same way: values of about 0..1 in, numbers for each item out."""

import pytest
import torch
from torch import Tensor, nn

from dicom_ai_node.domain.restoring import enlarged
from dicom_ai_node.neural.asked import Asked
from dicom_ai_node.neural.guard import said

ITEMS = torch.rand((2, 1, 16, 16), generator=torch.Generator().manual_seed(3))


class Told(nn.Module):
    """Answers with what it was told, beside the mean of the images."""

    def forward(self, images: Tensor, told: Tensor) -> Tensor:
        """Return (batch, 1 + numbers)."""
        return torch.cat([images.flatten(1).mean(1, keepdim=True), told], 1)


def test_classes_stay_apart_and_other_numbers_become_one_line() -> None:
    """Features and boxes do not compete, so that nothing turns them into probabilities."""
    network = nn.Conv2d(1, 3, 1)
    assert Asked(network, "segment")(ITEMS).shape == (2, 3, 16, 16)  # type: ignore[attr-defined]
    answer = Asked(network, "track")(ITEMS)
    assert isinstance(answer, Tensor)
    assert torch.equal(said(answer), network(ITEMS).flatten(1)[:, None])


def test_a_network_that_restores_sees_the_image_enlarged_as_its_task_does() -> None:
    """By the same cubic convolution, within the range of the scaling."""
    given = Asked(nn.Identity(), "restore", factor=2).given(ITEMS)
    wanted = torch.from_numpy(enlarged(ITEMS[0, 0].numpy(), 2)).clamp(0, 1)
    assert torch.allclose(given[0, 0], wanted, atol=1e-5)


def test_z_scores_are_brought_to_their_size() -> None:
    """What the guard takes for 1 is the range of a z-score."""
    assert torch.equal(Asked(nn.Identity(), "segment", span=4.0).given(ITEMS), 4 * ITEMS)


def test_nothing_is_told_about_the_patient() -> None:
    """The guard judges images; what is unknown is 0."""
    answer = Asked(Told(), "fuse", told=6)(ITEMS)
    assert isinstance(answer, Tensor)
    assert answer[:, 1:].tolist() == [[0.0] * 6] * 2
    assert answer[:, 0].tolist() == pytest.approx(ITEMS.flatten(1).mean(1).tolist())
