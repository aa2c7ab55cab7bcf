"""From findings to files: the encoders in their order, and bytes that are always the same."""

import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from pydicom.dataset import Dataset

from dicom_ai_node.domain.errors import ConfigError
from dicom_ai_node.domain.findings import Findings
from dicom_ai_node.domain.ports import Encoder, Origin
from dicom_ai_node.domain.progress import along
from dicom_ai_node.encode.annotations import encode as annotations
from dicom_ai_node.encode.derived_image import encode as derived_image
from dicom_ai_node.encode.headers import unvalidated
from dicom_ai_node.encode.key_objects import encode as key_objects
from dicom_ai_node.encode.parametric_map import encode as parametric_map
from dicom_ai_node.encode.part10_file import Part10Writer
from dicom_ai_node.encode.presentation_state import encode as presentation_state
from dicom_ai_node.encode.rt_structure_set import encode as rt_structure_set
from dicom_ai_node.encode.secondary_capture import encode as secondary_capture
from dicom_ai_node.encode.segmentation import encode as segmentation
from dicom_ai_node.encode.segmentation_fractional import encode as segmentation_fractional
from dicom_ai_node.encode.segmentation_labelmap import encode as segmentation_labelmap
from dicom_ai_node.encode.structured_report import encode as structured_report

ENCODERS: Mapping[str, Encoder] = {
    "segmentation": segmentation,
    "segmentation_fractional": segmentation_fractional,
    "segmentation_labelmap": segmentation_labelmap,
    "annotations": annotations,
    "rt_structure_set": rt_structure_set,
    "derived_image": derived_image,
    "parametric_map": parametric_map,
    "presentation_state": presentation_state,
    "secondary_capture": secondary_capture,
    "structured_report": structured_report,
    "key_objects": key_objects,
}
"""What a route's `write` may name, in the order in which they are made."""


def encode_job(
    findings: Findings, origin: Origin, encoders: Mapping[str, Encoder]
) -> list[tuple[str, Dataset]]:
    """Return (kind, object) for everything that `encoders` make of the findings.

    Segmentations and pictures come before reports whatever the order in which they were asked
    for: a report refers to what is there. Encoders of other names come last, as given.

    Raises
    ------
    TaskFailed
        If the findings do not fit the sources, or lack what an encoder was asked to write.
    """
    known = {kind: place for place, kind in enumerate(ENCODERS)}
    encoded: dict[str, Sequence[Dataset]] = dict(origin.encoded)
    objects: list[tuple[str, Dataset]] = []
    with unvalidated():
        for kind in along(sorted(encoders, key=lambda name: known.get(name, len(known)))):
            encoded[kind] = encoders[kind](findings, replace(origin, encoded=dict(encoded)))
            objects.extend((kind, item) for item in encoded[kind])
    return objects


def encoders_for(write: Iterable[str]) -> Mapping[str, Encoder]:
    """Return the encoders that a route's `write` names.

    Raises
    ------
    ConfigError
        If one is not known; one mistake a line.
    """
    asked = list(write)
    unknown = [kind for kind in asked if kind not in ENCODERS]
    if unknown:
        known = ", ".join(ENCODERS)
        raise ConfigError("\n".join(f"write: {kind} is none of {known}" for kind in unknown))
    return {kind: ENCODERS[kind] for kind in asked}


def write_objects(folder: Path, objects: Sequence[tuple[str, Dataset]]) -> list[Path]:
    """Write each object as a Part 10 file.

    Named `NUMBER-KIND.dcm` in the order in which they are to be sent. The same findings of the
    same job give the same bytes, in any process and at any time. So nothing is synced here: whoever
    keeps them does that, and what a power cut takes before is made again.
    """
    folder.mkdir(parents=True, exist_ok=True)
    paths, writer = [], Part10Writer()
    for number, (kind, item) in enumerate(along(objects), start=1):
        paths.append(folder / f"{number:03d}-{kind}.dcm")
        with unvalidated(), open(paths[-1], "wb", opener=_for_us_alone) as file:
            writer.write(item, file)
    return paths


def _for_us_alone(path: str, flags: int) -> int:
    return os.open(path, flags, mode=0o600)
