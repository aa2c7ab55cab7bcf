"""A bundle as the MONAI Model Zoo lays it out: `configs/inference.json` and `models/model.pt`.

Its transforms are never run. What they say of spacing, axes and intensities is read, and what
holds an expression is not understood but asked for.
"""

import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from ruamel.yaml import YAML
from ruamel.yaml.error import YAMLError

from dicom_ai_node.domain.errors import ModelUnusable
from dicom_ai_node.domain.model import NetworkFacts
from dicom_ai_node.infer.formats.definition import network_of, ready
from dicom_ai_node.infer.formats.drafts import Draft, in_own_order, is_axes
from dicom_ai_node.infer.formats.weights import unpickled
from dicom_ai_node.infer.sealed import SealedFolder

WEIGHTS = "models/model.pt"
METADATA = "configs/metadata.json"
DEFINITIONS = ("configs/inference.json", "configs/inference.yaml", "configs/inference.yml")
_INSIDE = ("model", "state_dict", "network")
"""Under which key a checkpoint may hold its weights."""
_DEEPEST = 16
"""More references one after the other are a circle."""
_CARD = "docs/README.md"


def load(sealed: SealedFolder, _facts: NetworkFacts, device: str) -> torch.nn.Module:
    """Return the network with its weights, ready to predict.

    Raises
    ------
    ModelUnusable
        If a file differs from SHA256SUMS, the definition names something that is not allowed or
        holds an expression, the weights hold more than weights, or do not fit.
    """
    name = sealed.folder.name
    where = next((one for one in DEFINITIONS if one in sealed.sums), DEFINITIONS[0])
    config = _mapping(name, where, sealed.read(where))
    built = network_of(name, _resolved(config.get("network_def"), config))
    weights = unpickled(f"{name}: {WEIGHTS}", sealed.read(WEIGHTS))
    for key in _INSIDE:
        if isinstance(weights.get(key), Mapping):
            weights = weights[key]
            break
    try:
        built.load_state_dict(dict(weights), strict=True)
    except (RuntimeError, TypeError) as wrong:
        raise ModelUnusable(f"{name}: {WEIGHTS} does not fit {where}") from wrong
    return ready(built, device)


def draft(path: Path, axes: str | None) -> Draft | None:
    """Return what a bundle of the zoo tells of itself, or nothing if `path` is none.

    Raises
    ------
    ModelUnusable
        If it cannot be read, or its network takes several channels.
    """
    where = next((one for one in DEFINITIONS if (path / one).is_file()), None)
    if where is None or not (path / WEIGHTS).is_file():
        return None
    config = _mapping(path.name, where, (path / where).read_bytes())
    files = [where, WEIGHTS, *([METADATA] if (path / METADATA).is_file() else [])]
    metadata = (
        _mapping(path.name, METADATA, (path / METADATA).read_bytes()) if METADATA in files else {}
    )
    definition = _resolved(config.get("network_def"), config)
    channels = _part(definition, "in_channels", "n_input_channels")
    if isinstance(channels, int) and channels != 1:
        raise ModelUnusable(f"{path.name}: takes {channels} channels, and a route gives one")
    return Draft(
        format="monai",
        files={one: path / one for one in files},
        facts=_facts(config, metadata, definition, axes),
        labels=_labels(metadata),
        card=path / _CARD if (path / _CARD).is_file() else None,
    )


def _facts(
    config: Mapping[str, Any],
    metadata: Mapping[str, Any],
    definition: object,
    axes: str | None,
) -> dict[str, Any]:
    transforms = list(_transforms(config))
    axes_count = _part(definition, "spatial_dims", "dimensions")
    spatial = 2 if axes_count == 2 else 3  # noqa: PLR2004 - nothing else has a grid
    told = _of(transforms, "Orientation", "axcodes")
    axes = next((one for one in (told, axes) if is_axes(one, spatial)), None)
    image = _part(metadata, "network_data_format", "inputs", "image", deep=True)
    gives = _gives(transforms, _part(definition, "out_channels", "num_classes"))
    facts: dict[str, Any] = {
        "version": metadata.get("version"),
        "title": metadata.get("name"),
        "modality": _modality(_part(image, "modality")),
        "network": {"format": "monai", "axes": axes, "gives": gives},
        "intensity": _intensity(transforms),
        "grid": {"spacing_mm": _spacing(transforms, axes)},
    }
    if spatial == 3:  # noqa: PLR2004 - slices, rows and columns
        facts["sees"] = "volume"
    roi = _part(_resolved(config.get("inferer"), config), "roi_size")
    if axes and _is_numbers(roi, spatial) and min(roi) > 0:
        overlap = _part(_resolved(config.get("inferer"), config), "overlap")
        facts["window"] = {
            "roi_size": [int(n) for n in in_own_order(roi, axes)],
            "overlap": overlap if isinstance(overlap, float) else 0.25,
            "batch": 1,
        }
    return facts


def _gives(transforms: Sequence[Mapping[str, Any]], channels: object) -> str | None:
    """Return what the network gives, told by what the bundle does with it."""
    if _of(transforms, "Activations", "sigmoid") is True:
        return "logit" if channels == 1 else None
    is_softmax = _of(transforms, "Activations", "softmax") is True
    is_strongest = _of(transforms, "AsDiscrete", "argmax") is True
    return "logits" if is_softmax or is_strongest else None


