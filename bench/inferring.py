"""Looks at volumes: `python -m bench.inferring NAME` waits for orders.

An order names a model of the node and a folder with its inputs, `NAME.npy` each, on the grid of the
model and in the unit of the image; from them to labels is what is measured.
"""

import os
import sys
import time
from collections.abc import Callable, Mapping
from functools import cache
from pathlib import Path

import numpy as np
import torch
from monai.inferers import sliding_window_inference
from monai.transforms import FillHoles, KeepLargestConnectedComponent
from numpy.typing import NDArray

from bench import forking
from bench.results import Kind
from dicom_ai_node import compose
from dicom_ai_node.domain.image import Geometry, SourceFrame, Volume
from dicom_ai_node.domain.model import Intensity, ModelFacts, Scaling
from dicom_ai_node.domain.ports import Task
from dicom_ai_node.domain.uids import SOPInstanceUID
from dicom_ai_node.infer.catalog import Catalog
from dicom_ai_node.infer.kinds import task_of
from dicom_ai_node.infer.networks import network

OURS, MONAI = "dicom_ai_node", "MONAI sliding_window_inference"
Inputs = Mapping[str, NDArray[np.float32]]
Answer = NDArray[np.uint8]


@cache
def _facts(name: str) -> ModelFacts:
    return Catalog([compose.SHIPPED_MODELS]).facts(name)


@cache
def _network(name: str) -> torch.nn.Module:
    return network(_facts(name))


@cache
def _task(name: str) -> Task:
    return task_of(_facts(name), _network(name))


def ours(name: str, inputs: Inputs) -> Answer:
    """Ask the task that the workers of the node ask, with what they hand to it."""
    found = _task(name)({key: _volume(array) for key, array in inputs.items()}, {})
    if found.segmentation is None:
        raise RuntimeError(f"{name} does not segment")
    return found.segmentation.labels


def _volume(array: NDArray[np.float32]) -> Volume:
    return Volume(
        array=array,
        geometry=Geometry(affine=np.eye(4), shape=array.shape, frame_of_reference_uid="1.2"),
        unit="1",
        sources=tuple(SourceFrame(SOPInstanceUID(f"1.2.{at}")) for at in range(len(array))),
    )


def monai(name: str, inputs: Inputs) -> Answer:
    """Ask the same network as MONAI's tutorials do, with the windows that the model says."""
    facts, net = _facts(name), _network(name)
    image = torch.from_numpy(
        np.stack([_scaled(array, facts.input(key).intensity) for key, array in inputs.items()])
    )[None]
    assert facts.window is not None  # noqa: S101 - only such models are asked
    ask = _mirroring(net) if facts.settings.get("mirror") else net
    with torch.no_grad():
        logits = sliding_window_inference(
            image, facts.window.roi_size, facts.window.batch, ask,
            overlap=facts.window.overlap, mode="gaussian",
        )  # fmt: skip
    logits[:, 0] += float(facts.settings.get("background", 0))
    labels = logits.argmax(1)
    numbers = [one.number for one in facts.segments]
    if facts.settings.get("largest_only"):
        labels = KeepLargestConnectedComponent(numbers, independent=True)(labels)
    if facts.settings.get("fill_holes"):
        labels = FillHoles(numbers)(labels)
    return np.asarray(labels[0], np.uint8)


def _mirroring(net: torch.nn.Module) -> Callable[[torch.Tensor], torch.Tensor]:
    """Return what looks at the columns reversed as well: this is a part of the model."""
    return lambda windows: (net(windows) + net(windows.flip(-1)).flip(-1)) / 2


def _scaled(array: NDArray[np.float32], how: Intensity) -> NDArray[np.float32]:
    if how.scaling is Scaling.WINDOW:
        return np.clip((array - how.low) / (how.high - how.low), 0, 1).astype(np.float32)
    return ((array - array.mean()) / array.std()).astype(np.float32)


WAYS: Mapping[str, tuple[Kind, Callable[[str, Inputs], Answer]]] = {
    OURS: (Kind.OURS, ours),
    MONAI: (Kind.PEER, monai),
}


def measured(way: str, model: str, folder: Path) -> Mapping[str, float]:
    """Look at the inputs in a folder, leave the labels there, and return what it took."""
    facts = _facts(model)
    names = tuple(facts.inputs) or ("image",)
    inputs = {name: np.load(folder / f"{name}.npy") for name in names}
    look = WAYS[way][1]
    began = time.perf_counter()
    labels = look(model, inputs)
    seconds = time.perf_counter() - began
    np.save(folder / f"{way}.npy", labels)
    return {"seconds": seconds, "labelled": float((labels > 0).mean())}


if __name__ == "__main__":
    chosen = sys.argv[1]
    torch.set_num_threads(os.cpu_count() or 1)  # as a node with one device on the CPU
    forking.serve_here(lambda said: measured(chosen, said["model"], Path(said["folder"])))
