"""How good found boxes are: precision, sensitivity at a price, overlap, honesty; with intervals."""

from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize

from dicom_ai_node.domain.boxes import Corners, iou
from dicom_ai_node.training.certainty import calibration_error
from dicom_ai_node.training.ranking import INTERVAL, RESAMPLES, SEED

HIT_IOU = 0.5
"""A box is right if it overlaps one that a person drew by this much."""

PRICES = (0.1, 0.25, 0.5, 1.0)
"""False boxes per image at which sensitivity is told (FROC)."""


@dataclass(frozen=True, slots=True)
class Found:
    """A box that a method gives: the place of its class, its score, and where it is."""

    of: int
    score: float
    corners: Corners


@dataclass(frozen=True, slots=True)
class Truth:
    """A box that a person drew, and the place of its class."""

    of: int
    corners: Corners


@dataclass(frozen=True, slots=True)
class Judged:
    """What became of the boxes of one image.

    `boxes` is (boxes, 3) float64: class, score, and the overlap with the true box that it is
    matched to, or 0; `truths` is (classes,), how many there are to find.
    """

    boxes: NDArray[np.float64]
    truths: NDArray[np.int64]


Measure: TypeAlias = Callable[[Sequence[Judged]], float]


def judged(found: Sequence[Found], truths: Sequence[Truth], classes: int) -> Judged:
    """Match boxes to true ones of their class, the surest first, each true one once.

    A box goes to the true box that it overlaps most among those that are free; overlap below
    `HIT_IOU` is none, and then the box is false.
    """
    free = list(truths)
    rows = []
    for box in sorted(found, key=lambda box: -box.score):
        overlaps = [(iou(box.corners, t.corners), n) for n, t in enumerate(free) if t.of == box.of]
        overlap, n = max(overlaps, default=(0.0, -1))
        if overlap >= HIT_IOU:
            del free[n]
        rows.append((box.of, box.score, overlap if overlap >= HIT_IOU else 0.0))
    counts = np.bincount([t.of for t in truths], minlength=classes)
    return Judged(np.array(rows, dtype=np.float64).reshape(-1, 3), counts)


def _together(images: Sequence[Judged], of: int | None = None) -> tuple[NDArray[np.float64], int]:
    """Return all boxes of a class (or of all), the surest first, and how many there are to find."""
    boxes = np.concatenate([image.boxes for image in images])
    truths = np.sum([image.truths for image in images], axis=0)
    if of is not None:
        boxes, truths = boxes[boxes[:, 0] == of], truths[of : of + 1]
    return boxes[np.argsort(-boxes[:, 1], kind="stable")], int(truths.sum())


def average_precision(of: int, least_iou: float = HIT_IOU) -> Measure:
    """Return a measure: the area under precision over recall, made to fall (VOC 2010 on)."""

    def measure(images: Sequence[Judged]) -> float:
        boxes, there = _together(images, of)
        if not there:
            return float("nan")
        hit = boxes[:, 2] >= least_iou
        right = np.cumsum(hit)
        precision = right / np.arange(1, len(hit) + 1)
        falling = np.maximum.accumulate(precision[::-1])[::-1]
        return float(falling[hit].sum() / there)

    return measure


def mean_average_precision(classes: int, least_iou: float = HIT_IOU) -> Measure:
    """Return a measure: the mean of `average_precision` over the classes."""
    each = [average_precision(of, least_iou) for of in range(classes)]
    return lambda images: float(np.mean([measure(images) for measure in each]))


def sensitivity_at(price: float) -> Measure:
    """Return a measure: the share of true boxes found at up to `price` false boxes per image."""

    def measure(images: Sequence[Judged]) -> float:
        boxes, there = _together(images)
        if not there:
            return float("nan")
        hit = boxes[:, 2] > 0
        affordable = np.cumsum(~hit) <= price * len(images)
        return float((hit & affordable).sum() / there)

    return measure


def sensitivity_from(score: float) -> Measure:
    """Return a measure: the share of true boxes that boxes of at least `score` find."""

    def measure(images: Sequence[Judged]) -> float:
        boxes, there = _together(images)
        return float((boxes[boxes[:, 1] >= score, 2] > 0).sum() / there) if there else float("nan")

    return measure


def false_from(score: float) -> Measure:
    """Return a measure: false boxes of at least `score`, per image."""

    def measure(images: Sequence[Judged]) -> float:
        boxes, _ = _together(images)
        return float((boxes[boxes[:, 1] >= score, 2] == 0).sum() / len(images))

    return measure


def overlap_from(score: float) -> Measure:
    """Return a measure: the mean IoU of the right boxes of at least `score`."""

    def measure(images: Sequence[Judged]) -> float:
        boxes, _ = _together(images)
        right = boxes[(boxes[:, 1] >= score) & (boxes[:, 2] > 0), 2]
        return float(right.mean()) if len(right) else float("nan")

    return measure


def reliability(images: Sequence[Judged]) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    """Return (boxes, 1) scores, and (boxes,) 0 for right and 1 for wrong: as of a single class.

    So that what is measured and drawn of classes can be measured and drawn of boxes.
    """
    boxes, _ = _together(images)
    return boxes[:, 1:2], np.where(boxes[:, 2] > 0, 0, 1).astype(np.int64)


def box_calibration_error(images: Sequence[Judged]) -> float:
    """Return the expected calibration error: how far scores are from the share of right boxes."""
    scores, wrong = reliability(images)
    return calibration_error(scores, wrong) if len(scores) else float("nan")


def platt(logits: NDArray[np.float64], right: NDArray[np.bool_]) -> tuple[float, float]:
    """Return (slope, offset) that make a logit the logit of being right (Platt 1999).

    With his targets, which stay off 0 and 1: a handful of boxes must not become a certainty.
    """
    ups, downs = int(right.sum()), int((~right).sum())
    wanted = np.where(right, (ups + 1) / (ups + 2), 1 / (downs + 2))

    def surprise(line: NDArray[np.float64]) -> float:
        values = line[0] * logits + line[1]
        return float(np.mean(np.logaddexp(0, values) - wanted * values))

    slope, offset = minimize(surprise, np.array([1.0, 0.0]), method="Nelder-Mead").x
    return round(max(float(slope), 0.01), 3), round(float(offset), 3)


def best_threshold(images: Sequence[Judged]) -> float:
    """Return the score from which on boxes have the highest F1, in the middle of its gap."""
    boxes, there = _together(images)
    right = np.cumsum(boxes[:, 2] > 0)
    f1 = 2 * right / (np.arange(1, len(boxes) + 1) + there)
    best = int(f1.argmax())
    below = float(boxes[best + 1, 1]) if best + 1 < len(boxes) else 0.0
    return round((float(boxes[best, 1]) + below) / 2, 3)


def interval(
    measure: Measure, images: Sequence[Judged], groups: Sequence[str]
) -> tuple[float, float]:
    """Return the 95 % interval of a measure, by drawing whole groups again and again."""
    members: Mapping[str, list[Judged]] = defaultdict(list)
    for image, group in zip(images, groups, strict=True):
        members[group].append(image)
    blocks = list(members.values())
    random = np.random.default_rng(SEED)
    drawn = [
        measure(
            [image for n in random.integers(len(blocks), size=len(blocks)) for image in blocks[n]]
        )
        for _ in range(RESAMPLES)
    ]
    low, high = np.nanpercentile(drawn, INTERVAL)
    return float(low), float(high)
