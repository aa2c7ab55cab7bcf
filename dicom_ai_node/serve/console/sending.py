"""Destinations: how each does, what waits for it, and sending again what it has refused."""

from dataclasses import replace
from typing import Annotated, Literal

from fastapi import APIRouter, Depends, HTTPException, Path, Request
from fastapi.responses import HTMLResponse, RedirectResponse

from dicom_ai_node.domain.destination import (
    Destination,
    DimsePeer,
    FolderPeer,
    WebPeer,
    proving,
)
from dicom_ai_node.domain.errors import IllegalMove
from dicom_ai_node.domain.overview import DestinationSeen
from dicom_ai_node.serve.access import Role, needs
from dicom_ai_node.serve.console.desk import Desk
from dicom_ai_node.serve.console.page import Pages, from_here

Health = Literal["refuses", "waits", "unproven", "well", "silent"]
_NOT_THERE, _SEE_OTHER = 404, 303


def add_destinations(router: APIRouter, desk: Desk, pages: Pages) -> None:
    """Add the page of the destinations."""

    @router.get("/destinations")
    def destinations(request: Request) -> HTMLResponse:
        """List the destinations."""
        facts = {
            "destinations": [
                (name, address(one), seen_at(desk, name)) for name, one in desk.destinations.items()
            ],
            "health": health,
        }
        return pages.show(request, "destinations", facts)

    @router.post(
        "/destinations/{name}/retry", dependencies=[needs(Role.OPERATOR), Depends(from_here)]
    )
    def retry(name: Annotated[str, Path(max_length=200)]) -> RedirectResponse:
        """Send again what this destination has refused, and ask about what it does not show."""
        if name not in desk.destinations:
            raise HTTPException(_NOT_THERE, "missing.destination")
        send_again(desk, name)
        desk.ask_again(name)
        pages.state.forget()
        return RedirectResponse("/destinations?told=parked_retried", _SEE_OTHER)


def send_again(desk: Desk, name: str) -> int:
    """Put what a destination has refused back on its way, and return of how many jobs."""
    count = 0
    for key in desk.overview.parked_for(name):
        job = desk.ledger.job(key)
        if job is not None:
            try:
                desk.ledger.retry(job, desk.now())
            except IllegalMove:
                continue  # somebody else was faster
            count += 1
    return count


def seen_at(desk: Desk, name: str, *, is_brief: bool = False) -> DestinationSeen:
    """Return how a destination does; of one that has to prove nothing, nothing is unproven."""
    seen = desk.overview.destination(name, is_brief=is_brief)
    if name in proving(desk.destinations):
        return seen
    return replace(seen, unproven=0, unproven_since=None, unproven_because="")


def address(destination: Destination) -> tuple[str, str]:
    """Return the kind of a destination and where it is; never its secret."""
    match destination:
        case DimsePeer():
            where = f"{destination.ae_title} @ {destination.host}:{destination.port}"
            return "DIMSE", where
        case WebPeer():
            return "DICOMweb", destination.url
        case FolderPeer():
            return "folder", str(destination.folder)


def health(seen: DestinationSeen) -> Health:
    """Return how a destination does.

    It refuses objects; it does not answer, and they wait; it takes them, and does not show that it
    keeps them; it does well; or it is silent, as nothing was ever sent.
    """
    if seen.states.get("parked"):
        return "refuses"
    if seen.last_trouble:
        return "waits"
    if seen.unproven:
        return "unproven"
    return "well" if seen.last_done is not None else "silent"
