"""What was found in several images together: all of them are its sources, and two are shown."""

from collections.abc import Mapping
from dataclasses import replace

import numpy as np

from dicom_ai_node.domain.errors import Rejected
from dicom_ai_node.domain.findings import Findings
from dicom_ai_node.domain.image import Geometry, Image, Volume
from dicom_ai_node.domain.model import ModelFacts, Scaling
from dicom_ai_node.domain.pictures import Backdrop, Overlay
from dicom_ai_node.infer.align import aligned


def fused(found: Findings, images: Mapping[str, Image], facts: ModelFacts) -> Findings:
    """Return a classification that names the frames of all inputs, and a backdrop of two of them.

    Parameters
    ----------
    found
        As it lies on the reference; other findings than classifications stay as they are.
    images
        The inputs as they came, by name.
    """
    if found.classification is None or len(images) == 1:
        return found
    others = [name for name in facts.inputs if name != facts.reference]
    sources = found.classification.sources
    for name in others:
        sources += images[name].sources
    found = replace(found, classification=replace(found.classification, sources=sources))
    reference, other = images[facts.reference], images[others[0]]
    if found.backdrop is None or not isinstance(reference, Volume) or not isinstance(other, Volume):
        return found
    overlay = _overlay(found.backdrop, reference, other, facts, others[0])
    return replace(found, backdrop=replace(found.backdrop, overlay=overlay))


def _overlay(
    backdrop: Backdrop, reference: Volume, other: Volume, facts: ModelFacts, name: str
) -> Overlay | None:
    """Return what lies over the frames of the backdrop, or `None` if it does not reach there."""
    asked = facts.inputs[name]
    if asked.display_window is None and asked.intensity.scaling is not Scaling.WINDOW:
        return None
    low, high = asked.display_window or (asked.intensity.low, asked.intensity.high)
    slices = []
    for source in backdrop.sources:
        place = reference.sources.index(source)
        try:
            there = aligned(other, _slice(reference, place), name, asked.outside)
        except Rejected:
            return None
        part = (there.array[0] - low) / (high - low)
        slices.append(np.clip(part, 0, 1))
    return Overlay(
        array=np.stack(slices).astype(np.float16),
        name=name,
        low=low,
        high=high,
        unit=other.unit,
    )


def _slice(volume: Volume, place: int) -> Volume:
    """Return one slice of a volume as a volume of its own, where it lies."""
    affine = volume.geometry.affine.copy()
    affine[:3, 3] += place * affine[:3, 0]
    _, rows, columns = volume.geometry.shape
    return Volume(
        array=volume.array[place : place + 1],
        geometry=Geometry(affine, (1, rows, columns), volume.geometry.frame_of_reference_uid),
        unit=volume.unit,
        sources=volume.sources[place : place + 1],
    )
