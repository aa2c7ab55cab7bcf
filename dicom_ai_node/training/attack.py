"""Attacks on a network, made by ourselves to see what they do and whether they are noticed.

FGSM (Goodfellow et al. 2015) and PGD (Madry et al. 2018): the input is changed by no more than
`reach` per pixel, in the scaled range of 0..1, so that the answer becomes as wrong as can be. Only
the image is changed, never its padding.
"""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Generator, Tensor
from torch.nn import functional

from dicom_ai_node.neural.guard import Network

LITTLE = 0.01
"""How far from the items a single step begins, as a part of the reach."""
Harm = Callable[[Tensor], Tensor]
"""From items to one number that the attacker wants to be large."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Attack:
    """How far and how long. One step is FGSM; more are PGD from a random start."""

    reach: float
    steps: int = 20

    @property
    def step(self) -> float:
        """How far one step goes."""
        return self.reach if self.steps == 1 else 2.5 * self.reach / self.steps

    @property
    def name(self) -> str:
        """What it is called in a table."""
        kind = "FGSM" if self.steps == 1 else f"PGD-{self.steps}"
        return f"{kind} {round(255 * self.reach)}/255"


def wrongness(network: Network, labels: Tensor) -> Harm:
    """Return the cross-entropy of the right answer, (items,) or (items, *axes) class numbers."""

    def harm(items: Tensor) -> Tensor:
        answer = _tensor(network(items))
        return functional.cross_entropy(answer, labels, reduction="none").flatten().sum()

    return harm


def _tensor(answer: object) -> Tensor:
    if not isinstance(answer, Tensor):
        raise TypeError("only networks that answer with one tensor are attacked")
    return answer


def displacement(network: Network, items: Tensor) -> Harm:
    """Return how far the network's answer moves from what it says of `items`: needs no truth.

    Where classes compete, how wrong the class is that it would have said.
    """
    with torch.no_grad():
        before = _tensor(network(items))
    if before.ndim > 1 and before.shape[1] > 1:
        return wrongness(network, before.argmax(1))

    def harm(changed: Tensor) -> Tensor:
        return (_tensor(network(changed)) - before).square().flatten(1).mean(1).sum()

    return harm


def attacked(
    items: Tensor,
    inside: tuple[int, ...],
    harm: Harm,
    attack: Attack,
    generator: Generator,
    channels: slice = slice(None),
) -> Tensor:
    """Return the items as an attacker would send them, in 0..1 or between their own extremes.

    `channels` are the inputs that are changed. A single step begins a little beside the items, for
    an answer that has not moved yet has no direction to move on in.
    """
    low, high = min(0.0, float(items.min())), max(1.0, float(items.max()))
    where = torch.zeros_like(items)
    where[(slice(None), channels, *(slice(0, length) for length in inside))] = attack.reach
    change = (2 * torch.rand(items.shape, generator=generator) - 1) * where
    if attack.steps == 1:
        change = LITTLE * change
    for _ in range(attack.steps):
        given = (items + change).clamp(low, high).requires_grad_()
        with torch.enable_grad():
            gradient = torch.autograd.grad(harm(given), given)[0]
        wanted = given.detach() + attack.step * gradient.sign() - items
        change = torch.maximum(torch.minimum(wanted, where), -where)
    return (items + change).clamp(low, high).detach()
