"""A network that answers from several images and from numbers about the patient.

Each image goes through a stem of its own; where their features lie in the same place a joint part
looks at them together; and what is known of the patient joins at the end. No layer normalises an
image by itself, for how much of a tracer was taken up is what matters.
"""

from collections.abc import Sequence

import torch
from torch import Tensor, nn


class LateFusion(nn.Module):
    """Sorts cases by images on one grid and by numbers, of which any may be unknown.

    Parameters
    ----------
    images
        How many there are, each a channel of (batch, images, slices, rows, columns).
    facts
        How many numbers there are. The network takes two for each, (batch, 2 * facts): the
        numbers, 0 where they are unknown, then 1 for each that is known and 0 for each that is not.
    classes
        How many logits it gives.
    channels
        Of the two layers of a stem and of the two joint ones. The first of each pair but the
        joint one halves the grid, and so does the last layer: the joint layers see half and a
        quarter of it.
    hidden
        Width of what puts everything together.
    """

    def __init__(
        self,
        images: int,
        facts: int,
        classes: int,
        channels: Sequence[int] = (12, 16, 32, 48),
        hidden: int = 48,
    ) -> None:
        super().__init__()
        first, second, third, fourth = channels
        self.stems = nn.ModuleList(
            nn.Sequential(_layer(1, first, stride=2), _layer(first, second)) for _ in range(images)
        )
        self.joint = _layer(images * second, third)
        self.last = _layer(third, fourth, stride=2)
        self.told = nn.Sequential(
            nn.Linear(2 * facts, hidden), nn.ReLU(), nn.Linear(hidden, hidden)
        )
        seen = 2 * (images * second + fourth)
        self.head = nn.Sequential(
            nn.Linear(seen + hidden, hidden), nn.ReLU(), nn.Linear(hidden, classes)
        )

    def forward(self, images: Tensor, facts: Tensor) -> Tensor:
        """Return (batch, classes) logits."""
        alone = [stem(images[:, n : n + 1]) for n, stem in enumerate(self.stems)]
        together = self.last(self.joint(torch.cat(alone, 1)))
        seen = [_pooled(features) for features in (*alone, together)]
        logits: Tensor = self.head(torch.cat([*seen, self.told(facts)], 1))
        return logits


def _layer(given: int, made: int, stride: int = 1) -> nn.Module:
    return nn.Sequential(
        nn.Conv3d(given, made, 3, stride=stride, padding=1, bias=False),
        nn.BatchNorm3d(made),
        nn.ReLU(),
    )


def _pooled(features: Tensor) -> Tensor:
    """Return the mean over all places and the strongest place, (batch, 2 * channels)."""
    flat = features.flatten(2)
    return torch.cat([flat.mean(2), flat.amax(2)], 1)
