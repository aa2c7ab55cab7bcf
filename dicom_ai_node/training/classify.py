"""The command line of every recipe of kind `classify`: train, calibrate, score, write the folder.

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
from scipy.special import softmax
from torch import Tensor, nn

from dicom_ai_node.training import folder as model_folder
from dicom_ai_node.training.certainty import calibration_error, temperature_of
from dicom_ai_node.training.command import asked, check_on_record
from dicom_ai_node.training.fit import Plan
from dicom_ai_node.training.fit_classes import fit_classes
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
    threshold_of,
)
from dicom_ai_node.training.reliability import bins_of, reliability_picture

GOLDEN_CERTAINTY = 0.85
"""The golden picture is one on whose class the model is about this certain: it shows a change."""

SAME = 2e-3
"""How far a score that is measured again may lie from the one on record."""

Scores = dict[str, dict[str, float]]


def _nothing_beside(_parts: PictureParts) -> Mapping[str, Measure]:
    return {}


@dataclass(frozen=True, slots=True, kw_only=True)
class ClassRecipe:
    """What a recipe decides.

    `read` returns the parts of the data in a folder, `beside` measures of the test part that do
    not come from the network (a simple method to be better than), by name.
    """

    folder: Path
    read: Callable[[Path], PictureParts]
    plan: Plan
    beside: Callable[[PictureParts], Mapping[str, Measure]] = _nothing_beside


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
    low, high = interval(measure, found, labels, groups)
    return {
        "value": round(measure(found, labels), 4),
        "low": round(low, 4),
        "high": round(high, 4),
        "cases": len(labels),
    }


def _train(recipe: ClassRecipe, parts: PictureParts, facts: Facts) -> Mapping[str, Any]:
    torch.manual_seed(recipe.plan.seed)
    network = model_folder.new_network(recipe.folder)
    examples = [(network_input(on_grid(p, facts), facts), p.label) for p in parts.training]
    labels = _labels(parts.validation)

    def judge(candidate: nn.Module) -> float:
        found = softmax(logits_of(candidate, parts.validation, facts), axis=1)
        return (mean_auc(found, labels) + accuracy(found, labels)) / 2

    fitted = fit_classes(network, examples, judge, recipe.plan)
    model_folder.write_weights(recipe.folder, fitted.network)
    return {
        "cases": len(parts.training),
        "steps": fitted.steps,
        "batch": recipe.plan.batch,
        "minutes": round(fitted.minutes, 1),
        "seed": recipe.plan.seed,
        "torch": torch.__version__,
    }


def _calibrate(recipe: ClassRecipe, parts: PictureParts, facts: Facts) -> Facts:
    """Find temperature and threshold on the validation part, and write them into the facts."""
    network = model_folder.shipped_network(recipe.folder)
    logits, labels = logits_of(network, parts.validation, facts), _labels(parts.validation)
    temperature = temperature_of(logits, labels)
    model_folder.write_number(recipe.folder, "temperature", temperature)
    point = facts["settings"].get("operating_point")
    if point:
        k = [entry["label"] for entry in facts["classes"]].index(point["label"])
        found = softmax(logits / temperature, axis=1)[:, k]
        threshold = round(threshold_of(found, labels == k), 3)
        model_folder.write_number(recipe.folder, "threshold", threshold)
    return model_folder.facts_of(recipe.folder)


def draw_reliability(recipe: ClassRecipe, pictures: Sequence[Picture], facts: Facts) -> None:
    """Write `docs/reliability.png`, which the card shows: are the probabilities to be believed?"""
    network = model_folder.shipped_network(recipe.folder)
    logits, labels = logits_of(network, pictures, facts), _labels(pictures)
    found = softmax(logits / facts["settings"]["temperature"], axis=1)
    picture = reliability_picture(bins_of(found, labels), f"{facts['name']} on its test part")
    picture.save(recipe.folder / "docs/reliability.png", optimize=True)


def _score(
    recipe: ClassRecipe, parts: PictureParts, facts: Facts, training: Mapping[str, Any]
) -> dict[str, Any]:
    network = model_folder.shipped_network(recipe.folder)
    weights = (recipe.folder / model_folder.WEIGHTS).read_bytes()
    return {
        "model": facts["name"],
        "version": facts["version"],
        "weights_sha256": hashlib.sha256(weights).hexdigest(),
        "training": dict(training),
        "validation": scores_of(network, parts.validation, facts),
        "test": scores_of(network, parts.test, facts, recipe.beside(parts)),
    }


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


def _finish(
    recipe: ClassRecipe, parts: PictureParts, facts: Facts, training: Mapping[str, Any]
) -> dict[str, Any]:
    network = model_folder.shipped_network(recipe.folder)
    image, probabilities = golden_of(network, parts.test, facts)
    model_folder.write_golden_class(recipe.folder, image, probabilities)
    score = _score(recipe, parts, facts, training)
    model_folder.write_score(recipe.folder, score)
    draw_reliability(recipe, parts.test, facts)
    model_folder.write_checksums(recipe.folder)
    return score


def main(recipe: ClassRecipe, arguments: Sequence[str] | None = None) -> str:
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
