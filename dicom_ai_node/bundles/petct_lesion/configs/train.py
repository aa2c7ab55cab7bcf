"""Recipe of petct_lesion: made lesions in one real PET/CT, tested on the other patient.

python dicom_ai_node/bundles/petct_lesion/configs/train.py --data FOLDER [--score-only]
"""

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import replace
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
from dicom_ai_node.training.augment import Touch
from dicom_ai_node.training.command import asked, check_on_record
from dicom_ai_node.training.fit import Plan, descend
from dicom_ai_node.training.grid import Facts, resize, scaled_inputs
from dicom_ai_node.training.petct import (
    TURNED,
    Patient,
    drawn,
    outline_part,
    overlap,
    varied,
    with_lesion,
)
from dicom_ai_node.training.predict import probabilities_of, tidied

FOLDER = Path(__file__).resolve().parents[1]
LEARNED, HELD_OUT = "A-IA000991-M-1-0x0", "A-IA001491-0-0x0"
"""The patient into whom lesions are put for training, and the one whom training never sees."""

SOFT_TISSUE_SUV = 0.37
"""Median of the chest wall of `HELD_OUT`. In `LEARNED` it is 5.9, which cannot be: his SUV are
scaled to this median."""

MODEL_MM, FINE_MM = (2.0, 2.0, 2.0), (1.0, 1.0, 1.0)
PLAN = Plan(
    steps=4000, minutes=5.0, batch=4, patch=(24, 48, 48), learning_rate=2e-3, judge_every=100,
    ema=0.99, touch=Touch(), warp=TURNED,
)  # fmt: skip
POOL, VALIDATION, MADE_CASES = 200, 24, 60
"""Made cases to learn from, to choose the step by, and to test on."""
SAME, RESAMPLES = 1e-3, 1000
THRESHOLD_SUV, THRESHOLD_PART = 2.5, 0.41
DICE = "Dice, FDG-avid lesion"
FOUND_DICE = 0.1
"""From this overlap on a made lesion counts as found."""


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
    validation = [drawn([varied(where, part, MODEL_MM, chosen)], chosen) for _ in range(VALIDATION)]
    pool = [varied(where, part, MODEL_MM, random) for _ in range(POOL)]
    loss_of = DiceCELoss(to_onehot_y=True, softmax=True, include_background=False, batch=True)

    def loss() -> Tensor:
        batch = [drawn(pool, random) for _ in range(plan.batch)]
        marks = torch.from_numpy(np.stack([one.lesion for one in batch])).long()[:, None]
        seen = torch.stack([tensor(one, facts) for one in batch])
        found: Tensor = loss_of(network(seen), marks)
        return found

    def judge(candidate: nn.Module) -> float:
        return float(np.mean([overlap(found(candidate, v, facts), v.lesion) for v in validation]))

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
        DICE: overlap(result, truth),
        "volume, error (%)": 100 * (int(result.sum()) / int(truth.sum()) - 1),
        "TLG, error (%)": 100 * (glycolysis - 1),
    }


def real_scores(network: nn.Module, fine: Patient, facts: Facts) -> dict[str, dict[str, float]]:
    """Score the one lesion that experts drew in the patient whom training never saw."""
    results = {"": found_fine(network, fine, facts), **by_threshold(fine, fine.lesion)}
    rows: dict[str, dict[str, float]] = {}
    for method, result in results.items():
        for name, value in numbers(result, fine.lesion, fine.suv).items():
            label = f"{name}, real" + (f", by {method}" if method else "")
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
                label = f"{words}, made" + (f", by {method}" if method else "")
                per_case.setdefault(label, []).append(error)
        hit = float(overlap(ours[""], one.made) >= FOUND_DICE)
        per_case.setdefault("share found, made", []).append(hit)
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
    suv = (np.round(where.suv * 256) / 256).astype(np.float32)
    hu = np.round(where.hu)
    again = Patient(suv=suv, hu=hu, lesion=where.lesion)
    labels = found(network, again, facts).astype(np.uint8)
    path = FOLDER / "golden/golden.npz"
    path.parent.mkdir(parents=True, exist_ok=True)
    np.savez_compressed(path, labels=labels, pet=suv, ct=hu)


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
