"""Recipe of pet_denoise: uptake of few patients and made uptake, with the noise of fewer counts.

python dicom_ai_node/bundles/pet_denoise/configs/train.py --data FOLDER [--score-only]
"""

import csv
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import nibabel as nib
import numpy as np
from numpy.typing import NDArray
from PIL import Image

from dicom_ai_node.training.augment import Touch, Warp
from dicom_ai_node.training.command import Scores
from dicom_ai_node.training.degrade import with_pet_noise
from dicom_ai_node.training.fit import Plan
from dicom_ai_node.training.made import blob, blurred, uptake
from dicom_ai_node.training.pair import Method, Pair, PairParts, psnr
from dicom_ai_node.training.picture import Picture, split
from dicom_ai_node.training.restore import RestoreRecipe, averaged, main
from dicom_ai_node.training.simple import gaussian, median, non_local_means

Plane = NDArray[np.float32]

CHOOSING, HELD_OUT = "A-IA000991-M-1-0x0", "A-IA001491-0-0x0"
"""The patient for validation, and the one for the test; training has made uptake alone."""

LEVELS = (0.05, 0.6)
JUDGED = (0.1, 0.2, 0.4)
"""Noise at the mean uptake: range in training; in validation and test, where each is a quarter of
the counts of the one before."""

SCANNER_PX, NOISE_PX = (3.5, 7.0), (1.8, 3.5)
"""Full widths at half maximum of made uptake's point spread and of the grain of the noise."""

SPOTS = 60
"""Made lesions in the real test slices, whose maxima are compared before and after."""

PERCENTILE = 99.9
EMPTY = 12
"""Slices of training in which there is nothing, and in which nothing is to be put."""
SEED = 17


def _pair(clean: Plane, group: str, level: float, random: np.random.Generator) -> Pair:
    given = with_pet_noise(clean, level, random.uniform(*NOISE_PX), random)
    ends = float(given.min()), float(np.percentile(given, PERCENTILE))
    return Pair(given=given, wanted=np.ascontiguousarray(clean), ends=ends, group=group)


def _judged(slices: Iterator[tuple[str, Plane]]) -> list[Pair]:
    random = np.random.default_rng(SEED)
    return [
        _pair(clean, group, JUDGED[n % len(JUDGED)], random)
        for n, (group, clean) in enumerate(slices)
    ]


def _learned(slices: Iterator[tuple[str, Plane]]) -> list[Pair]:
    random = np.random.default_rng(SEED + 1)
    return [
        _in_nothing(
            _pair(
                clean, group, LEVELS[0] * (LEVELS[1] / LEVELS[0]) ** random.uniform(0, 1), random
            ),
            random,
        )
        for group, clean in slices
    ]


def _in_nothing(pair: Pair, random: np.random.Generator) -> Pair:
    """Return every second pair without the noise around the body, as many scanners write it."""
    if random.uniform() < 0.5:  # noqa: PLR2004
        return pair
    body = pair.wanted > 0.02 * float(pair.wanted.max())
    return replace(pair, given=np.where(body, pair.given, 0), wanted=np.where(body, pair.wanted, 0))


def _empty() -> list[Pair]:
    nothing = np.zeros((64, 64), np.float32)
    return [Pair(given=nothing, wanted=nothing, ends=(0.0, 1.0), group="empty")] * EMPTY


def _volume(path: Path) -> Plane:
    values = np.asarray(nib.load(path).dataobj, np.float32)
    return np.ascontiguousarray(np.rot90(values).transpose(2, 0, 1))


def _chest(data: Path, name: str) -> Iterator[tuple[str, Plane]]:
    """Yield every third slice of 1 mm, with pixels of 2 mm."""
    volume = _volume(data / f"train/petct/{name}/InputPET_SUV_ROI.nii.gz")
    for plane in volume[::3]:
        yield name, plane.reshape(48, 2, 48, 2).mean((1, 3))


def _template(data: Path) -> Iterator[tuple[str, Plane]]:
    for plane in _volume(data / "train/brain-pet-template/CN_PET_TEMPLATE.nii.gz")[12:66:2]:
        yield "template", plane


def _heads(pictures: Sequence[Picture]) -> Iterator[tuple[str, Plane]]:
    """Yield made uptake in the anatomy of T1 slices, every third of them."""
    for picture in pictures[::3]:
        random = np.random.default_rng([SEED, *picture.name.encode()])
        grey = picture.image / max(float(np.percentile(picture.image, PERCENTILE)), 1.0)
        anatomy = np.where(grey > 0.08, np.clip(grey, 0, 1), 0)  # noqa: PLR2004 - not air
        yield f"head {picture.group}", uptake(anatomy, random.uniform(*SCANNER_PX), random)


