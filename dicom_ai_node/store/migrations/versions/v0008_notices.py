"""Who has been told what: webhooks and e-mail."""

import sqlalchemy as sa
from alembic import op

revision = "0008"
down_revision = "0007"


def upgrade() -> None:
    """Make the tables; a target that is new is told nothing of what was before."""
    many = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
    moment = sa.DateTime(timezone=True)
    op.create_table(
        "notice_targets",
        sa.Column("target", sa.Text(), primary_key=True),
        sa.Column("event", many, nullable=False),
        sa.Column("quarantine", sa.Integer(), nullable=False),
    )
    op.create_table(
        "notices",
        sa.Column("number", many, primary_key=True),
        sa.Column("target", sa.Text(), nullable=False),
        sa.Column("at", moment, nullable=False),
        sa.Column("fact", sa.JSON(), nullable=False),
        sa.Column("attempts", sa.Integer(), nullable=False),
        sa.Column("fence", sa.Integer(), nullable=False),
        sa.Column("due_at", moment),
        sa.Column("told_at", moment),
        sa.Column("note", sa.Text(), nullable=False),
    )
    op.create_index("ix_notices_due", "notices", ["target", "told_at", "due_at"])
