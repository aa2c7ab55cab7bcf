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
from dicom_ai_node.neural.guard import Judge, judges_in, signs
from dicom_ai_node.training import folder as model_folder
from dicom_ai_node.training.attack import Attack, Harm, attacked
from dicom_ai_node.training.guard import GUARD, harm_of, harmed, in_batches, measured
from dicom_ai_node.training.merit import Merit, merit_of, reach_in_words
from dicom_ai_node.training.ranking import Labels, Probabilities, auc, interval
from dicom_ai_node.training.shown import SEED, Shown, Subject, shown, subject

REPORT = Path("docs/robustness.json")
REACHES = (2, 4, 8)
"""In grey levels of 255."""
STEPS, ADAPTIVE_STEPS = 20, 20
ADAPTIVE_REACHES = (4, 8)
MOST, MOST_ADAPTIVE = 40, 12
"""The adaptive attack computes the network many times a step, so it is tried on fewer items."""
EVASION = 3.0
"""How much an adaptive attacker would give for one point less on the guard's scale."""
MARGIN = 0.1
"""So far below its threshold he wants to stay, as a part of it."""


@dataclass(frozen=True, slots=True)
class Looked:
    """What came of items: values of the answers, with smoothing, and the guard's scores.

    `guard` is (items, checks): by how much the most suspicious input lies above its threshold.
    """

    plain: NDArray[np.float64]
    smoothed: NDArray[np.float64]
    guard: NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Bench:
    """A model with its guard, and what is attacked."""

    model: Subject
    judges: Mapping[str, Judge]
    groups: Sequence[Shown]
    merit: Merit

    def looked(self, all_: Sequence[Tensor]) -> Looked:
        """Return what the network and its guard say; `all_` takes the place of the items."""
        times = int(self.model.facts["guard"].get("smoothing", 1))
        plain, smoothed, scores = [], [], []
        for group, items in zip(self.groups, all_, strict=True):
            plain.append(self.merit.of(items, group))
            cut = (slice(None), slice(None), *(slice(0, length) for length in group.inside))
            soft = items.clone()
            soft[cut] = smooth(items[cut], times)
            smoothed.append(self.merit.of(soft, group))
            above = [
                judge.scores(measured(self.model, items, group.inside, channel)) - judge.thresholds
                for channel, judge in enumerate(self.judges.values())
            ]
            scores.append(torch.stack(above).amax(0).double().numpy())
        return Looked(np.concatenate(plain), np.concatenate(smoothed), np.concatenate(scores))

    def row(self, clean: Looked, now: Looked) -> dict[str, float]:
        """Return one line of the report."""
        noticed = (now.guard >= 0).any(1)
        is_harmed = self.merit.is_harmed(clean.plain, now.plain)
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
            names = [name for group in self.groups for name in group.groups]
            low, high = interval(_auc, both, truth, [*names, *names])
            found |= {"AUC": _auc(both, truth), "AUC, low": low, "AUC, high": high}
        return {name: round(float(value), 4) for name, value in found.items()}

    def evaded(self, group: Shown, attack: Attack, generator: Generator) -> Tensor:
        """Return what an attacker who knows the guard makes of items."""
        return torch.cat(
            [
                attacked(
                    items, group.inside, self._evasion(items, labels, group.inside), attack,
                    generator,
                )
                for items, labels in in_batches(group)
            ]
        )  # fmt: skip

    def _evasion(self, items: Tensor, labels: Tensor | None, inside: tuple[int, ...]) -> Harm:
        """Return what an attacker wants who knows the guard: a wrong answer, and no report."""
        wrong = harm_of(self.model, items, labels)

        def harm(changed: Tensor) -> Tensor:
            total = wrong(changed)
            for channel, judge in enumerate(self.judges.values()):
                found = signs(self.model.asked, self.model.layer, changed, inside, channel)
                above = judge.scores(found) - judge.thresholds
                seen = (above / judge.thresholds.abs().clamp(min=1) + MARGIN).relu()
                total = total - EVASION * seen.sum()
            return total

        return harm


def _auc(found: Probabilities, labels: Labels) -> float:
    return auc(found[:, 0], labels == 1)


def _bench(model: Subject, cases: Sequence[Any], most: int) -> Bench:
    judges = judges_in(load_file(model.folder / GUARD), model.facts.get("inputs", ()))
    groups = shown(model, cases, most)
    return Bench(model, judges, groups, merit_of(model, groups))


def report(model: Subject, parts: Any, images: int, adaptive: int) -> dict[str, Any]:  # noqa: ANN401 - of any recipe
    """Return the whole report on a model; the test part is looked at here and nowhere else."""
    rows: dict[str, Mapping[str, float]] = {}
    bench = _bench(model, parts.test, images)
    clean = bench.looked([group.items for group in bench.groups])
    rows["unharmed"] = bench.row(clean, clean)
    attacks = [Attack(reach=reach / 255, steps=n) for n in (1, STEPS) for reach in REACHES]
    for attack in attacks:
        generator = Generator().manual_seed(SEED)
        harm = [harmed(model, group, attack, generator) for group in bench.groups]
        rows[attack.name] = bench.row(clean, bench.looked(harm))
    if adaptive:
        rows |= _adaptive(_bench(model, parts.test, min(images, adaptive)))
    return {
        "model": model.facts["name"],
        "kind": model.facts["kind"],
        "measure": bench.merit.name,
        "8 of 255": reach_in_words(model.facts),
        "rows": rows,
    }


def _adaptive(bench: Bench) -> dict[str, Mapping[str, float]]:
    rows: dict[str, Mapping[str, float]] = {}
    clean = bench.looked([group.items for group in bench.groups])
    for reach in ADAPTIVE_REACHES:
        attack = Attack(reach=reach / 255, steps=ADAPTIVE_STEPS)
        generator = Generator().manual_seed(SEED)
        harm = [bench.evaded(group, attack, generator) for group in bench.groups]
        rows[f"adaptive {attack.name}"] = bench.row(clean, bench.looked(harm))
    return rows


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure and write the report of one model."""
    ask = argparse.ArgumentParser(description="Attack a shipped model and its guard.")
    ask.add_argument("--model", required=True)
    ask.add_argument("--data", type=Path, required=True, help="folder that holds train/")
    ask.add_argument("--images", type=int, default=MOST, help="of the test part, at most")
    ask.add_argument("--adaptive", type=int, default=MOST_ADAPTIVE, help="of them, 0 for none")
    told = ask.parse_args(arguments)
    model_folder.torch_threads(1)
    model = subject(told.model)
    found = report(model, model.parts(told.data), told.images, told.adaptive)
    (model.folder / REPORT).write_text(json.dumps(found, indent=2) + "\n")


if __name__ == "__main__":
    main()
