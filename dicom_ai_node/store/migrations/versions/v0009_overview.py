"""Indexes for what the console asks: what came last, of which route, what happened."""

from alembic import op

revision = "0009"
down_revision = "0008"

_INDEXES = (
    ("ix_series_first_received", "series", ["first_received"]),
    ("ix_jobs_route", "jobs", ["route", "number"]),
    ("ix_deliveries_done", "deliveries", ["destination", "done_at"]),
    ("ix_events_at", "events", ["at"]),
    ("ix_events_what", "events", ["what", "number"]),
)


def upgrade() -> None:
    """Make the indexes; a ledger that was once taken back to an older version has them already."""
    for name, table, columns in _INDEXES:
        op.create_index(name, table, columns, if_not_exists=True)
