"""Attacks keep to their reach, leave padding alone, and do harm."""

import pytest
import torch
from torch import nn

from dicom_ai_node.training.attack import Attack, attacked, wrongness

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
