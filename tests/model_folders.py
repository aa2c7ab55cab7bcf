"""Model folders for tests: a real MONAI network whose weights make it a threshold.

`threshold_model(folder)` writes a complete model folder. Its UNet says `Bright` where the scaled
intensity is above 0.6, so that what comes out of any phantom can be foreseen to the pixel.
`class_model(folder)` writes one that classifies, with a small residual network of chance weights,
`box_model(folder)` one that puts a box of a fifth of the image around its brightest place,
`instance_model(folder)` one that takes what is bright for the cores of objects.
"""

import hashlib
import io
import json
from pathlib import Path
from typing import Any

import numpy as np
import torch
from monai.networks.nets import ResNet, UNet
from ruamel.yaml import YAML
from safetensors.torch import save

from dicom_ai_node.domain.boxes import candidates
from dicom_ai_node.domain.restoring import enlarged
from dicom_ai_node.neural.fusion import LateFusion

THRESHOLD = 0.6
STEEP = 200.0
PULL = 0.04
"""How much of the largest change a pixel is moved whose distance from the middle grey is 1."""

SEGMENT = {
    "number": 1,
    "label": "Bright",
    "category": ["49755003", "SCT", "Morphologically Abnormal Structure"],
    "type": ["4147007", "SCT", "Mass"],
    "colour_rgb": [255, 0, 0],
}


def facts(**changes: object) -> dict[str, Any]:
    """Return the content of `configs/dicom.yaml` of a CT model, with changes; None removes."""
    content = {
        "name": "bright_ct",
        "version": "1.0.0",
        "kind": "segment",
        "title": "Bright things in CT",
        "manufacturer": "tests",
        "modality": ["CT"],
        "sees": "volume",
        "intensity": {"scaling": "window", "low": -160, "high": 240},
        "grid": {"spacing_mm": [2.5, 0.8, 0.8]},
        "segments": [SEGMENT],
        "measure": ["volume", "intensity"],
        "golden": {"file": "golden/golden.npz", "min_dice": 0.98},
    }
    content.update(changes)
    return {key: value for key, value in content.items() if value is not None}


def pair_facts(**changes: object) -> dict[str, Any]:
    """Return the content of `configs/dicom.yaml` of a PET/CT model, with changes; None removes."""
    inputs = {
        "pet": {
            "modality": ["PT"],
            "intensity": {"scaling": "window", "low": 0, "high": 4},
        },
        "ct": {
            "modality": ["CT"],
            "intensity": {"scaling": "window", "low": -160, "high": 240},
            "outside": -1000,
        },
    }
    content = {
        "name": "bright_pair",
        "modality": None,
        "intensity": None,
        "inputs": inputs,
        "reference": "pet",
        **changes,
    }
    return facts(**content)


def definition(axes: int, inputs: int = 1, channels: int = 2) -> dict[str, Any]:
    """Return `network_def` of the smallest UNet there is, 1 x 1 kernels all the way."""
    return {
        "_target_": "monai.networks.nets.UNet",
        "spatial_dims": axes,
        "in_channels": inputs,
        "out_channels": channels,
        "channels": [1, 1],
        "strides": [1],
        "kernel_size": 1,
        "up_kernel_size": 1,
        "act": "RELU",
        "norm": "BATCH",
    }


def threshold_weights(axes: int, inputs: int = 1, channels: int = 2) -> dict[str, torch.Tensor]:
    """Return weights that give the logits 0 and, last, STEEP x (mean intensity - THRESHOLD)."""
    made = definition(axes, inputs, channels)
    network = UNet(**{k: v for k, v in made.items() if k != "_target_"})
    weights = {
        key: torch.ones_like(value) if key.endswith("running_var") else torch.zeros_like(value)
        for key, value in network.state_dict().items()
    }
    weights["model.0.conv.weight"] += 1 / inputs
    weights["model.0.adn.N.weight"] += 1
    # (in, out, ...): the first input is the skip connection, the second output is the segment.
    weights["model.2.conv.weight"][0, -1] = STEEP
    weights["model.2.conv.bias"][-1] = -STEEP * THRESHOLD
    if channels > 2:
        weights["model.2.conv.bias"][1] = -STEEP  # no rim
    return weights


