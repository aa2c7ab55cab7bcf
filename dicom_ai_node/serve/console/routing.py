"""Routes: what each wants, how often it was taken, and what all of them say to a file."""

import os
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path

from fastapi import APIRouter, Depends, HTTPException, Request
from fastapi.concurrency import run_in_threadpool
from fastapi.responses import HTMLResponse

from dicom_ai_node.domain.rule import Route
from dicom_ai_node.serve.access import Role, needs
from dicom_ai_node.serve.console.desk import Desk, Explained, Remembered
from dicom_ai_node.serve.console.page import Pages, from_here

COUNTED_SECONDS = 10.0
LARGEST_BYTES = 512 * 1024 * 1024
"""Of a file that is only explained; a larger one is explained on the command line."""
_TOO_LARGE = 413


def add_routes(router: APIRouter, desk: Desk, pages: Pages) -> None:
    """Add the page of the routes, and explaining."""

    def counted() -> Mapping[str, object]:
        return {
            "counts": desk.overview.by_route(),
            "last": {one.name: desk.overview.last_of_route(one.name) for one in desk.routes},
        }

    hits = Remembered(counted, COUNTED_SECONDS)

    @router.get("/routes")
    def routes(request: Request) -> HTMLResponse:
        """List the routes in the order in which they are asked."""
        facts = {"routes": desk.routes, "wants": wants, "largest_bytes": LARGEST_BYTES}
        return pages.show(request, "routes", {**facts, **hits()})

    @router.post("/routes/explain", dependencies=[needs(Role.OPERATOR), Depends(from_here)])
    async def explain(request: Request) -> HTMLResponse:
        """Say what every route says to the file that is sent; nothing of it is kept."""
        spooled = await run_in_threadpool(desk.blobs.spool)
        try:
            await _write(request, spooled)
            found: Sequence[Explained] = await run_in_threadpool(desk.explain_file, spooled)
        finally:
            with suppress(OSError):
                spooled.unlink(missing_ok=True)
        return pages.show(request, "_explained", {"explained": found})


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


async def _write(request: Request, spooled: Path) -> None:
    room = LARGEST_BYTES
    descriptor = os.open(spooled, os.O_WRONLY | os.O_TRUNC | os.O_CLOEXEC)
    with os.fdopen(descriptor, "wb") as file:
        async for part in request.stream():
            room -= len(part)
            if room < 0:
                raise HTTPException(_TOO_LARGE, "missing.too_large")
            await run_in_threadpool(file.write, part)
