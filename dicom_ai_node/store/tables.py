"""The tables of the ledger, as the newest migration leaves them."""

from sqlalchemy import (
    JSON,
    BigInteger,
    Boolean,
    Column,
    Float,
    ForeignKey,
    Index,
    Integer,
    MetaData,
    Table,
    Text,
    false,
    text,
)

from dicom_ai_node.store.columns import MANY, Direction, Instant, Words

metadata = MetaData()

series = Table(
    "series",
    metadata,
    Column("series_instance_uid", Text, primary_key=True),
    Column("study_instance_uid", Text, nullable=False, index=True),
    Column("calling_ae_title", Words, nullable=False),
    # What the first instance said; other instances store only what they say differently.
    Column("first_attributes", JSON, nullable=False),
    Column("attributes", JSON, nullable=False),
    Column("first_received", Instant, nullable=False, index=True),
    Column("last_received", Instant, nullable=False),
    Column("revision", Integer, nullable=False),
    Column("is_open", Boolean, nullable=False),
    Column("is_ours", Boolean, nullable=False),
    Column("is_released", Boolean, nullable=False),
    Column("due_at", Instant),
    Column("waits_because", Words, nullable=False),
    Column("complete_because", Words, nullable=False),
)
Index(
    "ix_series_due",
    series.c.due_at,
    sqlite_where=text("is_open = 1"),
    postgresql_where=text("is_open"),
)

instances = Table(
    "instances",
    metadata,
    Column("number", MANY, primary_key=True),
    Column("sop_instance_uid", Text, nullable=False, unique=True),
    Column("sop_class_uid", Text, nullable=False),
    Column(
        "series_instance_uid",
        ForeignKey(series.c.series_instance_uid, ondelete="CASCADE"),
        nullable=False,
        index=True,
    ),
    Column("study_instance_uid", Text, nullable=False),
    Column("transfer_syntax_uid", Words, nullable=False),
    Column("sha256", Text, nullable=False, index=True),
    Column("data_set_sha256", Text, nullable=False),
    Column("size_bytes", BigInteger, nullable=False),
    Column("differs", JSON, nullable=False),
    Column("is_ours", Boolean, nullable=False),
    # Whether the archive has looked at its header: anything new is found by this.
    Column("is_indexed", Boolean, nullable=False, server_default=false()),
)
Index(
    "ix_instances_not_indexed",
    instances.c.sop_instance_uid,
    sqlite_where=text("is_indexed = 0"),
    postgresql_where=text("NOT is_indexed"),
)

embeddings = Table(
    "embeddings",
    metadata,
    Column(
        "series_instance_uid",
        ForeignKey(series.c.series_instance_uid, ondelete="CASCADE"),
        primary_key=True,
    ),
    Column("model_digest", Text, primary_key=True),
    Column("patient", Text, nullable=False, index=True),
    Column("placed_at", Instant, nullable=False),
    Column("vector", Direction, nullable=False),
)
"""Where each series lies among others, as one model sees it; it goes with its series."""

series_patients = Table(
    "series_patients",
    metadata,
    Column(
        "series_instance_uid",
        ForeignKey(series.c.series_instance_uid, ondelete="CASCADE"),
        primary_key=True,
    ),
    Column("patient", Text, nullable=False, index=True),
)
"""Whose each series is, as a keyed hash, empty if it does not say; it goes with its series."""

waits = Table(
    "waits",
    metadata,
    Column("study_instance_uid", Text, primary_key=True),
    Column("route", Words, primary_key=True),
    Column("due_at", Instant, nullable=False, index=True),
)
"""Until when a route waits for the rest of its inputs: nothing arrives that would tell us."""

jobs = Table(
    "jobs",
    metadata,
    Column("number", Integer, primary_key=True),
    Column("key", Text, nullable=False, unique=True),
    Column("route", Words, nullable=False),
    Column("model", Words, nullable=False),
    Column("model_digest", Text, nullable=False),
    Column("study_instance_uid", Text, nullable=False, index=True),
    Column("priority", Integer, nullable=False),
    Column("created_at", Instant, nullable=False),
    # Creation plus one hour per step of priority: the order in which jobs that wait grow older.
    Column("urgent_at", Instant, nullable=False),
    Column("is_stat", Boolean, nullable=False),
    # The same route on the same named series has the same signature, whatever has arrived.
    Column("signature", Text, nullable=False, index=True),
    Column("stage", Text, nullable=False),
    Column("attempts", Integer, nullable=False),
    Column("fence", Integer, nullable=False),
    Column("due_at", Instant),
    Column("lease_until", Instant),
    Column("note", Words, nullable=False),
    Column("who", Text),
    Column("supersedes", Text),
    Column("progress", Float, nullable=False),
    # The phase that its worker is in, empty if that has not said so.
    Column("doing", Text, nullable=False, server_default=""),
)
Index("ix_jobs_route", jobs.c.route, jobs.c.number)
Index("ix_jobs_newest", jobs.c.stage, jobs.c.number)
Index("ix_jobs_claim", jobs.c.stage, jobs.c.is_stat.desc(), jobs.c.urgent_at)

