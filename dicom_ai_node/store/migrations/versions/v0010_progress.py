"""What a job at work is doing, and how busy devices are."""

import sqlalchemy as sa
from alembic import op

revision = "0010"
down_revision = "0009"


def upgrade() -> None:
    """Make the column and the table; nothing that is at work has said yet what it does."""
    op.add_column("jobs", sa.Column("doing", sa.Text(), nullable=False, server_default=""))
    op.create_table(
        "device_use",
        sa.Column("machine", sa.Text(), primary_key=True),
        sa.Column("device", sa.Text(), primary_key=True),
        sa.Column("at", sa.DateTime(timezone=True), primary_key=True),
        sa.Column("slots", sa.Integer(), nullable=False),
        sa.Column("busy", sa.Float(), nullable=False),
        sa.Column("gpu", sa.Float()),
        sa.Column("gpu_used_bytes", sa.BigInteger()),
        sa.Column("gpu_bytes", sa.BigInteger()),
    )
