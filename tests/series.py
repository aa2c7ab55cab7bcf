"""Series as the ledger gives them, made from a few words, without files."""

import hashlib
from collections.abc import Iterable, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

from dicom_ai_node.domain.model import Golden, Grid, Intensity, ModelFacts, Scaling, Sees
from dicom_ai_node.domain.study import Instance, Series, Study
from dicom_ai_node.domain.uids import (
    AETitle,
    SeriesInstanceUID,
    Sha256,
    SOPClassUID,
    SOPInstanceUID,
    StudyInstanceUID,
    derive_uid,
)

NOON = datetime(2026, 3, 4, 12, 0, tzinfo=UTC)
STUDY = StudyInstanceUID(derive_uid("test", "study"))
CT_IMAGE = SOPClassUID("1.2.840.10008.5.1.4.1.1.2")
AXIAL = r"1\0\0\0\1\0"


def instance(name: str, sop_class_uid: SOPClassUID = CT_IMAGE, **attributes: str) -> Instance:
    """Return one instance with these attributes; its UIDs and digest follow from `name`."""
    return Instance(
        sop_instance_uid=SOPInstanceUID(derive_uid("test", name)),
        sop_class_uid=sop_class_uid,
        series_instance_uid=SeriesInstanceUID(derive_uid("test", "series")),
        study_instance_uid=STUDY,
        transfer_syntax_uid="1.2.840.10008.1.2.1",
        sha256=Sha256(hashlib.sha256(name.encode()).hexdigest()),
        size_bytes=1000,
        attributes=attributes,
    )


def slices(positions_mm: Iterable[float], plane: str = AXIAL, **attributes: str) -> list[Instance]:
    """Return one instance per position along z, in the order given."""
    return [
        instance(
            f"{number} at {z}",
            ImageOrientationPatient=plane,
            ImagePositionPatient=f"-10\\-20\\{z:g}",
            **attributes,
        )
        for number, z in enumerate(positions_mm)
    ]


def series(
    instances: Sequence[Instance], name: str = "series", *, last_received: datetime = NOON
) -> Series:
    """Return the instances as one series; its attributes are what all of them share."""
    number = SeriesInstanceUID(derive_uid("test", name))
    mine = tuple(
        replace(
            one,
            series_instance_uid=number,
            sop_instance_uid=SOPInstanceUID(derive_uid(one.sop_instance_uid, name)),
        )
        for one in instances
    )
    shared = set(mine[0].attributes.items()).intersection(*(one.attributes.items() for one in mine))
    return Series(
        series_instance_uid=number,
        study_instance_uid=STUDY,
        calling_ae_title=AETitle("SCANNER"),
        attributes=dict(shared),
        instances=mine,
        first_received=NOON,
        last_received=last_received,
        revision=len(mine),
    )


def study(*members: Series) -> Study:
    """Return these series as one study."""
    return Study(study_instance_uid=STUDY, series=members)


def model(name: str = "liver", *modality: str, **changes: object) -> ModelFacts:
    """Return the facts of a model that takes these modalities."""
    facts = ModelFacts(
        name=name,
        version="1.0.0",
        digest=Sha256("d" * 64),
        folder=Path(name),
        kind="segment",
        title=name,
        manufacturer="test",
        modality=modality or ("CT",),
        sees=Sees.VOLUME,
        intensity=Intensity(scaling=Scaling.ZSCORE),
        grid=Grid(spacing_mm=(1.0, 1.0, 1.0)),
        golden=Golden(file="golden.npz", min_dice=0.98),
    )
    return replace(facts, **changes)  # type: ignore[arg-type]
