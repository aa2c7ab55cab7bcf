"""Models from elsewhere as folders of this node: made, answered for and installed."""

import atexit
import shutil
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from tempfile import mkdtemp
from typing import Any

import torch

from dicom_ai_node.domain.model import ModelFacts
from dicom_ai_node.infer.adopt import Place, adopt, drafted
from dicom_ai_node.infer.proposal import proposed
from tests import foreign
from tests.model_folders import SEGMENT, definition

FORMATS = ("monai", "nnunet", "onnx", "torch_export", "torchscript")
RUN_CODE = frozenset({"torch_export", "torchscript"})

ANSWERS: Mapping[str, Any] = {
    "kind": "segment",
    "title": "Bright things in CT",
    "manufacturer": "tests",
    "modality": ["CT"],
    "sees": "volume",
    "intensity": {"scaling": "window", "low": -160, "high": 240},
    "grid": {"spacing_mm": [2.5, 0.8, 0.8]},
    "segments": [SEGMENT],
}
"""What a person says of the threshold network; `kind` and more is known of some formats."""


def threshold_file(format_: str, folder: Path) -> Path:
    """Put the threshold network in a format into a folder, and return the file or folder."""
    made = _made(format_)
    folder.mkdir(parents=True, exist_ok=True)
    copy = shutil.copytree if made.is_dir() else shutil.copyfile
    return Path(copy(made, folder / made.name))


@cache
def _workshop() -> Path:
    folder = mkdtemp()
    atexit.register(shutil.rmtree, folder)
    return Path(folder)


@cache
def _made(format_: str) -> Path:
    """Export once and for all tests, for some formats take seconds."""
    folder, network = _workshop(), foreign.threshold()
    match format_:
        case "monai":
            return foreign.monai_bundle(folder / "zoo", network, definition(3))
        case "nnunet":
            of, built = foreign.threshold_nnunet()
            return foreign.nnunet_folder(folder / "results", of, {0: built, 1: built})
        case "onnx":
            return foreign.onnx_graph(network, folder / "bright.onnx")
        case "torch_export":
            return foreign.torch_export(network, folder / "bright.pt2")
        case _:
            return foreign.torchscript(network, folder / "bright.ts")


def adopted(path: Path, models: Path, name: str, **answers: object) -> ModelFacts:
    """Install the model at `path` as `name`; what it does not tell is answered by `ANSWERS`."""
    draft = drafted(path, axes="SPL")
    said = proposed(draft, name, "segment")
    content = {
        **said,
        **{k: v for k, v in ANSWERS.items() if not _is_known(said.get(k))},
        **answers,
    }
    network = {"gives": "logits", **{k: v for k, v in said["network"].items() if v is not None}}
    return adopt(draft, {**content, "network": network}, Place(models, may_run_code=True))


def _is_known(value: object) -> bool:
    match value:
        case None:
            return False
        case dict():
            return all(map(_is_known, value.values()))
        case list():
            return bool(value) and all(map(_is_known, value))
        case _:
            return True


def ask(network: torch.nn.Module, given: torch.Tensor) -> torch.Tensor:
    """Return what a network gives."""
    with torch.inference_mode():
        found: torch.Tensor = network(given)
    return found
