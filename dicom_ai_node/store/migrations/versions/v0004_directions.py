"""Directions as numbers, which PostgreSQL itself can compare; SQLite keeps them as bytes."""

import struct
from typing import Any

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.postgresql import ARRAY, REAL

revision = "0004"
down_revision = "0003"

_AT_ONCE = 1000


def upgrade() -> None:
    """Turn the bytes into numbers, if the database is PostgreSQL."""
    connection = op.get_bind()
    if connection.dialect.name != "postgresql":
        return
    op.add_column("embeddings", sa.Column("direction", ARRAY(REAL)))
    table = sa.table(
        "embeddings",
        sa.column("series_instance_uid", sa.Text()),
        sa.column("model_digest", sa.Text()),
        sa.column("vector", sa.LargeBinary()),
        sa.column("direction", ARRAY(REAL)),
    )
    change = (
        sa.update(table)
        .where(
            table.c.series_instance_uid == sa.bindparam("uid"),
            table.c.model_digest == sa.bindparam("digest"),
        )
        .values(direction=sa.bindparam("numbers"))
    )
    todo = sa.select(table).where(table.c.direction.is_(None)).limit(_AT_ONCE)
    while rows := connection.execute(todo).all():
        connection.execute(change, [_changed(row) for row in rows])
    op.drop_column("embeddings", "vector")
    op.alter_column("embeddings", "direction", new_column_name="vector", nullable=False)


def _changed(row: sa.Row[Any]) -> dict[str, object]:
    numbers = [number for (number,) in struct.iter_unpack("<f", row.vector)]
    return {"uid": row.series_instance_uid, "digest": row.model_digest, "numbers": numbers}
