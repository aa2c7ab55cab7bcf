"""Fitting: patches, budgets, and which weights are kept."""

from dataclasses import replace

import pytest
import torch
from monai.networks.nets import UNet
from torch import Generator, Tensor, nn

from dicom_ai_node.training.augment import Touch, Warp
from dicom_ai_node.training.fit import Example, Plan, cut, draw, fit

PLAN = Plan(
    steps=60,
    batch=4,
    patch=(16, 16),
    learning_rate=1e-2,
    judge_every=20,
    ema=0.8,
    warp=Warp(degrees=5, zoom=(0.9, 1.1), shift=0.02, mirror=(-1,)),
    touch=Touch(gain=0.1, offset=0.02, noise=0.05),
)


def squares(count: int = 6, side: int = 20) -> list[Example]:
    """Return images with one bright square each."""
    generator = Generator().manual_seed(0)
    examples = []
    for _ in range(count):
        top, left = (int(n) for n in torch.randint(2, side - 10, (2,), generator=generator))
        labels = torch.zeros((side, side), dtype=torch.uint8)
        labels[top : top + 8, left : left + 8] = 1
        image = labels.float() * 0.8 + 0.1 * torch.rand((side, side), generator=generator)
        examples.append((image, labels))
    return examples


def small_network() -> nn.Module:
    """Return a network that is fitted in seconds."""
    torch.manual_seed(0)
    return UNet(2, 1, 2, (4, 8), (2,), num_res_units=1, norm="batch")


@pytest.mark.parametrize("side", [9, 16, 30], ids=["smaller", "as large", "larger"])
def test_a_patch_has_its_shape_and_its_labels_fit_it_whatever_the_size_of_the_image(
    side: int,
) -> None:
    """Where the image is marked, the patch is bright; outside of it, nothing is marked."""
    labels = torch.zeros((side, side), dtype=torch.uint8)
    labels[side // 3, side // 3] = 1
    generator = Generator().manual_seed(1)
    places = set()
    for _ in range(20):
        patch, marks = cut((labels.float(), labels), PLAN, generator)
        assert patch.shape == marks.shape == (16, 16)
        assert patch.long().equal(marks)
        places.update(tuple(place) for place in marks.nonzero().tolist())
    assert len(places) > 1 or side == 16


def test_oversampling_finds_the_small_structure() -> None:
    """A structure of one pixel is in every patch if it is asked for."""
    labels = torch.zeros((200, 200), dtype=torch.uint8)
    labels[150, 20] = 1
    generator = Generator().manual_seed(1)
    plan = replace(PLAN, oversample=1.0)
    assert all(cut((labels.float(), labels), plan, generator)[1].any() for _ in range(20))


def test_the_same_seed_draws_the_same_batch() -> None:
    """Training can be repeated."""
    one, other = (draw(squares(), PLAN, Generator().manual_seed(7)) for _ in range(2))
    assert one[0].equal(other[0])
    assert one[1].equal(other[1])


@pytest.mark.parametrize("bfloat16", [False, True], ids=["all digits", "half of them"])
def test_a_network_learns_what_it_is_shown(*, bfloat16: bool) -> None:
    """After a minute's work bright squares are found in images that it has not seen."""
    unseen = squares(12)[6:]

    def judge(network: nn.Module) -> float:
        images = torch.stack([image for image, _ in unseen])[:, None]
        truth = torch.stack([labels for _, labels in unseen]) > 0
        with torch.inference_mode():
            found = network(images).argmax(1) > 0
        return float(2 * (found & truth).sum() / (found.sum() + truth.sum()))

    fitted = fit(small_network(), squares(), judge, replace(PLAN, bfloat16=bfloat16))
    assert fitted.steps == 60
    assert {each.dtype for each in fitted.network.parameters()} == {torch.float32}
    assert fitted.validation > 0.85
    assert judge(fitted.network) == pytest.approx(fitted.validation)


def test_the_weights_that_validation_liked_best_are_kept_not_the_last() -> None:
    """A judge who likes the first ones gets those."""
    seen: list[Tensor] = []

    def judge(network: nn.Module) -> float:
        seen.append(next(network.parameters()).detach().clone())
        return -float(len(seen)) + 2

    fitted = fit(small_network(), squares(), judge, PLAN)
    assert len(seen) == 3
    assert next(fitted.network.parameters()).equal(seen[0])
    assert not seen[0].equal(seen[-1])


def test_training_ends_when_its_minutes_are_over() -> None:
    """However many steps are left."""
    plan = replace(PLAN, steps=1_000_000, minutes=0.001)
    assert fit(small_network(), squares(), lambda _network: 0.5, plan).steps < 100