def _trunk(data: Path) -> Iterator[tuple[str, Plane]]:
    """Yield made uptake in the organs of a CT: each organ a grey value of its own."""
    organs = _volume(data / "train/ct-organs/example_seg_fast_force_split.nii.gz").astype(int)
    body = _volume(data / "train/ct-organs/example_ct.nii.gz") > -300  # noqa: PLR2004 - HU
    for n, plane in enumerate(organs):
        random = np.random.default_rng([SEED, n])
        greys = random.uniform(0.2, 1, int(organs.max()) + 1)
        anatomy = np.where(plane > 0, greys[plane], np.where(body[n], 0.15, 0))
        yield "trunk", uptake(anatomy, random.uniform(*SCANNER_PX), random)


def read(data: Path) -> PairParts:
    """Read the PET, the anatomy for made uptake, and part them by patient."""
    folder = data / "train/brain-mr"
    with (folder / "labels.csv").open(newline="") as table:
        heads = split([
            Picture(
                name=row["file"],
                image=np.asarray(Image.open(folder / row["file"]).convert("L"), np.float32),
                label=0,
                group=row["group"],
            )
            for row in csv.DictReader(table)
        ])  # fmt: skip
    return PairParts(
        training=[
            *_learned(_heads(heads.training)),
            *_learned(_trunk(data)),
            *_empty(),
        ],
        validation=[*_judged(_heads(heads.validation[::2])), *_judged(_chest(data, CHOOSING))],
        test=[
            *_judged(_template(data)),
            *_judged(_chest(data, HELD_OUT)),
            *_judged(_heads(heads.test[::3])),
        ],
    )


def by_source(methods: Mapping[str, Method], pairs: Sequence[Pair]) -> Scores:
    """Return PSNR by where the slices come from, and what becomes of the mean and of maxima."""
    rows: Scores = {}
    for source in ("template", HELD_OUT, "head"):
        some = [pair for pair in pairs if pair.group.startswith(source)]
        for name, method in methods.items() if some else ():
            values = [psnr(method(pair), pair.wanted, pair.ends) for pair in some]
            title = {"template": "brain template", HELD_OUT: "chest", "head": "made uptake"}[source]
            rows[f"PSNR (dB), {name}, {title}"] = averaged(values, [pair.group for pair in some])
    groups = [pair.group for pair in pairs]
    means = [float(methods["network"](pair).mean() / pair.given.mean()) for pair in pairs]
    rows["mean uptake, change (%)"] = averaged([100 * (m - 1) for m in means], groups)
    return rows | _maxima(methods, [pair for pair in pairs if not pair.group.startswith("head")])


def _maxima(methods: Mapping[str, Method], pairs: Sequence[Pair]) -> Scores:
    """Return by how much the maximum of made lesions in real slices differs from the truth's."""
    random = np.random.default_rng(SEED + 2)
    changes: dict[str, list[float]] = {name: [] for name in methods}
    groups = []
    for n in range(SPOTS if pairs else 0):
        clean = pairs[n * 7 % len(pairs)].wanted
        warm = np.argwhere(clean > 0.3 * clean.max())
        centre = warm[random.integers(len(warm))]
        lump = blob(clean.shape, centre, random.uniform(1.5, 5), (1.0, 1.0), random)
        seen = blurred(lump.astype(np.float32), 3.0, (1.0, 1.0))
        top = float(clean.mean()) * 4 * 3 ** random.uniform(0, 1)
        hot = clean + seen * (top - clean)
        one = _pair(hot, "", JUDGED[n % len(JUDGED)], random)
        there = seen > 0.2  # noqa: PLR2004
        groups.append(str(n))
        for name, method in methods.items():
            changes[name].append(100 * float(method(one)[there].max() / hot[there].max() - 1))
    rows = {}
    for name, values in changes.items() if groups else ():
        rows[f"maximum of a made lesion, change (%), {name}"] = averaged(values, groups)
        sizes = [abs(value) for value in values]
        rows[f"maximum of a made lesion, absolute change (%), {name}"] = averaged(sizes, groups)
    return rows


def middle(pairs: Sequence[Pair]) -> Plane:
    """Return a slice through the basal ganglia of the template as the golden one."""
    return pairs[13].given.round(4)


RECIPE = RestoreRecipe(
    folder=Path(__file__).resolve().parents[1],
    read=read,
    beside={
        "non-local means": non_local_means((2.2, 4.5, 8.0, 14.0)),
        "median": median(),
        "Gaussian": gaussian((0.8, 1.2, 1.6, 2.2, 3.0)),
    },
    golden=middle,
    also_score=by_source,
    levels=(0.3, 1.0),
    unit="(SUV)",
    plan=Plan(
        steps=6000,
        minutes=10.0,
        batch=8,
        patch=(64, 64),
        learning_rate=2e-3,
        judge_every=250,
        ema=0.99,
        warp=Warp(),
        touch=Touch(),
    ),
)


if __name__ == "__main__":
    print(main(RECIPE))
