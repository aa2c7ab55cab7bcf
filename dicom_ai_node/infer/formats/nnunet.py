"""The result folder of nnU-Net v2: plans, data set and one checkpoint per fold.

The network is one of nnU-Net's two own, built from `plans.json`; trainers and networks of others
are not looked for. As nnU-Net does, the logits of all folds, and of all mirrorings if the facts
ask for them, are averaged. It averages after its windows are put together and this before; both
are sums, so that the order makes no difference.
"""

import importlib.util
import json
from collections.abc import Iterator, Mapping, Sequence
from itertools import chain, combinations
from pathlib import Path
from types import MappingProxyType
from typing import Any

import torch
from torch import nn

from dicom_ai_node.domain.errors import ModelUnusable
from dicom_ai_node.domain.model import NetworkFacts
from dicom_ai_node.infer.formats.definition import ready
from dicom_ai_node.infer.formats.drafts import Draft, in_own_order
from dicom_ai_node.infer.formats.plans import REMARKS, Plans, read_plans
from dicom_ai_node.infer.formats.weights import unpickled
from dicom_ai_node.infer.sealed import SealedFolder

DATASET, PLANS = "models/dataset.json", "models/plans.json"
CHECKPOINT = "checkpoint_final.pth"
NETWORKS = ("PlainConvUNet", "ResidualEncoderUNet")
OPERATORS: Mapping[str, type[nn.Module]] = MappingProxyType(
    {
        operator.__name__: operator
        for operator in (
            nn.Conv2d, nn.Conv3d, nn.InstanceNorm2d, nn.InstanceNorm3d, nn.BatchNorm2d,
            nn.BatchNorm3d, nn.Dropout2d, nn.Dropout3d, nn.LeakyReLU, nn.ReLU,
        )
    }
)  # fmt: skip
"""What the plans may name as parts of a network."""


class Averaged(nn.Module):
    """The mean of several networks of one architecture, over mirrored inputs if there are any."""

    def __init__(self, networks: Sequence[nn.Module], mirrored: Sequence[int]) -> None:
        super().__init__()
        self.networks = nn.ModuleList(networks)
        axes = [2 + axis for axis in mirrored]
        subsets = chain.from_iterable(combinations(axes, n) for n in range(len(axes) + 1))
        self._mirrorings = [list(subset) for subset in subsets]

    def forward(self, group: torch.Tensor) -> torch.Tensor:
        """Return the mean logits of (batch, 1, *grid)."""
        total: torch.Tensor | None = None
        for network in self.networks:
            for axes in self._mirrorings:
                found = network(group.flip(axes)).flip(axes)
                total = found if total is None else total.add_(found)
        assert total is not None  # noqa: S101 - there is a network, and no mirroring is one of them
        return total / (len(self.networks) * len(self._mirrorings))


def load(sealed: SealedFolder, facts: NetworkFacts, device: str) -> nn.Module:
    """Return the average of all folds, ready to predict.

    Raises
    ------
    ModelUnusable
        If a file differs from SHA256SUMS, the plans name something that is not allowed, a
        checkpoint holds more than weights, or the weights do not fit.
    """
    name = sealed.folder.name
    checkpoints = [
        unpickled(f"{name}: {fold}", sealed.read(fold))
        for fold in sorted(sealed.sums)
        if fold.startswith("models/fold_") and fold.endswith(f"/{CHECKPOINT}")
    ]
    if not checkpoints:
        raise ModelUnusable(f"{name}: there is no models/fold_*/{CHECKPOINT}")
    plans = read_plans(
        name,
        _json(name, PLANS, sealed.read(PLANS)),
        _json(name, DATASET, sealed.read(DATASET)),
        _configuration(name, checkpoints[0]),
    )
    networks = [_network(name, plans, checkpoint) for checkpoint in checkpoints]
    allowed = checkpoints[0].get("inference_allowed_mirroring_axes") or ()
    return ready(Averaged(networks, list(allowed) if facts.mirror else []), device)


