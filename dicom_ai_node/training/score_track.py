"""How far from the truth places are that were followed through cines whose motion is known."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from skimage.feature import match_template
from torch import Tensor, nn

from dicom_ai_node.domain.motion import along_axis, period_ms
from dicom_ai_node.neural.follow import Followed, Rules, follow
from dicom_ai_node.training.cine import STEP_MS, Motion
from dicom_ai_node.training.ranking import INTERVAL, RESAMPLES, SEED
from dicom_ai_node.training.scores import row_of

ASTRAY_PX = 5.0
"""Further from the truth, a place is another place."""
_AT_ONCE = 8

Paths = NDArray[np.float64]
"""(frames, points, 2), rows and columns in pixels; NaN where a point is reported as lost."""


@dataclass(frozen=True, slots=True, kw_only=True)
class MadeCine:
    """A cine whose motion is known.

    Attributes
    ----------
    frames
        (frames, rows, columns) float32 in 0..1.
    truth
        (frames, points, 2): where the points are; NaN on frames where nobody knows.
    mm_per_px
        (row, column), or `None`.
    where
        Words for the score table, such as "in X-rays".
    """

    name: str
    frames: Tensor
    motion: Motion
    truth: Tensor
    mm_per_px: tuple[float, float] | None
    where: str = ""


def features(network: nn.Module, frames: Tensor) -> Iterator[Tensor]:
    """Yield the features (channels, rows, columns) of one frame after the other."""
    for group in frames[:, None].split(_AT_ONCE):
        with torch.inference_mode():
            yield from network(group)


def followed(network: nn.Module, made: MadeCine, rules: Rules) -> Followed:
    """Follow the points of a made cine by the features of `network`."""
    return follow(features(network, made.frames), made.truth[0], rules)


def by_correlation(made: MadeCine, rules: Rules, *, is_renewed: bool) -> Paths:
    """Follow the points by the normalised cross-correlation of grey values: the simple method.

    The template is that of the first frame, or renewed on every frame; its size and how far it is
    looked for are the same as for the features, and so is the parabola through the best place.
    """
    images = made.frames.numpy().astype(np.float64)
    half, reach = rules.template_px // 2, rules.search_px
    paths = [made.truth[0].numpy().astype(np.float64)]
    templates = [_square(images[0], point, half) for point in paths[0]]
    for image in images[1:]:
        places = []
        for index, point in enumerate(paths[-1]):
            middle = np.rint(point)
            window = _square(image, middle, half + reach)
            found = match_template(window, templates[index])
            places.append(middle + _peak(found))
            if is_renewed:
                templates[index] = _square(image, np.rint(places[-1]), half)
        paths.append(np.stack(places))
    return np.stack(paths)


def of_return(made: MadeCine, paths: Mapping[str, Paths]) -> Mapping[str, NDArray[np.float64]]:
    """Return how far from the truth each method ends where only the end is known."""
    return {
        f"real cine, forth and back, {method}: error at the end (px)": errors_px(path, made)[-1]
        for method, path in paths.items()
    }


def _square(image: NDArray[np.float64], middle: NDArray[np.float64], half: int) -> Paths:
    padded = np.pad(image, half, mode="reflect") if half < min(image.shape) else image
    row, column = np.clip(np.rint(middle).astype(int), 0, np.array(image.shape) - 1)
    return padded[row : row + 2 * half + 1, column : column + 2 * half + 1]


def _peak(found: NDArray[np.float64]) -> NDArray[np.float64]:
    place = np.array(np.unravel_index(int(found.argmax()), found.shape))
    parts = np.zeros(2)
    for axis, (at, length) in enumerate(zip(place, found.shape, strict=True)):
        if 0 < at < length - 1:
            line = np.take(found, place[1 - axis], axis=1 - axis)
            low, middle, high = line[at - 1 : at + 2]
            bend = low - 2 * middle + high
            parts[axis] = np.clip((low - high) / (2 * bend), -0.5, 0.5) if bend < 0 else 0.0
    return place + parts - (np.array(found.shape) - 1) / 2


def errors_px(paths: Paths, made: MadeCine) -> NDArray[np.float64]:
    """Return (frames - 1, points): how far from the truth the places are."""
    apart: NDArray[np.float64] = np.linalg.norm(paths - made.truth.numpy(), axis=2)[1:]
    return apart


def of_motion(paths: Paths, made: MadeCine) -> Mapping[str, float]:
    """Return by how much amplitude and period, as they would be reported, are off."""
    times_ms = np.arange(len(paths), dtype=np.float64) * STEP_MS
    sizes, periods, found = [], [], 0
    for point in range(paths.shape[1]):
        path, truth = paths[:, point], made.truth[:, point].numpy().astype(np.float64)
        if np.isnan(path).any(axis=1).all():
            continue
        ours, theirs = along_axis(path)[:, 0], along_axis(truth)[:, 0]
        sizes.append(abs(np.nanmax(ours) - np.nanmin(ours) - np.ptp(theirs)))
        period = period_ms(ours, times_ms)
        if made.motion.period_frames is not None and period is not None:
            found += 1
            true_ms = made.motion.period_frames * STEP_MS
            periods.append(100 * abs(period - true_ms) / true_ms)
    row = {"amplitude, absolute error (px)": float(np.mean(sizes))} if sizes else {}
    if periods:
        row["period, absolute error (%)"] = float(np.mean(periods))
    return {**row, "share of points whose period is found": found / paths.shape[1]}


Measure = Callable[[Sequence[NDArray[np.float64]]], float]


def with_interval(values: Sequence[NDArray[np.float64]], measure: Measure) -> dict[str, float]:
    """Return a measure over cines with its 95 % interval, by drawing whole cines again and again.

    `values` holds one array per cine: places within one cine are alike.
    """
    there = [item for item in values if len(item)]
    random = np.random.default_rng(SEED)
    drawn = [
        measure([there[n] for n in random.integers(len(there), size=len(there))])
        for _ in range(RESAMPLES)
    ]
    low, high = np.percentile(drawn, INTERVAL)
    return row_of(measure(there), (float(low), float(high)), len(there))


def mean(values: Sequence[NDArray[np.float64]]) -> float:
    """Return the mean over all cines, each of the same weight."""
    return float(np.mean([item.mean() for item in values]))


def percentile_95(values: Sequence[NDArray[np.float64]]) -> float:
    """Return below what 95 % of all values lie."""
    return float(np.percentile(np.concatenate(list(values)), 95))
