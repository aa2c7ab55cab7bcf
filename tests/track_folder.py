"""A model folder for tests that follows what the route names: features of chance, which do."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import torch
from monai.networks.nets import UNet
from ruamel.yaml import YAML
from safetensors.torch import save
from scipy.ndimage import gaussian_filter, shift

from dicom_ai_node.neural.follow import Rules, follow
from tests.model_folders import save_golden, seal

THING = {
    "number": 1,
    "label": "Structure",
    "category": ["91723000", "SCT", "Anatomical Structure"],
    "type": ["123037004", "SCT", "Body structure"],
    "colour_rgb": [0, 200, 255],
}


def track_facts(**changes: object) -> dict[str, Any]:
    """Return the content of `configs/dicom.yaml` of a model that follows; None removes."""
    content: dict[str, Any] = {
        "name": "motion",
        "version": "1.0.0",
        "kind": "track",
        "title": "Motion",
        "manufacturer": "tests",
        "modality": ["US"],
        "sees": "frames",
        "intensity": {"scaling": "window", "low": 0, "high": 255},
        "grid": {"size_px": [64, 80]},
        "segments": [THING],
        "settings": {
            "features": 8,
            "template_px": 11,
            "search_px": 8,
            "first_weight": 0.5,
            "half_at": 0.5,
            "per_similarity": 20.0,
            "per_px": 0.5,
        },
        "golden": {"file": "golden/golden.npz", "max_difference": 0.1},
    }
    content.update(changes)
    return {key: value for key, value in content.items() if value is not None}


TRACK_DEFINITION = {
    "_target_": "monai.networks.nets.UNet",
    "spatial_dims": 2,
    "in_channels": 1,
    "out_channels": 8,
    "channels": [8, 16],
    "strides": [1],
    "norm": "instance",
}


def track_model(parent: Path, **changes: object) -> Path:
    """Write the folder of a model that follows what the route names, by features of chance."""
    content = track_facts(**changes)
    folder = parent / str(content["name"])
    for name in ("configs", "models", "golden", "docs"):
        (folder / name).mkdir(parents=True)
    (folder / "configs/metadata.json").write_text(json.dumps({"version": "1.0.0"}))
    (folder / "configs/inference.json").write_text(json.dumps({"network_def": TRACK_DEFINITION}))
    with (folder / "configs/dicom.yaml").open("w") as file:
        YAML(typ="safe").dump(content, file)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(7)
        network = UNet(**{k: v for k, v in TRACK_DEFINITION.items() if k != "_target_"})
    (folder / "models/model.safetensors").write_bytes(save(network.state_dict()))
    save_golden(folder, **track_golden(network, content["settings"]))
    return seal(folder)


def track_golden(
    network: torch.nn.Module, settings: dict[str, Any]
) -> dict[str, np.ndarray[Any, Any]]:
    """Return four frames of moving noise, a start, and where the features alone find it again."""
    noise = np.random.default_rng(3).normal(size=(64, 80))
    still = np.clip(128 + 300 * gaussian_filter(noise, 1.5), 0, 255)
    image = np.stack([shift(still, (n, -n), order=1) for n in range(4)]).astype(np.float32)
    start = np.array([30.0, 40.0], np.float32)
    rules = Rules(**{key: value for key, value in settings.items() if key != "features"})
    with torch.inference_mode():
        features = network.eval()(torch.from_numpy(image / 255)[:, None])
        found = follow(features, torch.from_numpy(start)[None], rules)
    return {"image": image, "start": start, "points": found.points[:, 0].numpy()[None]}
