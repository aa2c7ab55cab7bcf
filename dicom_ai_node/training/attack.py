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
        answer = network(items)
        if not isinstance(answer, Tensor):
            raise TypeError("only networks that answer with logits are attacked")
        return functional.cross_entropy(answer, labels, reduction="none").flatten().sum()

    return harm


def attacked(
    items: Tensor, inside: tuple[int, ...], harm: Harm, attack: Attack, generator: Generator
) -> Tensor:
    """Return the items as an attacker would send them, in 0..1."""
    where = torch.zeros_like(items)
    cut = (slice(None), slice(None), *(slice(0, length) for length in inside))
    where[cut] = attack.reach
    change = torch.zeros_like(items)
    if attack.steps > 1:
        change = (2 * torch.rand(items.shape, generator=generator) - 1) * where
    for _ in range(attack.steps):
        given = (items + change).clamp(0, 1).requires_grad_()
        with torch.enable_grad():
            gradient = torch.autograd.grad(harm(given), given)[0]
        wanted = given.detach() + attack.step * gradient.sign() - items
        change = torch.maximum(torch.minimum(wanted, where), -where)
    return (items + change).clamp(0, 1).detach()
