"""Quarantine: what was taken but not let in; looking at it, taking it in again, discarding it."""

import warnings
from collections.abc import Iterator
from io import BytesIO
from pathlib import Path as File
from typing import Annotated

from fastapi import APIRouter, Depends, HTTPException, Path, Request
from fastapi.responses import FileResponse, HTMLResponse, RedirectResponse
from pydicom import dcmread
from pydicom.datadict import keyword_for_tag

from dicom_ai_node.domain.errors import Refused
from dicom_ai_node.domain.study import Quarantined, Received
from dicom_ai_node.serve.access import Role, needs
from dicom_ai_node.serve.console.asked import Before
from dicom_ai_node.serve.console.desk import Desk
from dicom_ai_node.serve.console.page import HEADERS, Pages, from_here

AT_ONCE = 50
GLANCED_AT_BYTES = 64 * 1024
"""Of a file that nobody trusts only so much is read for its header."""
MOST_FACTS = 60
LONGEST_SHOWN = 120
_TEXTS = frozenset(
    {"AE", "AS", "CS", "DA", "DS", "DT", "IS", "LO", "PN", "SH", "ST", "TM", "UI", "US"}
)
ANumber = Annotated[int, Path(ge=1, le=2**31 - 1)]
_NOT_THERE, _GONE, _SEE_OTHER = 404, 410, 303


def add_quarantine(router: APIRouter, desk: Desk, pages: Pages) -> None:
    """Add the pages of the quarantine."""

    @router.get("/quarantine")
    def quarantine(request: Request, before: Before = None) -> HTMLResponse:
        """List what was put aside."""
        found = desk.overview.put_aside(AT_ONCE, before)
        sizes = {one.number: bytes_of(desk.blobs.path(one.sha256)) for one in found}
        more = found[-1].number if len(found) == AT_ONCE else None
        return pages.show(
            request, "quarantine", {"entries": found, "sizes": sizes, "next_before": more}
        )

    @router.get("/quarantine/{number}")
    def entry(request: Request, number: ANumber) -> HTMLResponse:
        """Show one entry with what its header says, as far as it can be read."""
        found = _entry(desk, number)
        path = desk.blobs.path(found.sha256)
        facts = {"entry": found, "bytes": bytes_of(path), "facts": list(glance(path))}
        return pages.show(request, "put_aside", facts)

    @router.get("/quarantine/{number}/file")
    def file(number: ANumber) -> FileResponse:
        """Return the bytes as they came; they are saved, never shown."""
        path = desk.blobs.path(_entry(desk, number).sha256)
        if not path.is_file():
            raise HTTPException(_GONE, "missing.bytes")
        name = f"quarantine-{number}.bin"
        return FileResponse(path, media_type="application/octet-stream", filename=name,
                            headers=dict(HEADERS))  # fmt: skip


def add_letting_in(router: APIRouter, desk: Desk, pages: Pages) -> None:
    """Add what a person may do with an entry."""
    acting = [needs(Role.OPERATOR), Depends(from_here)]

    @router.post("/quarantine/{number}/retry", dependencies=acting)
    def retry(number: ANumber) -> RedirectResponse:
        """Take it in again; what is let in, or is a conflict again, closes this entry."""
        found = _entry(desk, number)
        try:
            received = desk.take_in(found)
        except Refused:
            return RedirectResponse(f"/quarantine/{number}?told=still_refused", _SEE_OTHER)
        desk.ledger.close_quarantine(number)
        pages.state.forget()
        told = "still_conflict" if received is Received.CONFLICT else "taken_in"
        return RedirectResponse(f"/quarantine?told={told}", _SEE_OTHER)

    @router.post("/quarantine/{number}/discard", dependencies=acting)
    def discard(number: ANumber) -> RedirectResponse:
        """Close the entry; its bytes go with the next retention."""
        desk.ledger.close_quarantine(_entry(desk, number).number)
        pages.state.forget()
        return RedirectResponse("/quarantine?told=discarded", _SEE_OTHER)


def glance(path: File) -> Iterator[tuple[str, str]]:
    """Yield keyword and value of what can be read of a header that nobody trusts."""
    try:
        with path.open("rb") as file:
            head = file.read(GLANCED_AT_BYTES)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            dataset = dcmread(BytesIO(head), force=True, stop_before_pixels=True)
            found = [
                (keyword_for_tag(element.tag), _shown(element.value))
                for element in list(dataset)[:MOST_FACTS]
                if element.VR in _TEXTS and keyword_for_tag(element.tag)
            ]
    except Exception:  # noqa: BLE001 - a damaged header may break pydicom in any way
        return
    yield from found


def _shown(value: object) -> str:
    text = "".join(letter if letter.isprintable() else "�" for letter in str(value))
    return text if len(text) <= LONGEST_SHOWN else f"{text[: LONGEST_SHOWN - 1]}…"


def _entry(desk: Desk, number: int) -> Quarantined:
    found = entry_called(desk, number)
    if found is None:
        raise HTTPException(_NOT_THERE, "missing.entry")
    return found


def entry_called(desk: Desk, number: int) -> Quarantined | None:
    """Return the open entry of this number."""
    found = desk.overview.put_aside_as(number)
    return found if found is not None and found.is_open else None


def bytes_of(path: File) -> int | None:
    """Return how large a file is, `None` if it is gone."""
    try:
        return path.stat().st_size
    except OSError:
        return None
