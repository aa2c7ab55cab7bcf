"""What every recipe of kind `track` does: train, calibrate, score, write the folder."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Generator, Tensor, nn

from dicom_ai_node.training import folder as model_folder
from dicom_ai_node.training.case import Case, Parts
from dicom_ai_node.training.cine import Motion, breathing, cine, moved, path_px, sector
from dicom_ai_node.training.command import Course, Scores, Work, run
from dicom_ai_node.training.fit import Fitted, Plan
from dicom_ai_node.training.fit_track import fit_track, found_again, pair, places
from dicom_ai_node.training.grid import Facts, pad_end, resize, scaled, shape_on_grid
from dicom_ai_node.training.score_track import (
    ASTRAY_PX,
    MadeCine,
    Paths,
    by_correlation,
    errors_px,
    followed,
    mean,
    of_motion,
    of_return,
    percentile_95,
    with_interval,
)
from dicom_ai_node.training.sure_track import certainty_of, golden_of, rules_of

SAME = 0.05
"""How far a score that is measured again may lie from the one on record."""
FRAMES, POINTS = 40, 4
"""Of every made cine."""
RETURNS = 6
"""So many motions are added to every real cine."""
PAIRS = 16
"""Stills of the validation part by whose pairs the weights are chosen."""

Rows = dict[str, list[NDArray[np.float64]]]
"""By the name of a score, one array per cine."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TrackRecipe:
    """What a recipe decides.

    `read` returns the parts of the data in a folder: stills (rows, columns), and real cines
    (frames, rows, columns) in the test part. `cines` says of which stills of a part cines are made
    for calibration and scores, for that takes time. `look` may change how such a cine looks, by
    what it is a cine of.
    """

    folder: Path
    read: Callable[[Path], Parts]
    plan: Plan
    cines: Callable[[Sequence[Case]], Sequence[Case]] = lambda cases: cases
    look: Callable[[Case, Motion], Motion] = lambda _, motion: motion


def on_grid(case: Case, facts: Facts) -> Tensor:
    """Return the image (rows, columns) on the model's grid, scaled and padded."""
    shape = shape_on_grid(facts, case.image.shape, case.spacing_mm)
    image = resize(torch.from_numpy(case.image)[None, None], shape)[0, 0]
    return pad_end(scaled(image, facts), facts["grid"]["size_px"], 0.0)


def made(recipe: TrackRecipe, case: Case, facts: Facts, seed: int) -> MadeCine:
    """Return the cine that is made of a still: the same for the same seed."""
    generator = Generator().manual_seed(seed)
    still = on_grid(case, facts)
    shape, inside = (still.shape[0], still.shape[1]), sector(still)
    motion = recipe.look(case, breathing(shape, FRAMES, generator))
    start = places(still, inside, POINTS, generator)
    factor = case.image.shape[1] / shape_on_grid(facts, case.image.shape, case.spacing_mm)[1]
    return MadeCine(
        name=case.name,
        frames=cine(still, inside, motion, generator),
        motion=motion,
        truth=path_px(shape, motion, start),
        mm_per_px=(case.spacing_mm[0] * factor, case.spacing_mm[1] * factor)
        if "is_calibrated" in case.reference
        else None,
        where=case.where,
    )


def there_and_back(case: Case, facts: Facts, seed: int) -> MadeCine:
    """Return a real cine that runs forth and back again, with a motion that is known besides.

    Where tissue was on the first frame it is on the last one, but for that motion; in between
    nobody knows.
    """
    generator = Generator().manual_seed(seed)
    forth = [on_grid(replace(case, image=frame), facts) for frame in case.image]
    frames = torch.stack([*forth, *forth[-2::-1]])
    shape = (frames.shape[1], frames.shape[2])
    motion = breathing(shape, len(frames), generator)
    start = places(forth[0], sector(forth[0]), POINTS, generator)
    truth = path_px(shape, motion, start)
    truth[1:-1] = torch.nan
    return MadeCine(
        name=case.name, frames=moved(frames, motion), motion=motion, truth=truth, mm_per_px=None
    )


def _measured(path: Paths, item: MadeCine) -> dict[str, object]:
    """Return by how much the places of one method are off, and what follows from it."""
    errors = errors_px(path, item)
    known = errors[~np.isnan(errors)]
    found: dict[str, object] = {
        "error (px)": known,
        f"share of places astray by {ASTRAY_PX:g} px": known > ASTRAY_PX,
    }
    if item.where:
        found[f"error {item.where} (px)"] = known
    if item.mm_per_px is not None:
        away = np.linalg.norm((path - item.truth.numpy()) * item.mm_per_px, axis=2)[1:]
        found["error (mm)"] = away[~np.isnan(away)]
    return {**found, **of_motion(path, item)}


