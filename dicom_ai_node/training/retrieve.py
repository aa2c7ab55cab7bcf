"""The command line of every recipe of kind `retrieve`: train, score, write the folder.

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
from torch import Tensor, nn
from torch.nn import functional

from dicom_ai_node.training import folder as model_folder
from dicom_ai_node.training.classify import network_input, on_grid
from dicom_ai_node.training.command import asked, check_on_record
from dicom_ai_node.training.fit import Plan
from dicom_ai_node.training.fit_embedding import fit_embedding
from dicom_ai_node.training.grid import Facts
from dicom_ai_node.training.neighbours import (
    Vectors,
    likeness_by_angle,
    likeness_by_distance,
    precisions,
)
from dicom_ai_node.training.picture import Picture, PictureParts
from dicom_ai_node.training.ranking import Labels, Probabilities, interval

NEAREST = 5
THUMBNAIL_PX = 20
"""Rows and columns of the pictures that the simplest method compares pixel by pixel."""

SAME = 2e-3
"""How far a score that is measured again may lie from the one on record."""

Scores = dict[str, dict[str, float]]


@dataclass(frozen=True, slots=True, kw_only=True)
class PictureClass:
    """What pictures of one class show, and the part of the score table that they count to."""

    name: str
    counts_to: str
    is_trained: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class EmbeddingRecipe:
    """What a recipe decides. `label` of a picture is a place in `classes`."""

    folder: Path
    classes: Sequence[PictureClass]
    read: Callable[[Path], PictureParts]
    plan: Plan


def inputs_of(pictures: Sequence[Picture], facts: Facts) -> Tensor:
    """Return (pictures, 1, rows, columns), as the network takes them."""
    return torch.stack([network_input(on_grid(p, facts), facts) for p in pictures])[:, None]


def vectors_of(network: nn.Module, inputs: Tensor) -> Vectors:
    """Return (pictures, length) unit vectors."""
    with torch.inference_mode():
        found = torch.cat([network(batch) for batch in inputs.split(64)])
    return np.asarray(functional.normalize(found).double().numpy())


def thumbnails_of(inputs: Tensor) -> Vectors:
    """Return (pictures, pixels): the same pictures so small that only their layout is left."""
    small = functional.adaptive_avg_pool2d(inputs, THUMBNAIL_PX)
    return np.asarray(small.flatten(1).double().numpy())


def _labels(pictures: Sequence[Picture]) -> Labels:
    return np.array([picture.label for picture in pictures], dtype=np.int64)


def scores_of(
    network: nn.Module,
    pictures: Sequence[Picture],
    facts: Facts,
    classes: Sequence[PictureClass],
) -> Scores:
    """Return precision at five beside that of thumbnails, for all and for every part.

    Intervals are those of a bootstrap over groups; `gain` is their difference, drawn in pairs.
    """
    inputs, labels = inputs_of(pictures, facts), _labels(pictures)
    groups = [picture.group for picture in pictures]
    ours = precisions(likeness_by_angle(vectors_of(network, inputs)), labels, groups, NEAREST)
    simple = precisions(likeness_by_distance(thumbnails_of(inputs)), labels, groups, NEAREST)
    trained = np.array([classes[label].is_trained for label in labels])
    part_of = np.array([classes[label].counts_to for label in labels])
    rows: Scores = {}
    chosen = {"all": trained} | {
        name: part_of == name for name in dict.fromkeys(one.counts_to for one in classes)
    }
    for name, those in chosen.items():
        asked_of = those & np.isfinite(ours)
        if not asked_of.any():
            continue
        names = [group for group, is_in in zip(groups, asked_of, strict=True) if is_in]
        values = {
            f"precision at {NEAREST}, {name}": ours,
            f"the same of thumbnails of {THUMBNAIL_PX} px, {name}": simple,
            f"gain over thumbnails, {name}": ours - simple,
        }
        for row, of_each in values.items():
            rows[row] = _row(of_each[asked_of], labels[asked_of], names)
    return rows


def _row(values: NDArray[np.float64], labels: Labels, groups: Sequence[str]) -> dict[str, float]:
    def mean(found: Probabilities, _labels: Labels) -> float:
        return float(found.mean())

    low, high = interval(mean, values[:, None], labels, groups)
    return {
        "value": round(float(values.mean()), 4),
        "low": round(low, 4),
        "high": round(high, 4),
        "cases": len(values),
    }


def _mean_over_classes(values: NDArray[np.float64], labels: Labels) -> float:
    """Return the mean of what each class reaches, so that no class is worth more by its size."""
    means = [values[(labels == k) & np.isfinite(values)] for k in np.unique(labels)]
    return float(np.mean([found.mean() for found in means if found.size]))


def _train(recipe: EmbeddingRecipe, parts: PictureParts, facts: Facts) -> Mapping[str, Any]:
    torch.manual_seed(recipe.plan.seed)
    network = model_folder.new_network(recipe.folder)
    inputs = inputs_of(parts.training, facts)[:, 0]
    examples = [(image, p.label) for image, p in zip(inputs, parts.training, strict=True)]
    seen, labels = inputs_of(parts.validation, facts), _labels(parts.validation)
    groups = [picture.group for picture in parts.validation]

    def judge(candidate: nn.Module) -> float:
        likeness = likeness_by_angle(vectors_of(candidate, seen))
        return _mean_over_classes(precisions(likeness, labels, groups, NEAREST), labels)

    fitted = fit_embedding(network, examples, judge, recipe.plan)
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
    recipe: EmbeddingRecipe, parts: PictureParts, facts: Facts, training: Mapping[str, Any]
) -> dict[str, Any]:
    network = model_folder.shipped_network(recipe.folder)
    weights = (recipe.folder / model_folder.WEIGHTS).read_bytes()
    return {
        "model": facts["name"],
        "version": facts["version"],
        "weights_sha256": hashlib.sha256(weights).hexdigest(),
        "training": dict(training),
        "validation": scores_of(network, parts.validation, facts, recipe.classes),
        "test": scores_of(network, parts.test, facts, recipe.classes),
    }


def golden_of(
    network: nn.Module, pictures: Sequence[Picture], facts: Facts
) -> tuple[Tensor, NDArray[np.float32]]:
    """Return the first picture on the model's grid in its unit, and its vector."""
    # Whole numbers: the file is smaller, and the result is computed from what is stored.
    image = on_grid(pictures[0], facts).round()
    again = replace(pictures[0], image=image.numpy())
    (vector,) = vectors_of(network, inputs_of([again], facts))
    return image, vector.astype(np.float32)


def main(recipe: EmbeddingRecipe, arguments: Sequence[str] | None = None) -> str:
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
    if told.score_only:
        on_record = json.loads((recipe.folder / "docs/score.json").read_text())
        score = _score(recipe, parts, facts, on_record["training"])
        check_on_record(score, on_record, "value", SAME)
        return model_folder.score_table(score["test"])
    training = _train(recipe, parts, facts)
    network = model_folder.shipped_network(recipe.folder)
    model_folder.write_golden_vector(recipe.folder, *golden_of(network, parts.test, facts))
    score = _score(recipe, parts, facts, training)
    model_folder.write_score(recipe.folder, score)
    model_folder.write_checksums(recipe.folder)
    return model_folder.score_table(score["test"])