def golden(axes: int) -> dict[str, np.ndarray[Any, Any]]:
    """Return a ball of 200 in air and its labels, 2-D or 3-D."""
    grid = np.meshgrid(*[np.linspace(-1, 1, 16)] * axes, indexing="ij")
    ball = sum(x**2 for x in grid) < 0.5
    image = np.where(ball, 200, -1000).astype(np.float32)
    return {"image": image, "labels": np.asarray(ball, np.uint8)}


def pair_model(parent: Path, **changes: object) -> Path:
    """Write a model folder whose model wants both inputs bright; see `pair_facts`."""
    folder = _written(parent, pair_facts(**changes))
    ball = golden(3)
    content = {"pet": ball["image"] / 50, "ct": ball["image"], "labels": ball["labels"]}
    save_golden(folder, **content)
    return seal(folder)


def threshold_model(parent: Path, **changes: object) -> Path:
    """Write a model folder that holds what `facts(**changes)` says and return it."""
    return _written(parent, facts(**changes))


def _written(parent: Path, content: dict[str, Any]) -> Path:
    inputs = len(content.get("inputs") or [""])
    folder = parent / str(content["name"])
    axes = 3 if content["sees"] == "volume" else 2
    for name in ("configs", "models", "golden", "docs"):
        (folder / name).mkdir(parents=True)
    (folder / "configs/metadata.json").write_text(json.dumps({"version": "1.0.0"}))
    network = {"network_def": definition(axes, inputs)}
    (folder / "configs/inference.json").write_text(json.dumps(network))
    with (folder / "configs/dicom.yaml").open("w") as file:
        YAML(typ="safe").dump(content, file)
    (folder / "models/model.safetensors").write_bytes(save(threshold_weights(axes, inputs)))
    arrays = io.BytesIO()
    np.savez_compressed(arrays, **golden(axes))
    (folder / "golden/golden.npz").write_bytes(arrays.getvalue())
    return seal(folder)


def seal(folder: Path) -> Path:
    """Write SHA256SUMS over the folder as it is now, and return it."""
    files = [p for p in sorted(folder.rglob("*")) if p.is_file() and p.name != "SHA256SUMS"]
    lines = [
        f"{hashlib.sha256(path.read_bytes()).hexdigest()}  {path.relative_to(folder)}\n"
        for path in files
        if path.relative_to(folder).parts[0] != "docs"
    ]
    (folder / "SHA256SUMS").write_text("".join(lines))
    return folder


CLASSES = [
    {
        "label": "Pneumonia",
        "type": ["233604007", "SCT", "Pneumonia"],
        "site": ["39607008", "SCT", "Lung"],
    },
    {"label": "Normal", "type": ["17621005", "SCT", "Normal"], "site": None},
]


def class_facts(**changes: object) -> dict[str, Any]:
    """Return the content of `configs/dicom.yaml` of a model that classifies; None removes."""
    content: dict[str, Any] = {
        "name": "bright_cxr",
        "version": "1.0.0",
        "kind": "classify",
        "title": "Bright chests",
        "manufacturer": "tests",
        "modality": ["CR", "US", "MR"],
        "sees": "frames",
        "intensity": {"scaling": "percentile", "low": 1, "high": 99},
        "grid": {"size_px": [32, 32]},
        "classes": CLASSES,
        "settings": {
            "temperature": 1.5,
            "operating_point": {"label": "Pneumonia", "threshold": 0.4},
            "explain_layer": "layer4",
        },
        "golden": {"file": "golden/golden.npz", "max_difference": 0.02},
    }
    content.update(changes)
    return {key: value for key, value in content.items() if value is not None}


def class_definition(classes: int) -> dict[str, Any]:
    """Return `network_def` of a small residual network."""
    return {
        "_target_": "monai.networks.nets.ResNet",
        "block": "basic",
        "layers": [1, 1, 1, 1],
        "block_inplanes": [4, 4, 8, 8],
        "spatial_dims": 2,
        "n_input_channels": 1,
        "conv1_t_size": 3,
        "num_classes": classes,
    }


def class_model(parent: Path, **changes: object) -> Path:
    """Write the folder of a model that classifies, with chance weights that never change."""
    content = class_facts(**changes)
    folder = parent / str(content["name"])
    classes = len(content.get("classes", CLASSES))
    definition_ = class_definition(classes)
    for name in ("configs", "models", "golden", "docs"):
        (folder / name).mkdir(parents=True)
    (folder / "configs/metadata.json").write_text(json.dumps({"version": "1.0.0"}))
    (folder / "configs/inference.json").write_text(json.dumps({"network_def": definition_}))
    with (folder / "configs/dicom.yaml").open("w") as file:
        YAML(typ="safe").dump(content, file)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(7)
        network = ResNet(**{k: v for k, v in definition_.items() if k != "_target_"}).eval()
    with torch.no_grad():
        network.fc.bias[0] += 1  # chance alone would leave it undecided
    (folder / "models/model.safetensors").write_bytes(save(network.state_dict()))
    temperature = content.get("settings", {}).get("temperature", 1.0)
    save_golden(folder, **class_golden(network, float(temperature)))
    return seal(folder)


