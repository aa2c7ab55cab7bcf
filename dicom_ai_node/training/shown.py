"""What a shipped model sees of the data of its recipe, and what is known of it: for its guard.

The same windows that the node's guard would look at, see `domain.excerpts`.
"""

import importlib.util
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Generator, Tensor, nn

import dicom_ai_node
from dicom_ai_node.domain.excerpts import CROP_PX, MOST_PLANES, Excerpts, excerpts
from dicom_ai_node.neural.asked import Z_RANGE, Asked
from dicom_ai_node.training import folder as model_folder
from dicom_ai_node.training.boxed import BoxPicture
from dicom_ai_node.training.case import Case
from dicom_ai_node.training.fit_track import pair
from dicom_ai_node.training.folds import folds_of
from dicom_ai_node.training.fuse import FusedCase
from dicom_ai_node.training.grid import (
    Facts,
    pad_end,
    resize_labels,
    scaled,
    scaled_inputs,
    shape_on_grid,
)
from dicom_ai_node.training.instances import Field, network_input
from dicom_ai_node.training.pair import Pair, to_unit
from dicom_ai_node.training.petct import Patient, patients
from dicom_ai_node.training.picture import Picture, PictureParts
from dicom_ai_node.training.predict import MULTIPLE_PX, on_grid
from dicom_ai_node.training.sure_track import rules_of
from dicom_ai_node.training.track import on_grid as still_on_grid

SEED = 20260
BUNDLES = Path(dicom_ai_node.__file__).parent / "bundles"


@dataclass(frozen=True, slots=True)
class Subject:
    """A model with its recipe, and where it lies."""

    folder: Path
    module: Any
    facts: Facts
    network: nn.Module

    @property
    def layer(self) -> nn.Module:
        """The module whose features are compared."""
        layer: nn.Module = self.network.get_submodule(self.facts["guard"]["layer"])
        return layer

    @property
    def asked(self) -> Asked:
        """The network as its guard asks it."""
        settings = self.facts.get("settings", {})
        return Asked(
            self.network,
            self.facts["kind"],
            span=span_of(self.facts),
            factor=settings.get("factor", 1) if self.facts["kind"] == "restore" else 1,
            told=2 * len(self.facts.get("clinical", ())),
        )

    @property
    def inputs(self) -> tuple[str, ...]:
        """The names of the inputs; one without a name if there is but one."""
        return tuple(self.facts.get("inputs", ("",)))

    def parts(self, data: Path) -> Any:  # noqa: ANN401 - each kind of recipe has its own
        """Return what the recipe learned from, chose by and was tested on.

        Where the recipe holds nothing back, parts are dealt here: its weights know all of them.
        """
        recipe = getattr(self.module, "RECIPE", None)
        parts: Any = patients(self.module, data) if recipe is None else recipe.read(data)
        if hasattr(parts, "validation"):
            return parts
        test, validation, *others = folds_of(parts.training)
        training = [picture for fold in others for picture in fold]
        return PictureParts(training=training, validation=validation, test=test)


@dataclass(frozen=True, slots=True)
class Shown:
    """Items of one size: (items, inputs, *axes) in about 0..1, what is true of each, groups.

    `truths` is what `training.merit` needs: classes, labels of pixels, boxes, the image before it
    was made worse. `inside` is the part of every axis that is image and not padding.
    """

    items: Tensor
    truths: tuple[Any, ...]
    inside: tuple[int, ...]
    groups: tuple[str, ...]

    @property
    def labels(self) -> Tensor | None:
        """Classes (items,) or (items, *axes), if that is what is true."""
        if not all(isinstance(truth, Tensor) for truth in self.truths):
            return None
        return torch.stack(list(self.truths))


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
    return Subject(folder, module, facts, network)


def as_they_may_come(cases: Sequence[Any]) -> Sequence[Any]:
    """Return cases as they may come to the node: of those that were made worse, some are less so.

    An image that needs no restoring is nothing that a model has never seen.
    """
    if not cases or not isinstance(cases[0], Pair) or cases[0].given.shape != cases[0].wanted.shape:
        return cases
    levels = [np.float32(number % 3 / 2) for number in range(len(cases))]
    return [
        replace(one, given=one.wanted + level * (one.given - one.wanted))
        for one, level in zip(cases, levels, strict=True)
    ]


def span_of(facts: Facts) -> float:
    """Return by how much z-scores are divided before the guard looks at them."""
    is_z = facts.get("intensity", {}).get("scaling") == "zscore"
    return Z_RANGE if is_z else 1.0


