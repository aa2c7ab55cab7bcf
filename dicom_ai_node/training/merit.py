"""How good the answer to each item is, in the measure of its kind: what an attack takes away."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from types import MappingProxyType
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.special import expit
from torch import Tensor
from torch.nn import functional

from dicom_ai_node.domain.boxes import candidates, iou
from dicom_ai_node.neural.follow import patches, peaks, similarities
from dicom_ai_node.neural.separate import renumbered, separate
from dicom_ai_node.training.instances import limits_of
from dicom_ai_node.training.matching import scores
from dicom_ai_node.training.neighbours import likeness_by_angle, precisions
from dicom_ai_node.training.shown import Shown, Subject
from dicom_ai_node.training.sure_track import rules_of

NEAREST = 5
AT_ONCE = 16

Values = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Merit:
    """A measure of single items.

    Attributes
    ----------
    of
        Items of a group, perhaps changed, to one value each.
    noticeable
        An answer is harmed if its value gets worse by more than this.
    """

    name: str
    of: Callable[[Tensor, Shown], Values]
    noticeable: float = 0.1
    is_lower_better: bool = False

    def is_harmed(self, before: Values, after: Values) -> NDArray[np.bool_]:
        """Return which answers are noticeably worse."""
        worse = after - before if self.is_lower_better else before - after
        return np.asarray(worse > self.noticeable)


def merit_of(model: Subject, groups: Sequence[Shown]) -> Merit:
    """Return what the model is measured by on items like these unharmed ones."""
    kind = model.facts["kind"]
    if kind == "retrieve":
        return _precision(model, groups)
    name, of, noticeable = _MEASURES[kind]
    return Merit(name, partial(of, model), noticeable, is_lower_better=kind == "track")


def _answers(model: Subject, items: Tensor) -> Tensor:
    asked = model.asked
    with torch.no_grad():
        return torch.cat([torch.as_tensor(asked(batch)) for batch in items.split(AT_ONCE)])


def _inside(group: Shown) -> tuple[slice, ...]:
    return tuple(slice(0, length) for length in group.inside)


def _right(model: Subject, items: Tensor, group: Shown) -> Values:
    found = _answers(model, items).argmax(1)
    return np.asarray((found == torch.stack(list(group.truths))).double().numpy())


def _dice(model: Subject, items: Tensor, group: Shown) -> Values:
    """Return the Dice of everything that is outlined; 1 where there is nothing, and nothing is."""
    found, labels = _answers(model, items).argmax(1), torch.stack(list(group.truths))
    both = ((found == labels) & (labels > 0)).flatten(1).sum(1)
    sizes = (found > 0).flatten(1).sum(1) + (labels > 0).flatten(1).sum(1)
    overlap = torch.where(sizes > 0, 2 * both / sizes.clamp(min=1), 1.0)
    return np.asarray(overlap.double().numpy())


def _iou(model: Subject, items: Tensor, group: Shown) -> Values:
    """Return how far the best box overlaps each one that was drawn; of none, whether none is."""
    settings = model.facts["settings"]
    values = []
    with torch.no_grad():
        answers = [model.network(batch) for batch in items.split(AT_ONCE)]
    for answer, picture in zip(torch.cat(answers).numpy(), group.truths, strict=True):
        rows, columns = group.inside
        found = [
            box
            for box in candidates(answer, (rows, columns), settings["limit"])
            if expit(settings["slope"] * box.logit + settings["offset"]) >= settings["threshold"]
        ]
        if not picture.truths:
            values.append(float(not found))
            continue
        height, width = picture.image.shape
        best = [
            max(
                (
                    iou(box.corners, truth.corners.times(rows / height, columns / width))
                    for box in found
                    if box.of == truth.of
                ),
                default=0.0,
            )
            for truth in picture.truths
        ]
        values.append(float(np.mean(best)))
    return np.array(values)


def _psnr(model: Subject, items: Tensor, group: Shown) -> Values:
    """Return how near the restored items come to what they were, in the range of the scaling."""
    settings, asked = model.facts["settings"], model.asked
    wanted = torch.from_numpy(np.stack(group.truths))[:, None]
    found = []
    with torch.no_grad():
        for batch in items.split(AT_ONCE):
            base = asked.given(batch)
            change = model.network(base).clamp(-1, 1) * settings["largest_change"]
            found.append((base + change).clamp(0, 1))
    cut = (
        slice(None), slice(None), *(slice(0, n * settings["factor"]) for n in group.inside),
    )  # fmt: skip
    error = (torch.cat(found)[cut] - wanted[cut]).square().flatten(1).mean(1)
    return np.asarray((-10 * error.clamp(min=1e-12).log10()).double().numpy())


def _precision(model: Subject, groups: Sequence[Shown]) -> Merit:
    """Return which part of the nearest unharmed items is of the same class."""
    known = np.concatenate([_vectors(model, group.items) for group in groups])
    labels = np.array([int(truth) for group in groups for truth in group.truths])
    names = [name for group in groups for name in group.groups]

    def of(items: Tensor, group: Shown) -> Values:
        found = []
        for vector, truth, name in zip(
            _vectors(model, items), group.truths, group.groups, strict=True
        ):
            likeness = likeness_by_angle(np.concatenate([vector[None], known]))
            asked_of = np.array([int(truth), *labels])
            found.append(precisions(likeness, asked_of, [name, *names], NEAREST)[0])
        return np.asarray(np.nan_to_num(np.array(found)), np.float64)

    return Merit("precision at 5 among these, 0 where a class has fewer than 5 others", of)


def _vectors(model: Subject, items: Tensor) -> Values:
    found = functional.normalize(_answers(model, items).flatten(1))
    return np.asarray(found.double().numpy())


def _quality(model: Subject, items: Tensor, group: Shown) -> Values:
    limits, cut = limits_of(model.facts), _inside(group)
    values = []
    for found, truth in zip(_answers(model, items).softmax(1), group.truths, strict=True):
        objects = separate(found[(slice(None), *cut)].numpy(), limits)
        drawn = renumbered(np.asarray(truth[cut], np.int32))
        values.append(
            1.0 if not drawn.any() and not objects.any() else scores(drawn, objects)["PQ"]
        )
    return np.array(values)


def _error_px(model: Subject, items: Tensor, group: Shown) -> Values:
    """Return how far from the truth places are found that are followed from an unharmed frame."""
    rules = rules_of(model.facts)
    values = []
    for item, (before, points, truth) in zip(items, group.truths, strict=True):
        with torch.no_grad():
            first, then = model.network(torch.stack([before[None], item]))
        middle = points.round()
        windows = patches(then, middle, rules.template_px + 2 * rules.search_px)
        away, _ = peaks(similarities(windows, patches(first, points, rules.template_px)))
        values.append(float((middle + away - truth).norm(dim=1).mean()))
    return np.array(values)


_MEASURES: Mapping[str, tuple[str, Callable[[Subject, Tensor, Shown], Values], float]] = (
    MappingProxyType(
        {
            "classify": ("accuracy", _right, 0.1),
            "fuse": ("accuracy", _right, 0.1),
            "segment": ("Dice on the model's grid", _dice, 0.1),
            "detect": ("mean IoU of the boxes", _iou, 0.1),
            "restore": ("PSNR (dB)", _psnr, 1.0),
            "segment_instances": ("PQ", _quality, 0.1),
            "track": ("error (px)", _error_px, 1.0),
        }
    )
)
"""The measure of each kind, and which change of it counts as harm."""


def reach_in_words(facts: Any) -> str:  # noqa: ANN401 - as it was read
    """Return what 8 of 255 grey levels are in the unit of each input."""
    intensities = {name: of["intensity"] for name, of in facts.get("inputs", {}).items()}
    told = []
    for name, intensity in (intensities or {"": facts.get("intensity")}).items():
        match intensity["scaling"]:
            case "window":
                size = 8 / 255 * (float(intensity["high"]) - float(intensity["low"]))
                said = f"{size:.3g} in the unit of the image"
            case "percentile":
                said = "3.1 % of the range between the percentiles that scale the image"
            case "zscore":
                said = "0.13 standard deviations, for 4 of them count as the whole range"
            case other:
                said = f"3.1 % of the range of {other}"
        told.append(f"{name}: {said}" if name else said)
    return "; ".join(told)
