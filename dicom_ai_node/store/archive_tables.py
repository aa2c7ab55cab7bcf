"""The tables of the archive: an index of headers, made from the blobs and made again from them."""

from sqlalchemy import (
    JSON,
    BigInteger,
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
    # What is looked for most often; texts as they are in the header, the name folded.
    Column("patient_id", Words, nullable=False, index=True),
    Column("patient_name", Words, nullable=False, index=True),
    Column("accession_number", Words, nullable=False, index=True),
    Column("study_date", Text, nullable=False, index=True),
    Column("header", JSON, nullable=False),
)

held_series = Table(
    "held_series",
    metadata,
    Column("series_instance_uid", Text, primary_key=True),
    Column(
        "study_instance_uid",
        ForeignKey(held_studies.c.study_instance_uid, ondelete="CASCADE"),
        nullable=False,
        index=True,
    ),
    Column("modality", Words, nullable=False, index=True),
    Column("series_number", Integer, nullable=False),
    Column("header", JSON, nullable=False),
)

held_instances = Table(
    "held_instances",
    metadata,
    Column("sop_instance_uid", Text, primary_key=True),
    Column(
        "series_instance_uid",
        ForeignKey(held_series.c.series_instance_uid, ondelete="CASCADE"),
        nullable=False,
    ),
    Column("study_instance_uid", Text, nullable=False, index=True),
    Column("sop_class_uid", Text, nullable=False),
    Column("transfer_syntax_uid", Words, nullable=False),
    Column("instance_number", Integer, nullable=False),
    Column("sha256", Text, nullable=False, index=True),
    Column("size_bytes", BigInteger, nullable=False),
    Column("header", JSON, nullable=False),
)
Index(
    "ix_held_instances_series",
    held_instances.c.series_instance_uid,
    held_instances.c.instance_number,
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
