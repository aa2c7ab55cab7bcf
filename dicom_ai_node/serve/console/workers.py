"""Workers: the devices, what runs on them now, and how busy they were in the last hour."""

from fastapi import APIRouter, Request
from fastapi.responses import HTMLResponse

from dicom_ai_node.serve.console.desk import Desk
from dicom_ai_node.serve.console.page import Pages
from dicom_ai_node.serve.console.use import first_minute, hour_of


def add_workers(router: APIRouter, desk: Desk, pages: Pages) -> None:
    """Add the page of the workers."""

    @router.get("/workers")
    def workers(request: Request) -> HTMLResponse:
        """Show what runs now."""
        now = desk.now()
        use = hour_of(desk.overview.device_use(first_minute(now)), now)
        facts = {"at_work": desk.overview.at_work(), "now": now, "use": use}
        return pages.show(request, "workers", facts)
