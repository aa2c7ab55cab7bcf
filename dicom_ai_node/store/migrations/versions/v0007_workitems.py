"""The worklist, filled when it is asked, its subscriptions, and answers about commitment."""

import sqlalchemy as sa
from alembic import op

revision = "0007"
down_revision = "0006"

_MANY = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def upgrade() -> None:
    """Make the tables."""
    _workitems()
    op.create_table(
        "workitem_subscriptions",
        sa.Column("aetitle", sa.Text(), primary_key=True),
        sa.Column("workitem", sa.Text(), primary_key=True),
        sa.Column("has_lock", sa.Boolean(), nullable=False),
        sa.ForeignKeyConstraint(["workitem"], ["workitems.uid"], ondelete="CASCADE"),
    )
    op.create_index("ix_workitem_subscriptions_workitem", "workitem_subscriptions", ["workitem"])
    op.create_table(
        "worklist_subscriptions",
        sa.Column("aetitle", sa.Text(), primary_key=True),
        sa.Column("resource", sa.Text(), primary_key=True),
        sa.Column("has_lock", sa.Boolean(), nullable=False),
        sa.Column("keys", sa.JSON(), nullable=False),
    )
    op.create_table(
        "worklist_channels",
        sa.Column("aetitle", sa.Text(), primary_key=True),
        sa.Column("channel", sa.Text(), nullable=False),
    )
    op.create_table(
        "workitem_reports",
        sa.Column("number", _MANY, primary_key=True),
        sa.Column("aetitle", sa.Text(), nullable=False),
        sa.Column("said", sa.JSON(), nullable=False),
    )
    op.create_index("ix_workitem_reports_aetitle", "workitem_reports", ["aetitle"])
    op.create_table(
        "commitments",
        sa.Column("transaction_uid", sa.Text(), primary_key=True),
        sa.Column("answered_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("answer", sa.JSON(), nullable=False),
    )
    op.create_index("ix_commitments_answered_at", "commitments", ["answered_at"])


def _workitems() -> None:
    op.create_table(
        "workitems",
        sa.Column("number", _MANY, primary_key=True),
        sa.Column("uid", sa.Text(), nullable=False, unique=True),
        sa.Column("state", sa.Text(), nullable=False),
        sa.Column("transaction_uid", sa.Text(), nullable=False),
        sa.Column("data_set", sa.JSON(), nullable=False),
        sa.Column("study_instance_uid", sa.Text(), nullable=False),
        sa.Column("patient_id", sa.Text(), nullable=False),
        sa.Column("changed_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("job", sa.Text()),
        sa.Column("follows", sa.Text()),
        sa.Column("stage", sa.Text(), nullable=False),
        sa.Column("turn", sa.Integer(), nullable=False),
        sa.Column("is_of_job", sa.Boolean(), nullable=False),
        sa.Column("is_gone", sa.Boolean(), nullable=False),
    )
    for column in ("state", "study_instance_uid", "patient_id", "job", "follows"):
        op.create_index(f"ix_workitems_{column}", "workitems", [column])
