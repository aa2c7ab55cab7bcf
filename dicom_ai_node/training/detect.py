"""What every recipe of kind `detect` does: train, calibrate, score, write the folder."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from scipy.special import expit
from torch import Tensor, nn

from dicom_ai_node.training import folder as model_folder
from dicom_ai_node.training.boxed import (
    BoxParts,
    BoxPicture,
    Method,
    candidates_in,
    example_of,
    method_of,
    on_grid,
    parts_of,
)
from dicom_ai_node.training.command import Course, Scores, Work, run
from dicom_ai_node.training.detections import (
    PRICES,
    Judged,
    Measure,
    best_threshold,
    box_calibration_error,
    false_from,
    interval,
    judged,
    mean_average_precision,
    overlap_from,
    platt,
    reliability,
    sensitivity_at,
    sensitivity_from,
)
from dicom_ai_node.training.fit import Fitted, Plan
from dicom_ai_node.training.fit_boxes import fit_boxes
from dicom_ai_node.training.grid import Facts
from dicom_ai_node.training.reliability import bins_of, reliability_picture
from dicom_ai_node.training.scores import row_of

OF_BOXES = ("how probable the model said that a box is right", "boxes")
"""What a reliability diagram shows."""

SAME = 5e-3
"""How far a score that is measured again may lie from the one on record."""

CLEAR = 0.05
"""So far from the operating point lie all probabilities of the golden picture."""


@dataclass(frozen=True, slots=True, kw_only=True)
class BoxRecipe:
    """What a recipe decides.

    `read` returns the parts of the data in a folder, `beside` simple methods to be better than,
    by name, which may look at the training part. `begin_from` is a model folder with weights to
    begin with, which must not have seen more than the training part.
    """

    folder: Path
    read: Callable[[Path], BoxParts]
    plan: Plan
    beside: Callable[[BoxParts], Mapping[str, Method]] = lambda _parts: {}
    begin_from: Path | None = None


def judge_all(method: Method, pictures: Sequence[BoxPicture], facts: Facts) -> list[Judged]:
    """Return what becomes of a method's boxes in every picture."""
    classes = len(facts["classes"])
    return [judged(method(picture), picture.truths, classes) for picture in pictures]


def measures(facts: Facts) -> dict[str, Measure]:
    """Return what is measured, by the name it has in the score table."""
    classes, threshold = len(facts["classes"]), float(facts["settings"]["threshold"])
    return {
        "mAP at IoU 0.5": mean_average_precision(classes),
        "mAP at IoU 0.75": mean_average_precision(classes, 0.75),
        **{
            f"sensitivity at {price} false boxes per image": sensitivity_at(price)
            for price in PRICES
        },
        "sensitivity at the operating point": sensitivity_from(threshold),
        "false boxes per image at the operating point": false_from(threshold),
        "mean IoU of right boxes": overlap_from(threshold),
    }


def _line(facts: Facts) -> tuple[float, float]:
    return float(facts["settings"]["slope"]), float(facts["settings"]["offset"])


def scores_of(
    network: nn.Module,
    pictures: Sequence[BoxPicture],
    facts: Facts,
    beside: Mapping[str, Method],
) -> Scores:
    """Return every measure with its 95 % interval, then those of the methods beside."""
    groups = [picture.group for picture in pictures]
    plain = judge_all(method_of(network, facts, (1.0, 0.0)), pictures, facts)
    images = judge_all(method_of(network, facts, _line(facts)), pictures, facts)
    rows = {name: _row(measure, images, groups) for name, measure in measures(facts).items()}
    rows["calibration error (ECE), before calibration"] = _row(box_calibration_error, plain, groups)
    rows["calibration error (ECE)"] = _row(box_calibration_error, images, groups)
    for name, method in beside.items():
        found = judge_all(method, pictures, facts)
        for what in ("mAP at IoU 0.5", "mAP at IoU 0.75"):
            rows[f"{name}: {what}"] = _row(measures(facts)[what], found, groups)
        for what, measure in (
            ("sensitivity", sensitivity_from(0)),
            ("false boxes per image", false_from(0)),
            ("mean IoU of right boxes", overlap_from(0)),
        ):
            rows[f"{name}: {what}"] = _row(measure, found, groups)
    return rows


def _row(measure: Measure, images: Sequence[Judged], groups: Sequence[str]) -> dict[str, float]:
    return row_of(measure(images), interval(measure, images, groups), len(images))


