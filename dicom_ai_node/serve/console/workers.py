"""Workers: the devices, and what runs on them now."""

from fastapi import APIRouter, Request
from fastapi.responses import HTMLResponse

from dicom_ai_node.serve.console.desk import Desk
from dicom_ai_node.serve.console.page import Pages


def add_workers(router: APIRouter, desk: Desk, pages: Pages) -> None:
    """Add the page of the workers."""

    @router.get("/workers")
    def workers(request: Request) -> HTMLResponse:
        """Show what runs now."""
        facts = {"at_work": desk.overview.at_work(), "now": desk.now()}
        return pages.show(request, "workers", facts)
