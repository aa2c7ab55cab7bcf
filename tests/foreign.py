"""Models as other programs leave them: a bundle of the zoo, TorchScript, torch.export, ONNX, nnU-Net.

Every one holds a real network. `chance` has weights of chance, to compare numbers with torch;
`threshold` the weights of `tests.model_folders`, whose labels can be foreseen to the pixel.
"""

import io
import json
import warnings
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import torch
from dynamic_network_architectures.architectures import unet
from monai.networks.nets import UNet

from tests.model_folders import STEEP, THRESHOLD, definition, threshold_weights


def threshold() -> torch.nn.Module:
    """Return the network that says `Bright` above THRESHOLD, for volumes."""
    built = UNet(**{key: value for key, value in definition(3).items() if key != "_target_"})
    built.load_state_dict(threshold_weights(3))
    return built.eval()


CHANCE = {
    "_target_": "UNet",
    "spatial_dims": 3,
    "in_channels": 1,
    "out_channels": 2,
    "channels": [4, 8],
    "strides": [2],
    "norm": "batch",
}
"""As bundles of the zoo write it: without the module in which MONAI's networks are."""


def chance(seed: int = 5) -> torch.nn.Module:
    """Return a small U-Net with weights of chance."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        built = UNet(**{key: value for key, value in CHANCE.items() if key != "_target_"})
        for module in built.modules():
            if isinstance(module, torch.nn.BatchNorm3d):
                torch.nn.init.normal_(module.running_mean, std=0.1)
    return built.eval()


def example(batch: int = 2, length: int = 16) -> torch.Tensor:
    """Return (batch, 1, length, length, length) of chance."""
    return torch.rand((batch, 1, *[length] * 3), generator=torch.Generator().manual_seed(3))


def torchscript(network: torch.nn.Module, path: Path) -> Path:
    """Trace a network and save it."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        torch.jit.save(torch.jit.trace(network, example()), path)
    return path


def torch_export(network: torch.nn.Module, path: Path, *, batch: int | None = None) -> Path:
    """Export a network for any grid and number, or for one number of cubes of 16 voxels."""
    any_size = torch.export.Dim.DYNAMIC
    shapes = None if batch else (dict.fromkeys((0, 2, 3, 4), any_size),)
    given = torch.rand(batch, 1, 16, 16, 16) if batch else torch.rand(2, 1, 16, 20, 24)
    torch.export.save(torch.export.export(network, (given,), dynamic_shapes=shapes), path)
    return path


def onnx_graph(network: torch.nn.Module, path: Path, *, batch: int | None = None) -> Path:
    """Export a network to ONNX for any grid and number, or for one number of cubes of 16 voxels."""
    axes = {} if batch else {0: "n", 2: "s", 3: "r", 4: "c"}
    content = io.BytesIO()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        torch.onnx.export(
            network, (example(batch or 2),), content, dynamo=False, input_names=["image"],
            output_names=["logits"], dynamic_axes={"image": axes, "logits": axes},
        )  # fmt: skip
    path.write_bytes(content.getvalue())
    return path


def beside(path: Path) -> Path:
    """Move the weights of an ONNX file into a file beside it."""
    model = onnx.load(path)
    onnx.save_model(
        model, path, save_as_external_data=True, location="weights.bin", size_threshold=0
    )
    return path


PREPROCESSING: Sequence[Mapping[str, Any]] = (
    {"_target_": "LoadImaged", "keys": "image"},
    {"_target_": "EnsureChannelFirstd", "keys": "image"},
    {"_target_": "Orientationd", "keys": "image", "axcodes": "RAS"},
    {"_target_": "Spacingd", "keys": "image", "pixdim": "@pixdim", "mode": "bilinear"},
    {
        "_target_": "ScaleIntensityRanged", "keys": "image",
        "a_min": -160, "a_max": 240, "b_min": 0, "b_max": 1, "clip": True,
    },
    {"_target_": "EnsureTyped", "keys": "image", "device": "$torch.device('cpu')"},
)  # fmt: skip


