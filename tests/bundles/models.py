"""The model folders that we ship, and their recipes, for the tests beside this file."""

import importlib.util
from pathlib import Path

from dicom_ai_node.training.recipe import Recipe

BUNDLES = Path(__file__).parents[2] / "dicom_ai_node/bundles"
MATERIAL = Path(__file__).parents[3] / "shared/material"
NAMES = sorted(path.parents[1].name for path in BUNDLES.glob("*/configs/dicom.yaml"))


def recipe_of(name: str) -> Recipe:
    """Load `configs/train.py` of a model as a module, without running it as a script."""
    path = BUNDLES / name / "configs/train.py"
    spec = importlib.util.spec_from_file_location(f"recipe_of_{name}", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    recipe: Recipe = module.RECIPE
    return recipe
