"""The model folders that we ship, and their recipes, for the tests beside this file."""

import importlib.util
from pathlib import Path
from types import ModuleType

from dicom_ai_node.training.classify import ClassRecipe
from dicom_ai_node.training.detect import BoxRecipe
from dicom_ai_node.training.folder import facts_of
from dicom_ai_node.training.instances import InstanceRecipe
from dicom_ai_node.training.recipe import Recipe
from dicom_ai_node.training.restore import RestoreRecipe
from dicom_ai_node.training.retrieve import EmbeddingRecipe

BUNDLES = Path(__file__).parents[2] / "dicom_ai_node/bundles"
MATERIAL = Path(__file__).parents[3] / "shared/material"
NAMES = sorted(path.parents[1].name for path in BUNDLES.glob("*/configs/dicom.yaml"))
SEGMENTERS = [name for name in NAMES if facts_of(BUNDLES / name)["kind"] == "segment"]
PAIRS = [name for name in NAMES if "inputs" in facts_of(BUNDLES / name)]
"""Models that look at several series; each has a recipe of its own form."""
DETECTORS = [name for name in NAMES if facts_of(BUNDLES / name)["kind"] == "detect"]
COUNTERS = [name for name in NAMES if facts_of(BUNDLES / name)["kind"] == "segment_instances"]
ENCODERS = [name for name in NAMES if facts_of(BUNDLES / name)["kind"] == "retrieve"]
CLASSIFIERS = [name for name in NAMES if facts_of(BUNDLES / name)["kind"] == "classify"]
RESTORERS = [name for name in NAMES if facts_of(BUNDLES / name)["kind"] == "restore"]


def module_of(name: str) -> ModuleType:
    """Load `configs/train.py` of a model as a module, without running it as a script."""
    path = BUNDLES / name / "configs/train.py"
    spec = importlib.util.spec_from_file_location(f"recipe_of_{name}", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def recipe_of(name: str) -> Recipe:
    """Return the recipe of a model that segments."""
    recipe: Recipe = module_of(name).RECIPE
    return recipe


def counting_recipe_of(name: str) -> InstanceRecipe:
    """Return the recipe of a model that counts."""
    recipe: InstanceRecipe = module_of(name).RECIPE
    return recipe


def class_recipe_of(name: str) -> ClassRecipe:
    """Return the recipe of a model that classifies."""
    recipe: ClassRecipe = module_of(name).RECIPE
    return recipe


def box_recipe_of(name: str) -> BoxRecipe:
    """Return the recipe of a model that detects."""
    recipe: BoxRecipe = module_of(name).RECIPE
    return recipe


def embedding_recipe_of(name: str) -> EmbeddingRecipe:
    """Return the recipe of a model that retrieves."""
    recipe: EmbeddingRecipe = module_of(name).RECIPE
    return recipe


def restore_recipe_of(name: str) -> RestoreRecipe:
    """Return the recipe of a model that restores."""
    recipe: RestoreRecipe = module_of(name).RECIPE
    return recipe
