"""Until when studies were promised to stay, and which proofs destinations do not give."""

import sqlalchemy as sa
from alembic import op

revision = "0014"
down_revision = "0013"


def upgrade() -> None:
    """Make the table, the columns and the indexes; nothing was promised before."""
    moment = sa.DateTime(timezone=True)
    op.create_table(
        "promised_studies",
        sa.Column("study_instance_uid", sa.Text(), primary_key=True),
        sa.Column("until", moment, nullable=False),
    )
    op.create_index("ix_promised_studies_until", "promised_studies", ["until"])
    op.add_column("deliveries", sa.Column("lost", sa.Integer(), nullable=False, server_default="0"))
    op.add_column("deliveries", sa.Column("unproven_since", moment))
    op.drop_index("ix_deliveries_claim", "deliveries")
    op.create_index("ix_deliveries_claim", "deliveries", ["destination", "state", "due_at"])
    op.create_index(
        "ix_deliveries_unproven",
        "deliveries",
        ["destination", "unproven_since"],
        sqlite_where=sa.text("unproven_since IS NOT NULL"),
        postgresql_where=sa.text("unproven_since IS NOT NULL"),
    )


def downgrade() -> None:
    """Forget what was promised."""
    op.drop_index("ix_deliveries_unproven", "deliveries")
    op.drop_index("ix_deliveries_claim", "deliveries")
    op.create_index("ix_deliveries_claim", "deliveries", ["destination", "state"])
    for column in ("unproven_since", "lost"):
        op.drop_column("deliveries", column)
    op.drop_table("promised_studies")
