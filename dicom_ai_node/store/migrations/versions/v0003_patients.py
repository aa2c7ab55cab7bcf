"""Whose each series is, as a keyed hash: for comparison with earlier studies."""

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"


def upgrade() -> None:
    """Make the table. It is filled when a route first asks for earlier studies."""
    op.create_table(
        "series_patients",
        sa.Column("series_instance_uid", sa.Text(), nullable=False),
        sa.Column("patient", sa.Text(), nullable=False),
        sa.ForeignKeyConstraint(
            ["series_instance_uid"], ["series.series_instance_uid"], ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("series_instance_uid"),
    )
    op.create_index("ix_series_patients_patient", "series_patients", ["patient"])
