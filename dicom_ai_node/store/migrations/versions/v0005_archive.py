"""The archive: an index of all headers. It is filled from the blobs when it is first asked."""

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"


def upgrade() -> None:
    """Make the tables; what is here already counts as not indexed yet."""
    for table in ("instances", "results"):
        op.add_column(
            table, sa.Column("is_indexed", sa.Boolean(), nullable=False, server_default=sa.false())
        )
        op.create_index(
            f"ix_{table}_not_indexed",
            table,
            ["sop_instance_uid"],
            sqlite_where=sa.text("is_indexed = 0"),
            postgresql_where=sa.text("NOT is_indexed"),
        )
    _studies()
    _series()
    _instances()


def _studies() -> None:
    op.create_table(
        "held_studies",
        sa.Column("study_instance_uid", sa.Text(), primary_key=True),
        sa.Column("patient_id", sa.Text(), nullable=False),
        sa.Column("patient_name", sa.Text(), nullable=False),
        sa.Column("accession_number", sa.Text(), nullable=False),
        sa.Column("study_date", sa.Text(), nullable=False),
        sa.Column("is_odd", sa.Boolean(), nullable=False),
        sa.Column("header", sa.JSON(), nullable=False),
    )
    for column in ("patient_id", "accession_number"):
        op.create_index(f"ix_held_studies_{column}", "held_studies", [column])
    op.create_index(
        "ix_held_studies_study_date", "held_studies", ["study_date", "study_instance_uid"]
    )
    op.create_index(
        "ix_held_studies_odd",
        "held_studies",
        ["study_instance_uid"],
        sqlite_where=sa.text("is_odd"),
        postgresql_where=sa.text("is_odd"),
    )


def _series() -> None:
    op.create_table(
        "held_series",
        sa.Column("series_instance_uid", sa.Text(), primary_key=True),
        sa.Column("study_instance_uid", sa.Text(), nullable=False),
        sa.Column("modality", sa.Text(), nullable=False),
        sa.Column("series_number", sa.Integer(), nullable=False),
        sa.Column("is_odd", sa.Boolean(), nullable=False),
        sa.Column("header", sa.JSON(), nullable=False),
        sa.ForeignKeyConstraint(
            ["study_instance_uid"], ["held_studies.study_instance_uid"], ondelete="CASCADE"
        ),
    )
    op.create_index(
        "ix_held_series_study",
        "held_series",
        ["study_instance_uid", "series_number", "series_instance_uid", "modality"],
    )
    op.create_index("ix_held_series_modality", "held_series", ["modality", "study_instance_uid"])


def _instances() -> None:
    op.create_table(
        "held_instances",
        sa.Column("sop_instance_uid", sa.Text(), primary_key=True),
        sa.Column("series_instance_uid", sa.Text(), nullable=False),
        sa.Column("study_instance_uid", sa.Text(), nullable=False),
        sa.Column("sop_class_uid", sa.Text(), nullable=False),
        sa.Column("transfer_syntax_uid", sa.Text(), nullable=False),
        sa.Column("instance_number", sa.Integer(), nullable=False),
        sa.Column("sha256", sa.Text(), nullable=False),
        sa.Column("size_bytes", sa.BigInteger(), nullable=False),
        sa.Column("is_odd", sa.Boolean(), nullable=False),
        sa.Column("header", sa.JSON(), nullable=False),
        sa.ForeignKeyConstraint(
            ["series_instance_uid"], ["held_series.series_instance_uid"], ondelete="CASCADE"
        ),
    )
    for name, columns in (
        ("study", ["study_instance_uid", "sop_class_uid"]),
        ("sha256", ["sha256"]),
        ("series", ["series_instance_uid", "instance_number", "sop_instance_uid"]),
    ):
        op.create_index(f"ix_held_instances_{name}", "held_instances", columns)
    op.create_table(
        "held_headers",
        sa.Column("sop_instance_uid", sa.Text(), primary_key=True),
        sa.Column("deflated", sa.LargeBinary(), nullable=False),
        sa.ForeignKeyConstraint(
            ["sop_instance_uid"], ["held_instances.sop_instance_uid"], ondelete="CASCADE"
        ),
    )
