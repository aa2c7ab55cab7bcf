"""What every recipe of kind `restore` does: train, score beside simple methods, write."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Generator, Tensor, nn
from torch.optim import AdamW

from dicom_ai_node.domain.model import Intensity, Scaling
from dicom_ai_node.domain.restoring import enlarged, extended, kept_mean
from dicom_ai_node.domain.scaling import ends_of
from dicom_ai_node.training import folder as model_folder
from dicom_ai_node.training.command import Course, Scores, Work, run
from dicom_ai_node.training.fit import Fitted, Plan, descend
from dicom_ai_node.training.grid import Facts, pad_end
from dicom_ai_node.training.pair import Method, Pair, PairParts, Plane, psnr, ssim, to_unit
from dicom_ai_node.training.ranking import interval
from dicom_ai_node.training.scores import row_of

MOST_JUDGED = 16
"""About how many validation images choose the step; all of them tune the simple methods."""

SAME = 5e-3
"""How far a score that is measured again may lie from the one on record, as a part of it or 1."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RestoreRecipe:
    """What a recipe decides.

    `judged` is the window (low, high) in which PSNR and SSIM are taken, the scaling of each pair
    where it is `None`; `beside` simple methods by name, each with its settings tried on the
    validation part; `golden` cuts the golden image out of a test pair; `levels` how much of the
    difference between given and wanted is left in training, drawn between two ends; `also_score`
    takes the methods, "network" among them, and the pairs of a part, and returns more rows.
    """

    folder: Path
    read: Callable[[Path], PairParts]
    plan: Plan
    beside: Mapping[str, Sequence[Method]]
    golden: Callable[[Sequence[Pair]], Plane]
    judged: tuple[float, float] | None = None
    levels: tuple[float, float] = (1.0, 1.0)
    unit: str = ""
    also_score: Callable[[Mapping[str, Method], Sequence[Pair]], Scores] | None = None


def restored(network: nn.Module, pair: Pair, facts: Facts) -> Plane:
    """Return what the node would make of the given image of a pair."""
    settings = facts["settings"]
    base = enlarged(pair.given, settings["factor"])
    values = torch.from_numpy(extended(to_unit(base, pair.ends)[None]))
    with torch.inference_mode():
        change = network(values[None])[0, 0].clamp(-1, 1)
    change = change[: base.shape[0], : base.shape[1]].numpy()
    largest = settings["largest_change"] * (pair.ends[1] - pair.ends[0])
    return kept_mean(base, np.asarray(base + change * largest, np.float32), None, pair.zero)[0]


def chosen(recipe: RestoreRecipe, pairs: Sequence[Pair]) -> dict[str, Method]:
    """Return each simple method with the settings that have the best PSNR on `pairs`."""

    def score(method: Method) -> float:
        return float(np.mean([psnr(method(p), p.wanted, recipe.judged or p.ends) for p in pairs]))

    return {name: max(tried, key=score) for name, tried in recipe.beside.items()}


def scores_of(
    methods: Mapping[str, Method], pairs: Sequence[Pair], recipe: RestoreRecipe
) -> Scores:
    """Return PSNR and SSIM of every method, the shift of the mean, and the gain of the first.

    `methods` begins with the network. A gain is over the best of the others in that measure,
    image by image.
    """
    found = {name: [method(pair) for pair in pairs] for name, method in methods.items()}
    rows: Scores = {}
    groups = [pair.group for pair in pairs]
    for title, measure in (("PSNR (dB)", psnr), ("SSIM", ssim)):
        values = {
            name: np.array([
                measure(image, pair.wanted, recipe.judged or pair.ends)
                for image, pair in zip(images, pairs, strict=True)
            ])
            for name, images in found.items()
        }  # fmt: skip
        rows |= {f"{title}, {name}": averaged(each, groups) for name, each in values.items()}
        first, *others = values
        best = max(others, key=lambda name: float(values[name].mean()))
        rows[f"{title}, {first} over {best}"] = averaged(values[first] - values[best], groups)
    first = next(iter(methods))
    shifts = [
        float(image.mean(dtype=np.float64) - pair.given.mean(dtype=np.float64))
        for image, pair in zip(found[first], pairs, strict=True)
    ]
    rows[" ".join(f"shift of the mean {recipe.unit}".split())] = averaged(shifts, groups)
    return rows | (recipe.also_score(methods, pairs) if recipe.also_score else {})


def averaged(
    values: Sequence[float] | NDArray[np.float64], groups: Sequence[str]
) -> dict[str, float]:
    """Return the mean of one value per image, and its interval if there are several groups."""
    values = np.asarray(values, np.float64)
    if len(set(groups)) == 1:
        return {"value": round(float(values.mean()), 4), "cases": len(values)}
    nothing = np.zeros(len(values), np.int64)
    drawn = interval(lambda v, _: float(v.mean()), values[:, None], nothing, groups)
    return row_of(float(values.mean()), drawn, len(values))


