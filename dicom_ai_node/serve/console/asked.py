"""What may stand in a question: numbers that a database can count to, moments of the calendar."""

from datetime import UTC, datetime
from typing import Annotated

from fastapi import Query
from pydantic import AfterValidator, AwareDatetime

LARGEST_NUMBER = 2**63 - 1
"""No database counts further."""


def in_utc(moment: datetime) -> datetime:
    """Return a moment in UTC; raise `ValueError` if the calendar has none there."""
    try:
        return moment.astimezone(UTC)
    except OverflowError as error:
        raise ValueError("there is no such moment in UTC") from error


Moment = Annotated[AwareDatetime, AfterValidator(in_utc)]
"""A moment that names its zone."""
Before = Annotated[
    int | None,
    Query(ge=1, le=LARGEST_NUMBER, description="only what has a smaller number; see `next`"),
]
"""The number of the last entry of the page before."""
