"""The tables of the archive: an index of headers, made from the blobs and made again from them."""

from sqlalchemy import (
    JSON,
    BigInteger,
    Boolean,
    Column,
    ForeignKey,
    Index,
    Integer,
    LargeBinary,
    Table,
    Text,
)

from dicom_ai_node.store.columns import Words
from dicom_ai_node.store.tables import metadata

held_studies = Table(
    "held_studies",
    metadata,
    Column("study_instance_uid", Text, primary_key=True),
    # What is looked for most often; the name folded, a date that is none empty.
    Column("patient_id", Words, nullable=False, index=True),
    Column("patient_name", Words, nullable=False),
    Column("accession_number", Words, nullable=False, index=True),
    Column("study_date", Text, nullable=False),
    # One of them has several values: what is looked for may be one that is not in its column.
    Column("is_odd", Boolean, nullable=False),
    Column("header", JSON, nullable=False),
)
Index("ix_held_studies_study_date", held_studies.c.study_date, held_studies.c.study_instance_uid)
Index(
    "ix_held_studies_odd",
    held_studies.c.study_instance_uid,
    sqlite_where=held_studies.c.is_odd,
    postgresql_where=held_studies.c.is_odd,
)

held_series = Table(
    "held_series",
    metadata,
    Column("series_instance_uid", Text, primary_key=True),
    Column(
        "study_instance_uid",
        ForeignKey(held_studies.c.study_instance_uid, ondelete="CASCADE"),
        nullable=False,
    ),
    Column("modality", Words, nullable=False),
    Column("series_number", Integer, nullable=False),
    Column("is_odd", Boolean, nullable=False),
    Column("header", JSON, nullable=False),
)
Index(
    "ix_held_series_study",
    held_series.c.study_instance_uid,
    held_series.c.series_number,
    held_series.c.series_instance_uid,
    held_series.c.modality,
)
Index("ix_held_series_modality", held_series.c.modality, held_series.c.study_instance_uid)

held_instances = Table(
    "held_instances",
    metadata,
    Column("sop_instance_uid", Text, primary_key=True),
    Column(
        "series_instance_uid",
        ForeignKey(held_series.c.series_instance_uid, ondelete="CASCADE"),
        nullable=False,
    ),
    Column("study_instance_uid", Text, nullable=False),
    Column("sop_class_uid", Text, nullable=False),
    Column("transfer_syntax_uid", Words, nullable=False),
    Column("instance_number", Integer, nullable=False),
    Column("sha256", Text, nullable=False, index=True),
    Column("size_bytes", BigInteger, nullable=False),
    Column("is_odd", Boolean, nullable=False),
    Column("header", JSON, nullable=False),
)
Index(
    "ix_held_instances_series",
    held_instances.c.series_instance_uid,
    held_instances.c.instance_number,
    held_instances.c.sop_instance_uid,
)
Index(
    "ix_held_instances_study", held_instances.c.study_instance_uid, held_instances.c.sop_class_uid
)

held_headers = Table(
    "held_headers",
    metadata,
    Column(
        "sop_instance_uid",
        ForeignKey(held_instances.c.sop_instance_uid, ondelete="CASCADE"),
        primary_key=True,
    ),
    Column("deflated", LargeBinary, nullable=False),
)
"""The whole header of each instance as zlib-deflated DICOM JSON, apart from what is searched."""
