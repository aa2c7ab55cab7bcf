"""Routes: what each wants, how often it was taken, and what all of them say to a file."""

import os
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from fastapi import APIRouter, Depends, HTTPException, Request
from fastapi.concurrency import run_in_threadpool
from fastapi.responses import HTMLResponse

from dicom_ai_node.domain.job import Stage
from dicom_ai_node.domain.rule import Route
from dicom_ai_node.serve.access import Role, needs
from dicom_ai_node.serve.console.desk import Desk, Explained, Remembered
from dicom_ai_node.serve.console.page import Pages, from_here

COUNTED_SECONDS = 10.0
LARGEST_BYTES = 512 * 1024 * 1024
"""Of a file that is only explained; a larger one is explained on the command line."""
_TOO_LARGE = 413


@dataclass(frozen=True, slots=True, kw_only=True)
class Hits:
    """How many jobs of each route are in each stage, and when its newest was made."""

    counts: Mapping[str, Mapping[Stage, int]]
    last: Mapping[str, datetime | None]


def add_routes(router: APIRouter, desk: Desk, pages: Pages) -> None:
    """Add the page of the routes, and explaining."""
    hits = Remembered(lambda: counted(desk), COUNTED_SECONDS)

    @router.get("/routes")
    def routes(request: Request) -> HTMLResponse:
        """List the routes in the order in which they are asked."""
        facts = {"routes": desk.routes, "wants": wants, "largest_bytes": LARGEST_BYTES}
        found = hits()
        return pages.show(request, "routes", {**facts, "counts": found.counts, "last": found.last})

    @router.post("/routes/explain", dependencies=[needs(Role.OPERATOR), Depends(from_here)])
    async def explain(request: Request) -> HTMLResponse:
        """Say what every route says to the file that is sent; nothing of it is kept."""
        found = await explained_body(request, desk, "missing.too_large")
        return pages.show(request, "_explained", {"explained": found})


def counted(desk: Desk) -> Hits:
    """Return how often each route was taken."""
    return Hits(
        counts=desk.overview.by_route(),
        last={one.name: desk.overview.last_of_route(one.name) for one in desk.routes},
    )


async def explained_body(request: Request, desk: Desk, too_large: str) -> Sequence[Explained]:
    """Return what every route says to the Part 10 file that a request carries.

    Raises
    ------
    HTTPException
        413 with `too_large`, if it goes on for more than `LARGEST_BYTES`.
    Refused
        If it is no DICOM file.
    """
    spooled = await run_in_threadpool(desk.blobs.spool)
    try:
        await _write(request, spooled, too_large)
        return await run_in_threadpool(desk.explain_file, spooled)
    finally:
        with suppress(OSError):
            spooled.unlink(missing_ok=True)


def wants(route: Route) -> list[tuple[str, list[str]]]:
    """Return for each input of a route its name and its conditions in words."""
    return [
        (
            one.name,
            [f"{keyword}: {condition}" for keyword, condition in one.when.items()]
            + ([f"if: {one.expression}"] if one.expression else []),
        )
        for one in route.inputs
    ]


async def _write(request: Request, spooled: Path, too_large: str) -> None:
    room = LARGEST_BYTES
    descriptor = os.open(spooled, os.O_WRONLY | os.O_TRUNC | os.O_CLOEXEC)
    with os.fdopen(descriptor, "wb") as file:
        async for part in request.stream():
            room -= len(part)
            if room < 0:
                raise HTTPException(_TOO_LARGE, too_large)
            await run_in_threadpool(file.write, part)
