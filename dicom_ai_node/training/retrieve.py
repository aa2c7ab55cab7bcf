"""What every recipe of kind `retrieve` does: train, score, write the folder."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional

from dicom_ai_node.training import folder as model_folder
from dicom_ai_node.training.classify import network_input, on_grid
from dicom_ai_node.training.command import Course, Scores, Work, run
from dicom_ai_node.training.fit import Fitted, Plan
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
from dicom_ai_node.training.scores import row_of

NEAREST = 5
THUMBNAIL_PX = 20
"""Rows and columns of the pictures that the simplest method compares pixel by pixel."""

SAME = 2e-3
"""How far a score that is measured again may lie from the one on record."""


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

    drawn = interval(mean, values[:, None], labels, groups)
    return row_of(float(values.mean()), drawn, len(values))


def _mean_over_classes(values: NDArray[np.float64], labels: Labels) -> float:
    """Return the mean of what each class reaches, so that no class is worth more by its size."""
    means = [values[(labels == k) & np.isfinite(values)] for k in np.unique(labels)]
    return float(np.mean([found.mean() for found in means if found.size]))


def _fit(work: Work[EmbeddingRecipe, PictureParts]) -> Fitted:
    parts, facts = work.parts, work.facts
    network = model_folder.new_network(work.recipe.folder)
    inputs = inputs_of(parts.training, facts)[:, 0]
    examples = [(image, p.label) for image, p in zip(inputs, parts.training, strict=True)]
    seen, labels = inputs_of(parts.validation, facts), _labels(parts.validation)
    groups = [picture.group for picture in parts.validation]

    def judge(candidate: nn.Module) -> float:
        likeness = likeness_by_angle(vectors_of(candidate, seen))
        return _mean_over_classes(precisions(likeness, labels, groups, NEAREST), labels)

    return fit_embedding(network, examples, judge, work.plan)


def golden_of(
    network: nn.Module, pictures: Sequence[Picture], facts: Facts
) -> tuple[Tensor, NDArray[np.float32]]:
    """Return the first picture on the model's grid in its unit, and its vector."""
    # Whole numbers: the file is smaller, and the result is computed from what is stored.
    image = on_grid(pictures[0], facts).round()
    again = replace(pictures[0], image=image.numpy())
    (vector,) = vectors_of(network, inputs_of([again], facts))
    return image, vector.astype(np.float32)


def _golden(work: Work[EmbeddingRecipe, PictureParts], network: nn.Module) -> None:
    image, vector = golden_of(network, work.parts.test, work.facts)
    model_folder.write_golden(work.recipe.folder, image=image.numpy(), embedding=vector)


COURSE: Course[EmbeddingRecipe, PictureParts] = Course(
    fit=_fit,
    golden=_golden,
    settle=lambda work, network: {
        "validation": scores_of(network, work.parts.validation, work.facts, work.recipe.classes)
    },
    score=lambda work, network, _: scores_of(
        network, work.parts.test, work.facts, work.recipe.classes
    ),
    same=SAME,
)


def main(recipe: EmbeddingRecipe, arguments: Sequence[str] | None = None) -> str:
    """Run a recipe and return its score table, see `command.run`."""
    return run(recipe, COURSE, arguments)
