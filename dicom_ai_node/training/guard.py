"""Fit the guard of a model: what is usual in its training data, and what an attack does to it.

python -m dicom_ai_node.training.guard --model NAME --data FOLDER

Reads the model's recipe, attacks part of its training data, and writes `models/guard.safetensors`,
the section `guard` of its facts if there is none, and its checksums.
The thresholds come from the validation part, which was attacked by nobody.
"""

import argparse
import math
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from types import MappingProxyType
from typing import Any

import torch
from safetensors.torch import save_file
from scipy.stats import t as student
from torch import Generator, Tensor
from torch.nn import functional

from dicom_ai_node.neural.asked import COMPETING
from dicom_ai_node.neural.guard import Judge, Signs, signs, tensors_of
from dicom_ai_node.training import folder as model_folder
from dicom_ai_node.training.attack import Attack, Harm, attacked, displacement, wrongness
from dicom_ai_node.training.shown import SEED, Shown, Subject, as_they_may_come, shown, subject

GUARD = Path("models/guard.safetensors")
FALSE_ALARMS = 0.01
"""Of unharmed images of the validation part so many may be reported: half of them by each sign."""
REACHES = (2 / 255, 4 / 255, 8 / 255)
FIT_STEPS = 8
MOST_IMAGES, MOST_VOLUMES, MOST_JUDGED = 80, 40, 250
"""So many images or windows of the training part are attacked, and of the validation part looked
at, for time; `--images` says otherwise."""
FEW = 50
"""Fewer images of the validation part say too little by their highest score."""
NOISE = 2 / 255
"""Unharmed images come once more with noise of up to this standard deviation."""
RIDGE, SHRINKAGE = 3e-3, 0.1
AT_ONCE = 16
SMOOTHING = 2
_LAYERS: Mapping[str, str] = MappingProxyType(
    {
        "BasicUNet": "down_2",
        "DynUNet": "downsamples.0",
        "LateFusion": "joint",
        "ResNet": "layer2",
        "UNet": "model.1.submodule.0",
    }
)
"""A layer of each network that tells kinds of images apart and is not too wide."""


def measured(model: Subject, items: Tensor, inside: tuple[int, ...], channel: int = 0) -> Signs:
    """Return the signs on one input of items, a few at a time."""
    with torch.no_grad():
        parts = [
            signs(model.asked, model.layer, batch, inside, channel)
            for batch in items.split(AT_ONCE)
        ]
    return Signs(
        torch.cat([part.of_manipulation for part in parts]),
        torch.cat([part.of_kind for part in parts]),
    )


def harm_of(model: Subject, items: Tensor, labels: Tensor | None) -> Harm:
    """Return what an attacker wants: a wrong class if it is known, or another answer."""
    if labels is None or model.facts["kind"] not in COMPETING:
        return displacement(model.asked, items)
    return wrongness(model.asked, labels)


def in_batches(group: Shown) -> list[tuple[Tensor, Tensor | None]]:
    """Return items with their labels, if there are any, a few at a time."""
    items = list(group.items.split(AT_ONCE))
    labels = group.labels
    return list(
        zip(
            items, labels.split(AT_ONCE) if labels is not None else [None] * len(items), strict=True
        )
    )


def harmed(
    model: Subject,
    group: Shown,
    attack: Attack,
    generator: Generator,
    channels: slice = slice(None),
) -> Tensor:
    """Return what an attacker who knows the network, but not the guard, makes of images."""
    return torch.cat(
        [
            attacked(
                items, group.inside, harm_of(model, items, labels), attack, generator, channels
            )
            for items, labels in in_batches(group)
        ]
    )


def fitted(model: Subject, parts: Any, images: int | None = None) -> dict[str, Judge]:  # noqa: ANN401
    """Return a judge for every input of a model, with thresholds from the validation part."""
    groups = shown(model, as_they_may_come(parts.training), images or _most(model))
    unseen = shown(
        model, as_they_may_come(parts.validation), MOST_JUDGED if images is None else 3 * images
    )
    return {
        name: _fitted(model, groups, unseen, channel) for channel, name in enumerate(model.inputs)
    }


def _most(model: Subject) -> int:
    return MOST_VOLUMES if model.facts["sees"] == "volume" else MOST_IMAGES


def _fitted(
    model: Subject, groups: Sequence[Shown], unseen: Sequence[Shown], channel: int
) -> Judge:
    generator = Generator().manual_seed(SEED)
    unharmed: list[Tensor] = []
    known: list[Tensor] = []
    attacks: list[Tensor] = []
    for group in groups:
        found = measured(model, group.items, group.inside, channel)
        known.append(found.of_kind)
        noisy = measured(model, _noisy(group, generator), group.inside, channel)
        unharmed += [found.of_manipulation, noisy.of_manipulation]
        for reach in REACHES:
            attack = Attack(reach=reach, steps=FIT_STEPS)
            for number in range(len(model.inputs)):
                channels = slice(number, number + 1)
                harm = harmed(model, group, attack, generator, channels)
                signs_ = measured(model, harm, group.inside, channel).of_manipulation
                # Where another input was attacked, this one was not.
                (attacks if number == channel else unharmed).append(signs_)
    judge = Judge(
        **_line(torch.cat(unharmed), torch.cat(attacks)),
        **_cloud(torch.cat(known)),
        thresholds=torch.full((2,), math.inf),
    )
    scores = [judge.scores(measured(model, group.items, group.inside, channel)) for group in unseen]
    return replace(judge, thresholds=thresholds(torch.cat(scores)))


