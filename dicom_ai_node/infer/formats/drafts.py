"""What a model from elsewhere tells of itself, as far as it does, in the words of `dicom.yaml`."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

OWN_AXES = "SPL"
"""How the axes of a volume run here: slices to the head, rows to the back, columns to the left."""
OPPOSITE = {"S": "I", "I": "S", "P": "A", "A": "P", "L": "R", "R": "L"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Draft:
    """A model as it was found.

    Attributes
    ----------
    files
        Where each file goes in the model folder, and where it is now.
    facts
        Parts of `configs/dicom.yaml`. `None` is a question that only a person can answer.
    labels
        Name of every output channel, the background among them, or `None` where it has none.
    remarks
        What is done otherwise than in training, one sentence each.
    card
        A model card that came with it.
    """

    format: str
    files: Mapping[str, Path]
    facts: Mapping[str, Any] = field(default_factory=dict)
    labels: tuple[str | None, ...] = ()
    remarks: tuple[str, ...] = ()
    card: Path | None = None


def draft_of_shapes(
    format_: str,
    files: Mapping[str, Path],
    axes: str | None,
    shape: Sequence[int | None] = (),
    channels: object = None,
) -> Draft:
    """Return the draft of a network of which only shapes are known, (batch, channels, *grid)."""
    facts: dict[str, Any] = {"network": {"format": format_, "axes": axes, "gives": None}}
    grid = [n for n in shape[2:] if n is not None]
    if len(shape) == 5:  # noqa: PLR2004 - batch, channels and three axes
        facts["sees"] = "volume"
    if axes and len(grid) == len(shape) - 2 == len(axes):
        roi_size = [int(n) for n in in_own_order(grid, axes)]
        facts["window"] = {"roi_size": roi_size, "overlap": 0.5, "batch": 1}
    count = channels if isinstance(channels, int) else 0
    return Draft(format=format_, files=files, facts=facts, labels=(None,) * count)


def in_own_order(values: Sequence[float], axes: str) -> list[float]:
    """Return values per axis of the network in the order (slice, row, column), or (row, column).

    Parameters
    ----------
    axes
        One letter per axis of the network: the side of the patient to which it runs.
    """
    own = OWN_AXES[-len(axes) :]
    by_axis = {
        letter if letter in own else OPPOSITE[letter]: v
        for letter, v in zip(axes, values, strict=True)
    }
    return [by_axis[letter] for letter in own]


def is_axes(axes: object, count: int) -> bool:
    """Return whether `axes` names `count` axes of the patient, or of an axial slice, once each."""
    own = OWN_AXES[-count:]
    if not isinstance(axes, str) or not all(letter in OPPOSITE for letter in axes):
        return False
    return sorted(letter if letter in own else OPPOSITE[letter] for letter in axes) == sorted(own)
