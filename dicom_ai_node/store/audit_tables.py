"""The tables of the audit trail: what waits to be sealed, the chain, and where it is anchored."""

from sqlalchemy import JSON, Column, Index, Integer, Table, Text

from dicom_ai_node.store.columns import MANY, Instant, Words
from dicom_ai_node.store.tables import metadata

audit_notes = Table(
    "audit_notes",
    metadata,
    Column("number", MANY, primary_key=True),
    Column("at", Instant, nullable=False),
    # `passage`, or `happening`.
    Column("what", Text, nullable=False),
    Column("fields", JSON, nullable=False),
)
"""Written in the transaction of the fact; a row goes when it is in the chain."""

audit_records = Table(
    "audit_records",
    metadata,
    Column("number", MANY, primary_key=True, autoincrement=False),
    Column("at", Instant, nullable=False),
    Column("kind", Text, nullable=False),
    Column("outcome", Integer, nullable=False),
    Column("who", Words, nullable=False),
    Column("text", Words, nullable=False),
    Column("previous", Text, nullable=False),
    Column("sha256", Text, nullable=False),
    Column("sent_at", Instant),
)
"""The chain. No row is ever changed but for `sent_at`, which its hash leaves out."""
Index("ix_audit_records_at", audit_records.c.at)
Index("ix_audit_records_kind", audit_records.c.kind, audit_records.c.number)
Index("ix_audit_records_sent", audit_records.c.sent_at, audit_records.c.number)

audit_anchors = Table(
    "audit_anchors",
    metadata,
    Column("name", Text, primary_key=True),
    Column("number", MANY, nullable=False),
    Column("sha256", Text, nullable=False),
)
"""`first` is the last record that was removed when it was old, `last` the newest of all."""

audit_settled = Table(
    "audit_settled",
    metadata,
    Column("name", Text, primary_key=True),
    Column("value", Words, nullable=False),
)
"""What was last told about something that is told again only when it changes."""