def _fit(work: Work[BoxRecipe, BoxParts]) -> Fitted:
    recipe, parts, facts = work.recipe, work.parts, work.facts
    network = model_folder.new_network(recipe.folder)
    if recipe.begin_from is not None:
        _begin(network, model_folder.shipped_network(recipe.begin_from))
    classes = len(facts["classes"])

    def judge(candidate: nn.Module) -> float:
        images = judge_all(method_of(candidate, facts, (1.0, 0.0)), parts.validation, facts)
        return float(
            np.nanmean(
                [
                    mean_average_precision(classes, 0.5)(images),
                    mean_average_precision(classes, 0.75)(images),
                    overlap_from(0.2)(images),
                ]
            )
        )

    examples = [example_of(picture, facts) for picture in parts.training]
    return fit_boxes(network, examples, classes, judge, work.plan)


def _begin(network: nn.Module, other: nn.Module) -> None:
    """Take over every weight that has the same name and shape: all but the last layer."""
    own = network.state_dict()
    same = {
        name: values
        for name, values in other.state_dict().items()
        if name in own and own[name].shape == values.shape
    }
    network.load_state_dict(same, strict=False)


def _calibrate(work: Work[BoxRecipe, BoxParts], network: nn.Module) -> None:
    """Find what makes heat a probability, and the operating point, on the validation part."""
    folder, pictures, facts = work.recipe.folder, work.parts.validation, work.facts
    plain = judge_all(method_of(network, facts, (1.0, 0.0)), pictures, facts)
    boxes = np.concatenate([image.boxes for image in plain])
    chance = np.clip(boxes[:, 1], 1e-9, 1 - 1e-9)
    slope, offset = platt(np.log(chance / (1 - chance)), boxes[:, 2] > 0)
    model_folder.write_number(folder, "slope", slope)
    model_folder.write_number(folder, "offset", offset)
    images = judge_all(method_of(network, facts, (slope, offset)), pictures, facts)
    model_folder.write_number(folder, "threshold", best_threshold(images))


def golden_of(
    network: nn.Module, pictures: Sequence[BoxPicture], facts: Facts
) -> tuple[Tensor, NDArray[np.float32]]:
    """Return the golden picture on the model's grid in its unit, and its boxes (n, 6).

    Class, probability, then top, left, bottom and right as parts of the rows and columns.

    It is the first one on which the model finds as many boxes as a person, none of them with a
    probability so near the operating point that another machine might leave it out.
    """
    threshold, line = float(facts["settings"]["threshold"]), _line(facts)
    for picture in pictures:
        # Whole numbers: the file is smaller, and the result is computed from what is stored.
        image = on_grid(picture, facts).round()
        found = _parts_found(network, image, facts, line)
        kept = found[found[:, 1] >= threshold]
        is_clear = bool((np.abs(found[:, 1] - threshold) > CLEAR).all())
        if len(kept) and len(kept) == len(picture.truths) and is_clear:
            return image, kept
    raise ValueError("there is no picture that shows what the model does")


def _parts_found(
    network: nn.Module, image: Tensor, facts: Facts, line: tuple[float, float]
) -> NDArray[np.float32]:
    shape = (int(image.shape[0]), int(image.shape[1]))
    return np.array(
        [
            (box.of, expit(line[0] * box.logit + line[1]), *parts_of(box.corners, shape))
            for box in candidates_in(network, image, facts)
        ],
        np.float32,
    ).reshape(-1, 6)


def _draw(work: Work[BoxRecipe, BoxParts], network: nn.Module) -> None:
    """Write `docs/reliability.png`, which the card shows: are the probabilities to be believed?"""
    images = judge_all(
        method_of(network, work.facts, _line(work.facts)), work.parts.test, work.facts
    )
    title = f"boxes of {work.facts['name']} on its test part"
    picture = reliability_picture(bins_of(*reliability(images)), title, OF_BOXES)
    picture.save(work.recipe.folder / "docs/reliability.png", optimize=True)


def _golden(work: Work[BoxRecipe, BoxParts], network: nn.Module) -> None:
    image, boxes = golden_of(network, work.parts.test, work.facts)
    model_folder.write_golden(work.recipe.folder, image=image.numpy(), boxes=boxes)


COURSE: Course[BoxRecipe, BoxParts] = Course(
    fit=_fit,
    calibrate=_calibrate,
    golden=_golden,
    settle=lambda work, network: {
        "validation": scores_of(network, work.parts.validation, work.facts, {})
    },
    score=lambda work, network, _: scores_of(
        network, work.parts.test, work.facts, work.recipe.beside(work.parts)
    ),
    draw=_draw,
    same=SAME,
)


def main(recipe: BoxRecipe, arguments: Sequence[str] | None = None) -> str:
    """Run a recipe and return its score table, see `command.run`."""
    return run(recipe, COURSE, arguments)
