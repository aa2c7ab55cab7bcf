"""Where each series lies among others that look like it."""

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"


def upgrade() -> None:
    """Make the table. What has arrived before is placed when it arrives again."""
    op.create_table(
        "embeddings",
        sa.Column("series_instance_uid", sa.Text(), nullable=False),
        sa.Column("model_digest", sa.Text(), nullable=False),
        sa.Column("patient", sa.Text(), nullable=False),
        sa.Column("placed_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("vector", sa.LargeBinary(), nullable=False),
        sa.ForeignKeyConstraint(
            ["series_instance_uid"], ["series.series_instance_uid"], ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("series_instance_uid", "model_digest"),
    )
    op.create_index("ix_embeddings_patient", "embeddings", ["patient"])