job_inputs = Table(
    "job_inputs",
    metadata,
    Column("job", ForeignKey(jobs.c.key, ondelete="CASCADE"), primary_key=True),
    Column("position", Integer, primary_key=True),
    Column("name", Words, nullable=False),
    Column("series_instance_uid", Text, nullable=False, index=True),
    Column("sop_instance_uid", Text, nullable=False),
    Column("sha256", Text, nullable=False, index=True),
)

results = Table(
    "results",
    metadata,
    Column("sop_instance_uid", Text, primary_key=True),
    Column("job", ForeignKey(jobs.c.key, ondelete="CASCADE"), nullable=False, index=True),
    Column("position", Integer, nullable=False),
    Column("kind", Words, nullable=False),
    Column("sop_class_uid", Text, nullable=False),
    Column("series_instance_uid", Text, nullable=False),
    Column("transfer_syntax_uid", Text, nullable=False),
    Column("sha256", Text, nullable=False, index=True),
    Column("is_indexed", Boolean, nullable=False, server_default=false()),
)
Index(
    "ix_results_not_indexed",
    results.c.sop_instance_uid,
    sqlite_where=text("is_indexed = 0"),
    postgresql_where=text("NOT is_indexed"),
)

deliveries = Table(
    "deliveries",
    metadata,
    Column(
        "sop_instance_uid",
        ForeignKey(results.c.sop_instance_uid, ondelete="CASCADE"),
        primary_key=True,
    ),
    Column("destination", Words, primary_key=True),
    Column("job", Text, nullable=False, index=True),
    Column("state", Text, nullable=False),
    Column("attempts", Integer, nullable=False),
    Column("fence", Integer, nullable=False),
    Column("due_at", Instant),
    Column("lease_until", Instant),
    Column("note", Words, nullable=False),
    Column("done_at", Instant),
    # The newest request for a proof that it is kept; how many have come to nothing since it was
    # sent; how often it turned out not to be kept since a person looked.
    Column("transaction_uid", Text, index=True),
    Column("asked", Integer, nullable=False, server_default="0"),
    Column("lost", Integer, nullable=False, server_default="0"),
    # Since when it has been there, if its destination does not show that it keeps it.
    Column("unproven_since", Instant),
)
Index("ix_deliveries_claim", deliveries.c.destination, deliveries.c.state, deliveries.c.due_at)
Index("ix_deliveries_done", deliveries.c.destination, deliveries.c.done_at)
Index(
    "ix_deliveries_unproven",
    deliveries.c.destination,
    deliveries.c.unproven_since,
    sqlite_where=text("unproven_since IS NOT NULL"),
    postgresql_where=text("unproven_since IS NOT NULL"),
)

commitment_requests = Table(
    "commitment_requests",
    metadata,
    Column("transaction_uid", Text, primary_key=True),
    Column("destination", Words, nullable=False),
    Column("asked_at", Instant, nullable=False, index=True),
)
"""What destinations were asked; an answer may come long after the next request."""

own_uids = Table(
    "own_uids",
    metadata,
    Column("uid", Text, primary_key=True),
    Column("made_at", Instant, nullable=False),
)
"""Instance and series UIDs that we made. No retention touches them: they break the loop."""

quarantine = Table(
    "quarantine",
    metadata,
    Column("number", Integer, primary_key=True),
    Column("at", Instant, nullable=False),
    Column("reason", Words, nullable=False),
    Column("sha256", Text, nullable=False, index=True),
    Column("sender", Words, nullable=False),
    Column("is_open", Boolean, nullable=False),
)

events = Table(
    "events",
    metadata,
    Column("number", MANY, primary_key=True),
    Column("at", Instant, nullable=False),
    Column("what", Text, nullable=False),
    Column("detail", Words, nullable=False),
    Column("fields", JSON, nullable=False),
    Column("job", ForeignKey(jobs.c.key, ondelete="CASCADE"), index=True),
    Column(
        "series_instance_uid",
        ForeignKey(series.c.series_instance_uid, ondelete="CASCADE"),
        index=True,
    ),
)
Index("ix_events_at", events.c.at)
Index("ix_events_what", events.c.what, events.c.number)
