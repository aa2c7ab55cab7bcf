"""Recipe of petct_lesion: made lesions in one real PET/CT, tested on the other patient.

python dicom_ai_node/bundles/petct_lesion/configs/train.py --data FOLDER [--score-only]
"""

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import torch
from monai.losses import DiceCELoss
from numpy.typing import NDArray
from scipy import ndimage
from torch import Tensor, nn
from torch.optim import AdamW

from dicom_ai_node.training import folder as model_folder
from dicom_ai_node.training.augment import Touch, Warp, warp
from dicom_ai_node.training.command import asked, check_on_record
from dicom_ai_node.training.fit import Plan, descend
from dicom_ai_node.training.grid import Facts, resize, scaled_inputs
from dicom_ai_node.training.made import blob, blurred, grain
from dicom_ai_node.training.predict import probabilities_of, tidied

FOLDER = Path(__file__).resolve().parents[1]
LEARNED, HELD_OUT = "A-IA000991-M-1-0x0", "A-IA001491-0-0x0"
"""The patient into whom lesions are put for training, and the one whom training never sees."""

SOFT_TISSUE_SUV = 0.37
"""Median of the chest wall of `HELD_OUT`. In `LEARNED` it is 5.9, which cannot be: his SUV are
scaled to this median."""

MODEL_MM, FINE_MM = (2.0, 2.0, 2.0), (1.0, 1.0, 1.0)
AIR_HU, LUNG_HU = -1000.0, -500.0
PLAN = Plan(
    steps=4000, minutes=5.0, batch=4, patch=(24, 48, 48), learning_rate=2e-3, judge_every=100,
    ema=0.99, touch=Touch(),
    warp=Warp(degrees=15, zoom=(0.85, 1.2), shift=0.05, mirror=(-1, -2, -3)),
)  # fmt: skip
MADE_CASES, SAME, RESAMPLES = 60, 1e-3, 1000
THRESHOLD_SUV, THRESHOLD_PART = 2.5, 0.41
APART_MM = 20.0
"""A made lesion has its middle at least this far from any other."""
FOUND_DICE = 0.1
"""From this overlap on a made lesion counts as found."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Patient:
    """PET in SUV and CT in HU on one grid, (slices, rows, columns), with what experts drew."""

    suv: NDArray[np.float32]
    hu: NDArray[np.float32]
    lesion: NDArray[np.bool_]


def patient(data: Path, name: str) -> Patient:
    """Read one case of `train/petct` at 1 mm."""

    def array(file: str) -> NDArray[np.float32]:
        image = nib.as_closest_canonical(nib.load(data / "train/petct" / name / f"{file}.nii.gz"))
        values = np.asarray(image.dataobj, dtype=np.float32).transpose(2, 1, 0)
        return np.ascontiguousarray(values[:, ::-1, ::-1])

    suv, hu = array("InputPET_SUV_ROI"), array("InputCT_ROI")
    wall = suv[(hu > -50) & (hu < 100)]  # noqa: PLR2004 - soft tissue
    if name == LEARNED:
        suv = suv * np.float32(SOFT_TISSUE_SUV / np.median(wall))
    return Patient(suv=suv, hu=hu, lesion=array("GTV_Primary_ROI_PET_Staple") > 0)


def coarse(fine: Patient) -> Patient:
    """Return a patient on the model's grid of 2 mm, resampled as the node does it."""
    suv, hu, lesion = (
        resize(torch.from_numpy(array.astype(np.float32))[None, None], _half(array))[0, 0].numpy()
        for array in (fine.suv, fine.hu, fine.lesion)
    )
    return Patient(suv=suv, hu=hu, lesion=lesion >= 0.5)  # noqa: PLR2004


