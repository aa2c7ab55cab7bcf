"""What a recipe of kind `classify` does whose data are too few to hold a part back for the test.

Every picture is judged once, by a network that was trained without it and without those of its
group: cross-validation. The weights that are shipped are trained the same way on all pictures, so
that the scores are those of the recipe and not of these very weights. Nothing is chosen on the way,
no step, no setting: what has no validation part must not choose.
"""

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import count
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.special import softmax
from torch import nn

from dicom_ai_node.training import folder as model_folder
from dicom_ai_node.training.certainty import calibration_error, temperature_of
from dicom_ai_node.training.classify import SAME, golden_of, logits_of, measures, outlined
from dicom_ai_node.training.command import Course, Known, Scores, Work, run
from dicom_ai_node.training.fit import Fitted, Plan
from dicom_ai_node.training.fit_outlined import fit_outlined
from dicom_ai_node.training.grid import Facts
from dicom_ai_node.training.picture import Picture, dealt
from dicom_ai_node.training.ranking import Labels, Measure, Probabilities, accuracy, interval
from dicom_ai_node.training.reliability import bins_of, reliability_picture
from dicom_ai_node.training.scores import row_of

FOLDS = 5
JUDGED = "docs/out_of_fold.json"
"""What every picture got from the network that had not seen it: name, fold, logits."""

