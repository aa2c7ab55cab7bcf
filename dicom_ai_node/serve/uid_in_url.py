"""A UID in a path or a query: also one that is none by the book, for it may be here."""

from typing import Annotated

from fastapi import Path

UID = r"^[0-9.]{1,64}$"
"""As a regular expression."""
UID_OR_NOTHING = r"^[0-9.]{0,64}$"

Uid = Annotated[str, Path(pattern=UID)]
"""In a path."""