def class_golden(network: torch.nn.Module, temperature: float) -> dict[str, np.ndarray[Any, Any]]:
    """Return a bright ball and the probabilities that the network alone gives it."""
    image = golden(2)["image"].repeat(2, axis=0).repeat(2, axis=1)
    low, high = np.percentile(image, [1, 99])
    scaled = np.clip((image - low) / (high - low), 0, 1).astype(np.float32)
    with torch.inference_mode():
        logits = network(torch.from_numpy(scaled)[None, None])[0] / temperature
    return {"image": image, "probabilities": logits.softmax(0).numpy()}


def restore_facts(**changes: object) -> dict[str, Any]:
    """Return the content of `configs/dicom.yaml` of a model that restores; None removes."""
    content: dict[str, Any] = {
        "name": "calm_ct",
        "version": "1.0.0",
        "kind": "restore",
        "title": "Calmer images",
        "manufacturer": "tests",
        "modality": ["CT", "MR", "PT", "CR", "DX", "US"],
        "sees": "slices",
        "intensity": {"scaling": "percentile", "low": 0, "high": 100},
        "settings": {
            "factor": 1,
            "largest_change": 0.1,
            "derivation": ["113087", "DCM", "Smoothing"],
        },
        "golden": {"file": "golden/golden.npz", "max_difference": 0.5},
    }
    content.update(changes)
    return {key: value for key, value in content.items() if value is not None}


def restore_model(parent: Path, **changes: object) -> Path:
    """Write the folder of a model that restores: it pulls every pixel toward the middle grey."""
    content = restore_facts(**changes)
    folder = parent / str(content["name"])
    definition_ = {**definition(2), "out_channels": 1, "norm": None}
    for name in ("configs", "models", "golden", "docs"):
        (folder / name).mkdir(parents=True)
    (folder / "docs/README.md").write_text("<!-- score -->\n<!-- /score -->\n")
    (folder / "configs/metadata.json").write_text(json.dumps({"version": "1.0.0"}))
    (folder / "configs/inference.json").write_text(json.dumps({"network_def": definition_}))
    with (folder / "configs/dicom.yaml").open("w") as file:
        YAML(typ="safe").dump(content, file)
    network = UNet(**{key: value for key, value in definition_.items() if key != "_target_"})
    weights = {key: torch.zeros_like(value) for key, value in network.state_dict().items()}
    weights["model.0.conv.weight"] += 1
    # (in, out, ...): the first input is the skip connection, here the image itself.
    weights["model.2.conv.weight"][0, 0] = -PULL
    weights["model.2.conv.bias"][0] = PULL / 2
    (folder / "models/model.safetensors").write_bytes(save(weights))
    image = golden(2)["image"][None]
    large = enlarged(image[0], content["settings"]["factor"])[None]
    part = np.clip((large + 1000) / 1200, 0, 1)
    change = (PULL / 2 - PULL * part) * content["settings"]["largest_change"] * 1200
    save_golden(folder, image=image, restored=(large + change).astype(np.float32))
    return seal(folder)


FACTS = [
    {
        "name": "age",
        "attribute": "PatientAge",
        "concept": ["121033", "DCM", "Subject Age"],
        "unit": ["a", "UCUM", "year"],
        "range": [18, 110],
        "mean": 60,
        "deviation": 15,
    },
    {
        "name": "sex",
        "attribute": "PatientSex",
        "values": {"F": 0, "M": 1},
        "concept": ["121032", "DCM", "Subject Sex"],
        "mean": 0.5,
        "deviation": 0.5,
    },
    {
        "name": "glucose",
        "concept": ["2339-0", "LN", "Glucose [Mass/volume] in Blood"],
        "unit": ["mg/dL", "UCUM", "mg/dL"],
        "reported": [
            {"concept": ["2339-0", "LN", "Glucose"], "unit": "mg/dL"},
            {"concept": ["15074-8", "LN", "Glucose"], "unit": "mmol/L", "factor": 18},
        ],
        "earlier_days": 10,
        "range": [30, 500],
        "mean": 100,
        "deviation": 30,
    },
]
"""What a small model that fuses wants to be told."""


