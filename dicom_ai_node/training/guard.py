"""Fit the guard of a model: what is usual in its training data, and what an attack does to it.

python -m dicom_ai_node.training.guard --model NAME --data FOLDER

Reads the model's recipe, attacks part of its training data, and writes `models/guard.safetensors`.
The thresholds come from the validation part, which was attacked by nobody.
"""

import argparse
import importlib.util
import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors.torch import save_file
from torch import Generator, Tensor, nn
from torch.nn import functional

import dicom_ai_node
from dicom_ai_node.neural.guard import Judge, Signs, signs
from dicom_ai_node.training import folder as model_folder
from dicom_ai_node.training.attack import Attack, attacked, wrongness
from dicom_ai_node.training.case import Case
from dicom_ai_node.training.grid import Facts, pad_end, resize, resize_labels, scaled, shape_on_grid

GUARD = Path("models/guard.safetensors")
FALSE_ALARMS = 0.01
"""Of unharmed images of the validation part so many may be reported: half of them by each sign."""
REACHES = (2 / 255, 4 / 255, 8 / 255)
FIT_STEPS = 8
MOST_ATTACKED = 300
"""Of the training part no more images are looked at, for time; `--images` says otherwise."""
NOISE = 2 / 255
"""Unharmed images come once more with noise of up to this standard deviation."""
RIDGE, SHRINKAGE = 3e-3, 0.1
SEED = 20260
AT_ONCE = 16
BUNDLES = Path(dicom_ai_node.__file__).parent / "bundles"


@dataclass(frozen=True, slots=True)
class Subject:
    """A model with its recipe, and where it lies."""

    folder: Path
    recipe: Any
    facts: Facts
    network: nn.Module

    @property
    def layer(self) -> nn.Module:
        """The module whose features are compared."""
        layer: nn.Module = self.network.get_submodule(self.facts["guard"]["layer"])
        return layer


@dataclass(frozen=True, slots=True)
class Shown:
    """Images of one size: items (items, 1, *grid), labels, the part that is image, groups."""

    items: Tensor
    labels: Tensor
    inside: tuple[int, ...]
    groups: tuple[str, ...]


def subject(name: str) -> Subject:
    """Return a shipped model with its recipe."""
    folder = BUNDLES / name
    spec = importlib.util.spec_from_file_location(f"recipe_{name}", folder / "configs/train.py")
    if spec is None or spec.loader is None:
        raise SystemExit(f"{name} has no recipe")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    facts = model_folder.facts_of(folder)
    network = model_folder.shipped_network(folder).requires_grad_(requires_grad=False)
    return Subject(folder, module.RECIPE, facts, network)


def shown(model: Subject, cases: Sequence[Any], most: int | None = None) -> list[Shown]:
    """Return cases or pictures as the network sees them, images of one size together.

    With `most` a random choice of so many, the same each time.
    """
    if most is not None and most < len(cases):
        order = np.random.default_rng(SEED).permutation(len(cases))[:most]
        cases = [cases[place] for place in sorted(order)]
    by_size: dict[tuple[int, ...], list[tuple[Tensor, Tensor, str]]] = {}
    for case in cases:
        items, labels, inside = _seen(case, model.facts)
        group = case.name if isinstance(case, Case) else case.group
        by_size.setdefault(inside, []).append((items, labels, group))
    return [
        Shown(
            torch.stack([item for item, _, _ in members]),
            torch.stack([labels for _, labels, _ in members]),
            inside,
            tuple(group for _, _, group in members),
        )
        for inside, members in by_size.items()
    ]


def _seen(case: Any, facts: Facts) -> tuple[Tensor, Tensor, tuple[int, ...]]:  # noqa: ANN401 - a Case or a Picture
    image = torch.from_numpy(np.ascontiguousarray(case.image))[None, None]
    spacing_mm = case.spacing_mm if isinstance(case, Case) else (1.0,) * (image.ndim - 2)
    inside = shape_on_grid(facts, case.image.shape, spacing_mm)
    values = scaled(resize(image, inside)[0, 0], facts)
    size = facts["grid"]["size_px"]
    if not isinstance(case, Case):
        return pad_end(values, size, 0.0)[None], torch.tensor(case.label), inside
    labels = torch.from_numpy(np.ascontiguousarray(case.labels))
    on_grid = resize_labels(labels, inside, 1 + len(facts["segments"])).long()
    return pad_end(values, size, 0.0)[None], pad_end(on_grid, size, 0), inside