def thresholds(scores: Tensor, false_alarms: float = FALSE_ALARMS) -> Tensor:
    """Return from which score on half of the false alarms come, for every column of scores.

    Where there are too few images to see that, it is the highest; and of fewer than `FEW` it is as
    far out as one more image would come so seldom if scores are normally distributed.
    """
    count, alarms = len(scores), false_alarms / scores.shape[1]
    ordered = scores.sort(0).values
    place = math.ceil((count + 1) * (1 - alarms)) - 1
    if place < count or count >= FEW:
        return ordered[min(place, count - 1)]
    widths = float(student.isf(alarms, max(count - 1, 1))) * math.sqrt(1 + 1 / count)
    return torch.maximum(ordered[-1], scores.mean(0) + widths * scores.std(0))


def _noisy(group: Shown, generator: Generator) -> Tensor:
    items = group.items
    strength = torch.rand((len(items), *(1,) * (items.ndim - 1)), generator=generator) * NOISE
    noise = torch.randn(items.shape, generator=generator) * strength
    cut = (slice(None), slice(None), *(slice(0, length) for length in group.inside))
    changed = items.clone()
    low, high = min(0.0, float(items.min())), max(1.0, float(items.max()))
    changed[cut] = (items + noise).clamp(low, high)[cut]
    return changed


def _line(unharmed: Tensor, attacks: Tensor) -> dict[str, Tensor]:
    """Return the logistic regression that tells attacks from what is unharmed."""
    usual, spread = unharmed.mean(0), unharmed.std(0).clamp(min=1e-4)
    values = (torch.cat([unharmed, attacks]) - usual) / spread
    truth = torch.cat([torch.zeros(len(unharmed)), torch.ones(len(attacks))])
    share = torch.where(truth > 0, 0.5 / len(attacks), 0.5 / len(unharmed))
    weights = torch.zeros(values.shape[1], requires_grad=True)
    offset = torch.zeros((), requires_grad=True)
    descent = torch.optim.LBFGS([weights, offset], max_iter=500, line_search_fn="strong_wolfe")

    def loss() -> Tensor:
        descent.zero_grad()
        wrong = functional.binary_cross_entropy_with_logits(
            values @ weights + offset, truth, weight=share, reduction="sum"
        )
        total = wrong + RIDGE * weights.square().sum()
        total.backward()
        return total

    descent.step(loss)
    return {
        "usual": usual,
        "spread": spread,
        "weights": weights.detach(),
        "offset": offset.detach(),
    }


def _cloud(known: Tensor) -> dict[str, Tensor]:
    """Return where training data lie: their mean and a covariance drawn toward its diagonal.

    The fewer images there are for the numbers, the further it is drawn: what a few images happen
    to have in common is no rule.
    """
    values = known.double()
    count, numbers = values.shape
    shrinkage = max(SHRINKAGE, numbers / (numbers + count))
    centre, spread = values.mean(0), values.std(0).clamp(min=1e-4)
    covariance = torch.cov(((values - centre) / spread).T)
    covariance = (1 - shrinkage) * covariance + shrinkage * torch.eye(numbers)
    precision = torch.linalg.inv(covariance) / spread / spread[:, None]
    return {"centre": centre.float(), "precision": precision.float()}


def with_layer(model: Subject) -> Subject:
    """Return a model whose facts say by which layer it is guarded."""
    if "guard" in model.facts:
        return model
    layer = _LAYERS[type(model.network).__name__]
    return replace(model, facts={**model.facts, "guard": {"layer": layer, "smoothing": SMOOTHING}})


def write(model: Subject, judges: Mapping[str, Judge]) -> None:
    """Write the guard of a model, the section in its facts if there is none, and checksums."""
    save_file(dict(tensors_of(judges)), model.folder / GUARD)
    (model.folder / GUARD).chmod(0o644)
    if "guard" not in model_folder.facts_of(model.folder):
        path = model.folder / "configs/dicom.yaml"
        before, golden, after = path.read_text().partition("\ngolden:")
        section = "\nguard: {{layer: {layer}, smoothing: {smoothing}}}"
        path.write_text(before + section.format(**model.facts["guard"]) + golden + after)
    model_folder.write_checksums(model.folder)


def main(arguments: Sequence[str] | None = None) -> None:
    """Fit and write the guard of one model."""
    ask = argparse.ArgumentParser(description="Fit the guard of a shipped model.")
    ask.add_argument("--model", required=True)
    ask.add_argument("--data", type=Path, required=True, help="folder that holds train/")
    ask.add_argument("--images", type=int, help="of the training part, at most")
    told = ask.parse_args(arguments)
    model_folder.torch_threads(1)
    model = with_layer(subject(told.model))
    write(model, fitted(model, model.parts(told.data), told.images))


if __name__ == "__main__":
    main()
