"""Attacks keep to their reach, leave padding alone, and do harm."""

import pytest
import torch
from torch import nn

from dicom_ai_node.training.attack import Attack, attacked, displacement, wrongness

ITEMS = torch.full((4, 1, 6, 6), 0.5)


def _network() -> nn.Module:
    """Return a network that says class 1 where the image is bright in its first column."""
    layer = nn.Linear(36, 2)
    with torch.no_grad():
        layer.weight.zero_()
        layer.bias.zero_()
        layer.weight[1].reshape(6, 6)[:, 0] = 1.0
        layer.weight[0].reshape(6, 6)[:, 0] = -1.0
    return nn.Sequential(nn.Flatten(), layer).requires_grad_(requires_grad=False)


@pytest.mark.parametrize("steps", [1, 10])
def test_an_attack_does_harm_within_its_reach(steps: int) -> None:
    """The right answer becomes less likely, and nothing outside the image changes."""
    network, labels = _network(), torch.ones(4, dtype=torch.long)
    attack = Attack(reach=4 / 255, steps=steps)
    chance = torch.Generator().manual_seed(1)
    made = attacked(ITEMS, (6, 4), wrongness(network, labels), attack, chance)
    change = made - ITEMS
    assert float(change.abs().max()) == pytest.approx(4 / 255, abs=1e-6)
    assert float(change[..., 4:].abs().max()) == 0
    harm = wrongness(network, labels)
    assert float(harm(made)) > float(harm(ITEMS))
    assert torch.all(change[..., 0] < 0)


def test_an_attack_is_named_by_its_kind_and_reach() -> None:
    """The names stand in the table of measurements."""
    assert Attack(reach=8 / 255, steps=1).name == "FGSM 8/255"
    assert Attack(reach=2 / 255, steps=20).name == "PGD-20 2/255"


@pytest.mark.parametrize("steps", [1, 10])
def test_an_answer_without_classes_is_driven_away_from_itself(steps: int) -> None:
    """Nobody has to know the truth; chance of the same size moves it less."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(6)
        network = nn.Conv2d(1, 1, 5, padding=2).requires_grad_(requires_grad=False)
    items = torch.rand((3, 1, 12, 12), generator=torch.Generator().manual_seed(4))
    harm = displacement(network, items)
    attack = Attack(reach=4 / 255, steps=steps)
    made = attacked(items, (12, 12), harm, attack, torch.Generator().manual_seed(1))
    chance = torch.rand(items.shape, generator=torch.Generator().manual_seed(2)).sub(0.5).sign()
    assert float(harm(items)) == 0
    assert float(harm(made)) > 1.3 * float(harm((items + 4 / 255 * chance).clamp(0, 1)))


def test_classes_without_labels_are_driven_away_from_what_was_said() -> None:
    """The answer to the unharmed image takes the place of the truth."""
    network = _network()
    harm = displacement(network, ITEMS)
    attack = Attack(reach=4 / 255, steps=5)
    made = attacked(ITEMS, (6, 6), harm, attack, torch.Generator().manual_seed(1))
    said = network(ITEMS).argmax(1)
    assert bool(
        (network(made).softmax(1)[:, said[0]] < network(ITEMS).softmax(1)[:, said[0]]).all()
    )


def test_only_the_inputs_that_are_named_are_changed() -> None:
    """Of PET and CT one may be attacked alone."""
    network = nn.Conv2d(2, 1, 3, padding=1).requires_grad_(requires_grad=False)
    items = torch.rand((2, 2, 8, 8), generator=torch.Generator().manual_seed(4))
    made = attacked(
        items, (8, 8), displacement(network, items), Attack(reach=4 / 255, steps=3),
        torch.Generator().manual_seed(1), slice(1, 2),
    )  # fmt: skip
    assert torch.equal(made[:, 0], items[:, 0])
    assert not torch.equal(made[:, 1], items[:, 1])


def test_z_scores_are_not_cut_to_what_grey_values_can_be() -> None:
    """They keep their own extremes."""
    network = nn.Conv2d(1, 1, 3, padding=1).requires_grad_(requires_grad=False)
    items = 3 * torch.randn((1, 1, 8, 8), generator=torch.Generator().manual_seed(4))
    made = attacked(
        items, (8, 8), displacement(network, items), Attack(reach=4 / 255, steps=2),
        torch.Generator().manual_seed(1),
    )  # fmt: skip
    assert float((made - items).abs().max()) < 4.1 / 255