def measured(model: Subject, items: Tensor, inside: tuple[int, ...]) -> Signs:
    """Return the signs on items, a few at a time."""
    with torch.no_grad():
        parts = [signs(model.network, model.layer, batch, inside) for batch in items.split(AT_ONCE)]
    return Signs(
        torch.cat([part.of_manipulation for part in parts]),
        torch.cat([part.of_kind for part in parts]),
    )


def harmed(model: Subject, group: Shown, attack: Attack, generator: Generator) -> Tensor:
    """Return what an attacker who knows the network, but not the guard, makes of images."""
    return torch.cat(
        [
            attacked(items, group.inside, wrongness(model.network, labels), attack, generator)
            for items, labels in zip(
                group.items.split(AT_ONCE), group.labels.split(AT_ONCE), strict=True
            )
        ]
    )


def fitted(model: Subject, parts: Any, images: int = MOST_ATTACKED) -> Judge:  # noqa: ANN401 - of either recipe
    """Return the judge of a model, with thresholds from the validation part."""
    generator = Generator().manual_seed(SEED)
    unharmed, known, attacks = [], [], []
    for group in shown(model, parts.training, images):
        found = measured(model, group.items, group.inside)
        known.append(found.of_kind)
        unharmed += [
            found.of_manipulation,
            measured(model, _noisy(group, generator), group.inside).of_manipulation,
        ]
        for reach in REACHES:
            harm = harmed(model, group, Attack(reach=reach, steps=FIT_STEPS), generator)
            attacks.append(measured(model, harm, group.inside).of_manipulation)
    judge = Judge(
        **_line(torch.cat(unharmed), torch.cat(attacks)),
        **_cloud(torch.cat(known)),
        thresholds=torch.full((2,), math.inf),
    )
    scores = [
        judge.scores(measured(model, group.items, group.inside))
        for group in shown(model, parts.validation)
    ]
    return Judge(**{**judge.tensors(), "thresholds": thresholds(torch.cat(scores))})


def thresholds(scores: Tensor, false_alarms: float = FALSE_ALARMS) -> Tensor:
    """Return from which score on half of the false alarms come, for every column of scores.

    Where there are too few images for that, the highest score of an unharmed one.
    """
    ordered = scores.sort(0).values
    place = math.ceil((len(ordered) + 1) * (1 - false_alarms / scores.shape[1])) - 1
    return ordered[min(place, len(ordered) - 1)]


def _noisy(group: Shown, generator: Generator) -> Tensor:
    items = group.items
    strength = torch.rand((len(items), *(1,) * (items.ndim - 1)), generator=generator) * NOISE
    noise = torch.randn(items.shape, generator=generator) * strength
    cut = (slice(None), slice(None), *(slice(0, length) for length in group.inside))
    changed = items.clone()
    changed[cut] = (items + noise).clamp(0, 1)[cut]
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
    """Return where training data lie: their mean and a covariance drawn toward its diagonal."""
    values = known.double()
    centre, spread = values.mean(0), values.std(0).clamp(min=1e-4)
    covariance = torch.cov(((values - centre) / spread).T)
    covariance = (1 - SHRINKAGE) * covariance + SHRINKAGE * torch.eye(len(covariance))
    precision = torch.linalg.inv(covariance) / spread / spread[:, None]
    return {"centre": centre.float(), "precision": precision.float()}


def main(arguments: Sequence[str] | None = None) -> None:
    """Fit and write the guard of one model."""
    ask = argparse.ArgumentParser(description="Fit the guard of a shipped model.")
    ask.add_argument("--model", required=True)
    ask.add_argument("--data", type=Path, required=True, help="folder that holds train/")
    ask.add_argument("--images", type=int, default=MOST_ATTACKED, help="of the training part")
    told = ask.parse_args(arguments)
    model_folder.torch_threads(1)
    model = subject(told.model)
    judge = fitted(model, model.recipe.read(told.data), told.images)
    tensors = {name: tensor.contiguous() for name, tensor in judge.tensors().items()}
    save_file(tensors, model.folder / GUARD)
    (model.folder / GUARD).chmod(0o644)
    model_folder.write_checksums(model.folder)


if __name__ == "__main__":
    main()
