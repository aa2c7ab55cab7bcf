"""Follow points through frames: where is what lay here a moment ago?

A patch of features around a point is looked for in the next frame, by its correlation with every
place nearby and a parabola through the best one. Two patches vote: the one of the first frame,
which cannot drift, and a recent one, which knows what the tissue looks like by now. Where all looks
as it did on the first frame, that one decides alone, and finds again what had gone astray. Looking
back from the place that was found must lead to where the search began; how far it misses that, and
how similar the place is, say how likely it is to be right.
"""

from collections.abc import Iterable
from dataclasses import dataclass

import torch
from scipy.fft import next_fast_len
from torch import Tensor
from torch.nn import functional

LEAST_SPREAD = 1e-10
"""Where there is nothing to tell places apart, nothing is alike."""
FURTHEST = 4
"""So many times `search_px` the patch of the first frame is looked for."""
DRIFT_PX = 1.5
"""Further apart, the patch of the first frame and a recent one do not show the same."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Rules:
    """How points are followed; lengths in pixels of the grid that the network works on.

    Attributes
    ----------
    template_px
        Side of a patch, odd.
    search_px
        How far a point can move from one frame to the next; twice as far while it is lost. Where
        the first patch may decide alone, it is looked for up to `FURTHEST` times as far.
    first_weight
        Vote of the patch of the first frame, 0..1; the recent one has the rest.
    half_at, per_similarity, per_px
        A place is right with the chance sigmoid(per_similarity * (similarity - half_at) - per_px *
        distance missed on the way back). Measured on cines whose motion is known.
    least
        Below this chance a point is lost.
    first_alone
        From this similarity with the patch of the first frame on it has the only vote; never if it
        is above 1.
    """

    template_px: int
    search_px: int
    first_weight: float
    half_at: float
    per_similarity: float
    per_px: float
    least: float = 0.5
    first_alone: float = 2.0

    def confidence(self, similarity: Tensor, missed_px: Tensor) -> Tensor:
        """Return how likely places are right."""
        by_look = self.per_similarity * (similarity - self.half_at)
        return (by_look - self.per_px * missed_px).sigmoid()


@dataclass(frozen=True, slots=True)
class Followed:
    """Where points are on every frame.

    Attributes
    ----------
    points
        (frames, points, 2) float32, row and column; of a lost point the place where it was seen
        last.
    confidence
        (frames, points) float32 in 0..1; 1 on the first frame.
    similarity, missed_px
        (frames, points) float32: what the confidence was made of.
    """

    points: Tensor
    confidence: Tensor
    similarity: Tensor
    missed_px: Tensor


def patches(features: Tensor, points: Tensor, size: int) -> Tensor:
    """Cut squares around points that need not lie on pixels; beyond the border there is nothing.

    Parameters
    ----------
    features
        (channels, rows, columns).
    points
        (points, 2), row and column; pixel centres have whole numbers.

    Returns
    -------
    Tensor
        (points, channels, size, size).
    """
    _, rows, columns = features.shape
    steps = torch.arange(size, device=features.device) - (size - 1) / 2
    y = (points[:, 0, None] + steps)[:, :, None].expand(-1, size, size)
    x = (points[:, 1, None] + steps)[:, None, :].expand(-1, size, size)
    where = torch.stack([(2 * x + 1) / columns - 1, (2 * y + 1) / rows - 1], dim=-1)
    flat = where.reshape(1, -1, size, 2)
    cut = functional.grid_sample(features[None], flat, align_corners=False)[0]
    return cut.reshape(len(features), len(points), size, size).movedim(1, 0)


def similarities(windows: Tensor, templates: Tensor) -> Tensor:
    """Return (points, side, side): how like each template every place of its window is, -1..1.

    Normalised cross-correlation over all channels together, each without its mean. `windows` is
    (points, channels, size, size), `templates` (points, channels, k, k).
    """
    size, k = windows.shape[-1], templates.shape[-1]
    centred = templates - templates.mean(dim=(2, 3), keepdim=True)
    # By the convolution theorem: a tenth of the time of a convolution with kernels this large. A
    # side with a large prime factor would take several times as long as a slightly larger one.
    sides = (next_fast_len(size, real=True),) * 2
    spectrum = torch.fft.rfft2(windows, s=sides) * torch.fft.rfft2(centred, s=sides).conj()
    found = torch.fft.irfft2(spectrum.sum(1), s=sides)[:, : size - k + 1, : size - k + 1]
    spread = _means(windows.square().sum(1), k) - _means(windows, k).square().sum(1)
    lengths = centred.square().mean(dim=(2, 3)).sum(1)[:, None, None] * spread.clamp(min=0)
    alike: Tensor = found / k**2 / lengths.clamp(min=LEAST_SPREAD).sqrt()
    return alike


def _means(values: Tensor, k: int) -> Tensor:
    """Return the mean over every square of side `k`, along the last two axes."""
    for axis in (-1, -2):
        sums = functional.pad(values.transpose(axis, -1).cumsum(-1), [1, 0])
        values = ((sums[..., k:] - sums[..., :-k]) / k).transpose(axis, -1)
    return values


def peaks(maps: Tensor) -> tuple[Tensor, Tensor]:
    """Return (points, 2) distances of the maximum from the middle, and (points,) its height.

    A parabola through the maximum and its neighbours tells parts of a pixel.
    """
    count, side, _ = maps.shape
    best = maps.flatten(1).argmax(1)
    place = torch.stack([best // side, best % side], dim=1)
    inner = place.clamp(1, side - 2)
    index = torch.arange(count, device=maps.device)
    middle = maps[index, inner[:, 0], inner[:, 1]]
    parts = []
    for axis in (0, 1):
        step = torch.zeros(2, dtype=torch.long, device=maps.device)
        step[axis] = 1
        before, after = inner - step, inner + step
        low = maps[index, before[:, 0], before[:, 1]]
        high = maps[index, after[:, 0], after[:, 1]]
        bend = low - 2 * middle + high
        part = torch.where(bend < 0, (low - high) / (2 * bend.clamp(max=-1e-9)), 0.0)
        parts.append(part.clamp(-0.5, 0.5))
    whole = torch.where(place == inner, torch.stack(parts, dim=1), 0.0) + place
    return whole - (side - 1) / 2, maps.flatten(1).amax(1)


def follow(frames: Iterable[Tensor], start: Tensor, rules: Rules) -> Followed:
    """Follow points from the first frame on.

    Parameters
    ----------
    frames
        (channels, rows, columns) float32 features of one frame after the other.
    start
        (points, 2) float32: rows and columns in the first frame.
    """
    trail: _Trail | None = None
    for features in frames:
        if trail is None:
            trail = _Trail(features, start, rules)
        else:
            trail.step(features)
    if trail is None:
        raise ValueError("there are no frames")
    return trail.followed()


def both_ways(back: Followed, forth: Followed) -> Followed:
    """Join what was followed from one frame back to the first and from it on to the last."""
    return Followed(
        *(
            torch.cat([getattr(back, name).flip(0)[:-1], getattr(forth, name)])
            for name in ("points", "confidence", "similarity", "missed_px")
        )
    )


def _middle(maps: Tensor, spare: int) -> Tensor:
    """Return maps (..., side, side) without `spare` rows and columns at each of their borders."""
    kept = slice(spare, maps.shape[-1] - spare)
    return maps[..., kept, kept]


def _within(maps: Tensor, reach_px: Tensor) -> Tensor:
    """Return (points, side, side) without what lies further from the middle than each may go."""
    half = (maps.shape[1] - 1) // 2
    away = (torch.arange(2 * half + 1, device=maps.device) - half).abs()
    furthest = torch.maximum(away[:, None], away[None, :])
    return torch.where(furthest <= reach_px[:, None, None], maps, -1e3)


class _Trail:
    """Points on their way, and what is remembered of them."""

    def __init__(self, features: Tensor, start: Tensor, rules: Rules) -> None:
        self._rules = rules
        self._before = features
        self._points = start
        self._first = patches(features, start, rules.template_px)
        self._recent = self._first
        self._is_lost = torch.zeros(len(start), dtype=torch.bool, device=start.device)
        sure = torch.ones(len(start), device=start.device)
        self._kept = [(start, sure, sure, torch.zeros_like(sure))]

    def step(self, features: Tensor) -> None:
        rules = self._rules
        near_px = torch.where(self._is_lost, 2, 1) * rules.search_px
        wide_px = near_px
        if rules.first_alone <= 1:
            wide_px = torch.full_like(near_px, FURTHEST * rules.search_px)
        reach = int(wide_px.max())
        # Around whole pixels, where nothing has to be interpolated.
        middle = self._points.round()
        windows = patches(features, middle, rules.template_px + 2 * reach)
        by_first = similarities(windows, self._first)
        # Only the first patch is looked for any further; and a parabola needs one place more.
        spare = max(0, reach - int(near_px.max()) - 1)
        by_recent = similarities(_middle(windows, spare), self._recent)
        both = rules.first_weight * _middle(by_first, spare) + (1 - rules.first_weight) * by_recent
        moved, similarity = peaks(_within(both, near_px))
        home, alike = peaks(_within(by_first, wide_px))
        is_home = alike >= rules.first_alone
        moved = torch.where(is_home[:, None], home, moved)
        similarity = torch.where(is_home, alike, similarity)
        found = middle + moved
        seen = patches(features, found, rules.template_px)
        jumped = is_home & (home.abs().amax(dim=1) > near_px)
        missed_px = self._missed_px(seen, self._is_lost | jumped)
        confidence = rules.confidence(similarity, missed_px)
        is_sure = confidence >= rules.least
        # The recent patch follows only where the first one agrees, or it would drift away.
        nearest = peaks(_within(by_first, near_px))[0]
        agrees = is_home | ((nearest - moved).norm(dim=1) <= DRIFT_PX)
        self._recent = torch.where((is_sure & agrees)[:, None, None, None], seen, self._recent)
        self._points = torch.where(is_sure[:, None], found, self._points)
        self._is_lost = ~is_sure
        self._before = features
        self._kept.append((self._points, confidence, similarity, missed_px))

    def _missed_px(self, seen: Tensor, is_new: Tensor) -> Tensor:
        """Return by how much a look back from where points are found misses where they were.

        Of a point that was lost, or astray, nobody knows where it was.
        """
        size = self._rules.template_px + 2 * self._rules.search_px
        middle = self._points.round()
        came_from = middle + peaks(similarities(patches(self._before, middle, size), seen))[0]
        missed = (came_from - self._points).norm(dim=1)
        return torch.where(is_new, DRIFT_PX, missed)

    def followed(self) -> Followed:
        points, confidence, similarity, missed = (
            torch.stack(list(item)) for item in zip(*self._kept, strict=True)
        )
        return Followed(points, confidence, similarity, missed)
