"""What a series is, in words that a route may use; see `domain.vocabulary.FACTS`."""

import math
from collections.abc import Mapping, Sequence

from dicom_ai_node.domain.stack import Stack, numbers, stacks
from dicom_ai_node.domain.study import Instance, Series
from dicom_ai_node.domain.vocabulary import Value

ALONG_AXIS_COSINE = math.cos(math.radians(25.0))
"""A normal this close to an axis of the patient gives the orientation its name."""

ENHANCED = frozenset(
    {
        "1.2.840.10008.5.1.4.1.1.2.1",  # Enhanced CT Image Storage
        "1.2.840.10008.5.1.4.1.1.2.2",  # Legacy Converted Enhanced CT Image Storage
        "1.2.840.10008.5.1.4.1.1.4.1",  # Enhanced MR Image Storage
        "1.2.840.10008.5.1.4.1.1.4.4",  # Legacy Converted Enhanced MR Image Storage
        "1.2.840.10008.5.1.4.1.1.130",  # Enhanced PET Image Storage
        "1.2.840.10008.5.1.4.1.1.128.1",  # Legacy Converted Enhanced PET Image Storage
    }
)
"""SOP classes whose frames are slices with their places in functional groups, PS3.3 C.7.6.16."""

_NO_AGENT = frozenset({"", "NO", "NONE", "N", "OHNE", "WITHOUT"})


def values_of(series: Series) -> dict[str, Value]:
    """Return everything that a condition can ask about `series`: attributes and facts."""
    return {**series.attributes, **facts(series)}


def facts(series: Series) -> dict[str, Value]:
    """Return the derived facts of `series`; one that cannot be derived is left out."""
    found = stacks(series.instances)
    derived: dict[str, Value | None] = {
        "instances": len(series.instances),
        "frames": sum(map(_frames, series.instances)),
        "slices": _slices(series.instances, found),
        "pixel_spacing_mm": max(numbers(series.attributes.get("PixelSpacing", "")), default=None),
        "contrast": any(map(_names_agent, series.instances)),
        "is_original": _image_type(series.instances, 0, "ORIGINAL"),
        "is_primary": _image_type(series.instances, 1, "PRIMARY"),
        "is_localizer": _is_localizer(series.instances),
        "is_multiframe": any(_frames(instance) > 1 for instance in series.instances),
        "calling_ae_title": series.calling_ae_title.strip(),
        **_of_stack(found),
    }
    return {name: value for name, value in derived.items() if value is not None}


def _of_stack(found: Sequence[Stack]) -> Mapping[str, Value | None]:
    if len(found) != 1:
        return {}
    (stack,) = found
    return {
        "missing_slices": stack.missing,
        "slice_spacing_mm": stack.spacing_mm,
        "slice_gap_is_even": stack.is_even,
        "orientation": _orientation(stack),
    }


def _orientation(stack: Stack) -> str:
    for component, name in zip(stack.normal, ("SAGITTAL", "CORONAL", "AXIAL"), strict=True):
        if abs(component) >= ALONG_AXIS_COSINE:
            return name
    return "OBLIQUE"


def _slices(instances: Sequence[Instance], found: Sequence[Stack]) -> int | None:
    if instances and all(instance.sop_class_uid in ENHANCED for instance in instances):
        return sum(map(_frames, instances))
    return sum(len(stack.positions_mm) for stack in found) if found else None


def _frames(instance: Instance) -> int:
    text = instance.attributes.get("NumberOfFrames", "").strip()
    return int(text) if text.isdecimal() and int(text) > 0 else 1


def _names_agent(instance: Instance) -> bool:
    agent = instance.attributes.get("ContrastBolusAgent", "")
    return agent.strip().upper() not in _NO_AGENT


def _image_types(instances: Sequence[Instance]) -> list[list[str]] | None:
    """Return the values of ImageType per instance, or `None` if one does not tell."""
    texts = [instance.attributes.get("ImageType", "").upper() for instance in instances]
    return [[v.strip() for v in text.split("\\")] for text in texts] if all(texts) else None


def _image_type(instances: Sequence[Instance], place: int, wanted: str) -> bool | None:
    types = _image_types(instances)
    return None if types is None else all(t[place : place + 1] == [wanted] for t in types)


def _is_localizer(instances: Sequence[Instance]) -> bool:
    types = _image_types(instances)
    return types is not None and all("LOCALIZER" in values for values in types)