def _intensity(transforms: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    for one in transforms:
        target = _target(one)
        if target.startswith("ScaleIntensityRangePercentiles"):
            return {"scaling": "percentile", "low": one.get("lower"), "high": one.get("upper")}
        if target.startswith("ScaleIntensityRange"):
            return _range(one)
        if target.startswith("NormalizeIntensity") and not one.get("subtrahend"):
            is_masked = one.get("nonzero") is True
            return {"scaling": "zscore", "pad": 0, **({"nonzero": True} if is_masked else {})}
        if target.startswith("ScaleIntensity"):
            return {"scaling": "percentile", "low": 0, "high": 100}
    return {"scaling": None, "low": None, "high": None}


def _range(one: Mapping[str, Any]) -> dict[str, Any]:
    """Return `(x - a_min) / (a_max - a_min) * (b_max - b_min) + b_min`, where it is clipped."""
    ends: Any = [one.get(key) for key in ("a_min", "a_max", "b_min", "b_max")]
    if not _is_numbers(ends, 4) or one.get("clip") is not True:
        return {"scaling": None, "low": one.get("a_min"), "high": one.get("a_max")}
    a_min, a_max, b_min, b_max = map(float, ends)
    if (b_min, b_max) == (0.0, 1.0):
        return {"scaling": "window", "low": a_min, "high": a_max}
    deviation = (a_max - a_min) / (b_max - b_min)
    mean = a_min - b_min * deviation
    return {
        "scaling": "standard",
        "low": a_min,
        "high": a_max,
        "mean": mean,
        "deviation": deviation,
    }


def _spacing(transforms: Sequence[Mapping[str, Any]], axes: str | None) -> list[float] | None:
    pixdim = _of(transforms, "Spacing", "pixdim")
    if axes is None or not _is_numbers(pixdim, len(axes)) or min(pixdim) <= 0:
        return None
    return in_own_order([float(n) for n in pixdim], axes)


def _transforms(config: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
    for section in ("preprocessing", "postprocessing"):
        listed = _resolved(_part(_resolved(config.get(section), config), "transforms"), config)
        for one in listed if isinstance(listed, list) else ():
            if isinstance(one, dict) and not one.get("_disabled_"):
                yield one


def _of(transforms: Sequence[Mapping[str, Any]], name: str, key: str) -> Any:  # noqa: ANN401 - JSON
    """Return an argument of the transform for arrays or dictionaries that is called `name`."""
    return next((one.get(key) for one in transforms if _target(one) in {name, f"{name}d"}), None)


def _target(one: Mapping[str, Any]) -> str:
    return str(one.get("_target_", "")).rpartition(".")[2]


def _modality(said: object) -> list[str] | None:
    known = {"CT": "CT", "MR": "MR", "MRI": "MR", "US": "US", "PET": "PT", "PT": "PT"}
    found = known.get(str(said).upper())
    return [found] if found else None


def _labels(metadata: Mapping[str, Any]) -> tuple[str | None, ...]:
    named = _part(metadata, "network_data_format", "outputs", "pred", "channel_def", deep=True)
    if not isinstance(named, Mapping):
        return ()
    return tuple(str(named[key]) for key in sorted(named, key=str))


def _part(value: object, *keys: str, deep: bool = False) -> Any:  # noqa: ANN401 - JSON
    """Return the value of the first of `keys` that is there, or, if `deep`, of one in the other."""
    if not deep:
        return next((value[k] for k in keys if isinstance(value, Mapping) and k in value), None)
    for key in keys:
        value = value.get(key) if isinstance(value, Mapping) else None
    return value


def _is_numbers(value: object, count: int) -> bool:
    return (
        isinstance(value, list)
        and len(value) == count
        and all(isinstance(n, int | float) and not isinstance(n, bool) for n in value)
    )


def _resolved(value: Any, config: Mapping[str, Any], depth: int = 0) -> Any:  # noqa: ANN401 - JSON
    """Return `value` with `@a::b` replaced by what stands there; expressions stay as they are."""
    match value:
        case dict():
            return {key: _resolved(inner, config, depth) for key, inner in value.items()}
        case list():
            return [_resolved(inner, config, depth) for inner in value]
        case str() if value.startswith("@") and depth < _DEEPEST:
            found: Any = config
            for key in value[1:].replace("#", "::").split("::"):
                match found:
                    case dict() if key in found:
                        found = found[key]
                    case list() if key.isdigit() and int(key) < len(found):
                        found = found[int(key)]
                    case _:
                        return value
            return _resolved(found, config, depth + 1)
        case _:
            return value


def _mapping(name: str, where: str, content: bytes) -> Mapping[str, Any]:
    try:
        text = content.decode("utf-8")
        loaded = (
            json.loads(text) if where.endswith(".json") else YAML(typ="safe", pure=True).load(text)
        )
    except (ValueError, YAMLError) as wrong:
        raise ModelUnusable(f"{name}: {where} cannot be read") from wrong
    if not isinstance(loaded, Mapping):
        raise ModelUnusable(f"{name}: {where} holds no keys and values")
    return dict(loaded)
