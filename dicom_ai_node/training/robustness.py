"""Attack a shipped model on its test part, and see what its guard makes of it.

python -m dicom_ai_node.training.robustness --model NAME --data FOLDER [--images N]

Writes `docs/robustness.json` of the model: its score unharmed, attacked, and attacked but guarded,
and how well the guard tells the two apart. FGSM and PGD know the network; the adaptive attack
knows the guard, too, and wants to stay below both of its thresholds.
"""

import argparse
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors.torch import load_file
from torch import Generator, Tensor

from dicom_ai_node.neural.detail import smooth
from dicom_ai_node.neural.guard import Judge, signs
from dicom_ai_node.training import folder as model_folder
from dicom_ai_node.training.attack import Attack, Harm, attacked, wrongness
from dicom_ai_node.training.guard import (
    AT_ONCE,
    GUARD,
    SEED,
    Shown,
    Subject,
    harmed,
    measured,
    shown,
    subject,
)
from dicom_ai_node.training.ranking import Labels, Probabilities, auc, interval

REPORT = Path("docs/robustness.json")
REACHES = (2, 4, 8)
"""In grey levels of 255."""
STEPS, ADAPTIVE_STEPS = 20, 20
ADAPTIVE_REACHES = (4, 8)
MOST_ADAPTIVE = 60
"""The adaptive attack computes the network six times a step, so it is tried on fewer images."""
EVASION = 3.0
"""How much an adaptive attacker would give for one point less on the guard's scale."""
NOTICEABLE = 0.1
"""An answer is harmed if its score (1 or 0 for a class, Dice for an outline) falls by more."""


@dataclass(frozen=True, slots=True)
class Looked:
    """What came of images: scores of the answers, with smoothing, and the guard's scores."""

    plain: NDArray[np.float64]
    smoothed: NDArray[np.float64]
    guard: NDArray[np.float64]


def merit(model: Subject, items: Tensor, labels: Tensor) -> NDArray[np.float64]:
    """Return (items,): whether the class is right, or the Dice of everything that is outlined."""
    with torch.no_grad():
        found = torch.cat([model.network(batch) for batch in items.split(AT_ONCE)]).argmax(1)
    if labels.ndim == 1:
        return np.asarray((found == labels).double().numpy())
    both = ((found == labels) & (labels > 0)).flatten(1).sum(1)
    sizes = (found > 0).flatten(1).sum(1) + (labels > 0).flatten(1).sum(1)
    return np.asarray((2 * both / sizes.clamp(min=1)).double().numpy())


def evasion(model: Subject, judge: Judge, labels: Tensor, inside: tuple[int, ...]) -> Harm:
    """Return what an attacker wants who knows the guard: a wrong answer, and no report."""
    wrong = wrongness(model.network, labels)

    def harm(items: Tensor) -> Tensor:
        scores = judge.scores(signs(model.network, model.layer, items, inside))
        seen = (scores / judge.thresholds.abs() - 0.9 * judge.thresholds.sign()).relu()
        return wrong(items) - EVASION * seen.sum()

    return harm


def evaded(
    model: Subject, judge: Judge, group: Shown, attack: Attack, generator: Generator
) -> Tensor:
    """Return what an attacker who knows the guard makes of images."""
    parts = zip(group.items.split(AT_ONCE), group.labels.split(AT_ONCE), strict=True)
    return torch.cat(
        [
            attacked(
                items,
                group.inside,
                evasion(model, judge, labels, group.inside),
                attack,
                generator,
            )
            for items, labels in parts
        ]
    )


def looked(model: Subject, judge: Judge, groups: Sequence[Shown], all_: Sequence[Tensor]) -> Looked:
    """Return what the network and its guard say about images; `all_` takes the place of items."""
    times = int(model.facts["guard"].get("smoothing", 1))
    plain, smoothed, scores = [], [], []
    for group, items in zip(groups, all_, strict=True):
        plain.append(merit(model, items, group.labels))
        cut = (slice(None), slice(None), *(slice(0, length) for length in group.inside))
        soft = items.clone()
        soft[cut] = smooth(items[cut], times)
        smoothed.append(merit(model, soft, group.labels))
        scores.append(judge.scores(measured(model, items, group.inside)).double().numpy())
    return Looked(np.concatenate(plain), np.concatenate(smoothed), np.concatenate(scores))


def row(clean: Looked, now: Looked, judge: Judge, groups: Sequence[str]) -> dict[str, float]:
    """Return one line of the report."""
    noticed = (now.guard >= judge.thresholds.double().numpy()).any(1)
    is_harmed = now.plain < clean.plain - NOTICEABLE
    guarded = np.where(noticed, now.smoothed, now.plain)
    found = {
        "images": len(now.plain),
        "score": now.plain.mean(),
        "score, guard: purify": guarded.mean(),
        "reported": noticed.mean(),
        "harmed": is_harmed.mean(),
        "harmed and not reported": (is_harmed & ~noticed).mean(),
    }
    if now is not clean:
        both = np.concatenate([clean.guard[:, :1], now.guard[:, :1]])
        truth = np.repeat([0, 1], len(now.plain))
        low, high = interval(_auc, both, truth, [*groups, *groups])
        found |= {"AUC": _auc(both, truth), "AUC, low": low, "AUC, high": high}
    return {name: round(float(value), 4) for name, value in found.items()}


def _auc(found: Probabilities, labels: Labels) -> float:
    return auc(found[:, 0], labels == 1)


def report(model: Subject, parts: Any, images: int) -> dict[str, Any]:  # noqa: ANN401 - of either recipe
    """Return the whole report on a model; the test part is looked at here and nowhere else."""
    judge = Judge(**load_file(model.folder / GUARD))
    rows: dict[str, Mapping[str, float]] = {}
    groups = shown(model, parts.test, images)
    names = [name for group in groups for name in group.groups]
    clean = looked(model, judge, groups, [group.items for group in groups])
    rows["unharmed"] = row(clean, clean, judge, names)
    attacks = [Attack(reach=reach / 255, steps=n) for n in (1, STEPS) for reach in REACHES]
    for attack in attacks:
        generator = Generator().manual_seed(SEED)
        harm = [harmed(model, group, attack, generator) for group in groups]
        rows[attack.name] = row(clean, looked(model, judge, groups, harm), judge, names)
    groups = shown(model, parts.test, min(images, MOST_ADAPTIVE))
    names = [name for group in groups for name in group.groups]
    clean = looked(model, judge, groups, [group.items for group in groups])
    for reach in ADAPTIVE_REACHES:
        attack = Attack(reach=reach / 255, steps=ADAPTIVE_STEPS)
        generator = Generator().manual_seed(SEED)
        harm = [evaded(model, judge, group, attack, generator) for group in groups]
        rows[f"adaptive {attack.name}"] = row(
            clean, looked(model, judge, groups, harm), judge, names
        )
    measure = "accuracy" if groups[0].labels.ndim == 1 else "Dice on the model's grid"
    return {"model": model.facts["name"], "measure": measure, "rows": rows}


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure and write the report of one model."""
    ask = argparse.ArgumentParser(description="Attack a shipped model and its guard.")
    ask.add_argument("--model", required=True)
    ask.add_argument("--data", type=Path, required=True, help="folder that holds train/")
    ask.add_argument("--images", type=int, default=200, help="of the test part, at most")
    told = ask.parse_args(arguments)
    model_folder.torch_threads(1)
    model = subject(told.model)
    found = report(model, model.recipe.read(told.data), told.images)
    (model.folder / REPORT).write_text(json.dumps(found, indent=2) + "\n")


if __name__ == "__main__":
    main()
