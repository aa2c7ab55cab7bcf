"""Training that is shown where to look."""

from itertools import count

import torch
from torch import nn

from dicom_ai_node.training.augment import Touch, Warp
from dicom_ai_node.training.fit import Plan
from dicom_ai_node.training.fit_outlined import Outlined, draw, fit_outlined, place_loss

STILL = Warp(degrees=0, zoom=(1, 1), shift=0)
PLAN = Plan(
    steps=120,
    batch=16,
    patch=(24, 24),
    warp=STILL,
    touch=Touch(gain=0, offset=0, noise=0),
    learning_rate=1e-2,
    judge_every=20,
    ema=0.5,
)


def _examples(count: int) -> list[Outlined]:
    """Return noise of two classes: the second one has a small bright spot somewhere."""
    generator = torch.Generator().manual_seed(3)
    examples = []
    for number in range(count):
        image = torch.rand((24, 24), generator=generator) * 0.6
        outline = torch.zeros((24, 24), dtype=torch.bool)
        if number % 2:
            row, column = torch.randint(2, 19, (2,), generator=generator).tolist()
            outline[row : row + 3, column : column + 3] = True
            image[outline] += 0.35
        examples.append((image, number % 2, outline))
    return examples


def _network() -> nn.Sequential:
    torch.manual_seed(1)
    features = nn.Sequential(
        nn.Conv2d(1, 8, 5, padding=2), nn.BatchNorm2d(8), nn.ReLU(),
        nn.Conv2d(8, 8, 3, stride=2, padding=1), nn.BatchNorm2d(8), nn.ReLU(),
    )  # fmt: skip
    return nn.Sequential(features, nn.AdaptiveMaxPool2d(1), nn.Flatten(), nn.Linear(8, 2))


def test_a_place_that_says_what_is_there_loses_least() -> None:
    """And one that says blood where there is none loses more than one that is undecided."""
    pixels = torch.zeros((1, 8, 8), dtype=torch.long)
    pixels[0, :4, :4] = 1
    right = torch.zeros((1, 2, 2, 2))
    right[0, 0], right[0, 1] = 4.0, -4.0
    right[0, :, 0, 0] = torch.tensor([-4.0, 4.0])
    undecided, wrong = torch.zeros_like(right), -right
    losses = [float(place_loss(told, pixels)) for told in (right, undecided, wrong)]
    assert losses == sorted(losses)
    assert losses[0] < 0.01


def test_outlines_move_with_their_pictures() -> None:
    """A spot that is turned is still outlined."""
    plan = Plan(
        steps=1, batch=16, patch=(24, 24), touch=PLAN.touch,
        warp=Warp(degrees=40, zoom=(0.8, 1.2), shift=0.1, mirror=(-1,)),
    )  # fmt: skip
    bright = [(outline.float(), label, outline) for _, label, outline in _examples(8)]
    images, labels, pixels = draw(bright, plan, torch.Generator().manual_seed(2))
    assert set(labels.tolist()) == {0, 1}
    inside = images[:, 0][pixels > 0]
    assert float(inside.mean()) > 0.7
    assert float(images[:, 0][pixels == 0].mean()) < 0.02
    assert not pixels[labels == 0].any()


def test_a_small_spot_is_learned_from_a_few_pictures() -> None:
    """Pictures that were not among them are told apart; the network keeps nothing else."""
    network = _network()
    names = set(network.state_dict())
    later = count()
    fitted = fit_outlined(network, _examples(120), lambda _network: next(later), PLAN, "0")
    unseen = _examples(220)[120:]
    with torch.inference_mode():
        logits = fitted.network(torch.stack([image for image, _, _ in unseen])[:, None])
    right = (logits.argmax(1) == torch.tensor([label for _, label, _ in unseen])).float().mean()
    assert float(right) > 0.8
    assert set(fitted.network.state_dict()) == names
    assert not fitted.network[0]._forward_hooks