def draft(path: Path, axes: str | None) -> Draft | None:
    """Return what a result folder tells of itself, or nothing if `path` is none."""
    folds = sorted(path.glob(f"fold_*/{CHECKPOINT}"))
    if not (path / "plans.json").is_file() or not (path / "dataset.json").is_file() or not folds:
        return None
    first = unpickled(f"{path.name}: {folds[0].parent.name}", folds[0].read_bytes())
    dataset = _json(path.name, DATASET, (path / "dataset.json").read_bytes())
    plans = read_plans(
        path.name,
        _json(path.name, PLANS, (path / "plans.json").read_bytes()),
        dataset,
        _configuration(path.name, first),
        axes,
    )
    numbered = [fold for fold in folds if fold.parent.name != "fold_all"] or folds
    files = {DATASET: path / "dataset.json", PLANS: path / "plans.json"}
    files |= {f"models/{fold.parent.name}/{CHECKPOINT}": fold for fold in numbered}
    return Draft(
        format="nnunet",
        files=files,
        facts=_facts(plans, dataset, mirror=bool(first.get("inference_allowed_mirroring_axes"))),
        labels=plans.labels,
        remarks=REMARKS,
    )


def _facts(plans: Plans, dataset: Mapping[str, Any], *, mirror: bool) -> dict[str, Any]:
    # Without the axes nobody can say which number belongs to the slices.
    facts: dict[str, Any] = {
        "kind": "segment",
        "title": dataset.get("name"),
        "modality": plans.modality,
        "sees": "volume" if len(plans.patch) == 3 else "slices",  # noqa: PLR2004 - axes
        "network": {
            "format": "nnunet",
            "axes": plans.axes,
            "gives": "logits",
            "mirror": mirror,
        },
        "intensity": dict(plans.intensity),
        "grid": {"spacing_mm": None},
        "window": {"roi_size": None, "overlap": 0.5, "batch": 1},
    }
    if plans.axes is not None:
        spacing = in_own_order(plans.spacing_mm, plans.axes)
        facts["grid"] = {"spacing_mm": spacing}
        facts["window"]["roi_size"] = [int(n) for n in in_own_order(plans.patch, plans.axes)]
    return facts


def _configuration(name: str, checkpoint: Mapping[str, Any]) -> str:
    try:
        return str(checkpoint["init_args"]["configuration"])
    except (KeyError, TypeError) as wrong:
        raise ModelUnusable(f"{name}: {CHECKPOINT} is not of nnU-Net v2") from wrong


def _network(name: str, plans: Plans, checkpoint: Mapping[str, Any]) -> nn.Module:
    if importlib.util.find_spec("dynamic_network_architectures") is None:
        raise ModelUnusable(
            f"{name}: needs dynamic-network-architectures: pip install 'dicom-ai-node[nnunet]'"
        )
    from dynamic_network_architectures.architectures import unet  # noqa: PLC0415 - an extra

    kind = plans.network.rpartition(".")[2]
    if kind not in NETWORKS:
        raise ModelUnusable(f"{name}: {kind} is not one of {', '.join(NETWORKS)}")
    arguments = {key: _operator(name, key, value, plans) for key, value in plans.arguments.items()}
    try:
        built: nn.Module = getattr(unet, kind)(
            input_channels=1, num_classes=len(plans.labels), deep_supervision=False, **arguments
        )
        built.load_state_dict(dict(_weights(checkpoint)), strict=True)
    except Exception as wrong:
        # The constructors check their arguments by assertions, and some not at all.
        raise ModelUnusable(f"{name}: the weights do not fit {PLANS}") from wrong
    return built


def _weights(checkpoint: Mapping[str, Any]) -> Iterator[tuple[str, object]]:
    """Yield the weights without the prefix that training on several GPUs leaves."""
    for key, value in checkpoint["network_weights"].items():
        yield key.removeprefix("module."), value


def _operator(name: str, key: str, value: object, plans: Plans) -> object:
    if key not in plans.operators or value is None:
        return value
    module, _, kind = str(value).rpartition(".")
    if not module.startswith("torch.nn") or kind not in OPERATORS:
        raise ModelUnusable(f"{name}: {value} is not one of the operators that may be used")
    return OPERATORS[kind]


def _json(name: str, where: str, content: bytes) -> Mapping[str, Any]:
    try:
        loaded: Mapping[str, Any] = dict(json.loads(content))
    except (ValueError, TypeError) as wrong:
        raise ModelUnusable(f"{name}: {where} cannot be read") from wrong
    return loaded