def _rows(network: nn.Module, cines: Sequence[MadeCine], facts: Facts) -> Rows:
    rules = rules_of(facts)
    rows: Rows = {}

    def add(name: str, values: object) -> None:
        rows.setdefault(name, []).append(np.atleast_1d(np.asarray(values, np.float64)).ravel())

    for item in cines:
        found = followed(network, item, rules)
        is_lost = (found.confidence < rules.least).numpy()
        ours = found.points.numpy().astype(np.float64)
        others = {
            "NCC, first template": by_correlation(item, rules, is_renewed=False),
            "NCC, renewed template": by_correlation(item, rules, is_renewed=True),
        }
        if bool(item.truth.isnan().any()):
            for name, errors in of_return(item, {"features": ours, **others}).items():
                add(name, errors)
            continue
        paths = {"features": np.where(is_lost[..., None], np.nan, ours), **others}
        add("features: share of places reported as lost", is_lost[1:])
        add("features: error with lost places held (px)", errors_px(ours, item))
        for method, path in paths.items():
            for name, value in _measured(path, item).items():
                add(f"{method}: {name}", value)
    return rows


def summary(rows: Rows) -> Scores:
    """Return every score with its interval; of errors in pixels also the 95th percentile."""
    found = {}
    # What is ours comes before what it is compared with.
    for name in sorted(
        rows, key=lambda name: ("features" not in name, ": error (px)" not in name, name)
    ):
        if not any(len(item) for item in rows[name]):
            continue
        found[name] = with_interval(rows[name], mean)
        if name.endswith(": error (px)"):
            label = name.replace("error (px)", "error, 95th percentile (px)")
            found[label] = with_interval(rows[name], percentile_95)
    return found


def _fit(work: Work[TrackRecipe, Parts]) -> Fitted:
    recipe, parts, facts = work.recipe, work.parts, work.facts
    network = model_folder.new_network(recipe.folder)
    rules = rules_of(facts)
    stills = [on_grid(case, facts) for case in parts.training]
    generator = Generator().manual_seed(recipe.plan.seed)
    every = max(1, len(parts.validation) // PAIRS)
    pairs = [
        pair(on_grid(case, facts), generator, rules.search_px) for case in parts.validation[::every]
    ]

    def judge(candidate: nn.Module) -> float:
        return found_again(candidate, pairs, rules)

    return fit_track(network, stills, rules, judge, work.plan)


def _made(recipe: TrackRecipe, cases: Sequence[Case], facts: Facts) -> list[MadeCine]:
    stills = [case for case in cases if case.image.ndim == 2]  # noqa: PLR2004
    real = [case for case in cases if case.image.ndim > 2]  # noqa: PLR2004
    return [
        *(made(recipe, case, facts, seed) for seed, case in enumerate(recipe.cines(stills))),
        *(there_and_back(case, facts, seed) for case in real for seed in range(RETURNS)),
    ]


def _calibrate(work: Work[TrackRecipe, Parts], network: nn.Module) -> None:
    cines = _made(work.recipe, work.parts.validation, work.facts)
    for name, value in certainty_of(network, cines, work.facts).items():
        model_folder.write_number(work.recipe.folder, name, value)


def _golden(work: Work[TrackRecipe, Parts], network: nn.Module) -> None:
    cines = _made(work.recipe, work.parts.validation, work.facts)
    model_folder.write_golden(work.recipe.folder, **golden_of(network, cines, work.facts))


def _scored(work: Work[TrackRecipe, Parts], network: nn.Module, cases: Sequence[Case]) -> Scores:
    return summary(_rows(network, _made(work.recipe, cases, work.facts), work.facts))


COURSE: Course[TrackRecipe, Parts] = Course(
    fit=_fit,
    calibrate=_calibrate,
    golden=_golden,
    settle=lambda work, network: {"validation": _scored(work, network, work.parts.validation)},
    score=lambda work, network, _: _scored(work, network, work.parts.test),
    same=SAME,
)


def main(recipe: TrackRecipe, arguments: Sequence[str] | None = None) -> str:
    """Run a recipe and return its score table, see `command.run`."""
    return run(recipe, COURSE, arguments)