Simple = Callable[[Sequence[Picture], Sequence[Picture]], NDArray[np.int64]]
"""A simple method: the classes of the second pictures, learned from the first."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Pictures:
    """All there are."""

    training: Sequence[Picture]


@dataclass(frozen=True, slots=True, kw_only=True)
class FoldRecipe:
    """What a recipe decides.

    `read` returns all pictures in a folder, `look_at` is the layer that is shown their outlines,
    `beside` are simple methods to be better than, by name. `plan` holds for each of the trainings.
    """

    folder: Path
    read: Callable[[Path], Pictures]
    plan: Plan
    look_at: str
    beside: Mapping[str, Simple]


@dataclass(frozen=True, slots=True)
class Judged:
    """Pictures in an order, with (pictures,) folds and (pictures, classes) logits."""

    pictures: Sequence[Picture]
    folds: NDArray[np.int64]
    logits: NDArray[np.float64]

    @property
    def labels(self) -> Labels:
        """What the pictures truly are."""
        return np.array([picture.label for picture in self.pictures], dtype=np.int64)

    def probabilities(self) -> Probabilities:
        """Return calibrated probabilities; the temperature of a fold comes from the others."""
        found = np.empty_like(self.logits)
        for fold in np.unique(self.folds):
            others, mine = self.folds != fold, self.folds == fold
            temperature = temperature_of(self.logits[others], self.labels[others])
            found[mine] = softmax(self.logits[mine] / temperature, axis=1)
        return found


def folds_of(pictures: Sequence[Picture]) -> list[Sequence[Picture]]:
    """Part pictures into folds, groups whole and every class alike in each."""
    return list(dealt(pictures, {str(fold): 1 / FOLDS for fold in range(FOLDS)}).values())


def balanced_accuracy(found: Probabilities, labels: Labels) -> float:
    """Return the mean over the classes of the share that was found."""
    right = found.argmax(1) == labels
    return float(np.mean([right[labels == k].mean() for k in np.unique(labels)]))


def _fitted(recipe: FoldRecipe, pictures: Sequence[Picture], facts: Facts, plan: Plan) -> Fitted:
    torch.manual_seed(plan.seed)
    network, later = model_folder.new_network(recipe.folder), count()
    examples = [outlined(picture, facts) for picture in pictures]
    # The last step is the best one, for nobody else may say which is.
    return fit_outlined(network, examples, lambda _network: next(later), plan, recipe.look_at)


def _fit(work: Work[FoldRecipe, Pictures]) -> Fitted:
    folds = folds_of(work.parts.training)
    rows = []
    for fold, held_out in enumerate(folds):
        others = [p for number, part in enumerate(folds) if number != fold for p in part]
        network = _fitted(work.recipe, others, work.facts, work.plan).network
        logits = logits_of(network, held_out, work.facts).round(4)
        rows += [
            {"name": picture.name, "fold": fold, "logits": values.tolist()}
            for picture, values in zip(held_out, logits, strict=True)
        ]
    path = work.recipe.folder / JUDGED
    path.parent.mkdir(parents=True, exist_ok=True)
    lines = ",\n".join(json.dumps(row) for row in sorted(rows, key=lambda row: str(row["name"])))
    path.write_text(f"[\n{lines}\n]\n")
    return _fitted(work.recipe, work.parts.training, work.facts, work.plan)


def judged(recipe: FoldRecipe, pictures: Sequence[Picture]) -> Judged:
    """Return what was written down of every picture."""
    rows = {row["name"]: row for row in json.loads((recipe.folder / JUDGED).read_text())}
    return Judged(
        pictures=pictures,
        folds=np.array([rows[picture.name]["fold"] for picture in pictures], dtype=np.int64),
        logits=np.array([rows[picture.name]["logits"] for picture in pictures]),
    )


def _calibrate(work: Work[FoldRecipe, Pictures], _network: nn.Module) -> None:
    found = judged(work.recipe, work.parts.training)
    temperature = temperature_of(found.logits, found.labels)
    model_folder.write_number(work.recipe.folder, "temperature", temperature)


def _golden(work: Work[FoldRecipe, Pictures], network: nn.Module) -> None:
    image, probabilities = golden_of(network, work.parts.training, work.facts)
    model_folder.write_golden(work.recipe.folder, image=image.numpy(), probabilities=probabilities)


def scores_of(recipe: FoldRecipe, pictures: Sequence[Picture], facts: Facts) -> Scores:
    """Return every measure over all pictures, with its 95 % interval (bootstrap over groups)."""
    found = judged(recipe, pictures)
    calibrated, labels = found.probabilities(), found.labels
    groups = [picture.group for picture in pictures]

    def row(measure: Measure, values: Probabilities, cases: int) -> dict[str, float]:
        drawn = interval(measure, values, labels, groups)
        return row_of(measure(values, labels), drawn, cases)

    rows = {"balanced accuracy": row(balanced_accuracy, calibrated, len(labels))}
    for name, asked in measures(facts).items():
        about = range(calibrated.shape[1]) if asked.about is None else asked.about
        rows[name] = row(asked.measure, calibrated, int(np.isin(labels, about).sum()))
    plain = softmax(found.logits, axis=1)
    rows["calibration error (ECE), before temperature"] = row(calibration_error, plain, len(labels))
    rows["calibration error (ECE)"] = row(calibration_error, calibrated, len(labels))
    for name, simple in recipe.beside.items():
        told = _by(simple, found)
        rows[f"balanced accuracy of {name}, for comparison"] = row(
            balanced_accuracy, told, len(labels)
        )
        rows[f"accuracy of {name}, for comparison"] = row(accuracy, told, len(labels))
    return rows


def _by(simple: Simple, found: Judged) -> Probabilities:
    """Return what a simple method says of every picture, learned from the other folds."""
    told = np.zeros_like(found.logits)
    for fold in np.unique(found.folds):
        placed = list(zip(found.pictures, found.folds == fold, strict=True))
        mine = [picture for picture, is_mine in placed if is_mine]
        others = [picture for picture, is_mine in placed if not is_mine]
        told[np.flatnonzero(found.folds == fold), simple(others, mine)] = 1.0
    return told


def _score(work: Work[FoldRecipe, Pictures], network: nn.Module, _known: Known) -> Scores:
    pictures = work.parts.training
    rows = scores_of(work.recipe, pictures, work.facts)
    labels = np.array([picture.label for picture in pictures])
    known = accuracy(logits_of(network, pictures, work.facts), labels)
    rows["accuracy of the shipped weights on what they learned from"] = {
        "value": round(known, 4),
        "cases": len(pictures),
    }
    return rows


def _draw(work: Work[FoldRecipe, Pictures], _network: nn.Module) -> None:
    found = judged(work.recipe, work.parts.training)
    bins = bins_of(found.probabilities(), found.labels)
    picture = reliability_picture(bins, f"{work.facts['name']}, cross-validated")
    picture.save(work.recipe.folder / "docs/reliability.png", optimize=True)


COURSE: Course[FoldRecipe, Pictures] = Course(
    fit=_fit,
    calibrate=_calibrate,
    golden=_golden,
    settle=lambda work, _: {"folds": [len(part) for part in folds_of(work.parts.training)]},
    score=_score,
    draw=_draw,
    same=SAME,
)


def main(recipe: FoldRecipe, arguments: Sequence[str] | None = None) -> str:
    """Run a recipe and return its score table, see `command.run`."""
    return run(recipe, COURSE, arguments)
