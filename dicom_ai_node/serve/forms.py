"""What a form of a page says."""

from collections.abc import Mapping
from urllib.parse import parse_qsl

from fastapi import HTTPException, Request

MOST_FIELDS = 100


def is_form(request: Request) -> bool:
    """Return whether a request carries the fields of a form."""
    kind = request.headers.get("Content-Type", "").partition(";")[0]
    return kind.strip().lower() == "application/x-www-form-urlencoded"


async def form(request: Request) -> Mapping[str, str]:
    """Return the fields of a form; of two with the same name the last one.

    Raises
    ------
    HTTPException
        415, if it is no form; 400, if there are too many fields.
    """
    if not is_form(request):
        raise HTTPException(415, "this is no form")
    text = (await request.body()).decode("utf-8", "replace")
    try:
        return dict(parse_qsl(text, keep_blank_values=True, max_num_fields=MOST_FIELDS))
    except ValueError as error:
        raise HTTPException(400, "the form has too many fields") from error
