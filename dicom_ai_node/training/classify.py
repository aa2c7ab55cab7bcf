"""What every recipe of kind `classify` does: train, calibrate, score, write the folder."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.special import softmax
from torch import Tensor, nn

from dicom_ai_node.training import folder as model_folder
from dicom_ai_node.training.certainty import calibration_error, temperature_of
from dicom_ai_node.training.command import Course, Scores, Work, run
from dicom_ai_node.training.fit import Fitted, Plan
from dicom_ai_node.training.fit_classes import fit_classes
from dicom_ai_node.training.fit_outlined import Outlined, fit_outlined
from dicom_ai_node.training.grid import Facts, pad_end, resize, scaled, shape_on_grid
from dicom_ai_node.training.picture import Picture, PictureParts
from dicom_ai_node.training.ranking import (
    Labels,
    Measure,
    Probabilities,
    accuracy,
    auc,
    interval,
    mean_auc,
    threshold_at,
    threshold_of,
)
from dicom_ai_node.training.reliability import bins_of, reliability_picture
from dicom_ai_node.training.scores import row_of

GOLDEN_CERTAINTY = 0.85
"""The golden picture is one on whose class the model is about this certain: it shows a change."""

SAME = 2e-3
"""How far a score that is measured again may lie from the one on record."""


def _nothing_beside(_parts: PictureParts) -> Mapping[str, Measure]:
    return {}


@dataclass(frozen=True, slots=True, kw_only=True)
class ClassRecipe:
    """What a recipe decides.

    `read` returns the parts of the data in a folder, `beside` measures of the test part that do
    not come from the network (a simple method to be better than), by name. `look_at` is the layer
    that is shown the outlines of the training part, if there are any; see `fit_outlined`. The
    operating point is that of Youden, or one at which no more than `false_alarms` of the others are
    taken for the class.
    """

    folder: Path
    read: Callable[[Path], PictureParts]
    plan: Plan
    beside: Callable[[PictureParts], Mapping[str, Measure]] = _nothing_beside
    look_at: str | None = None
    false_alarms: float | None = None


def on_grid(picture: Picture, facts: Facts) -> Tensor:
    """Return the picture on the model's grid, in its unit, without padding."""
    image = torch.from_numpy(np.ascontiguousarray(picture.image))[None, None]
    return resize(image, shape_on_grid(facts, picture.image.shape, (1.0, 1.0)))[0, 0]


def network_input(image: Tensor, facts: Facts) -> Tensor:
    """Scale and pad what `on_grid` returned to (rows, columns) of the grid."""
    values = scaled(image, facts)
    lowest = float(values.min()) if facts["intensity"]["scaling"] == "zscore" else 0.0
    return pad_end(values, facts["grid"]["size_px"], lowest)


def logits_of(network: nn.Module, pictures: Sequence[Picture], facts: Facts) -> NDArray[np.float64]:
    """Return (pictures, classes) logits, undivided."""
    inputs = torch.stack([network_input(on_grid(p, facts), facts) for p in pictures])[:, None]
    with torch.inference_mode():
        found = torch.cat([network(batch) for batch in inputs.split(64)])
    return np.asarray(found.double().numpy())


def _labels(pictures: Sequence[Picture]) -> Labels:
    return np.array([picture.label for picture in pictures], dtype=np.int64)


@dataclass(frozen=True, slots=True)
class Asked:
    """A measure, and of which classes the pictures are that it is about (`None` is all)."""

    measure: Measure
    about: tuple[int, ...] | None = None


def measures(facts: Facts) -> dict[str, Asked]:
    """Return what is measured, by the name it has in the score table."""
    names = [entry["label"] for entry in facts["classes"]]
    found: dict[str, Asked] = {}
    if len(names) == 2:  # noqa: PLR2004 - then both classes have the same AUC
        found["AUC"] = Asked(mean_auc)
    else:
        found["AUC, mean of one class against the others"] = Asked(mean_auc)
        found |= {f"AUC, {name}": Asked(_auc_of(k)) for k, name in enumerate(names)}
    found["accuracy"] = Asked(accuracy)
    found |= {f"share found, {name}": Asked(_recall_of(k), (k,)) for k, name in enumerate(names)}
    point = facts["settings"].get("operating_point")
    if point:
        k, least = names.index(point["label"]), float(point["threshold"])
        others = tuple(other for other in range(len(names)) if other != k)
        reached, missed = _at(k, least, is_positive=True), _at(k, least, is_positive=False)
        found["sensitivity at the operating point"] = Asked(reached, (k,))
        found["specificity at the operating point"] = Asked(missed, others)
    return found


def _auc_of(k: int) -> Measure:
    return lambda found, labels: auc(found[:, k], labels == k)


def _recall_of(k: int) -> Measure:
    def recall(found: Probabilities, labels: Labels) -> float:
        there = labels == k
        return float((found[there].argmax(1) == k).mean()) if there.any() else float("nan")

    return recall


def _at(k: int, least: float, *, is_positive: bool) -> Measure:
    def share(found: Probabilities, labels: Labels) -> float:
        there = (labels == k) == is_positive
        if not there.any():
            return float("nan")
        return float(((found[there, k] >= least) == is_positive).mean())

    return share


