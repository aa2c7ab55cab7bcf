"""Scattered radiation taken off an X-ray: a veil of which a network tells how strong it is.

What a detector counts is what came straight through the patient and, laid over it, a broad copy
of that. A network cannot add anything to such an image here: it only tells how much of the broad
copy to subtract and where, and the rest is arithmetic in the intensity.
"""

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional

LONGEST_PX = 128
"""Sides of the copy on which the veil is found: it is broad, so that nothing is lost."""
SPREADS_PX = (4, 8, 16, 32)
"""Sides of the squares, on that copy, whose means are copies of different breadth."""
MOST = 0.94
"""The largest part of a pixel that may be veil; what is left tells by its noise alone."""
BLACK = 0.02
"""Up to here the image is no tissue but shutter or border, and stays as it is."""


class Veil(nn.Module):
    """Says how much each pixel of an X-ray changes if the scatter is taken off.

    Parameters
    ----------
    features
        Channels after each of the convolutions that halve the copy.
    """

    def __init__(self, features: Sequence[int] = (16, 32, 48)) -> None:
        super().__init__()
        steps: list[nn.Module] = []
        before = 1
        for after in features:
            steps += [nn.Conv2d(before, after, 3, stride=2, padding=1), nn.LeakyReLU(0.1)]
            steps += [nn.Conv2d(after, after, 3, padding=1), nn.LeakyReLU(0.1)]
            before = after
        self.look = nn.Sequential(*steps)
        self.everywhere = nn.Sequential(nn.Linear(2 * before, before), nn.LeakyReLU(0.1))
        self.whole = nn.Linear(before, len(SPREADS_PX) + 1)
        self.mix = nn.Conv2d(2 * before, before, 3, padding=1)
        self.strength = nn.Conv2d(before, 1, 1)

    def forward(self, image: Tensor) -> Tensor:
        """Return the change of each pixel; mean and deviation of what is not black stay.

        How wide a window an X-ray is shown in is for whoever looks at it. What changes is how much
        of the contrast is that of details.

        Parameters
        ----------
        image
            (batch, 1, rows, columns) in 0..1, the logarithm of the intensity, bone white.

        Returns
        -------
        Tensor
            Of the same shape, in the same unit. A pixel at 0 does not change.
        """
        there = (image / BLACK).clamp(0, 1)
        part = LONGEST_PX / max(image.shape[2:])
        few = max(1, round(image.shape[2] * part)), max(1, round(image.shape[3] * part))
        copy = functional.adaptive_avg_pool2d(image, few)
        strength, shares, nepers = self._told(copy)
        counted = torch.exp(-nepers * copy) * functional.adaptive_avg_pool2d(there, few)
        veil = strength * self._broad(counted, shares)
        wide = functional.interpolate(veil, tuple(image.shape[2:]), mode="bilinear")
        scattered = wide * torch.exp(nepers * image)
        straight = image - torch.log1p(-scattered.clamp(max=MOST)) / nepers
        (mean, deviation), (moved, spread) = _moments(image, there), _moments(straight, there)
        return there * (mean + (straight - moved) * (deviation / spread) - image)

    def _told(self, copy: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Return the strength of the veil (batch, 1, *copy) and what holds for all of an image.

        That is the shares of the copies of different breadth, and the natural logarithm of the
        intensity of 0 over that of 1.
        """
        seen = self.look(copy)
        pooled = self.everywhere(torch.cat([seen.mean((2, 3)), seen.amax((2, 3))], 1))
        shares, nepers = self.whole(pooled)[..., None, None].split([len(SPREADS_PX), 1], 1)
        around = pooled[..., None, None].expand(-1, -1, *seen.shape[2:])
        mixed = functional.leaky_relu(self.mix(torch.cat([seen, around], 1)), 0.1)
        strength = torch.sigmoid(self.strength(mixed))
        smooth = functional.interpolate(strength, tuple(copy.shape[2:]), mode="bilinear")
        return smooth, shares.softmax(1), 2 * torch.exp(nepers.tanh())

    @staticmethod
    def _broad(counted: Tensor, shares: Tensor) -> Tensor:
        """Return copies of `counted`, each broader than the one before, weighted by `shares`."""
        rows, columns = counted.shape[2:]
        total = torch.zeros_like(counted)
        for number, side in enumerate(SPREADS_PX):
            few = max(1, round(rows / side)), max(1, round(columns / side))
            means = functional.adaptive_avg_pool2d(counted, few)
            back = functional.interpolate(means, (rows, columns), mode="bilinear")
            total = total + shares[:, number : number + 1] * back
        return total


def _moments(image: Tensor, there: Tensor) -> tuple[Tensor, Tensor]:
    """Return mean and standard deviation (batch, 1, 1, 1) of an image, weighted by `there`."""
    count = there.sum((2, 3), keepdim=True).clamp(min=1)
    mean = (image * there).sum((2, 3), keepdim=True) / count
    variance = ((image - mean) ** 2 * there).sum((2, 3), keepdim=True) / count
    return mean, variance.clamp(min=1e-8).sqrt()
