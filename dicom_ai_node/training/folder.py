"""Read and write a model folder: facts, network, weights, golden result, checksums."""

import hashlib
import importlib
import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from ruamel.yaml import YAML
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from dicom_ai_node.training.grid import Facts

WEIGHTS = Path("models/model.safetensors")
SCORE_BEGIN, SCORE_END = "<!-- score -->", "<!-- /score -->"
_NETWORKS = ("monai.networks.nets.", "dicom_ai_node.neural.")
"""Where the networks are that a recipe may build; the node has a narrower list."""


def facts_of(folder: Path) -> Facts:
    """Return `configs/dicom.yaml` as plain lists and mappings."""
    facts: Facts = YAML(typ="safe").load(folder / "configs/dicom.yaml")
    return facts


def new_network(folder: Path) -> nn.Module:
    """Build the network that `configs/inference.json` names, with fresh weights."""
    definition = dict(json.loads((folder / "configs/inference.json").read_text())["network_def"])
    target = definition.pop("_target_")
    if not target.startswith(_NETWORKS):
        raise ValueError(f"{target} is not one of {', '.join(_NETWORKS)}*")
    module, _, name = target.rpartition(".")
    network = getattr(importlib.import_module(module), name)
    made: nn.Module = network(**definition)
    return made


def shipped_network(folder: Path) -> nn.Module:
    """Return the network of the folder with the weights that lie there, ready to predict."""
    network = new_network(folder)
    network.load_state_dict(load_file(folder / WEIGHTS))
    return network.eval()


def write_weights(folder: Path, network: nn.Module) -> None:
    """Write the weights as safetensors in half precision; `load_state_dict` widens them again."""
    path = folder / WEIGHTS
    path.parent.mkdir(parents=True, exist_ok=True)
    state = network.state_dict()
    # Cloned, for safetensors refuses tensors that share memory, and DynUNet names some twice.
    save_file({key: _halved(tensor).clone().contiguous() for key, tensor in state.items()}, path)
    path.chmod(0o644)


def _halved(tensor: Tensor) -> Tensor:
    return tensor.detach().half() if tensor.is_floating_point() else tensor.detach()


def write_golden(folder: Path, **arrays: NDArray[Any]) -> None:
    """Write the golden case: `image` on the model's grid in its unit, and what it has to give.

    See `domain.model.Golden` for what the arrays are called.
    """
    path = folder / "golden/golden.npz"
    path.parent.mkdir(parents=True, exist_ok=True)
    np.savez_compressed(path, allow_pickle=False, **arrays)


def write_number(folder: Path, key: str, value: float) -> None:
    """Write a number that was measured in training into `configs/dicom.yaml`, where its key is.

    Raises
    ------
    ValueError
        If the key does not stand there exactly once.
    """
    path = folder / "configs/dicom.yaml"
    text, count = re.subn(rf"(\b{key}: )-?[0-9.]+", rf"\g<1>{value}", path.read_text())
    if count != 1:
        raise ValueError(f"{key} stands {count} times in {path.name} instead of once")
    path.write_text(text)


def _summed(folder: Path) -> list[Path]:
    """Return what SHA256SUMS covers: everything but the card, the score and itself."""
    return sorted(
        path
        for top in ("configs", "golden", "models")
        for path in (folder / top).rglob("*")
        if path.is_file() and "__pycache__" not in path.parts
    )


def checksums(folder: Path) -> str:
    """Return what SHA256SUMS must hold, in the format of sha256sum(1)."""
    return "".join(
        f"{hashlib.sha256(path.read_bytes()).hexdigest()}  {path.relative_to(folder).as_posix()}\n"
        for path in _summed(folder)
    )


def write_checksums(folder: Path) -> None:
    """Write SHA256SUMS; from here on the folder is a different model to the node."""
    (folder / "SHA256SUMS").write_text(checksums(folder))
    if (folder.parent / "SHA256SUMS").is_file():
        (folder.parent / "SHA256SUMS").write_text(listed(folder.parent))


def listed(models: Path) -> str:
    """Return what the node vouches for: the sums of every model that comes with it."""
    found = sorted(models.glob("*/SHA256SUMS"))
    sums = (hashlib.sha256(path.read_bytes()).hexdigest() for path in found)
    return "".join(
        f"{digest}  {path.parent.name}/{path.name}\n"
        for digest, path in zip(sums, found, strict=True)
    )


def score_table(scores: Mapping[str, Mapping[str, float]]) -> str:
    """Return the scores as a Markdown table, one row each."""
    if all("value" in score for score in scores.values()):
        return _interval_table(scores)
    rows = [
        f"| {name} | {s['mean']:.4f} | {_span(s)} | {s['sd']:.4f} | {s['median']:.4f} "
        f"| {s['min']:.4f} | {s['max']:.4f} | {s['cases']:.0f} |"
        for name, s in scores.items()
    ]
    head = "| score | mean | 95 % interval | sd | median | min | max | cases |"
    return "\n".join([head, "|---|---|---|---|---|---|---|---|", *rows])


def _interval_table(scores: Mapping[str, Mapping[str, float]]) -> str:
    rows = [
        f"| {name} | {s['value']:.4f} | {_span(s)} | {s['cases']:.0f} |"
        for name, s in scores.items()
    ]
    return "\n".join(["| score | value | 95 % interval | cases |", "|---|---|---|---|", *rows])


def _span(score: Mapping[str, float]) -> str:
    return f"{score['low']:.4f} to {score['high']:.4f}" if "low" in score else "-"


def write_score(folder: Path, score: Mapping[str, Any]) -> None:
    """Write `docs/score.json` and the same numbers between the marks in the model card."""
    docs = folder / "docs"
    docs.mkdir(parents=True, exist_ok=True)
    (docs / "score.json").write_text(json.dumps(score, indent=2) + "\n")
    card = docs / "README.md"
    before, _, rest = card.read_text().partition(SCORE_BEGIN)
    _, _, after = rest.partition(SCORE_END)
    table = score_table(score["test"])
    card.write_text(f"{before}{SCORE_BEGIN}\n{table}\n{SCORE_END}{after}")


def torch_threads(count: int) -> None:
    """Let torch compute with this many threads; more than one may change the last digits."""
    torch.set_num_threads(count)
