"""The fine detail of an image: where an attack has to hide what people shall not see.

All of it on items, (items, 1, *axes) float32 with two or three axes, after intensity scaling
(z-scores as `neural.asked` says), and differentiable, so that an attacker who knows it can be
played, too.
"""

import torch
from torch import Tensor
from torch.nn import functional

QUANTILES = (0.05, 0.25, 0.5, 0.75, 0.95)
SCALES = 2
"""Detail of one pixel and of two."""
FAINTEST = 2e-3
"""Half a grey level of 256: below it all detail counts as none."""
NOISE = 3 / 255
"""Standard deviation of what `denoised` takes for noise."""


def smooth(items: Tensor, times: int = 1) -> Tensor:
    """Return `items` after a binomial filter of three pixels along every axis."""
    for _ in range(times):
        for axis in range(2, items.ndim):
            before = items.narrow(axis, 0, 1)
            after = items.narrow(axis, items.shape[axis] - 1, 1)
            wide = torch.cat([before, items, after], axis)
            length = items.shape[axis]
            parts = [wide.narrow(axis, start, length) for start in range(3)]
            items = (parts[0] + 2 * parts[1] + parts[2]) / 4
    return items


def denoised(items: Tensor) -> Tensor:
    """Return `items` without what is no stronger than noise around it (Wiener's filter)."""
    mean = smooth(items)
    spread = (smooth(items * items) - mean * mean).clamp(min=0)
    kept = (spread - NOISE**2).clamp(min=0) / (spread + FAINTEST**2)
    return mean + kept * (items - mean)


def evened(detail: Tensor) -> Tensor:
    """Return detail that is equally strong everywhere, so that edges do not outweigh the rest."""
    return detail / (smooth(detail * detail, 2) + FAINTEST**2).sqrt()


def strengths(items: Tensor) -> Tensor:
    """Return (items, numbers): how strong the detail along each direction is, on a log scale.

    Quantiles of the Haar wavelet coefficients in the plane of the last two axes, at `SCALES`
    scales.
    """
    wanted = torch.tensor(QUANTILES, device=items.device)
    found = []
    for _ in range(SCALES):
        rows, columns = (length // 2 * 2 for length in items.shape[-2:])
        even = items[..., :rows, :columns]
        a, b = even[..., ::2, ::2], even[..., ::2, 1::2]
        c, d = even[..., 1::2, ::2], even[..., 1::2, 1::2]
        for detail in ((a - b - c + d) / 2, (a - b + c - d) / 2, (a + b - c - d) / 2):
            levels = torch.quantile(detail.abs().flatten(1), wanted, dim=1).T
            found.append((levels + FAINTEST).log())
        items = (a + b + c + d) / 4
    return torch.cat(found, 1)


def levels(items: Tensor) -> Tensor:
    """Return (items, numbers): how bright the items are, as quantiles."""
    wanted = torch.tensor(QUANTILES, device=items.device)
    found: Tensor = torch.quantile(items.flatten(1), wanted, dim=1).T
    return found


def alignment(detail: Tensor, direction: Tensor) -> Tensor:
    """Return (items,): how far detail points where `direction` does, in standard deviations.

    About the distance from 0 that chance would give: 1 for detail that knows nothing of it.
    """
    both = functional.cosine_similarity(detail.flatten(1), direction.flatten(1), dim=1)
    deviations: Tensor = both.abs() * float(direction[0].numel() ** 0.5)
    return deviations
