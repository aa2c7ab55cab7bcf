"""The tables of what the node tells of its own accord."""

from sqlalchemy import JSON, Column, Index, Integer, Table

from dicom_ai_node.store.columns import MANY, Instant, Words
from dicom_ai_node.store.tables import metadata

notice_targets = Table(
    "notice_targets",
    metadata,
    Column("target", Words, primary_key=True),
    # The last event and quarantine entry that have been looked at for this target.
    Column("event", MANY, nullable=False),
    Column("quarantine", Integer, nullable=False),
)

notices = Table(
    "notices",
    metadata,
    Column("number", MANY, primary_key=True),
    Column("target", Words, nullable=False),
    Column("at", Instant, nullable=False),
    Column("fact", JSON, nullable=False),
    Column("attempts", Integer, nullable=False),
    Column("fence", Integer, nullable=False),
    Column("due_at", Instant),
    Column("told_at", Instant),
    Column("note", Words, nullable=False),
)
Index("ix_notices_due", notices.c.target, notices.c.told_at, notices.c.due_at)