def monai_bundle(
    folder: Path, network: torch.nn.Module, network_def: Mapping[str, Any], **changes: object
) -> Path:
    """Write a bundle in the layout of the zoo, with expressions that must not be run."""
    for name in ("configs", "models", "docs"):
        (folder / name).mkdir(parents=True)
    config = {
        "imports": ["$import os", "$os.system('touch owned')"],
        "bundle_root": ".",
        "device": "$torch.device('cuda:0' if torch.cuda.is_available() else 'cpu')",
        "spatial_dims": 3,
        "pixdim": [0.8, 0.8, 2.5],
        "network_def": {**network_def, "spatial_dims": "@spatial_dims"},
        "network": "$@network_def.to(@device)",
        "preprocessing": {
            "_target_": "Compose",
            "transforms": [dict(one) for one in PREPROCESSING],
        },
        "inferer": {
            "_target_": "SlidingWindowInferer",
            "roi_size": [48, 64, 16],
            "sw_batch_size": 4,
            "overlap": 0.5,
        },
        "postprocessing": {
            "_target_": "Compose",
            "transforms": [{"_target_": "Activationsd", "keys": "pred", "softmax": True}],
        },
        **changes,
    }
    metadata = {
        "version": "0.3.1",
        "name": "Bright things",
        "network_data_format": {
            "inputs": {"image": {"modality": "CT", "num_channels": 1}},
            "outputs": {"pred": {"channel_def": {"0": "background", "1": "bright"}}},
        },
    }
    (folder / "configs/inference.json").write_text(json.dumps(config))
    (folder / "configs/metadata.json").write_text(json.dumps(metadata))
    (folder / "docs/README.md").write_text("# Bright things\n\nMade in a test.\n")
    torch.save(network.state_dict(), folder / "models/model.pt")
    return folder


def plans(**changes: object) -> dict[str, Any]:
    """Return `plans.json` as nnU-Net 2.5 writes it, of a small network; `None` removes a key."""
    configuration = {
        "data_identifier": "nnUNetPlans_3d_fullres",
        "preprocessor_name": "DefaultPreprocessor",
        "batch_size": 2,
        "patch_size": [12, 16, 16],
        "median_image_size_in_voxels": [12.0, 64.0, 48.0],
        "spacing": [2.5, 0.8, 0.8],
        "normalization_schemes": ["CTNormalization"],
        "use_mask_for_norm": [False],
        "resampling_fn_data": "resample_data_or_seg_to_shape",
        "batch_dice": True,
        "architecture": {
            "network_class_name": "dynamic_network_architectures.architectures.unet.PlainConvUNet",
            "arch_kwargs": {
                "n_stages": 2,
                "features_per_stage": [4, 8],
                "conv_op": "torch.nn.modules.conv.Conv3d",
                "kernel_sizes": [[1, 3, 3], [3, 3, 3]],
                "strides": [[1, 1, 1], [1, 2, 2]],
                "n_conv_per_stage": [2, 2],
                "n_conv_per_stage_decoder": [2],
                "conv_bias": True,
                "norm_op": "torch.nn.modules.instancenorm.InstanceNorm3d",
                "norm_op_kwargs": {"eps": 1e-05, "affine": True},
                "dropout_op": None,
                "dropout_op_kwargs": None,
                "nonlin": "torch.nn.LeakyReLU",
                "nonlin_kwargs": {"inplace": True},
            },
            "_kw_requires_import": ["conv_op", "norm_op", "dropout_op", "nonlin"],
        },
    }
    content = {
        "dataset_name": "Dataset999_Bright",
        "plans_name": "nnUNetPlans",
        "original_median_spacing_after_transp": [2.5, 0.8, 0.8],
        "image_reader_writer": "SimpleITKIO",
        "transpose_forward": [0, 1, 2],
        "transpose_backward": [0, 1, 2],
        "experiment_planner_used": "ExperimentPlanner",
        "label_manager": "LabelManager",
        "foreground_intensity_properties_per_channel": {
            "0": {
                "max": 240.0, "mean": 40.0, "median": 40.0, "min": -160.0,
                "percentile_00_5": -160.0, "percentile_99_5": 240.0, "std": 100.0,
            }
        },
        "configurations": {"3d_fullres": configuration, "3d_other": {"inherits_from": "3d_fullres"}},
    }  # fmt: skip
    for key, value in changes.items():
        where = content if key in content else configuration
        where[key] = value
    return content