def shown(model: Subject, cases: Sequence[Any], most: int | None = None) -> list[Shown]:
    """Return cases as the guard of the node would see them, items of one size together.

    With `most` a random choice of so many windows, the same each time: of as many cases as can be,
    for windows of one case are alike.
    """
    each = MOST_PLANES if most is None else max(1, most // len(cases))
    if most is not None and most < len(cases):
        order = np.random.default_rng(SEED).permutation(len(cases))[:most]
        cases = [cases[place] for place in sorted(order)]
    by_size: dict[tuple[tuple[int, ...], ...], list[tuple[Tensor, Any, str]]] = {}
    for number, case in enumerate(cases):
        if isinstance(case, Case) and model.facts["kind"] == "track" and case.image.ndim > 2:  # noqa: PLR2004
            continue  # a real cine, whose motion nobody knows
        items, truths, inside = _seen(case, model.facts, each)
        group = getattr(case, "group", "") or getattr(case, "name", str(number))
        members = by_size.setdefault((inside, tuple(items.shape[2:])), [])
        members += [(item, truth, group) for item, truth in zip(items, truths, strict=True)]
    return [
        Shown(
            torch.stack([item for item, _, _ in members]),
            tuple(truth for _, truth, _ in members),
            inside,
            tuple(group for _, _, group in members),
        )
        for (inside, _), members in by_size.items()
    ]


def _seen(
    case: Any,  # noqa: ANN401
    facts: Facts,
    each: int,
) -> tuple[Tensor, list[Any], tuple[int, ...]]:
    """Return items (windows, inputs, *axes), what is true of each, and what of them is image."""
    values, truth = _values(case, facts)
    inside = tuple(values.shape[1:])
    padded = _padded(values, facts)[None]
    found = excerpts(padded.numpy(), inside, _size(facts, len(inside)), MOST_PLANES)
    random = np.random.default_rng([SEED, int(1e6 * abs(float(values.mean())))])
    chosen = sorted(random.permutation(len(found.places))[:each])
    found = replace(found, places=tuple(found.places[n] for n in chosen))
    items = torch.from_numpy(found.of(padded.numpy()))
    return items, _truths(truth, found, padded, facts), tuple(map(min, inside, found.size))


def _truths(truth: Any, found: Excerpts, padded: Tensor, facts: Facts) -> list[Any]:  # noqa: ANN401
    """Return what is true of every window, of what is true of the whole."""
    if not isinstance(truth, np.ndarray):
        return [truth] * len(found.places)
    factor = facts.get("settings", {}).get("factor", 1) if facts["kind"] == "restore" else 1
    whole = pad_end(
        torch.from_numpy(np.ascontiguousarray(truth)), [factor * n for n in padded.shape[2:]], 0
    )
    larger = Excerpts(
        tuple((item, *(factor * start for start in corner)) for item, *corner in found.places),
        tuple(factor * length for length in found.size),
    )
    cut = list(larger.of(whole[None, None].numpy())[:, 0])
    is_labels = facts["kind"] == "segment"
    return [torch.from_numpy(one).long() for one in cut] if is_labels else cut


def _values(case: Any, facts: Facts) -> tuple[Tensor, Any]:  # noqa: ANN401
    """Return (inputs, *axes) scaled, without padding, and what is true of them."""
    match case:
        case Pair():
            values = torch.from_numpy(to_unit(case.given, case.ends))
            return values[None], np.asarray(to_unit(case.wanted, case.ends))
        case Field():
            return network_input(case, facts)[None], case.objects
        case FusedCase():
            images = {name: torch.from_numpy(image) for name, image in case.images.items()}
            return scaled_inputs(images, facts), torch.tensor(case.label)
        case Patient():
            images = {"pet": torch.from_numpy(case.suv), "ct": torch.from_numpy(case.hu)}
            return scaled_inputs(images, facts), case.lesion.astype(np.uint8)
        case Case() if facts["kind"] == "track":
            return _followed(case, facts)
        case _:
            return _on_grid(case, facts)


def _on_grid(case: Case | Picture | BoxPicture, facts: Facts) -> tuple[Tensor, Any]:
    as_case = case if isinstance(case, Case) else _as_case(case)
    values = scaled(on_grid(as_case, facts), facts)[None] / span_of(facts)
    if not isinstance(case, Case):
        return values, torch.tensor(case.label) if isinstance(case, Picture) else case
    labels = torch.from_numpy(np.ascontiguousarray(case.labels))
    return values, resize_labels(labels, values.shape[1:], 1 + len(facts["segments"])).numpy()


def _followed(case: Case, facts: Facts) -> tuple[Tensor, Any]:
    """Return a still, and a frame before it: places on that, and where they are on the still."""
    still = still_on_grid(case, facts)
    generator = Generator().manual_seed(SEED + int(1e6 * float(still.mean())))
    frames, places, moved = pair(still, generator, rules_of(facts).search_px)
    rows, columns = shape_on_grid(facts, case.image.shape, case.spacing_mm)
    return still[None, :rows, :columns], (frames[1], moved, places)


def _as_case(picture: Picture | BoxPicture) -> Case:
    nothing = np.zeros(picture.image.shape, np.uint8)
    return Case(name=picture.name, image=picture.image, labels=nothing, spacing_mm=(1.0, 1.0))


def _size(facts: Facts, axes: int) -> tuple[int, ...] | None:
    """Return the size of windows as the node's guard takes them."""
    if "window" in facts:
        return tuple(facts["window"]["roi_size"])
    is_whole = "size_px" in facts.get("grid", {}) and facts["sees"] != "regions"
    return None if is_whole or axes > 2 else (CROP_PX, CROP_PX)  # noqa: PLR2004


def _padded(values: Tensor, facts: Facts) -> Tensor:
    """Fill (inputs, *axes) up at the end to what the network takes."""
    axes = values.shape[1:]
    if facts["kind"] == "fuse":
        return values
    if "window" in facts:
        shape = [max(pair) for pair in zip(axes, facts["window"]["roi_size"], strict=True)]
    elif "size_px" in facts.get("grid", {}):
        shape = [max(pair) for pair in zip(axes, facts["grid"]["size_px"], strict=True)]
    else:
        shape = [-(-length // MULTIPLE_PX) * MULTIPLE_PX for length in axes]
    return pad_end(values, shape, float(values.min()) if span_of(facts) != 1 else 0.0)
