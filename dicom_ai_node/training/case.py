"""One labelled example, and how a set of them is parted into training, validation and test."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """An image with the labels that somebody drew on it.

    Attributes
    ----------
    name
        Names the case in the score table; never a patient's.
    image
        (rows, columns) or (slices, rows, columns) float32 in the unit of the model's facts;
        volumes as in an axial DICOM stack: slices toward head, rows toward posterior, columns
        toward left.
    labels
        uint8 of the same shape; 0 is background.
    spacing_mm
        Distance between pixel centres along the axes of `image`.
    reference
        Numbers that somebody measured on this case, by name.
    scored
        The segments that `labels` speak about, or `None` for all of them.
    where
        Words for the score table, such as "in the head", if kinds of cases are told apart there.
    group
        What cases share that are alike, such as a patient; a case without it is one of its own.
    """

    name: str
    image: NDArray[np.float32]
    labels: NDArray[np.uint8]
    spacing_mm: tuple[float, ...]
    reference: Mapping[str, float] = field(default_factory=dict)
    scored: tuple[int, ...] | None = None
    where: str = ""
    group: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Parts:
    """Training fits the weights, validation chooses among them, test is scored once at the end."""

    training: Sequence[Case]
    validation: Sequence[Case]
    test: Sequence[Case]


def part_of_block(position: int, block: int, every: int) -> str:
    """Say which part the case at `position` of an ordered set belongs to.

    Whole blocks of `block` neighbours stay together, so that frames of one patient or
    neighbouring slices never lie on both sides; of `every` blocks one is test, the next one
    validation, the others training.

    Returns
    -------
    str
        A field of `Parts`.
    """
    match (position // block) % every:
        case 0:
            return "test"
        case 1:
            return "validation"
        case _:
            return "training"
