"""Storage: how full the disk is, how long studies stay, and which go next."""

import os
from collections.abc import Mapping
from datetime import timedelta

from fastapi import APIRouter, Request
from fastapi.responses import HTMLResponse

from dicom_ai_node.serve.console.desk import Desk, Remembered
from dicom_ai_node.serve.console.page import Pages
from dicom_ai_node.serve.console.patients import patients_of

NEXT = 20
ADDED_UP_SECONDS = 60.0
"""How old the sums may be: adding up goes through a whole table."""


def add_storage(router: APIRouter, desk: Desk, pages: Pages) -> None:
    """Add the page of the storage."""

    def added_up() -> Mapping[str, object]:
        going = desk.overview.going_next(desk.now(), NEXT)
        return {"held_bytes": desk.overview.held_bytes(), "going": going}

    sums = Remembered(added_up, ADDED_UP_SECONDS)

    @router.get("/storage")
    def storage(request: Request) -> HTMLResponse:
        """Show how full the disk is."""
        added = sums()
        uids = [one.study_instance_uid for one in added["going"]]  # type: ignore[attr-defined]
        disk = os.statvfs(desk.about.folder)
        facts = {
            "total_bytes": disk.f_blocks * disk.f_frsize,
            "keep": timedelta(days=desk.about.keep_days),
            "patients": patients_of(desk.archive, uids),
            "now": desk.now(),
        }
        return pages.show(request, "storage", {**facts, **added})
