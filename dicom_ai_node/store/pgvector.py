"""The search for what looks alike, done by PostgreSQL where its extension pgvector is installed.

It is as exact as the search over all rows and gives the same, but no row leaves the database
except those that are told.
"""

from collections.abc import Mapping
from typing import Any

from sqlalchemy import ColumnElement, Connection, Float, Select, cast, func, select, true
from sqlalchemy.types import UserDefinedType

from dicom_ai_node.store.tables import embeddings as table
from dicom_ai_node.store.tables import series as all_series


class Vector(UserDefinedType[Any]):
    """The type of pgvector; only cast to, never stored, so that the schema needs no extension."""

    cache_ok = True

    def get_col_spec(self, **_: object) -> str:
        """Return its name in SQL."""
        return "vector"


def is_there(connection: Connection) -> bool:
    """Return whether the database has the type `vector` where it looks for types."""
    if connection.dialect.name != "postgresql":
        return False
    return connection.execute(select(func.to_regtype("vector").is_not(None))).scalar_one()


def nearest(
    connection: Connection, model: str, asked: ColumnElement[bool], count: int
) -> Mapping[str, float]:
    """Return the nearest series of each of the nearest studies with its score, best first.

    Parameters
    ----------
    asked
        Which series the question is about; their studies are no answer.
    """
    question = _placed(model).where(asked).cte("question")
    other = _placed(model).cte("other")
    # The operator is the negative inner product: of directions of length 1 the cosine, negative.
    score = -other.c.vector.op("<#>", return_type=Float())(question.c.vector)
    pairs = (
        select(other.c.study_instance_uid, other.c.series_instance_uid, score.label("score"))
        .select_from(other.join(question, true()))
        .where(other.c.study_instance_uid.not_in(select(question.c.study_instance_uid)))
        .subquery("pairs")
    )
    nearness = (pairs.c.score.desc(), pairs.c.series_instance_uid)
    rank = func.row_number().over(partition_by=pairs.c.study_instance_uid, order_by=nearness)
    best = select(pairs, rank.label("rank")).subquery("best")
    order = (best.c.score.desc(), best.c.series_instance_uid)
    found = connection.execute(
        select(best).where(best.c.rank == 1).order_by(*order).limit(max(count, 0))
    )
    return {row.series_instance_uid: row.score for row in found}


def _placed(model: str) -> Select[Any]:
    return (
        select(
            all_series.c.study_instance_uid,
            all_series.c.series_instance_uid,
            cast(table.c.vector, Vector()).label("vector"),
        )
        .join(all_series, all_series.c.series_instance_uid == table.c.series_instance_uid)
        .where(table.c.model_digest == model)
    )