DATASET = {
    "channel_names": {"0": "CT"},
    "labels": {"background": 0, "bright": 1},
    "numTraining": 3,
    "file_ending": ".nii.gz",
    "name": "Bright things",
}


def nnunet_network(of: Mapping[str, Any]) -> torch.nn.Module:
    """Return the network that nnU-Net builds for the plans `of`, with weights of chance."""
    said = of["configurations"]["3d_fullres"]["architecture"]
    architecture = said["arch_kwargs"]
    classes = {
        "conv_op": torch.nn.Conv3d,
        "norm_op": getattr(torch.nn, architecture["norm_op"].rpartition(".")[2]),
        "dropout_op": None,
        "nonlin": torch.nn.LeakyReLU,
    }
    kind = getattr(unet, said["network_class_name"].rpartition(".")[2])
    built: torch.nn.Module = kind(
        input_channels=1, num_classes=2, deep_supervision=True, **{**architecture, **classes}
    )
    return built.eval()


def threshold_nnunet() -> tuple[dict[str, Any], torch.nn.Module]:
    """Return plans and a network that says `bright` above 80 HU."""
    of = plans()
    of["configurations"]["3d_fullres"]["architecture"]["arch_kwargs"] |= {
        "features_per_stage": [1, 1],
        "kernel_sizes": [[1, 1, 1], [1, 1, 1]],
        "n_conv_per_stage": [1, 1],
        "n_conv_per_stage_decoder": [1],
        "norm_op": "torch.nn.modules.batchnorm.BatchNorm3d",
    }
    built = nnunet_network(of)
    with torch.no_grad():
        for parameter in built.parameters():
            parameter.zero_()
        for norm in (m for m in built.modules() if isinstance(m, torch.nn.BatchNorm3d)):
            norm.weight += 1
        built.encoder.stages[0][0].convs[0].conv.weight += 1
        # What was upsampled comes first, what was skipped second.
        built.decoder.stages[0].convs[0].conv.weight[:, 1] += 1
        built.decoder.seg_layers[0].weight[1] = STEEP
        built.decoder.seg_layers[0].bias[1] = -STEEP * (THRESHOLD * 400 - 160 - 40) / 100
    return of, built


def nnunet_folder(
    folder: Path, of: Mapping[str, Any], folds: Mapping[int, torch.nn.Module], **dataset: object
) -> Path:
    """Write a result folder as nnU-Net's trainer does, logs with numbers of numpy among it."""
    folder.mkdir(parents=True)
    (folder / "plans.json").write_text(json.dumps(of))
    (folder / "dataset.json").write_text(json.dumps({**DATASET, **dataset}))
    for fold, network in folds.items():
        (folder / f"fold_{fold}").mkdir()
        checkpoint = {
            "network_weights": network.state_dict(),
            "optimizer_state": {"state": {}, "param_groups": [{"lr": np.float64(0.01)}]},
            "grad_scaler_state": None,
            "logging": {"mean_fg_dice": [np.float64(0.5), np.float32(0.6)], "train_losses": [0.1]},
            "_best_ema": np.float64(0.6),
            "current_epoch": 1,
            "init_args": {
                "plans": dict(of),
                "configuration": "3d_fullres",
                "fold": fold,
                "dataset_json": DATASET,
                "device": torch.device("cpu"),
            },
            "trainer_name": "nnUNetTrainer",
            "inference_allowed_mirroring_axes": (0, 1, 2),
        }
        torch.save(checkpoint, folder / f"fold_{fold}/checkpoint_final.pth")
    return folder


Maker = Callable[[torch.nn.Module, Path], Path]
