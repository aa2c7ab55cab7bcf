"""Proofs that destinations keep results, and answers to requests for storage commitment."""

import sqlalchemy as sa
from alembic import op

revision = "0013"
down_revision = "0012"


def upgrade() -> None:
    """Make the table and the columns; what was delivered before has been asked for by nobody."""
    moment = sa.DateTime(timezone=True)
    op.create_table(
        "commitment_requests",
        sa.Column("transaction_uid", sa.Text(), primary_key=True),
        sa.Column("destination", sa.Text(), nullable=False),
        sa.Column("asked_at", moment, nullable=False),
    )
    op.create_index("ix_commitment_requests_asked_at", "commitment_requests", ["asked_at"])
    op.add_column("deliveries", sa.Column("transaction_uid", sa.Text()))
    op.add_column(
        "deliveries", sa.Column("asked", sa.Integer(), nullable=False, server_default="0")
    )
    op.create_index("ix_deliveries_transaction_uid", "deliveries", ["transaction_uid"])
    op.add_column(
        "commitments", sa.Column("ae_title", sa.Text(), nullable=False, server_default="")
    )
    op.add_column("commitments", sa.Column("due_at", moment))
    op.add_column(
        "commitments", sa.Column("attempts", sa.Integer(), nullable=False, server_default="0")
    )
    op.create_index("ix_commitments_due_at", "commitments", ["due_at"])


def downgrade() -> None:
    """Forget what was asked and answered over DIMSE; what was committed is as delivered again."""
    op.execute("UPDATE deliveries SET state = 'done' WHERE state = 'committed'")
    op.execute("DELETE FROM commitments WHERE due_at IS NOT NULL")
    op.drop_index("ix_commitments_due_at", "commitments")
    for column in ("attempts", "due_at", "ae_title"):
        op.drop_column("commitments", column)
    op.drop_index("ix_deliveries_transaction_uid", "deliveries")
    for column in ("asked", "transaction_uid"):
        op.drop_column("deliveries", column)
    op.drop_table("commitment_requests")
