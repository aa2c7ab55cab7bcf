"""Pictures with boxes that somebody drew, and ways to find boxes in them."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from statistics import fmean
from typing import TypeAlias

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.special import expit
from torch import Tensor, nn

from dicom_ai_node.domain.boxes import Candidate, Corners, candidates
from dicom_ai_node.training.detections import Found, Truth
from dicom_ai_node.training.fit import Example
from dicom_ai_node.training.grid import Facts, pad_end, resize, resize_labels, scaled, shape_on_grid


@dataclass(frozen=True, slots=True, kw_only=True)
class BoxPicture:
    """A picture with the boxes that somebody drew, and the objects that they stand for.

    Attributes
    ----------
    name
        Names the picture among those of its recipe; never a patient's.
    image
        (rows, columns) float32 in the unit of the model's facts.
    objects
        (rows, columns) uint8; 0 is background, object k of class c has 1 + c + k * classes. Only
        for training, where images are turned and boxes must follow.
    truths
        In pixels of `image`.
    group
        What must stay on one side of a split, and is drawn as one by the bootstrap.
    """

    name: str
    image: NDArray[np.float32]
    objects: NDArray[np.uint8]
    truths: tuple[Truth, ...]
    group: str


@dataclass(frozen=True, slots=True, kw_only=True)
class BoxParts:
    """Training fits weights, validation chooses and calibrates, test is scored once at the end."""

    training: Sequence[BoxPicture]
    validation: Sequence[BoxPicture]
    test: Sequence[BoxPicture]


Method: TypeAlias = Callable[[BoxPicture], Sequence[Found]]
"""Finds boxes in a picture, in pixels of it."""


def on_grid(picture: BoxPicture, facts: Facts) -> Tensor:
    """Return the picture on the model's grid, in its unit, without padding."""
    image = torch.from_numpy(np.ascontiguousarray(picture.image))[None, None]
    return resize(image, shape_on_grid(facts, picture.image.shape, (1.0, 1.0)))[0, 0]


def example_of(picture: BoxPicture, facts: Facts) -> Example:
    """Bring a picture and its objects to the model's grid once, before training."""
    image = on_grid(picture, facts)
    objects = torch.from_numpy(np.ascontiguousarray(picture.objects))
    return scaled(image, facts), resize_labels(objects, image.shape, 1 + int(objects.max()))


def answer_to(network: nn.Module, image: Tensor, facts: Facts) -> NDArray[np.float32]:
    """Return what the network says, (classes + 4, rows, columns), about what `on_grid` gave."""
    values = pad_end(scaled(image, facts), facts["grid"]["size_px"], 0.0)
    with torch.inference_mode():
        answer: NDArray[np.float32] = network(values[None, None])[0].numpy()
    return answer


def candidates_in(network: nn.Module, image: Tensor, facts: Facts) -> list[Candidate]:
    """Return the boxes that a network proposes, on the model's grid."""
    shape = (int(image.shape[0]), int(image.shape[1]))
    limit = int(facts["settings"]["limit"])
    return candidates(answer_to(network, image, facts), shape, limit)


def method_of(network: nn.Module, facts: Facts, line: tuple[float, float]) -> Method:
    """Return the network as a method: calibrated boxes in pixels of the picture."""

    def method(picture: BoxPicture) -> Sequence[Found]:
        image = on_grid(picture, facts)
        (rows, columns), (height, width) = picture.image.shape, image.shape
        return [
            Found(
                box.of,
                float(expit(line[0] * box.logit + line[1])),
                box.corners.times(rows / height, columns / width),
            )
            for box in candidates_in(network, image, facts)
        ]

    return method


def mean_boxes(pictures: Sequence[BoxPicture]) -> Method:
    """Return a method that gives the mean box of every class, whatever the image shows.

    Its score is how often an image has one.
    """
    parts: dict[int, list[tuple[float, ...]]] = {}
    for picture in pictures:
        for truth in picture.truths:
            parts.setdefault(truth.of, []).append(parts_of(truth.corners, picture.image.shape))

    def method(picture: BoxPicture) -> Sequence[Found]:
        rows, columns = picture.image.shape
        return [
            Found(
                of,
                min(len(boxes) / len(pictures), 1.0),
                Corners(*map(fmean, zip(*boxes, strict=True))).times(rows, columns),
            )
            for of, boxes in parts.items()
        ]

    return method


def parts_of(corners: Corners, shape: tuple[int, ...]) -> tuple[float, ...]:
    """Return top, left, bottom and right as parts of the rows and columns of `shape`."""
    rows, columns = shape
    at = corners.times(1 / rows, 1 / columns)
    return at.top, at.left, at.bottom, at.right


def around(labels: NDArray[np.uint8], classes: int) -> list[Found]:
    """Return the box around every label from 1 to `classes` that is there, surest of all."""
    found = []
    for of in range(classes):
        where = np.argwhere(labels == 1 + of)
        if len(where):
            (top, left), (bottom, right) = where.min(0), where.max(0) + 1
            corners = Corners(float(top), float(left), float(bottom), float(right))
            found.append(Found(of, 1.0, corners))
    return found
