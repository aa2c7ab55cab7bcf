"""What every recipe of kind `fuse` does: train, calibrate, compare with less, write the folder."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import cast

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.special import softmax
from torch import Generator, Tensor, nn
from torch.optim import AdamW

from dicom_ai_node.training import folder as model_folder
from dicom_ai_node.training.certainty import calibration_error, temperature_of
from dicom_ai_node.training.classify import GOLDEN_CERTAINTY, SAME, measures
from dicom_ai_node.training.command import Course, Scores, Work, run
from dicom_ai_node.training.fit import Fitted, Plan, descend
from dicom_ai_node.training.fit_classes import SMOOTHING
from dicom_ai_node.training.grid import Facts, scaled_inputs
from dicom_ai_node.training.ranking import Labels, Measure, accuracy, interval, mean_auc
from dicom_ai_node.training.reliability import bins_of, reliability_picture
from dicom_ai_node.training.scores import row_of

BLANKED, FORGOTTEN, ALL_FORGOTTEN = 0.12, 0.1, 0.12
"""Chance in training that one image is not shown, that a fact is not told, and that none is."""
AT_ONCE = 32


@dataclass(frozen=True, slots=True, kw_only=True)
class FusedCase:
    """Images of one patient on the model's grid, what is known of him, and his class.

    Attributes
    ----------
    images
        (slices, rows, columns) float32 in the unit of each input, by its name.
    told
        What the model's facts ask for, by name; `None` is unknown.
    group
        What an interval draws: one made case is one group.
    """

    images: Mapping[str, NDArray[np.float32]]
    told: Mapping[str, float | None]
    label: int
    group: str


@dataclass(frozen=True, slots=True, kw_only=True)
class FusedParts:
    """Training fits weights, validation chooses and calibrates, test is scored once at the end.

    `real` are cases that nobody made; each is told by itself.
    """

    training: Sequence[FusedCase]
    validation: Sequence[FusedCase]
    test: Sequence[FusedCase]
    real: Sequence[FusedCase] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class FuseRecipe:
    """What a recipe decides. `read` returns the parts of the data in a folder."""

    folder: Path
    read: Callable[[Path], FusedParts]
    plan: Plan


Example = tuple[Tensor, Tensor, int]
"""(inputs, *axes) scaled images, (2 * facts,) numbers, class."""


def told_vector(told: Mapping[str, float | None], facts: Facts) -> Tensor:
    """Return (2 * facts,): numbers scaled as the facts say, 0 if unknown; then what is known."""
    asked = facts["clinical"]
    numbers = [
        0.0
        if told[fact["name"]] is None
        else (cast("float", told[fact["name"]]) - fact["mean"]) / fact["deviation"]
        for fact in asked
    ]
    known = [float(told[fact["name"]] is not None) for fact in asked]
    return torch.tensor([*numbers, *known], dtype=torch.float32)


def example_of(case: FusedCase, facts: Facts) -> Example:
    """Return a case as the network sees it."""
    images = {name: torch.from_numpy(image) for name, image in case.images.items()}
    return scaled_inputs(images, facts), told_vector(case.told, facts), case.label


def shown(examples: Sequence[Example], without: Sequence[int], *, tell: bool) -> Sequence[Example]:
    """Return examples of which some images are blank and, unless `tell`, no fact is known."""
    found = []
    for images, told, label in examples:
        less = images.clone()
        less[list(without)] = 0
        found.append((less, told if tell else torch.zeros_like(told), label))
    return found


def logits_of(network: nn.Module, examples: Sequence[Example]) -> NDArray[np.float64]:
    """Return (cases, classes) logits, undivided."""
    found = []
    with torch.inference_mode():
        for start in range(0, len(examples), AT_ONCE):
            some = examples[start : start + AT_ONCE]
            images = torch.stack([one[0] for one in some])
            found.append(network(images, torch.stack([one[1] for one in some])))
    return np.asarray(torch.cat(found).double().numpy())


def _labels(examples: Sequence[Example]) -> Labels:
    return np.array([label for _, _, label in examples], dtype=np.int64)


def draw(
    examples: Sequence[Example], plan: Plan, generator: Generator
) -> tuple[Tensor, Tensor, Tensor]:
    """Return images, numbers and classes of a batch: mirrored, some of it blank or not told."""

    def some(chance: float, *shape: int) -> Tensor:
        return torch.rand(shape, generator=generator) < chance

    chosen = torch.randint(len(examples), (plan.batch,), generator=generator).tolist()
    images = torch.stack([examples[n][0] for n in chosen])
    for axis in plan.warp.mirror:
        mirrored = some(0.5, plan.batch).reshape(-1, 1, 1, 1, 1)
        images = torch.where(mirrored, images.flip(axis), images)
    count = images.shape[1]
    # One image at most: with none there is only guessing to learn.
    blank = torch.randint(count, (plan.batch,), generator=generator)
    is_blank = nn.functional.one_hot(blank, count).bool() & some(BLANKED * count, plan.batch, 1)
    images = images * ~is_blank[:, :, None, None, None]
    told = torch.stack([examples[n][1] for n in chosen])
    half = told.shape[1] // 2
    kept = ~(some(FORGOTTEN, plan.batch, half) | some(ALL_FORGOTTEN, plan.batch, 1))
    return images, told * kept.repeat(1, 2), torch.tensor([examples[n][2] for n in chosen])


def _fit(work: Work[FuseRecipe, FusedParts]) -> Fitted:
    network = model_folder.new_network(work.recipe.folder)
    generator = Generator().manual_seed(work.plan.seed)
    examples = [example_of(case, work.facts) for case in work.parts.training]
    unseen = [example_of(case, work.facts) for case in work.parts.validation]
    loss_of = nn.CrossEntropyLoss(label_smoothing=SMOOTHING)
    optimizer = AdamW(network.parameters(), lr=work.plan.learning_rate, weight_decay=1e-2)

    def loss() -> Tensor:
        images, told, labels = draw(examples, work.plan, generator)
        return cast("Tensor", loss_of(network(images, told), labels))

    def judge(candidate: nn.Module) -> float:
        found = softmax(logits_of(candidate, unseen), axis=1)
        return (mean_auc(found, _labels(unseen)) + accuracy(found, _labels(unseen))) / 2

    return descend(network, optimizer, loss, judge, work.plan)


def _calibrate(work: Work[FuseRecipe, FusedParts], network: nn.Module) -> None:
    unseen = [example_of(case, work.facts) for case in work.parts.validation]
    temperature = temperature_of(logits_of(network, unseen), _labels(unseen))
    model_folder.write_number(work.recipe.folder, "temperature", temperature)


def _chances(network: nn.Module, examples: Sequence[Example], facts: Facts) -> NDArray[np.float64]:
    found = softmax(logits_of(network, examples) / facts["settings"]["temperature"], axis=1)
    return np.asarray(found)


def scores_of(network: nn.Module, cases: Sequence[FusedCase], facts: Facts) -> Scores:
    """Return every measure with its 95 % interval, then the same network shown or told less.

    How much better it is with everything is drawn in pairs: of the same cases in each draw.
    """
    examples = [example_of(case, facts) for case in cases]
    labels, groups = _labels(examples), [case.group for case in cases]
    found = _chances(network, examples, facts)

    def row(measure: Measure, chances: NDArray[np.float64], count: int) -> dict[str, float]:
        ends = interval(measure, chances, labels, groups)
        return row_of(measure(chances, labels), ends, count)

    rows: Scores = {}
    for name, asked in measures(facts).items():
        count = len(labels) if asked.about is None else int(np.isin(labels, asked.about).sum())
        rows[name] = row(asked.measure, found, count)
    plain = softmax(logits_of(network, examples), axis=1)
    rows["calibration error (ECE), before temperature"] = row(calibration_error, plain, len(labels))
    rows["calibration error (ECE)"] = row(calibration_error, found, len(labels))
    for name, less in _with_less(examples, facts).items():
        chances = _chances(network, less, facts)
        rows[f"accuracy, {name}"] = row(accuracy, chances, len(labels))
        rows[f"AUC, {name}"] = row(mean_auc, chances, len(labels))
        rows[f"accuracy, gained over {name}"] = row(
            _gain, np.concatenate([found, chances], axis=1), len(labels)
        )
    return rows


def _gain(both: NDArray[np.float64], labels: Labels) -> float:
    """Return by how much the first half of the columns is right more often than the second."""
    half = both.shape[1] // 2
    return accuracy(both[:, :half], labels) - accuracy(both[:, half:], labels)


def _with_less(examples: Sequence[Example], facts: Facts) -> Mapping[str, Sequence[Example]]:
    names = list(facts["inputs"])
    every = range(len(names))
    alone = {
        f"{name.upper()} alone": shown(examples, [n for n in every if n != place], tell=False)
        for place, name in enumerate(names)
    }
    return {
        **alone,
        "facts alone": shown(examples, list(every), tell=True),
        "images without facts": shown(examples, [], tell=False),
    }


def _score(
    work: Work[FuseRecipe, FusedParts], network: nn.Module, _known: Mapping[str, object]
) -> Scores:
    rows = scores_of(network, work.parts.test, work.facts)
    for case in work.parts.real:
        found = _chances(network, [example_of(case, work.facts)], work.facts)[0]
        name = work.facts["classes"][case.label]["label"]
        rows[f"probability of {name}, {case.group}"] = {
            "value": round(float(found[case.label]), 4), "cases": 1,
        }  # fmt: skip
    return rows


def _golden(work: Work[FuseRecipe, FusedParts], network: nn.Module) -> None:
    """Write a test case that the model gets right without being sure of it."""
    facts = work.facts
    steps = {name: 64.0 if np.ptp(one) < 100 else 1.0  # noqa: PLR2004 - SUV, else HU
             for name, one in work.parts.test[0].images.items()}  # fmt: skip
    examples = [example_of(case, facts) for case in work.parts.test]
    found = _chances(network, examples, facts)
    is_wrong = found.argmax(1) != _labels(examples)
    case = work.parts.test[int((np.abs(found.max(1) - GOLDEN_CERTAINTY) + is_wrong).argmin())]
    # In steps that nobody sees, so that the file is small; the answer is that to what is stored.
    images = {
        name: (np.round(image * steps[name]) / steps[name]).astype(np.float32)
        for name, image in case.images.items()
    }
    again = FusedCase(images=images, told=case.told, label=case.label, group=case.group)
    told = [case.told[fact["name"]] for fact in facts["clinical"]]
    model_folder.write_golden(
        work.recipe.folder,
        **images,
        facts=np.array([np.nan if one is None else one for one in told], np.float32),
        probabilities=_chances(network, [example_of(again, facts)], facts)[0].astype(np.float32),
    )


def _draw(work: Work[FuseRecipe, FusedParts], network: nn.Module) -> None:
    """Write `docs/reliability.png`, which the card shows: are the probabilities to be believed?"""
    examples = [example_of(case, work.facts) for case in work.parts.test]
    found = _chances(network, examples, work.facts)
    title = f"{work.facts['name']} on its test part"
    picture = reliability_picture(bins_of(found, _labels(examples)), title)
    picture.save(work.recipe.folder / "docs/reliability.png", optimize=True)


COURSE: Course[FuseRecipe, FusedParts] = Course(
    fit=_fit,
    calibrate=_calibrate,
    golden=_golden,
    settle=lambda work, network: {
        "validation": scores_of(network, work.parts.validation, work.facts)
    },
    score=_score,
    draw=_draw,
    same=SAME,
)


def main(recipe: FuseRecipe, arguments: Sequence[str] | None = None) -> str:
    """Run a recipe and return its score table, see `command.run`."""
    return run(recipe, COURSE, arguments)
