"""Kinds of columns that both databases keep alike: moments, words of strangers, directions."""

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sqlalchemy import BigInteger, DateTime, Dialect, Integer, LargeBinary, Text
from sqlalchemy.dialects.postgresql import ARRAY, REAL
from sqlalchemy.types import TypeDecorator, TypeEngine


class Instant(TypeDecorator[datetime]):
    """A moment in UTC. A time without a zone is a mistake of ours and is not stored."""

    impl = DateTime(timezone=True)
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        """Return `value` in UTC; SQLite keeps text without a zone, which sorts as time does."""
        if value is None:
            return None
        if value.tzinfo is None:
            raise ValueError("the ledger takes no time without a zone")
        utc = value.astimezone(UTC)
        return utc.replace(tzinfo=None) if dialect.name == "sqlite" else utc

    def process_result_value(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        """Return the moment with its zone, UTC."""
        if value is None:
            return None
        return value.replace(tzinfo=UTC) if dialect.name == "sqlite" else value.astimezone(UTC)


class Words(TypeDecorator[str]):
    """Text that may come from a stranger: NUL and half characters would upset PostgreSQL."""

    impl = Text
    cache_ok = True

    def process_bind_param(self, value: str | None, dialect: Dialect) -> str | None:  # noqa: ARG002
        """Return `value` as text that every database takes."""
        if value is None:
            return None
        return value.replace("\0", "").encode("utf-8", "replace").decode()


class Direction(TypeDecorator[NDArray[np.float32]]):
    """Numbers of single precision: bytes, little-endian, in SQLite, an array in PostgreSQL."""

    impl = LargeBinary
    cache_ok = True

    def load_dialect_impl(self, dialect: Dialect) -> TypeEngine[Any]:
        """Return how the database keeps them."""
        if dialect.name == "postgresql":
            return dialect.type_descriptor(ARRAY(REAL))
        return dialect.type_descriptor(LargeBinary())

    def process_bind_param(
        self, value: NDArray[np.float32] | None, dialect: Dialect
    ) -> bytes | list[float] | None:
        """Return what is kept."""
        if value is None:
            return None
        numbers = value.astype("<f4")
        return numbers.tolist() if dialect.name == "postgresql" else numbers.tobytes()

    def process_result_value(
        self,
        value: bytes | Sequence[float] | None,
        dialect: Dialect,  # noqa: ARG002
    ) -> NDArray[np.float32] | None:
        """Return the numbers."""
        if value is None:
            return None
        if isinstance(value, bytes):
            return np.frombuffer(value, "<f4")
        return np.asarray(value, np.float32)


MANY = BigInteger().with_variant(Integer(), "sqlite")  # SQLite counts up INTEGER keys only
