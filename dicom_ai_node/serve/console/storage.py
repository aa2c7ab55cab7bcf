"""Storage: how full the disk is, how long studies stay, and which go next."""

import os
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta

from fastapi import APIRouter, Request
from fastapi.responses import HTMLResponse

from dicom_ai_node.domain.destination import proving
from dicom_ai_node.domain.overview import Going, Promised
from dicom_ai_node.serve.console.desk import Desk, Remembered
from dicom_ai_node.serve.console.page import Pages
from dicom_ai_node.serve.console.patients import patients_of

NEXT = 20
ADDED_UP_SECONDS = 60.0
"""How old the sums may be: adding up goes through a whole table."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Sums:
    """How many instances there are, and bytes; which studies go next, and which may not."""

    instances: int
    held_bytes: int
    going: Sequence[Going]
    promised: Promised


def add_storage(router: APIRouter, desk: Desk, pages: Pages) -> None:
    """Add the page of the storage."""
    sums = Remembered(lambda: added_up(desk), ADDED_UP_SECONDS)

    @router.get("/storage")
    def storage(request: Request) -> HTMLResponse:
        """Show how full the disk is."""
        added = sums()
        uids = [one.study_instance_uid for one in added.going]
        facts = {
            "total_bytes": total_bytes(desk),
            "keep": timedelta(days=desk.about.keep_days),
            "patients": patients_of(desk.archive, uids),
            "now": desk.now(),
            "instances": added.instances,
            "held_bytes": added.held_bytes,
            "going": added.going,
            "promised": added.promised,
        }
        return pages.show(request, "storage", facts)


def added_up(desk: Desk) -> Sums:
    """Go through the tables of what is held."""
    now, proofs = desk.now(), proving(desk.destinations)
    return Sums(
        instances=desk.ledger.counts()["instances"],
        held_bytes=desk.overview.held_bytes(),
        going=desk.overview.going_next(now, NEXT, proofs),
        promised=desk.overview.promised(now, proofs),
    )


def total_bytes(desk: Desk) -> int:
    """Return how large the disk is on which the node keeps its files."""
    disk = os.statvfs(desk.about.folder)
    return disk.f_blocks * disk.f_frsize
