"""The command line that all recipes share: train, score on what was held out, write the folder.

python dicom_ai_node/bundles/NAME/configs/train.py --data FOLDER [--minutes N] [--score-only]
"""

import argparse
import hashlib
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Generic, Protocol, TypeAlias, TypeVar

import torch
from torch import nn

from dicom_ai_node.training import folder as model_folder
from dicom_ai_node.training.fit import Fitted, Plan
from dicom_ai_node.training.grid import Facts

Scores: TypeAlias = dict[str, dict[str, float]]
"""By the name of a score, its value and what else is told about it."""

Known: TypeAlias = Mapping[str, Any]
"""What `docs/score.json` holds that was settled before the test part was looked at."""


class AnyParts(Protocol):
    """The parts of some data: training fits, validation chooses, test is scored at the end."""

    @property
    def training(self) -> Sequence[Any]:
        """What weights are fitted to."""


class AnyRecipe(Protocol):
    """What every recipe says: where its model lies, how to read its data, how to fit."""

    @property
    def folder(self) -> Path:
        """The model folder."""

    @property
    def plan(self) -> Plan:
        """How the network is fitted."""

    @property
    def read(self) -> Callable[[Path], Any]:
        """Return the parts of the data in a folder."""


Recipe = TypeVar("Recipe", bound=AnyRecipe)
Parts = TypeVar("Parts", bound=AnyParts)


@dataclass(frozen=True, slots=True, kw_only=True)
class Work(Generic[Recipe, Parts]):
    """A recipe at work: its data read, its plan with the minutes that were asked for."""

    recipe: Recipe
    plan: Plan
    parts: Parts
    facts: Facts


def _nothing(_work: Any, _network: nn.Module) -> None:  # noqa: ANN401 - of any kind of recipe
    """Do what kinds do that have nothing to do here."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Course(Generic[Recipe, Parts]):
    """What recipes of one kind do, in this order; the networks have the weights as shipped.

    Attributes
    ----------
    fit
        Train, on the training part, and choose the weights on the validation part.
    calibrate
        Write numbers into the facts that the validation part decides.
    golden
        Write the golden case.
    settle
        Score the validation part, and return it with whatever else the test part must not decide.
    score
        Score the test part.
    draw
        Write pictures for the card.
    same
        By how much a score may differ when the shipped weights are scored again.
    told
        Which number of a score that is about.
    """

    fit: Callable[[Work[Recipe, Parts]], Fitted]
    golden: Callable[[Work[Recipe, Parts], nn.Module], None]
    settle: Callable[[Work[Recipe, Parts], nn.Module], Known]
    score: Callable[[Work[Recipe, Parts], nn.Module, Known], Scores]
    same: float
    told: str = "value"
    calibrate: Callable[[Work[Recipe, Parts], nn.Module], None] = _nothing
    draw: Callable[[Work[Recipe, Parts], nn.Module], None] = _nothing


def run(
    recipe: Recipe, course: Course[Recipe, Parts], arguments: Sequence[str] | None = None
) -> str:
    """Run a recipe and return its score table.

    Raises
    ------
    SystemExit
        With `--score-only`, if the shipped weights do not give the scores on record.
    """
    told = asked(recipe.folder, recipe.plan.minutes, arguments)
    plan = replace(recipe.plan, minutes=told.minutes)
    facts = model_folder.facts_of(recipe.folder)
    work = Work(recipe=recipe, plan=plan, parts=recipe.read(told.data), facts=facts)
    if told.score_only:
        on_record = json.loads((recipe.folder / "docs/score.json").read_text())
        network = model_folder.shipped_network(recipe.folder)
        test = course.score(work, network, on_record)
        check_on_record({"test": test}, on_record, course.told, course.same)
        return model_folder.score_table(test)
    training = _trained(work, course)
    network = model_folder.shipped_network(recipe.folder)
    course.calibrate(work, network)
    work = replace(work, facts=model_folder.facts_of(recipe.folder))
    course.golden(work, network)
    known = course.settle(work, network)
    test = course.score(work, network, known)
    model_folder.write_score(
        recipe.folder, {**_named(work), "training": training, **known, "test": test}
    )
    course.draw(work, network)
    model_folder.write_checksums(recipe.folder)
    return model_folder.score_table(test)


def _trained(work: Work[Recipe, Parts], course: Course[Recipe, Parts]) -> Known:
    """Fit, write the weights and return what the card says about the training."""
    torch.manual_seed(work.plan.seed)
    fitted = course.fit(work)
    model_folder.write_weights(work.recipe.folder, fitted.network)
    return {
        "cases": len(work.parts.training),
        "steps": fitted.steps,
        "batch": work.plan.batch,
        "minutes": round(fitted.minutes, 1),
        "seed": work.plan.seed,
        "torch": torch.__version__,
    }


def _named(work: Work[Recipe, Parts]) -> Known:
    weights = (work.recipe.folder / model_folder.WEIGHTS).read_bytes()
    return {
        "model": work.facts["name"],
        "version": work.facts["version"],
        "weights_sha256": hashlib.sha256(weights).hexdigest(),
    }


def asked(folder: Path, minutes: float, arguments: Sequence[str] | None) -> argparse.Namespace:
    """Return `data`, `score_only`, `minutes` and `threads`, the last one already heeded."""
    ask = argparse.ArgumentParser(description=f"Train and score {folder.name}.")
    ask.add_argument("--data", type=Path, required=True, help="folder that holds train/ and dicom/")
    ask.add_argument("--score-only", action="store_true", help="score the shipped weights")
    ask.add_argument("--minutes", type=float, default=minutes)
    ask.add_argument("--threads", type=int, default=1)
    told = ask.parse_args(arguments)
    model_folder.torch_threads(told.threads)
    return told


def check_on_record(found: Known, on_record: Known, told: str, within: float) -> None:
    """Compare every score of the test part with what `docs/score.json` says.

    Raises
    ------
    SystemExit
        If one differs by more than `within`.
    """
    for name, numbers in found["test"].items():
        if abs(numbers[told] - on_record["test"][name][told]) > within:
            raise SystemExit(f"{name}: {numbers} is not what docs/score.json says")
