"""The tables of the worklist: workitems, who wants to hear of them, what they were not told yet."""

from sqlalchemy import JSON, Boolean, Column, ForeignKey, Index, Integer, Table, Text

from dicom_ai_node.store.columns import MANY, Instant, Words
from dicom_ai_node.store.tables import metadata

workitems = Table(
    "workitems",
    metadata,
    Column("number", MANY, primary_key=True),
    Column("uid", Text, nullable=False, unique=True),
    Column("state", Text, nullable=False, index=True),
    # Whoever says it may change the workitem; nobody is told it.
    Column("transaction_uid", Text, nullable=False),
    # Without what is read from the ledger whenever it is asked for: the inputs of a job.
    Column("data_set", JSON, nullable=False),
    Column("study_instance_uid", Text, nullable=False, index=True),
    Column("patient_id", Words, nullable=False, index=True),
    Column("changed_at", Instant, nullable=False),
    # The job that does it, where the node does; no key, because a workitem may outlive its job.
    Column("job", Text, index=True),
    # That job as long as its moves are moves of the workitem, and the last one that was.
    Column("follows", Text, index=True),
    Column("stage", Text, nullable=False),
    Column("turn", Integer, nullable=False),
    # Whether it was made from its job; else somebody has created it.
    Column("is_of_job", Boolean, nullable=False),
    # Whether all that is left of it is that it was.
    Column("is_gone", Boolean, nullable=False),
)

workitem_keys = Table(
    "workitem_keys",
    metadata,
    Column("path", Text, primary_key=True),
    Column("value", Text, primary_key=True),
    Column("workitem", ForeignKey(workitems.c.number, ondelete="CASCADE"), primary_key=True),
)
"""What workitems are searched by: the values of some attributes, also of those in sequences."""
Index("ix_workitem_keys_workitem", workitem_keys.c.workitem)

subscriptions = Table(
    "workitem_subscriptions",
    metadata,
    Column("aetitle", Words, primary_key=True),
    Column("workitem", ForeignKey(workitems.c.uid, ondelete="CASCADE"), primary_key=True),
    Column("has_lock", Boolean, nullable=False),
)
Index("ix_workitem_subscriptions_workitem", subscriptions.c.workitem)

standing = Table(
    "worklist_subscriptions",
    metadata,
    Column("aetitle", Words, primary_key=True),
    Column("resource", Text, primary_key=True),
    Column("has_lock", Boolean, nullable=False),
    Column("keys", JSON, nullable=False),
)
"""Who is subscribed to workitems that are to come: to all, or to those that match the keys."""

channels = Table(
    "worklist_channels",
    metadata,
    Column("aetitle", Words, primary_key=True),
    Column("channel", Text, nullable=False),
)
"""The last channel that each subscriber has opened; one before it gets nothing any more."""

reports = Table(
    "workitem_reports",
    metadata,
    Column("number", MANY, primary_key=True),
    Column("aetitle", Words, nullable=False, index=True),
    Column("said", JSON, nullable=False),
)
"""What each subscriber was not told yet."""
