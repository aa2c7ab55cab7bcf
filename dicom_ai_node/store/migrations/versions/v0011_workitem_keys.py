"""What workitems are searched by, one row for each value; those that are there are entered."""

import sqlalchemy as sa
from alembic import op

from dicom_ai_node.store.workitem_keys import rows_of

revision = "0011"
down_revision = "0010"

_AT_ONCE = 500
_MANY = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def upgrade() -> None:
    """Make the table, and enter what is there."""
    op.create_table(
        "workitem_keys",
        sa.Column("path", sa.Text(), primary_key=True),
        sa.Column("value", sa.Text(), primary_key=True),
        sa.Column("workitem", _MANY, primary_key=True),
        sa.ForeignKeyConstraint(["workitem"], ["workitems.number"], ondelete="CASCADE"),
    )
    op.create_index("ix_workitem_keys_workitem", "workitem_keys", ["workitem"])
    _enter(op.get_bind())


def _enter(connection: sa.Connection) -> None:
    there = sa.table("workitems", sa.column("number"), sa.column("data_set", sa.JSON))
    keys = sa.table("workitem_keys", *map(sa.column, ("path", "value", "workitem")))
    last = 0
    while True:
        some = sa.select(there).where(there.c.number > last).order_by(there.c.number)
        rows = connection.execute(some.limit(_AT_ONCE)).all()
        made = [one for row in rows for one in rows_of(row.number, row.data_set)]
        if made:
            connection.execute(sa.insert(keys), made)
        if len(rows) < _AT_ONCE:
            return
        last = rows[-1].number