def fuse_facts(**changes: object) -> dict[str, Any]:
    """Return the content of `configs/dicom.yaml` of a model that fuses; None removes."""
    content = {
        "name": "fused_pair",
        "kind": "fuse",
        "title": "Bright in two images",
        "reference": "ct",
        "documents": ["labs"],
        "clinical": FACTS,
        "grid": {"spacing_mm": [2.5, 1.6, 1.6]},
        "segments": None,
        "measure": None,
        "classes": CLASSES,
        "settings": {"temperature": 2.0, "explain_layer": "joint"},
        "golden": {"file": "golden/golden.npz", "max_difference": 0.01},
        **changes,
    }
    return pair_facts(**content)


def fuse_model(parent: Path, **changes: object) -> Path:
    """Write the folder of a model that fuses, with chance weights that never change."""
    content = fuse_facts(**changes)
    folder = parent / str(content["name"])
    arguments = {"images": 2, "facts": len(content["clinical"]), "classes": 2}
    for name in ("configs", "models", "golden", "docs"):
        (folder / name).mkdir(parents=True)
    (folder / "configs/metadata.json").write_text(json.dumps({"version": "1.0.0"}))
    definition_ = {"_target_": "dicom_ai_node.neural.fusion.LateFusion", **arguments}
    (folder / "configs/inference.json").write_text(json.dumps({"network_def": definition_}))
    with (folder / "configs/dicom.yaml").open("w") as file:
        YAML(typ="safe").dump(content, file)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(11)
        network = LateFusion(**arguments).eval()
    (folder / "models/model.safetensors").write_bytes(save(network.state_dict()))
    ball = golden(3)["image"]
    scaled = [np.clip(ball / 200, 0, 1), np.clip((ball + 160) / 400, 0, 1)]
    count = arguments["facts"]
    told = torch.zeros(1, 2 * count)
    told[0, count - 1 :: count] = 1  # the last fact lies one deviation above its mean
    with torch.inference_mode():
        logits = network(torch.from_numpy(np.stack(scaled))[None].float(), told)[0] / 2
    probabilities = logits.softmax(0).numpy()
    last = content["clinical"][-1]
    facts_ = np.array([*[np.nan] * (count - 1), last["mean"] + last["deviation"]], np.float32)
    save_golden(folder, pet=ball / 50, ct=ball, facts=facts_, probabilities=probabilities)
    return seal(folder)


def save_golden(folder: Path, **arrays: object) -> None:
    """Write the golden file of a model folder; `seal` it afterwards."""
    content = io.BytesIO()
    np.savez_compressed(content, **arrays)
    (folder / "golden/golden.npz").write_bytes(content.getvalue())


BOX_CLASSES = [
    {
        "label": "Bright",
        "type": ["4147007", "SCT", "Mass"],
        "site": ["39607008", "SCT", "Lung"],
        "modifier": ["24028007", "SCT", "Right"],
    },
    {"label": "Never", "type": ["27925004", "SCT", "Nodule"]},
]


def box_facts(**changes: object) -> dict[str, Any]:
    """Return the content of `configs/dicom.yaml` of a model that detects; None removes."""
    content: dict[str, Any] = {
        "name": "bright_boxes",
        "version": "1.0.0",
        "kind": "detect",
        "title": "Boxes around bright things",
        "manufacturer": "tests",
        "modality": ["CR", "DX", "US"],
        "sees": "frames",
        "intensity": {"scaling": "percentile", "low": 1, "high": 100},
        "grid": {"size_px": [32, 32]},
        "classes": BOX_CLASSES,
        "settings": {
            "slope": 0.5,
            "offset": -1.0,
            "threshold": 0.4,
            "limit": 3,
            "explain_layer": "model.0",
        },
        "golden": {"file": "golden/golden.npz", "max_difference": 0.02},
    }
    content.update(changes)
    return {key: value for key, value in content.items() if value is not None}


