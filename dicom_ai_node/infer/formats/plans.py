"""`plans.json` of nnU-Net v2, as far as a network is built and asked by it."""

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

from dicom_ai_node.domain.errors import ModelUnusable

AXES_OF_READER: Mapping[str, str] = MappingProxyType({"NibabelIOWithReorient": "SAR"})
"""Readers that turn every image the same way; others take the axes as they lie in the files."""
_CASCADE = "previous_stage"
_IDENTITY = [0, 1, 2]


@dataclass(frozen=True, slots=True, kw_only=True)
class Plans:
    """One configuration of the plans. Lists per axis are in the order of the network's axes.

    Attributes
    ----------
    network, arguments, operators
        Name of its class, what it is called with, and which of that are names of classes.
    axes
        Directions of the network's axes, or `None` where the plans do not tell.
    intensity
        As in `configs/dicom.yaml`.
    labels
        Names of the output channels, the background first.
    """

    network: str
    arguments: Mapping[str, Any]
    operators: tuple[str, ...]
    patch: tuple[int, ...]
    spacing_mm: tuple[float, ...]
    axes: str | None
    intensity: Mapping[str, Any]
    labels: tuple[str, ...]
    modality: list[str] | None


REMARKS = (
    "images are resampled linearly to its spacing, where nnU-Net takes splines of third order",
    "volumes smaller than its window are filled up at the end, where nnU-Net does on all sides",
    "black borders are not cropped before intensities are measured",
)


def read_plans(
    name: str,
    plans: Mapping[str, Any],
    dataset: Mapping[str, Any],
    configuration: str,
    read_as: str | None = None,
) -> Plans:
    """Return one configuration of the plans.

    Parameters
    ----------
    read_as
        Directions of the axes in which the training images were read, where a person knows.

    Raises
    ------
    ModelUnusable
        If it is not as nnU-Net v2 writes it, or asks for what this node cannot do: a cascade,
        several input channels, regions that overlap.
    """
    try:
        found = _inherited(plans, configuration)
        channels = dataset.get("channel_names") or dataset["modality"]
        if len(channels) != 1:
            raise ModelUnusable(f"{name}: takes {len(channels)} channels, and a route gives one")
        if found.get(_CASCADE):
            raise ModelUnusable(f"{name}: needs the answer of another stage; take 3d_fullres")
        network, arguments, operators = _architecture(found)
        return Plans(
            network=network,
            arguments=arguments,
            operators=operators,
            patch=tuple(map(int, found["patch_size"])),
            spacing_mm=tuple(map(float, found["spacing"])),
            axes=_axes(name, plans, len(found["patch_size"]), read_as),
            intensity=_intensity(plans, found),
            labels=_labels(name, dataset),
            modality=_modality(next(iter(channels.values()))),
        )
    except (KeyError, TypeError, ValueError, AttributeError, IndexError) as wrong:
        raise ModelUnusable(f"{name}: the plans are not those of nnU-Net v2") from wrong


def _inherited(plans: Mapping[str, Any], name: str) -> dict[str, Any]:
    """Return a configuration with what it takes over from others."""
    chain, wanted = [], name
    while wanted:
        chain.append(plans["configurations"][wanted])
        if len(chain) > len(plans["configurations"]):
            raise ValueError("the configurations go round in a circle")
        wanted = chain[-1].get("inherits_from")
    return {key: value for one in reversed(chain) for key, value in one.items()}


def _architecture(found: Mapping[str, Any]) -> tuple[str, Mapping[str, Any], tuple[str, ...]]:
    if "architecture" in found:
        said = found["architecture"]
        return said["network_class_name"], said["arch_kwargs"], tuple(said["_kw_requires_import"])
    # Before version 2.4 the plans held numbers only, and the classes were fixed.
    axes = len(found["patch_size"])
    stages = len(found["n_conv_per_stage_encoder"])
    kind = found["UNet_class_name"]
    arguments = {
        "n_stages": stages,
        "features_per_stage": [
            min(found["UNet_base_num_features"] * 2**n, found["unet_max_num_features"])
            for n in range(stages)
        ],
        "conv_op": f"torch.nn.Conv{axes}d",
        "kernel_sizes": found["conv_kernel_sizes"],
        "strides": found["pool_op_kernel_sizes"],
        "n_conv_per_stage" if kind == "PlainConvUNet" else "n_blocks_per_stage": found[
            "n_conv_per_stage_encoder"
        ],
        "n_conv_per_stage_decoder": found["n_conv_per_stage_decoder"],
        "conv_bias": True,
        "norm_op": f"torch.nn.InstanceNorm{axes}d",
        "norm_op_kwargs": {"eps": 1e-5, "affine": True},
        "nonlin": "torch.nn.LeakyReLU",
        "nonlin_kwargs": {"inplace": True},
    }
    return kind, arguments, ("conv_op", "norm_op", "nonlin")


def _axes(name: str, plans: Mapping[str, Any], count: int, read_as: str | None) -> str | None:
    order = list(plans["transpose_forward"])
    if count < len(order) and order != _IDENTITY:
        raise ModelUnusable(f"{name}: its slices are not those of the images; take a 3-D one")
    read = AXES_OF_READER.get(str(plans.get("image_reader_writer")), read_as)
    if read is None:
        return None
    return "".join(read[axis] for axis in order)[-count:]


def _intensity(plans: Mapping[str, Any], found: Mapping[str, Any]) -> Mapping[str, Any]:
    (scheme,) = found["normalization_schemes"]
    match scheme:
        case "CTNormalization":
            of_channel = plans["foreground_intensity_properties_per_channel"]["0"]
            return {
                "scaling": "standard",
                "low": of_channel["percentile_00_5"],
                "high": of_channel["percentile_99_5"],
                "mean": of_channel["mean"],
                "deviation": of_channel["std"],
            }
        case "ZScoreNormalization":
            is_masked = any(found.get("use_mask_for_norm") or ())
            return {"scaling": "zscore", "pad": 0, **({"nonzero": True} if is_masked else {})}
        case "RescaleTo01Normalization":
            return {"scaling": "percentile", "low": 0, "high": 100}
        case "RGBTo01Normalization":
            return {"scaling": "window", "low": 0, "high": 255}
        case _:
            raise ValueError(f"{scheme} is unknown")


def _labels(name: str, dataset: Mapping[str, Any]) -> tuple[str, ...]:
    by_number = {}
    for label, number in dataset["labels"].items():
        if isinstance(number, list) and len(number) > 1:
            raise ModelUnusable(f"{name}: has regions that overlap, which a label map cannot hold")
        by_number[int(number[0] if isinstance(number, list) else number)] = str(label)
    by_number = {n: label for n, label in by_number.items() if label != "ignore"}
    if sorted(by_number) != list(range(len(by_number))) or dataset.get("regions_class_order"):
        raise ModelUnusable(f"{name}: its labels are not numbered from 0 without a gap")
    return tuple(by_number[n] for n in range(len(by_number)))


def _modality(channel: str) -> list[str] | None:
    words = str(channel).upper()
    if words == "CT":
        return ["CT"]
    return ["MR"] if words.startswith(("MR", "T1", "T2", "FLAIR")) else None
