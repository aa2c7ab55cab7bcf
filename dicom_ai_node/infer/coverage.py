"""Is this the kind of image that the model was made for?

The router asks the same of a series before there is a job; a worker asks again of what was
really read, because a model gives an answer to anything.
"""

from collections.abc import Mapping

import numpy as np

from dicom_ai_node.domain.errors import Rejected
from dicom_ai_node.domain.image import Frames, Image, Volume
from dicom_ai_node.domain.model import ModelFacts
from dicom_ai_node.domain.reject import RejectCode
from dicom_ai_node.domain.rule import Between, Condition, Not, OneOf

SLACK_MM = 0.5
"""An extent may exceed the model's by this much, in mm: rounding of headers."""


def check_modality(modality: str, facts: ModelFacts, name: str = "") -> None:
    """Raise `Rejected` with IN_COVERAGE if the input called `name` is of another modality."""
    known = facts.input(name).modality
    if modality not in known:
        as_input = f" as {name}" if facts.inputs else ""
        detail = f"{facts.name} is made for {' or '.join(known)}{as_input}"
        raise Rejected(RejectCode.IN_COVERAGE, detail)


def check_coverage(image: Image, facts: ModelFacts, name: str = "") -> None:
    """Compare what was read as the input called `name` with `requires` and `max_extent_mm`.

    How far the inputs reach matters only for the reference; the others are cut to it.

    Of `requires` only the facts that pixels and geometry tell are looked at: slices, frames,
    slice_spacing_mm and pixel_spacing_mm. `image` is in canonical axes if it is a volume.

    Raises
    ------
    Rejected
        IN_COVERAGE, with the first condition that does not hold.
    """
    wanted = facts.input(name).requires
    for fact, value in _known(image).items():
        condition = wanted.get(fact)
        if condition is not None and not _holds(condition, value):
            detail = f"{fact} is {value:g}, wanted {condition}"
            raise Rejected(RejectCode.IN_COVERAGE, detail)
    if facts.max_extent_mm is None or (facts.inputs and name != facts.reference):
        return
    axes = ("slices", "rows", "columns")
    for axis, extent, most in zip(axes, _extent_mm(image), facts.max_extent_mm, strict=True):
        if extent is not None and extent > most + SLACK_MM:
            detail = f"the {axis} span {extent:.0f} mm, {facts.name} takes at most {most:g} mm"
            raise Rejected(RejectCode.IN_COVERAGE, detail)


def _known(image: Image) -> Mapping[str, float]:
    match image:
        case Volume():
            slice_mm, row_mm, column_mm = image.geometry.spacing_mm
            return {
                "slices": len(image.array),
                "frames": len(image.array),
                "slice_spacing_mm": slice_mm,
                "pixel_spacing_mm": max(row_mm, column_mm),
            }
        case Frames():
            known: dict[str, float] = {"frames": len(image.array)}
            if image.thickness_mm is not None:
                known["slices"] = len(image.array)
            if image.spacing_mm is not None:
                known["pixel_spacing_mm"] = max(image.spacing_mm)
            return known


def _extent_mm(image: Image) -> tuple[float | None, float | None, float | None]:
    if isinstance(image, Volume):
        slices, rows, columns = np.multiply(image.geometry.shape, image.geometry.spacing_mm)
        return float(slices), float(rows), float(columns)
    depth = sum(image.thickness_mm) if image.thickness_mm is not None else None
    if image.spacing_mm is None:
        return depth, None, None
    top, end, left, stop = image.region
    return depth, (end - top) * image.spacing_mm[0], (stop - left) * image.spacing_mm[1]


def _holds(condition: Condition, value: float) -> bool:
    """Return whether a number meets a condition; one about texts is left to the router."""
    match condition:
        case Between(minimum, maximum):
            return (minimum is None or minimum <= value) and (maximum is None or value <= maximum)
        case OneOf(values):
            return f"{value:g}" in values
        case Not(inner):
            return not _holds(inner, value)
        case _:
            return True