def box_weights() -> dict[str, torch.Tensor]:
    """Return weights: `Bright` has the logit 8 x intensity - 4, boxes reach a tenth each way."""
    weights = {
        key: torch.ones_like(value) if key.endswith("running_var") else torch.zeros_like(value)
        for key, value in UNet(**{k: v for k, v in box_definition().items() if k != "_target_"})
        .state_dict()
        .items()
    }
    weights["model.0.conv.weight"] += 1
    weights["model.0.adn.N.weight"] += 1
    weights["model.2.conv.weight"][0, 0] = 8
    weights["model.2.conv.bias"][:] = torch.tensor([-4.0, -9.0, *[-np.log(9.0)] * 4])
    return weights


def box_definition() -> dict[str, Any]:
    """Return `network_def` of the smallest UNet that says two classes and four borders."""
    return definition(2) | {"out_channels": 6}


def box_model(parent: Path, **changes: object) -> Path:
    """Write the folder of a model that detects, whose boxes can be foreseen."""
    content = box_facts(**changes)
    folder = parent / str(content["name"])
    for name in ("configs", "models", "golden", "docs"):
        (folder / name).mkdir(parents=True)
    (folder / "configs/metadata.json").write_text(json.dumps({"version": "1.0.0"}))
    (folder / "configs/inference.json").write_text(json.dumps({"network_def": box_definition()}))
    with (folder / "configs/dicom.yaml").open("w") as file:
        YAML(typ="safe").dump(content, file)
    (folder / "models/model.safetensors").write_bytes(save(box_weights()))
    save_golden(folder, **box_golden())
    return seal(folder)


def box_golden() -> dict[str, np.ndarray[Any, Any]]:
    """Return one bright hill at row 20 and column 10, and the box that the network gives it."""
    y, x = np.mgrid[:32, :32]
    image = np.clip(100 - 9 * np.hypot(y - 20, x - 10), 0, None).astype(np.float32)
    low, high = np.percentile(image, [1, 100])
    scaled = np.clip((image - low) / (high - low), 0, 1).astype(np.float32)
    network = UNet(**{k: v for k, v in box_definition().items() if k != "_target_"}).eval()
    network.load_state_dict(box_weights())
    with torch.inference_mode():
        answer = network(torch.from_numpy(scaled)[None, None])[0].numpy()
    (found,) = candidates(answer, (32, 32), 3)
    at, chance = found.corners, 1 / (1 + np.exp(-(0.5 * found.logit - 1)))
    box = (found.of, chance, at.top / 32, at.left / 32, at.bottom / 32, at.right / 32)
    return {"image": image, "boxes": np.array([box], np.float32)}


def instance_facts(**changes: object) -> dict[str, Any]:
    """Return the content of `configs/dicom.yaml` of a model that finds objects; None removes."""
    content: dict[str, Any] = {
        "name": "bright_nuclei",
        "version": "1.0.0",
        "kind": "segment_instances",
        "title": "Nuclei by their brightness",
        "manufacturer": "tests",
        "modality": ["SM", "GM"],
        "sees": "regions",
        "intensity": {"scaling": "percentile", "low": 0, "high": 100},
        "grid": {"size_px": [128, 128]},
        "segments": [
            {
                "number": 1,
                "label": "Nucleus",
                "category": ["91723000", "SCT", "Anatomical Structure"],
                "type": ["84640000", "SCT", "Nucleus"],
                "colour_rgb": [0, 158, 115],
            }
        ],
        "settings": {"core": 0.5, "inside": 0.5, "smallest_px": 12, "spacing_um": [0.2, 0.7]},
        "golden": {"file": "golden/golden.npz", "min_dice": 0.98},
    }
    content.update(changes)
    return {key: value for key, value in content.items() if value is not None}


def instance_model(parent: Path, **changes: object) -> Path:
    """Write the folder of a model that finds objects one by one and return it."""
    content = instance_facts(**changes)
    folder = parent / str(content["name"])
    for name in ("configs", "models", "golden", "docs"):
        (folder / name).mkdir(parents=True)
    (folder / "configs/metadata.json").write_text(json.dumps({"version": "1.0.0"}))
    (folder / "configs/inference.json").write_text(json.dumps({"network_def": definition(2, 1, 3)}))
    with (folder / "configs/dicom.yaml").open("w") as file:
        YAML(typ="safe").dump(content, file)
    (folder / "models/model.safetensors").write_bytes(save(threshold_weights(2, 1, 3)))
    image = np.full((40, 40), 20, np.float32)
    image[8:20, 8:20] = image[25:36, 22:34] = 220
    save_golden(folder, image=image, labels=(image > 100).astype(np.uint8))
    return seal(folder)