def scores_of(
    network: nn.Module,
    pictures: Sequence[Picture],
    facts: Facts,
    beside: Mapping[str, Measure] | None = None,
) -> Scores:
    """Return every measure with its 95 % interval (bootstrap over groups)."""
    logits, labels = logits_of(network, pictures, facts), _labels(pictures)
    groups = [picture.group for picture in pictures]
    plain = softmax(logits, axis=1)
    calibrated = softmax(logits / facts["settings"]["temperature"], axis=1)
    rows: Scores = {}
    for name, wanted in measures(facts).items():
        rows[name] = _row(wanted.measure, calibrated, labels, groups)
        if wanted.about is not None:
            rows[name]["cases"] = int(np.isin(labels, wanted.about).sum())
    rows["calibration error (ECE), before temperature"] = _row(
        calibration_error, plain, labels, groups
    )
    rows["calibration error (ECE)"] = _row(calibration_error, calibrated, labels, groups)
    for name, measure in (beside or {}).items():
        rows[name] = {"value": round(measure(calibrated, labels), 4), "cases": len(labels)}
    return rows


def _row(
    measure: Measure, found: Probabilities, labels: Labels, groups: Sequence[str]
) -> dict[str, float]:
    drawn = interval(measure, found, labels, groups)
    return row_of(measure(found, labels), drawn, len(labels))


def _fit(work: Work[ClassRecipe, PictureParts]) -> Fitted:
    parts, facts = work.parts, work.facts
    network = model_folder.new_network(work.recipe.folder)
    labels = _labels(parts.validation)

    def judge(candidate: nn.Module) -> float:
        found = softmax(logits_of(candidate, parts.validation, facts), axis=1)
        return (mean_auc(found, labels) + accuracy(found, labels)) / 2

    if work.recipe.look_at is not None:
        shown = [outlined(picture, facts) for picture in parts.training]
        return fit_outlined(network, shown, judge, work.plan, work.recipe.look_at)
    examples = [(network_input(on_grid(p, facts), facts), p.label) for p in parts.training]
    return fit_classes(network, examples, judge, work.plan)


def outlined(picture: Picture, facts: Facts) -> Outlined:
    """Return a picture as the network sees it, with its class and where that shows."""
    image = on_grid(picture, facts)
    drawn = np.zeros(picture.image.shape, np.bool_) if picture.outline is None else picture.outline
    inside = resize(torch.from_numpy(drawn.astype(np.float32))[None, None], image.shape)[0, 0]
    outline = pad_end(inside, facts["grid"]["size_px"], 0.0) > 0.5  # noqa: PLR2004
    return network_input(image, facts), picture.label, outline


def _calibrate(work: Work[ClassRecipe, PictureParts], network: nn.Module) -> None:
    """Find temperature and threshold on the validation part, and write them into the facts."""
    folder, pictures, facts = work.recipe.folder, work.parts.validation, work.facts
    logits, labels = logits_of(network, pictures, facts), _labels(pictures)
    temperature = temperature_of(logits, labels)
    model_folder.write_number(folder, "temperature", temperature)
    point = facts["settings"].get("operating_point")
    if point:
        k = [entry["label"] for entry in facts["classes"]].index(point["label"])
        found = softmax(logits / temperature, axis=1)[:, k]
        share = work.recipe.false_alarms
        is_k = labels == k
        chosen = threshold_of(found, is_k) if share is None else threshold_at(found, is_k, share)
        threshold = round(chosen, 3)
        model_folder.write_number(folder, "threshold", threshold)


def _draw(work: Work[ClassRecipe, PictureParts], network: nn.Module) -> None:
    """Write `docs/reliability.png`, which the card shows: are the probabilities to be believed?"""
    pictures, facts = work.parts.test, work.facts
    logits, labels = logits_of(network, pictures, facts), _labels(pictures)
    found = softmax(logits / facts["settings"]["temperature"], axis=1)
    picture = reliability_picture(bins_of(found, labels), f"{facts['name']} on its test part")
    picture.save(work.recipe.folder / "docs/reliability.png", optimize=True)


def golden_of(
    network: nn.Module, pictures: Sequence[Picture], facts: Facts
) -> tuple[Tensor, NDArray[np.float32]]:
    """Return the golden picture on the model's grid in its unit, and its probabilities.

    It is one that the model gets right without being sure of it.
    """
    logits, labels = logits_of(network, pictures, facts), _labels(pictures)
    found = softmax(logits / facts["settings"]["temperature"], axis=1)
    distance = np.abs(found.max(1) - GOLDEN_CERTAINTY) + (found.argmax(1) != labels)
    chosen = pictures[int(distance.argmin())]
    # Whole numbers: the file is smaller, and the result is computed from what is stored.
    image = on_grid(chosen, facts).round()
    again = replace(chosen, image=image.numpy())
    certain = softmax(logits_of(network, [again], facts)[0] / facts["settings"]["temperature"])
    return image, np.asarray(certain, dtype=np.float32)


def _golden(work: Work[ClassRecipe, PictureParts], network: nn.Module) -> None:
    image, probabilities = golden_of(network, work.parts.test, work.facts)
    model_folder.write_golden(work.recipe.folder, image=image.numpy(), probabilities=probabilities)


COURSE: Course[ClassRecipe, PictureParts] = Course(
    fit=_fit,
    calibrate=_calibrate,
    golden=_golden,
    settle=lambda work, network: {
        "validation": scores_of(network, work.parts.validation, work.facts)
    },
    score=lambda work, network, _: scores_of(
        network, work.parts.test, work.facts, work.recipe.beside(work.parts)
    ),
    draw=_draw,
    same=SAME,
)


def main(recipe: ClassRecipe, arguments: Sequence[str] | None = None) -> str:
    """Run a recipe and return its score table, see `command.run`."""
    return run(recipe, COURSE, arguments)