def draw(
    examples: Sequence[tuple[Tensor, Tensor]], recipe: RestoreRecipe, generator: Generator
) -> tuple[Tensor, Tensor]:
    """Return patches (batch, 1, *patch) in 0..1 and the change that each of them wants."""
    plan, inputs, changes = recipe.plan, [], []
    for n in torch.randint(len(examples), (plan.batch,), generator=generator).tolist():
        given, wanted = examples[n]
        at = [
            int(torch.randint(max(have - want, 0) + 1, (1,), generator=generator))
            for have, want in zip(given.shape, plan.patch, strict=True)
        ]
        cut = tuple(slice(a, a + length) for a, length in zip(at, plan.patch, strict=True))
        level = float(torch.empty(1).uniform_(*recipe.levels, generator=generator))
        target = pad_end(wanted[cut], plan.patch, 0.0)
        source = target + level * (pad_end(given[cut], plan.patch, 0.0) - target)
        turns = int(torch.randint(4, (1,), generator=generator))
        both = torch.rot90(torch.stack([source, target]), turns, (1, 2))
        if float(torch.rand(1, generator=generator)) < 0.5:  # noqa: PLR2004
            both = both.flip(2)
        inputs.append(both[0])
        changes.append(both[1] - both[0])
    return torch.stack(inputs)[:, None], torch.stack(changes)[:, None]


def _fit(work: Work[RestoreRecipe, PairParts]) -> Fitted:
    recipe, plan, parts, facts = work.recipe, work.plan, work.parts, work.facts
    settings = facts["settings"]
    generator = Generator().manual_seed(plan.seed)
    network = model_folder.new_network(recipe.folder)
    network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    # Not clipped: a change is the same beyond the ends, only what the network sees is cut there.
    examples: list[tuple[Tensor, Tensor]] = []
    for pair in parts.training:
        low, span = pair.ends[0], pair.ends[1] - pair.ends[0]
        base = enlarged(pair.given, settings["factor"])
        given, wanted = (
            torch.from_numpy((one - low) / span).float() for one in (base, pair.wanted)
        )
        examples.append((given, wanted))
    optimizer = AdamW(network.parameters(), lr=plan.learning_rate, weight_decay=1e-4)

    def loss() -> Tensor:
        images, changes = draw(examples, recipe, generator)
        wanted = (changes / settings["largest_change"]).clamp(-1, 1)
        # This memory layout is a third faster on a CPU.
        seen = images.clamp(0, 1).contiguous(memory_format=torch.channels_last)
        return nn.functional.smooth_l1_loss(network(seen), wanted, beta=0.05)

    few = parts.validation[:: max(1, len(parts.validation) // MOST_JUDGED)]

    def judge(candidate: nn.Module) -> float:
        scores = [
            psnr(restored(candidate, p, facts), p.wanted, recipe.judged or p.ends) for p in few
        ]
        return float(np.mean(scores))

    return descend(network, optimizer, loss, judge, plan)


def _scored_beside(
    work: Work[RestoreRecipe, PairParts], network: nn.Module, pairs: Sequence[Pair]
) -> Scores:
    """Score the network beside simple methods that the validation part has tuned."""
    methods: dict[str, Method] = {
        "network": lambda pair: restored(network, pair, work.facts),
        "as it came": lambda pair: enlarged(pair.given, work.facts["settings"]["factor"]),
        **chosen(work.recipe, work.parts.validation),
    }
    return scores_of(methods, pairs, work.recipe)


def golden_of(network: nn.Module, image: Plane, facts: Facts, zero: float) -> Plane:
    """Return what the node makes of the golden image, which it scales by itself."""
    told = facts["intensity"]
    intensity = Intensity(scaling=Scaling(told["scaling"]), low=told["low"], high=told["high"])
    ends = ends_of(image, intensity)
    return restored(network, Pair(given=image, wanted=image, ends=ends, group="", zero=zero), facts)


def _golden(work: Work[RestoreRecipe, PairParts], network: nn.Module) -> None:
    pairs = work.parts.test
    image = work.recipe.golden(pairs)
    after = golden_of(network, image, work.facts, pairs[0].zero)
    model_folder.write_golden(work.recipe.folder, image=image[None], restored=after[None])


COURSE: Course[RestoreRecipe, PairParts] = Course(
    fit=_fit,
    golden=_golden,
    settle=lambda work, network: {
        "validation": _scored_beside(work, network, work.parts.validation)
    },
    score=lambda work, network, _: _scored_beside(work, network, work.parts.test),
    same=SAME,
)


def main(recipe: RestoreRecipe, arguments: Sequence[str] | None = None) -> str:
    """Run a recipe and return its score table, see `command.run`."""
    return run(recipe, COURSE, arguments)
