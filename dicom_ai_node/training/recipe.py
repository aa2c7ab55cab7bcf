"""What every recipe does: train, score on what was held out, write the model folder."""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from dicom_ai_node.training import folder as model_folder
from dicom_ai_node.training.case import Case, Parts
from dicom_ai_node.training.command import Course, Scores, Work, run
from dicom_ai_node.training.fit import Example, Fitted, Plan, fit
from dicom_ai_node.training.grid import Facts, pad_end, resize_labels, scaled
from dicom_ai_node.training.predict import labels_of, labels_on_grid, on_grid
from dicom_ai_node.training.scores import dice, summaries


def _no_numbers(_case: Case, _labels: NDArray[np.uint8]) -> Mapping[str, float]:
    return {}


SAME = 1e-3
"""By how much a mean may differ when shipped weights are scored again on another machine."""


BACKGROUNDS = (-0.4, -0.2, 0.0, 0.2, 0.4, 0.6, 0.8)
"""What may be added to the logit of the background: segments become larger or smaller."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Recipe:
    """What a recipe decides.

    `read` returns the parts of the data in a folder, `also_score` further scores of one result,
    `golden` the golden case among the held-out ones, or several slices or frames.
    """

    folder: Path
    read: Callable[[Path], Parts]
    plan: Plan
    also_score: Callable[[Case, NDArray[np.uint8]], Mapping[str, float]] = _no_numbers
    golden: Callable[[Sequence[Case]], Sequence[Case]] = lambda cases: cases[:1]


def example_of(case: Case, facts: Facts) -> Example:
    """Bring a case to the model's grid and intensity once, before training."""
    image = on_grid(case, facts)
    labels = torch.from_numpy(np.ascontiguousarray(case.labels))
    return scaled(image, facts), resize_labels(labels, image.shape, 1 + len(facts["segments"]))


def scores_of(
    network: nn.Module, cases: Sequence[Case], facts: Facts, recipe: Recipe
) -> list[dict[str, float]]:
    """Score every case at the resolution of its own labels.

    A segment that is there gets a Dice; of one that is not, what was found is summed up in cm2 or
    cm3, for its Dice would be 0 for a single pixel and for a whole organ alike.
    """
    rows: list[dict[str, float]] = []
    for case in cases:
        result = labels_of(network, case, facts)
        row: dict[str, float] = {}
        for segment in facts["segments"]:
            number = segment["number"]
            if case.scored is not None and number not in case.scored:
                continue
            name = " ".join(filter(None, (segment["label"], case.where)))
            if (case.labels == number).any():
                row[f"Dice, {name}"] = dice(result, case.labels, number)
            else:
                axes = len(case.spacing_mm)
                size = float(np.prod(case.spacing_mm)) / 10**axes
                row[f"{name} where there is none (cm{axes})"] = size * int((result == number).sum())
        rows.append({**row, **recipe.also_score(case, result)})
    return rows


def summarised(network: nn.Module, cases: Sequence[Case], facts: Facts, recipe: Recipe) -> Scores:
    """Return every score over the cases, with its interval over their groups."""
    groups = [case.group or case.name for case in cases]
    return summaries(scores_of(network, cases, facts, recipe), groups)


def _judge(cases: Sequence[Case], facts: Facts, recipe: Recipe) -> Callable[[nn.Module], float]:
    def judge(network: nn.Module) -> float:
        found = summarised(network, cases, facts, recipe)
        overlaps = [score["mean"] for name, score in found.items() if name.startswith("Dice, ")]
        return sum(overlaps) / len(overlaps)

    return judge


def _fit(work: Work[Recipe, Parts]) -> Fitted:
    recipe, parts, facts = work.recipe, work.parts, work.facts
    network = model_folder.new_network(recipe.folder)
    examples = [example_of(case, facts) for case in parts.training]
    return fit(network, examples, _judge(parts.validation, facts, recipe), work.plan)


def _calibrate(work: Work[Recipe, Parts], network: nn.Module) -> None:
    """Choose what is added to the background's logit, where the facts have it, by validation."""
    if "background" not in work.facts.get("settings", {}):
        return

    def score(background: float) -> float:
        facts = {**work.facts, "settings": {**work.facts["settings"], "background": background}}
        return _judge(work.parts.validation, facts, work.recipe)(network)

    best = max(BACKGROUNDS, key=score)
    model_folder.write_number(work.recipe.folder, "background", best)


def golden_of(
    network: nn.Module, cases: Sequence[Case], facts: Facts, recipe: Recipe
) -> tuple[Tensor, NDArray[np.uint8]]:
    """Return the golden image on the model's grid and its labels, (items, *axes) if several."""
    images = [on_grid(case, facts) for case in recipe.golden(cases)]
    # Whole steps of a 4096th of the range: nobody sees them, and the file is a third of the size.
    span = max(float(image.max() - image.min()) for image in images)
    step = 2.0 ** math.floor(math.log2(max(span, 1e-6) / 4096))
    shape = [max(lengths) for lengths in zip(*(image.shape for image in images), strict=True)]
    images = [pad_end((i / step).round() * step, shape, float(i.min())) for i in images]
    labels = [labels_on_grid(network, image, facts) for image in images]
    if len(images) == 1:
        return images[0], labels[0]
    return torch.stack(images), np.stack(labels)


def _golden(work: Work[Recipe, Parts], network: nn.Module) -> None:
    image, labels = golden_of(network, work.parts.test, work.facts, work.recipe)
    model_folder.write_golden(work.recipe.folder, image=image.numpy(), labels=labels)


COURSE: Course[Recipe, Parts] = Course(
    fit=_fit,
    golden=_golden,
    calibrate=_calibrate,
    settle=lambda work, network: {
        "validation": summarised(network, work.parts.validation, work.facts, work.recipe)
    },
    score=lambda work, network, _: summarised(network, work.parts.test, work.facts, work.recipe),
    same=SAME,
    told="mean",
)


def main(recipe: Recipe, arguments: Sequence[str] | None = None) -> str:
    """Run a recipe and return its score table, see `command.run`."""
    return run(recipe, COURSE, arguments)