def _half(array: NDArray[Any]) -> tuple[int, ...]:
    return tuple(length // 2 for length in array.shape)


def outline_part(where: Patient) -> float:
    """Return at which part of the way from lung to maximum the experts drew their outline."""
    lung = float(np.median(where.suv[where.hu < LUNG_HU]))
    top = float(where.suv[where.lesion].max())
    parts = np.arange(0.1, 0.6, 0.01)
    scores = [_dice(where.suv >= lung + part * (top - lung), where.lesion) for part in parts]
    return round(float(parts[int(np.argmax(scores))]), 2)


def _dice(one: NDArray[np.bool_], other: NDArray[np.bool_]) -> float:
    both = int(one.sum()) + int(other.sum())
    return 2 * int((one & other).sum()) / both if both else 1.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Made:
    """A patient with a made lesion: `made` is its outline, `lesion` all outlines together."""

    patient: Patient
    made: NDArray[np.bool_]


def with_lesion(
    where: Patient, part: float, spacing_mm: Sequence[float], random: np.random.Generator
) -> Made:
    """Put a made lesion into a lung: hot in the PET, mostly dense in the CT.

    The lump takes up FDG evenly or in grains, some with a cold core; a scanner of 5 to 8 mm sees
    it. Its outline is where experts would draw it, `part` of the way up to its maximum. Its CT
    has breathed by up to 4 mm.
    """
    free = ndimage.distance_transform_edt(~where.lesion, sampling=spacing_mm) > APART_MM
    lung = (where.hu < LUNG_HU) & (where.suv > 0.3 * np.median(where.suv))
    places = np.argwhere(ndimage.binary_dilation(lung, iterations=2) & free)
    if not len(places):
        return Made(patient=where, made=np.zeros_like(where.lesion))
    centre = places[random.integers(len(places))]
    lump = blob(where.suv.shape, centre, 4 * 3 ** random.uniform(0, 1), spacing_mm, random)
    width_mm = random.uniform(5, 8)
    hot = lump * (1 + 0.25 * grain(lump.shape, 6, spacing_mm, random))
    if random.uniform() < 0.2:  # noqa: PLR2004 - a cold core
        hot = hot * (1 - 0.8 * ndimage.binary_erosion(lump, iterations=round(4 / spacing_mm[0])))
    seen = blurred(np.clip(hot, 0, None), width_mm, spacing_mm)
    top = max(float(seen.max()), 1e-6)
    wanted = float(np.median(where.suv[lung])) * 2.5 * 8 ** random.uniform(0, 1)
    suv = where.suv * (1 - blurred(lump.astype(np.float32), width_mm, spacing_mm))
    suv += seen / top * wanted
    made = ndimage.binary_fill_holes(seen >= part * top)
    shift = random.uniform(-4, 4, 3) / np.asarray(spacing_mm)
    dense = blurred(ndimage.shift(lump.astype(np.float32), shift, order=1), 2, spacing_mm)
    hu = where.hu + dense * (random.choice([30, -100, -400]) - where.hu)
    whole = Patient(suv=suv, hu=hu.astype(np.float32), lesion=where.lesion | made)
    return Made(patient=whole, made=made)


def varied(where: Patient, part: float, random: np.random.Generator) -> Patient:
    """Return the patient turned, with noise, another uptake and, mostly, made lesions."""
    seed = torch.Generator().manual_seed(int(random.integers(2**31)))
    images = torch.from_numpy(np.stack([where.suv, where.hu - AIR_HU]))[None]
    turned, marks = warp(images, torch.from_numpy(where.lesion)[None].long(), PLAN.warp, seed)
    suv, hu = turned[0].numpy()
    here = Patient(suv=suv, hu=hu + AIR_HU, lesion=marks[0].numpy() > 0)
    for _ in range(random.integers(0, 3)):
        here = with_lesion(here, part, MODEL_MM, random).patient
    if random.uniform() < 0.5:  # noqa: PLR2004 - a dense spot that takes up nothing
        cold = with_lesion(here, part, MODEL_MM, random)
        here = replace(here, hu=cold.patient.hu)
    level = random.uniform(0, 0.12) * float(np.median(here.suv))
    noise = level * grain(here.suv.shape, 6, MODEL_MM, random)
    gain = np.float32(0.6 * 5 ** random.uniform(0, 1))
    return replace(here, suv=np.clip(here.suv + noise, 0, None) * gain)


def tensor(where: Patient, facts: Facts) -> Tensor:
    """Return (2, *axes), PET and CT as the network sees them."""
    images = {"pet": torch.from_numpy(where.suv), "ct": torch.from_numpy(where.hu)}
    return scaled_inputs(images, facts)


def train(where: Patient, facts: Facts, plan: Plan) -> tuple[nn.Module, dict[str, Any]]:
    """Fit a network on made lesions in one patient; other made ones choose the step."""
    torch.manual_seed(plan.seed)
    random = np.random.default_rng(plan.seed)
    part = outline_part(where)
    network = model_folder.new_network(FOLDER)
    chosen = np.random.default_rng(plan.seed + 1)
    validation = [varied(where, part, chosen) for _ in range(24)]
    loss_of = DiceCELoss(to_onehot_y=True, softmax=True, include_background=False, batch=True)

    def loss() -> Tensor:
        drawn = [varied(where, part, random) for _ in range(plan.batch)]
        marks = torch.from_numpy(np.stack([one.lesion for one in drawn])).long()[:, None]
        found: Tensor = loss_of(network(torch.stack([tensor(one, facts) for one in drawn])), marks)
        return found

    def judge(candidate: nn.Module) -> float:
        return float(np.mean([_dice(found(candidate, v, facts), v.lesion) for v in validation]))

    optimizer = AdamW(network.parameters(), lr=plan.learning_rate, weight_decay=1e-4)
    fitted = descend(network, optimizer, loss, judge, plan)
    return fitted.network, {
        "patients": 1, "outline_part": part, "steps": fitted.steps, "batch": plan.batch,
        "minutes": round(fitted.minutes, 1), "seed": plan.seed, "torch": torch.__version__,
        "validation_dice": round(fitted.validation, 4),
    }  # fmt: skip


def found(network: nn.Module, where: Patient, facts: Facts) -> NDArray[np.bool_]:
    """Return what the network outlines of a patient on the model's grid."""
    labels = probabilities_of(network, tensor(where, facts), facts).argmax(0).numpy()
    return np.asarray(tidied(labels.astype(np.uint8), facts) > 0)


def found_fine(network: nn.Module, fine: Patient, facts: Facts) -> NDArray[np.bool_]:
    """Return what the node would outline on the pixels of a patient at 1 mm."""
    chances = probabilities_of(network, tensor(coarse(fine), facts), facts)
    return np.asarray(resize(chances[None], fine.suv.shape)[0].argmax(0).numpy() > 0)


def around(mask: NDArray[np.bool_], seed: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Return the connected parts of `mask` that touch `seed`, as if a person had clicked there."""
    parts, _ = ndimage.label(mask)
    touched = np.unique(parts[seed & mask])
    return np.isin(parts, touched[touched > 0])


def by_threshold(where: Patient, lesion: NDArray[np.bool_]) -> Mapping[str, NDArray[np.bool_]]:
    """Return what the two usual thresholds outline, given a click on the lesion."""
    top = float(where.suv[lesion].max())
    return {
        "41 % of the maximum": around(where.suv >= THRESHOLD_PART * top, lesion),
        "SUV from 2.5": around(where.suv >= THRESHOLD_SUV, lesion),
    }


def numbers(
    result: NDArray[np.bool_], truth: NDArray[np.bool_], suv: NDArray[np.float32]
) -> dict[str, float]:
    """Return Dice, and how far volume and total lesion glycolysis are off, in percent."""
    glycolysis = float(suv[result].sum()) / float(suv[truth].sum())
    return {
        "Dice": _dice(result, truth),
        "volume, error (%)": 100 * (int(result.sum()) / int(truth.sum()) - 1),
        "TLG, error (%)": 100 * (glycolysis - 1),
    }


def real_scores(network: nn.Module, fine: Patient, facts: Facts) -> dict[str, dict[str, float]]:
    """Score the one lesion that experts drew in the patient whom training never saw."""
    results = {"": found_fine(network, fine, facts), **by_threshold(fine, fine.lesion)}
    rows: dict[str, dict[str, float]] = {}
    for method, result in results.items():
        for name, value in numbers(result, fine.lesion, fine.suv).items():
            label = f"real lesion, {name}" + (f", by {method}" if method else "")
            rows[label] = {"value": round(value, 4), "cases": 1}
    return rows


def made_scores(
    network: nn.Module, where: Patient, part: float, facts: Facts
) -> dict[str, dict[str, float]]:
    """Score made lesions in the patient whom training never saw, and two thresholds beside."""
    random = np.random.default_rng(PLAN.seed + 2)
    per_case: dict[str, list[float]] = {}
    for _ in range(MADE_CASES):
        one = with_lesion(where, part, MODEL_MM, random)
        mine = found(network, one.patient, facts)
        ours = {"": around(mine, one.made), **by_threshold(one.patient, one.made)}
        for method, result in ours.items():
            for name, value in numbers(result, one.made, one.patient.suv).items():
                error = abs(value) if "error" in name else value
                words = name.replace("error", "absolute error")
                label = f"made lesions, {words}" + (f", by {method}" if method else "")
                per_case.setdefault(label, []).append(error)
        hit = float(_dice(ours[""], one.made) >= FOUND_DICE)
        per_case.setdefault("made lesions, share found", []).append(hit)
        beside = mine & ~ours[""] & ~ndimage.binary_dilation(where.lesion, iterations=2)
        wrong_cm3 = float(beside.sum() * np.prod(MODEL_MM) / 1000)
        per_case.setdefault("outlined where nothing is (cm3)", []).append(wrong_cm3)
    return {name: _interval(values) for name, values in sorted(per_case.items())}


def _interval(values: Sequence[float]) -> dict[str, float]:
    array, random = np.asarray(values), np.random.default_rng(PLAN.seed)
    drawn = array[random.integers(len(array), size=(RESAMPLES, len(array)))].mean(1)
    low, high = np.percentile(drawn, [2.5, 97.5])
    mean = float(array.mean())
    return {"value": round(mean, 4), "low": round(float(low), 4), "high": round(float(high), 4),
            "cases": len(array)}  # fmt: skip


def scores_of(
    network: nn.Module, fine: Patient, part: float, facts: Facts
) -> dict[str, dict[str, float]]:
    """Score a network on a patient whom it has never seen: his lesion, then made ones."""
    return {
        **real_scores(network, fine, facts),
        **made_scores(network, coarse(fine), part, facts),
    }


def write_golden(network: nn.Module, where: Patient, facts: Facts) -> None:
    """Write the golden input, the held-out patient in steps that nobody sees, and its labels."""
    steps = {"pet": (where.suv, 2.0**-8), "ct": (where.hu, 1.0)}
    images = {name: np.round(array / step) * step for name, (array, step) in steps.items()}
    again = Patient(suv=images["pet"], hu=images["ct"], lesion=where.lesion)
    labels = found(network, again, facts).astype(np.uint8)
    path = FOLDER / "golden/golden.npz"
    path.parent.mkdir(parents=True, exist_ok=True)
    np.savez_compressed(path, labels=labels, **images)


def main(arguments: Sequence[str] | None = None) -> str:
    """Train both ways round, write the folder and return the score table.

    Raises
    ------
    SystemExit
        With `--score-only`, if the shipped weights do not give the scores on record.
    """
    told = asked(FOLDER, PLAN.minutes, arguments)
    facts = model_folder.facts_of(FOLDER)
    learned, held_out = patient(told.data, LEARNED), patient(told.data, HELD_OUT)
    record = json.loads((FOLDER / "docs/score.json").read_text()) if told.score_only else {}
    if not told.score_only:
        plan = replace(PLAN, minutes=told.minutes)
        network, record["training"] = train(coarse(learned), facts, plan)
        model_folder.write_weights(FOLDER, network)
        back, parted = train(coarse(held_out), facts, plan)
        record["other_way_round"] = {
            "training": parted, "test": scores_of(back, learned, parted["outline_part"], facts),
        }  # fmt: skip
    shipped = model_folder.shipped_network(FOLDER)
    weights = (FOLDER / model_folder.WEIGHTS).read_bytes()
    score = {
        "model": facts["name"],
        "version": facts["version"],
        "weights_sha256": hashlib.sha256(weights).hexdigest(),
        **record,
        "test": scores_of(shipped, held_out, record["training"]["outline_part"], facts),
    }
    if told.score_only:
        check_on_record(score, record, "value", SAME)
    else:
        write_golden(shipped, coarse(held_out), facts)
        model_folder.write_score(FOLDER, score)
        model_folder.write_checksums(FOLDER)
    return model_folder.score_table(score["test"])


if __name__ == "__main__":
    print(main())
