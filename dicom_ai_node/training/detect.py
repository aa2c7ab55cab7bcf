"""The command line of every recipe of kind `detect`: train, calibrate, score, write the folder.

python dicom_ai_node/bundles/NAME/configs/train.py --data FOLDER [--minutes N] [--score-only]
"""

import hashlib
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
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
from dicom_ai_node.training.command import asked, check_on_record
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
from dicom_ai_node.training.fit import Plan
from dicom_ai_node.training.fit_boxes import fit_boxes
from dicom_ai_node.training.grid import Facts
from dicom_ai_node.training.reliability import bins_of, reliability_picture

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
) -> dict[str, dict[str, float]]:
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
    low, high = interval(measure, images, groups)
    return {
        "value": round(measure(images), 4),
        "low": round(low, 4),
        "high": round(high, 4),
        "cases": len(images),
    }


def _train(recipe: BoxRecipe, parts: BoxParts, facts: Facts) -> Mapping[str, Any]:
    torch.manual_seed(recipe.plan.seed)
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
    fitted = fit_boxes(network, examples, classes, judge, recipe.plan)
    model_folder.write_weights(recipe.folder, fitted.network)
    return {
        "cases": len(parts.training),
        "steps": fitted.steps,
        "batch": recipe.plan.batch,
        "minutes": round(fitted.minutes, 1),
        "seed": recipe.plan.seed,
        "torch": torch.__version__,
    }


def _begin(network: nn.Module, other: nn.Module) -> None:
    """Take over every weight that has the same name and shape: all but the last layer."""
    own = network.state_dict()
    same = {
        name: values
        for name, values in other.state_dict().items()
        if name in own and own[name].shape == values.shape
    }
    network.load_state_dict(same, strict=False)


def _calibrate(recipe: BoxRecipe, parts: BoxParts, facts: Facts) -> Facts:
    """Find what makes heat a probability, and the operating point, on the validation part."""
    network = model_folder.shipped_network(recipe.folder)
    plain = judge_all(method_of(network, facts, (1.0, 0.0)), parts.validation, facts)
    boxes = np.concatenate([image.boxes for image in plain])
    chance = np.clip(boxes[:, 1], 1e-9, 1 - 1e-9)
    slope, offset = platt(np.log(chance / (1 - chance)), boxes[:, 2] > 0)
    model_folder.write_number(recipe.folder, "slope", slope)
    model_folder.write_number(recipe.folder, "offset", offset)
    images = judge_all(method_of(network, facts, (slope, offset)), parts.validation, facts)
    model_folder.write_number(recipe.folder, "threshold", best_threshold(images))
    return model_folder.facts_of(recipe.folder)


def golden_of(
    network: nn.Module, pictures: Sequence[BoxPicture], facts: Facts
) -> tuple[Tensor, NDArray[np.float32]]:
    """Return the golden picture on the model's grid in its unit, and its boxes as parts of it.

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


def _score(
    recipe: BoxRecipe, parts: BoxParts, facts: Facts, training: Mapping[str, Any]
) -> dict[str, Any]:
    network = model_folder.shipped_network(recipe.folder)
    weights = (recipe.folder / model_folder.WEIGHTS).read_bytes()
    return {
        "model": facts["name"],
        "version": facts["version"],
        "weights_sha256": hashlib.sha256(weights).hexdigest(),
        "training": dict(training),
        "validation": scores_of(network, parts.validation, facts, {}),
        "test": scores_of(network, parts.test, facts, recipe.beside(parts)),
    }


def _draw_reliability(recipe: BoxRecipe, pictures: Sequence[BoxPicture], facts: Facts) -> None:
    """Write `docs/reliability.png`, which the card shows: are the probabilities to be believed?"""
    network = model_folder.shipped_network(recipe.folder)
    images = judge_all(method_of(network, facts, _line(facts)), pictures, facts)
    title = f"boxes of {facts['name']} on its test part"
    picture = reliability_picture(bins_of(*reliability(images)), title, OF_BOXES)
    picture.save(recipe.folder / "docs/reliability.png", optimize=True)


def _finish(
    recipe: BoxRecipe, parts: BoxParts, facts: Facts, training: Mapping[str, Any]
) -> dict[str, Any]:
    network = model_folder.shipped_network(recipe.folder)
    model_folder.write_golden_boxes(recipe.folder, *golden_of(network, parts.test, facts))
    score = _score(recipe, parts, facts, training)
    model_folder.write_score(recipe.folder, score)
    _draw_reliability(recipe, parts.test, facts)
    model_folder.write_checksums(recipe.folder)
    return score


def main(recipe: BoxRecipe, arguments: Sequence[str] | None = None) -> str:
    """Run a recipe and return its score table.

    Raises
    ------
    SystemExit
        With `--score-only`, if the shipped weights do not give the scores on record.
    """
    told = asked(recipe.folder, recipe.plan.minutes, arguments)
    recipe = replace(recipe, plan=replace(recipe.plan, minutes=told.minutes))
    facts = model_folder.facts_of(recipe.folder)
    parts = recipe.read(told.data)
    if not told.score_only:
        training = _train(recipe, parts, facts)
        facts = _calibrate(recipe, parts, facts)
        return model_folder.score_table(_finish(recipe, parts, facts, training)["test"])
    on_record = json.loads((recipe.folder / "docs/score.json").read_text())
    score = _score(recipe, parts, facts, on_record["training"])
    check_on_record(score, on_record, "value", SAME)
    return model_folder.score_table(score["test"])
