"""What every recipe of kind `segment_instances` does: train, choose limits, score."""

import itertools
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import cast

import numpy as np
import torch
from monai.losses import DiceCELoss
from numpy.typing import NDArray
from torch import Generator, Tensor, nn
from torch.optim import AdamW

from dicom_ai_node.neural.separate import (
    Limits,
    brightened,
    histogram_of,
    rim_and_core,
    separate,
)
from dicom_ai_node.training import folder as model_folder
from dicom_ai_node.training.brightness import by_brightness
from dicom_ai_node.training.command import Course, Known, Scores, Work, run
from dicom_ai_node.training.fit import Example, Fitted, Judge, Plan, descend, draw
from dicom_ai_node.training.grid import Facts, pad_end
from dicom_ai_node.training.matching import Objects, scores
from dicom_ai_node.training.scores import interval_of_mean, row_of

SAME = 0.015
"""By how much a mean may differ on another machine: one nucleus in one of a hundred fields."""

CORES, INSIDES, SMALLEST = (0.35, 0.5, 0.65, 0.8), (0.4, 0.5, 0.6), (6, 12, 20, 30)
GAPS_PX = (3, 5, 8, 12)
"""What the validation part chooses among: limits of the model, and gaps of the simple method."""

BY_KIND = ("PQ", "F1 at IoU 0.5")
"""Measures that are told for every kind of picture, too."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Field:
    """A field of view with the objects that somebody drew.

    Attributes
    ----------
    name
        Names the field among those of its recipe; never a patient's.
    image
        (rows, columns) float32, 0..255, as it is in the file.
    objects
        (rows, columns) int32, 0 background, each object another number.
    group
        What must stay on one side of a split.
    kind
        Words for the score table: what sort of picture it is.
    """

    name: str
    image: NDArray[np.float32]
    objects: Objects
    group: str
    kind: str


@dataclass(frozen=True, slots=True, kw_only=True)
class FieldParts:
    """Training fits weights, validation chooses step and limits, test is scored once at the end."""

    training: Sequence[Field]
    validation: Sequence[Field]
    test: Sequence[Field]


@dataclass(frozen=True, slots=True, kw_only=True)
class InstanceRecipe:
    """What a recipe decides.

    `often` is how many times an epoch a kind of field is drawn, `golden` the kind of field that
    the golden case is one of.
    """

    folder: Path
    read: Callable[[Path], FieldParts]
    plan: Plan
    often: Mapping[str, int]
    golden: str


def network_input(field: Field, facts: Facts) -> Tensor:
    """Return (rows, columns) as the network sees it: nuclei bright, scaled."""
    percent = (facts["intensity"]["low"], facts["intensity"]["high"])
    return torch.from_numpy(brightened(field.image, histogram_of(field.image), percent))


def probabilities_of(
    network: nn.Module, fields: Sequence[Field], facts: Facts
) -> list[NDArray[np.float32]]:
    """Return (3, rows, columns) of every field."""
    with torch.inference_mode():
        return [
            network(network_input(field, facts)[None, None]).float().softmax(1)[0].numpy()
            for field in fields
        ]


def limits_of(facts: Facts) -> Limits:
    """Return the limits that stand in the facts."""
    told = facts["settings"]
    return Limits(core=told["core"], inside=told["inside"], smallest_px=told["smallest_px"])


def _mean_pq(fields: Sequence[Field], found: Sequence[Objects]) -> float:
    """Return the mean over the kinds of field of their mean PQ: each kind counts the same."""
    by_kind: dict[str, list[float]] = defaultdict(list)
    for field, objects in zip(fields, found, strict=True):
        by_kind[field.kind].append(scores(field.objects, objects)["PQ"])
    return float(np.mean([np.mean(values) for values in by_kind.values()]))


def _fit(work: Work[InstanceRecipe, FieldParts]) -> Fitted:
    recipe, parts, facts = work.recipe, work.parts, work.facts
    network = model_folder.new_network(recipe.folder)
    examples: list[Example] = []
    for field in parts.training:
        wanted = torch.from_numpy(rim_and_core(field.objects))
        examples += [(network_input(field, facts), wanted)] * recipe.often.get(field.kind, 1)

    # Every second field is enough to choose a step by; the limits are chosen on all of them.
    held = parts.validation[::2]

    def judge(candidate: nn.Module) -> float:
        with torch.autocast("cpu", torch.bfloat16):
            found = probabilities_of(candidate, held, facts)
        return _mean_pq(held, [separate(p, Limits()) for p in found])

    return _fitted(network, examples, judge, work.plan)


def _fitted(network: nn.Module, examples: Sequence[Example], judge: Judge, plan: Plan) -> Fitted:
    """Fit in bfloat16 where it is allowed: twice as many steps in the same time."""
    torch.manual_seed(plan.seed)
    generator = Generator().manual_seed(plan.seed)
    network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    loss_of = DiceCELoss(to_onehot_y=True, softmax=True, include_background=False, batch=True)
    optimizer = AdamW(network.parameters(), lr=plan.learning_rate, weight_decay=1e-4)

    def loss() -> Tensor:
        images, labels = draw(examples, plan, generator)
        with torch.autocast("cpu", torch.bfloat16):
            logits = network(images.contiguous(memory_format=torch.channels_last))
        return cast("Tensor", loss_of(logits.float(), labels[:, None]))

    return descend(network, optimizer, loss, judge, plan)


def _choose_limits(work: Work[InstanceRecipe, FieldParts], network: nn.Module) -> None:
    """Choose the limits that give the best PQ on the validation part, and write them down."""
    fields = work.parts.validation
    found = probabilities_of(network, fields, work.facts)

    def quality(limits: Limits) -> float:
        return _mean_pq(fields, [separate(p, limits) for p in found])

    best = max(
        (Limits(core=c, inside=i, smallest_px=12) for c, i in itertools.product(CORES, INSIDES)),
        key=quality,
    )
    best = max((replace(best, smallest_px=size) for size in SMALLEST), key=quality)
    for key in ("core", "inside", "smallest_px"):
        model_folder.write_number(work.recipe.folder, key, getattr(best, key))


def _interval(values: Sequence[float], groups: Sequence[str]) -> dict[str, float]:
    """Return the mean with its 95 % interval."""
    return row_of(float(np.mean(values)), interval_of_mean(values, groups), len(values))


def table_of(fields: Sequence[Field], found: Sequence[Objects], method: str = "") -> Scores:
    """Return every measure of all fields, and some of every kind of field, with intervals."""
    rows = [scores(f.objects, objects) for f, objects in zip(fields, found, strict=True)]
    kinds = list(dict.fromkeys(field.kind for field in fields))
    asked_for = [(name, None) for name in rows[0]] + list(itertools.product(BY_KIND, kinds))
    table: Scores = {}
    for name, kind in asked_for:
        chosen = [n for n, field in enumerate(fields) if kind in (None, field.kind)]
        row = _interval([rows[n][name] for n in chosen], [fields[n].group for n in chosen])
        table[", ".join(filter(None, (name, kind, method)))] = row
    return table


def _found(network: nn.Module, fields: Sequence[Field], facts: Facts) -> list[Objects]:
    limits = limits_of(facts)
    return [separate(p, limits) for p in probabilities_of(network, fields, facts)]


def _found_simply(fields: Sequence[Field], gap_px: int, facts: Facts) -> list[Objects]:
    smallest_px = limits_of(facts).smallest_px
    return [by_brightness(field.image, gap_px, smallest_px) for field in fields]


def _settle(work: Work[InstanceRecipe, FieldParts], network: nn.Module) -> Known:
    fields, facts = work.parts.validation, work.facts
    return {
        "gap_px": max(GAPS_PX, key=lambda gap: _mean_pq(fields, _found_simply(fields, gap, facts))),
        "validation": table_of(fields, _found(network, fields, facts)),
    }


def _score(work: Work[InstanceRecipe, FieldParts], network: nn.Module, known: Known) -> Scores:
    fields, facts = work.parts.test, work.facts
    simply = _found_simply(fields, known["gap_px"], facts)
    return {
        **table_of(fields, _found(network, fields, facts)),
        **table_of(fields, simply, "Otsu and watershed"),
    }


def golden_of(
    network: nn.Module, fields: Sequence[Field], facts: Facts, kind: str
) -> tuple[Tensor, NDArray[np.uint8]]:
    """Return the golden image and which of its pixels are of an object, as the node finds them.

    It is the field of this kind with the median number of objects.
    """
    ordered = sorted((f for f in fields if f.kind == kind), key=lambda f: int(f.objects.max()))
    field = ordered[len(ordered) // 2]
    # Whole numbers: the file is smaller, and the result is computed from what is stored.
    image = np.asarray(field.image.round(), np.float32)
    rows, columns = image.shape
    padded = pad_end(network_input(replace(field, image=image), facts), facts["grid"]["size_px"], 0)
    with torch.inference_mode():
        found = network(padded[None, None]).softmax(1)[0, :, :rows, :columns].numpy()
    labels = separate(found, limits_of(facts)) > 0
    return torch.from_numpy(image), np.asarray(labels, np.uint8)


def _golden(work: Work[InstanceRecipe, FieldParts], network: nn.Module) -> None:
    image, labels = golden_of(network, work.parts.test, work.facts, work.recipe.golden)
    model_folder.write_golden(work.recipe.folder, image=image.numpy(), labels=labels)


COURSE: Course[InstanceRecipe, FieldParts] = Course(
    fit=_fit,
    calibrate=_choose_limits,
    golden=_golden,
    settle=_settle,
    score=_score,
    same=SAME,
)


def main(recipe: InstanceRecipe, arguments: Sequence[str] | None = None) -> str:
    """Run a recipe and return its score table, see `command.run`."""
    return run(recipe, COURSE, arguments)
