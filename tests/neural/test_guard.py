"""What the guard measures on any network, and how it weighs it."""

from typing import Any

import pytest
import torch
from torch import nn

from dicom_ai_node.domain.errors import TaskFailed
from dicom_ai_node.neural.guard import Judge, Signs, said, signs

ITEMS = torch.rand((3, 1, 16, 16), generator=torch.Generator().manual_seed(2))


def _network(last: nn.Module) -> nn.Sequential:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(5)
        return nn.Sequential(nn.Conv2d(1, 4, 3, padding=1), nn.ReLU(), last).requires_grad_(
            requires_grad=False
        )


class Boxes(nn.Module):
    """Answers with named lists, as networks that detect do."""

    def forward(self, features: torch.Tensor) -> dict[str, list[torch.Tensor]]:
        """Return two maps."""
        return {"boxes": [features[:, :1]], "classes": [features.mean((2, 3))]}


class Words(nn.Module):
    """Answers with what no network should."""

    def forward(self, features: torch.Tensor) -> str:
        """Return a word."""
        return f"{len(features)} images"


@pytest.mark.parametrize(
    "last",
    [
        pytest.param(nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten()), id="that classifies"),
        pytest.param(nn.Conv2d(4, 3, 1), id="that segments"),
        pytest.param(nn.Conv2d(4, 1, 1), id="that restores"),
        pytest.param(Boxes(), id="that detects"),
    ],
)
def test_every_kind_of_network_can_be_guarded(last: nn.Module) -> None:
    """As many numbers for each item, whatever the network answers with."""
    network = _network(last)
    found = signs(network, network[0], ITEMS, (16, 14))
    assert found.of_manipulation.shape == (3, 9 + 2 + 30)
    assert found.of_kind.shape == (3, 30 + 5 + 4)
    assert bool(torch.isfinite(found.of_manipulation).all())


def test_padding_is_not_looked_at() -> None:
    """The strength of detail is that of the image, whatever stands beside it."""
    network = _network(nn.Conv2d(4, 3, 1))
    other = ITEMS.clone()
    other[..., 12:] = 0.0
    one, two = (signs(network, network[0], items, (16, 12)) for items in (ITEMS, other))
    assert torch.equal(one.of_kind[:, :35], two.of_kind[:, :35])


def test_an_answer_that_means_nothing_to_the_guard_is_an_error() -> None:
    """It says what the network answered with."""
    network = _network(Words())
    with pytest.raises(TaskFailed, match="str"):
        signs(network, network[0], ITEMS, (16, 16))


def test_a_layer_that_takes_no_part_is_an_error() -> None:
    """Features must come from the answer that is judged."""
    with pytest.raises(TaskFailed, match="takes no part"):
        signs(_network(nn.Conv2d(4, 3, 1)), nn.ReLU(), ITEMS, (16, 16))


def test_classes_that_compete_are_told_as_probabilities() -> None:
    """A change of the logits that changes no probability is no change."""
    logits = torch.tensor([[1.0, 3.0]])
    assert torch.allclose(said(logits), said(logits + 5))
    assert float(said(logits).sum()) == pytest.approx(1)


def _judge(**changes: Any) -> Judge:  # noqa: ANN401
    given = {
        "usual": torch.zeros(2), "spread": torch.ones(2), "weights": torch.tensor([1.0, 0.0]),
        "offset": torch.tensor(-2.0), "centre": torch.zeros(2), "precision": torch.eye(2),
        "thresholds": torch.zeros(2),
    }  # fmt: skip
    return Judge(**{**given, **changes})


def test_scores_rise_with_what_is_unusual() -> None:
    """The one with what was weighed, the other with the distance from the middle of all known."""
    found = Signs(torch.tensor([[0.0, 9.0], [3.0, 0.0]]), torch.tensor([[0.0, 0.0], [2.0, 2.0]]))
    assert _judge().scores(found).tolist() == [[-2.0, 0.0], [1.0, 2.0]]
