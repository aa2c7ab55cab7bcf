"""The newest jobs of a stage are found without sorting all that ever were in it."""

from alembic import op

revision = "0015"
down_revision = "0014"


def upgrade() -> None:
    """Make the index."""
    op.create_index("ix_jobs_newest", "jobs", ["stage", "number"])


def downgrade() -> None:
    """Remove it again."""
    op.drop_index("ix_jobs_newest", "jobs")
