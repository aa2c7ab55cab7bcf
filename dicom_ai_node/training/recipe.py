"""The command line of every recipe: train, score on what was held out, write the model folder.

python dicom_ai_node/bundles/NAME/configs/train.py --data FOLDER [--minutes N] [--score-only]
"""

import hashlib
import json
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from dicom_ai_node.training import folder as model_folder
from dicom_ai_node.training.case import Case, Parts
from dicom_ai_node.training.command import asked, check_on_record
from dicom_ai_node.training.fit import Example, Plan, fit
from dicom_ai_node.training.grid import Facts, pad_end, resize_labels, scaled
from dicom_ai_node.training.predict import labels_of, labels_on_grid, on_grid
from dicom_ai_node.training.scores import dice, summaries


def _no_numbers(_case: Case, _labels: NDArray[np.uint8]) -> Mapping[str, float]:
    return {}


SAME = 1e-3
"""By how much a mean may differ when shipped weights are scored again on another machine."""


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


def summarised(
    network: nn.Module, cases: Sequence[Case], facts: Facts, recipe: Recipe
) -> dict[str, dict[str, float]]:
    """Return every score over the cases, with its interval over their groups."""
    groups = [case.group or case.name for case in cases]
    return summaries(scores_of(network, cases, facts, recipe), groups)


def _judge(cases: Sequence[Case], facts: Facts, recipe: Recipe) -> Callable[[nn.Module], float]:
    def judge(network: nn.Module) -> float:
        found = summarised(network, cases, facts, recipe)
        overlaps = [score["mean"] for name, score in found.items() if name.startswith("Dice, ")]
        return sum(overlaps) / len(overlaps)

    return judge


def _train(recipe: Recipe, parts: Parts, facts: Facts) -> Mapping[str, Any]:
    torch.manual_seed(recipe.plan.seed)
    network = model_folder.new_network(recipe.folder)
    examples = [example_of(case, facts) for case in parts.training]
    fitted = fit(network, examples, _judge(parts.validation, facts, recipe), recipe.plan)
    model_folder.write_weights(recipe.folder, fitted.network)
    return {
        "cases": len(parts.training),
        "steps": fitted.steps,
        "batch": recipe.plan.batch,
        "minutes": round(fitted.minutes, 1),
        "seed": recipe.plan.seed,
        "torch": torch.__version__,
    }


def _score(
    recipe: Recipe, parts: Parts, facts: Facts, training: Mapping[str, Any]
) -> dict[str, Any]:
    network = model_folder.shipped_network(recipe.folder)
    weights = (recipe.folder / model_folder.WEIGHTS).read_bytes()
    return {
        "model": facts["name"],
        "version": facts["version"],
        "weights_sha256": hashlib.sha256(weights).hexdigest(),
        "training": dict(training),
        "validation": summarised(network, parts.validation, facts, recipe),
        "test": summarised(network, parts.test, facts, recipe),
    }


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


def _finish(
    recipe: Recipe, parts: Parts, facts: Facts, training: Mapping[str, Any]
) -> dict[str, Any]:
    network = model_folder.shipped_network(recipe.folder)
    model_folder.write_golden(recipe.folder, *golden_of(network, parts.test, facts, recipe))
    score = _score(recipe, parts, facts, training)
    model_folder.write_score(recipe.folder, score)
    model_folder.write_checksums(recipe.folder)
    return score


def main(recipe: Recipe, arguments: Sequence[str] | None = None) -> str:
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
        return model_folder.score_table(
            _finish(recipe, parts, facts, _train(recipe, parts, facts))["test"]
        )
    on_record = json.loads((recipe.folder / "docs/score.json").read_text())
    score = _score(recipe, parts, facts, on_record["training"])
    check_on_record(score, on_record, "mean", SAME)
    return model_folder.score_table(score["test"])
