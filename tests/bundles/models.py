"""The model folders that we ship, and their recipes, for the tests beside this file."""

import importlib.util
from pathlib import Path
from types import ModuleType

import pytest
import torch
from torch import nn

from dicom_ai_node.domain.model import ModelFacts
from dicom_ai_node.infer.catalog import Catalog
from dicom_ai_node.infer.networks import network
from dicom_ai_node.training import folder as model_folder
from dicom_ai_node.training.classify import ClassRecipe
from dicom_ai_node.training.detect import BoxRecipe
from dicom_ai_node.training.folds import JUDGED, FoldRecipe
from dicom_ai_node.training.fuse import FuseRecipe
from dicom_ai_node.training.instances import InstanceRecipe
from dicom_ai_node.training.recipe import Recipe
from dicom_ai_node.training.restore import RestoreRecipe
from dicom_ai_node.training.retrieve import EmbeddingRecipe
from dicom_ai_node.training.track import TrackRecipe

BUNDLES = Path(__file__).parents[2] / "dicom_ai_node/bundles"
MATERIAL = Path(__file__).parents[3] / "shared/material"
NAMES = sorted(path.parents[1].name for path in BUNDLES.glob("*/configs/dicom.yaml"))
SEGMENTERS = [name for name in NAMES if model_folder.facts_of(BUNDLES / name)["kind"] == "segment"]
FUSERS = [name for name in NAMES if model_folder.facts_of(BUNDLES / name)["kind"] == "fuse"]
PAIRS = [name for name in SEGMENTERS if "inputs" in model_folder.facts_of(BUNDLES / name)]
"""Models that segment in several series; each has a recipe of its own form."""
DETECTORS = [name for name in NAMES if model_folder.facts_of(BUNDLES / name)["kind"] == "detect"]
COUNTERS = [
    name for name in NAMES if model_folder.facts_of(BUNDLES / name)["kind"] == "segment_instances"
]
ENCODERS = [name for name in NAMES if model_folder.facts_of(BUNDLES / name)["kind"] == "retrieve"]
CLASSIFIERS = [
    name for name in NAMES if model_folder.facts_of(BUNDLES / name)["kind"] == "classify"
]
FOLDED = [name for name in CLASSIFIERS if (BUNDLES / name / JUDGED).is_file()]
"""Those that are scored by cross-validation, for want of data to hold back."""
TRACKERS = [name for name in NAMES if model_folder.facts_of(BUNDLES / name)["kind"] == "track"]
RESTORERS = [name for name in NAMES if model_folder.facts_of(BUNDLES / name)["kind"] == "restore"]

CATALOG = Catalog([BUNDLES])
NO_MATERIAL = "the training material is not here"
needs_material = pytest.mark.skipif(not (MATERIAL / "train").is_dir(), reason=NO_MATERIAL)
SLOW = frozenset({
    "brain_ct_bleed", "brain_ctpet", "breast_lesion_box_us", "breast_us", "ct_denoise", "ct_tissue",
    "hippocampus_mr", "motion_cine", "xray_restore",
})  # fmt: skip
"""Models whose material takes minutes to read, to make or to score: `make scores` does it."""


def facts_of(name: str) -> ModelFacts:
    """Return the facts as the node reads them: an unknown key or a wrong code raises."""
    return CATALOG.facts(name)


def spoilt_network(facts: ModelFacts) -> nn.Module:
    """Return the network of a model with other weights: what must not pass for the model."""
    spoilt = network(facts)
    torch.manual_seed(0)
    with torch.no_grad():
        for weights in spoilt.parameters():
            weights.mul_(1 + 0.5 * torch.randn_like(weights))
    return spoilt


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


def fold_recipe_of(name: str) -> FoldRecipe:
    """Return the recipe of a model that classifies and was scored by cross-validation."""
    recipe: FoldRecipe = module_of(name).RECIPE
    return recipe


def box_recipe_of(name: str) -> BoxRecipe:
    """Return the recipe of a model that detects."""
    recipe: BoxRecipe = module_of(name).RECIPE
    return recipe


def embedding_recipe_of(name: str) -> EmbeddingRecipe:
    """Return the recipe of a model that retrieves."""
    recipe: EmbeddingRecipe = module_of(name).RECIPE
    return recipe


def track_recipe_of(name: str) -> TrackRecipe:
    """Return the recipe of a model that follows."""
    recipe: TrackRecipe = module_of(name).RECIPE
    return recipe


def fuse_recipe_of(name: str) -> FuseRecipe:
    """Return the recipe of a model that fuses."""
    recipe: FuseRecipe = module_of(name).RECIPE
    return recipe


def restore_recipe_of(name: str) -> RestoreRecipe:
    """Return the recipe of a model that restores."""
    recipe: RestoreRecipe = module_of(name).RECIPE
    return recipe
