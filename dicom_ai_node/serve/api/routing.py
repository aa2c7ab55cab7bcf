"""Routes: their conditions in words, how often each was taken, and what they say to a file."""

from datetime import datetime

from fastapi import APIRouter, Request

from dicom_ai_node.domain.job import Stage
from dicom_ai_node.serve.api.shape import ACTING, Shape, refusals
from dicom_ai_node.serve.api.studies import RouteTold, route_told
from dicom_ai_node.serve.console.desk import Desk, Remembered
from dicom_ai_node.serve.console.routing import (
    COUNTED_SECONDS,
    LARGEST_BYTES,
    counted,
    explained_body,
    wants,
)

_TOO_LARGE = f"a file to be explained has at most {LARGEST_BYTES} bytes"
_A_FILE = {
    "required": True,
    "content": {"application/dicom": {"schema": {"type": "string", "format": "binary"}}},
}


class RouteInput(Shape):
    """One named input of a route."""

    name: str
    """What the route calls it."""
    conditions: list[str]
    """What a series has to be, one condition each, in words; none takes every series."""


class RouteShown(Shape):
    """A route: what it takes, what it runs, what it writes where, and how often it was taken."""

    name: str
    """What it is called."""
    inputs: list[RouteInput]
    """What it takes."""
    same: list[str]
    """Attributes in which all its inputs have to agree."""
    run: str
    """The kind of task."""
    model: str
    """The model."""
    write: list[str]
    """The objects that it writes."""
    to: list[str]
    """The destinations that they go to."""
    options: dict[str, str | int | float | bool]
    """What else it says to the task."""
    priority: str
    """STAT, HIGH or ROUTINE."""
    jobs: dict[Stage, int]
    """How many of its jobs are in which stage."""
    last_taken: datetime | None
    """When its newest job was made; null if it was never taken."""


class RoutesShown(Shape):
    """The routes in the order in which they are asked."""

    routes: list[RouteShown]
    """All of them."""


class SeriesExplained(Shape):
    """What every route says to one series."""

    series_instance_uid: str
    """The series."""
    facts: dict[str, str]
    """What conditions may ask about it."""
    routes: list[RouteTold]
    """What they say."""


class FileExplained(Shape):
    """What every route says to a file, as if its series had only this instance."""

    series: list[SeriesExplained]
    """The one series of it."""


def add_routes(router: APIRouter, desk: Desk) -> None:
    """Add the routes."""
    hits = Remembered(lambda: counted(desk), COUNTED_SECONDS)

    @router.get("/routes")
    def routes() -> RoutesShown:
        """List the routes in the order in which they are asked."""
        found = hits()
        return RoutesShown(
            routes=[
                RouteShown(
                    name=one.name,
                    inputs=[RouteInput(name=name, conditions=said) for name, said in wants(one)],
                    same=list(one.same),
                    run=one.run,
                    model=one.model,
                    write=list(one.write),
                    to=list(one.to),
                    options=dict(one.options),
                    priority=one.priority.name,
                    jobs=dict(found.counts.get(one.name, {})),
                    last_taken=found.last.get(one.name),
                )
                for one in desk.routes
            ]
        )

    @router.post(
        "/routes/explain",
        dependencies=ACTING,
        responses=refusals(s400="this is no DICOM file", s413=_TOO_LARGE),
        openapi_extra={"requestBody": _A_FILE},
    )
    async def explain(request: Request) -> FileExplained:
        """Say what every route says to the Part 10 file that is sent; nothing of it is kept."""
        found = await explained_body(request, desk, _TOO_LARGE)
        return FileExplained(
            series=[
                SeriesExplained(
                    series_instance_uid=one.series_instance_uid,
                    facts=dict(one.facts),
                    routes=[route_told(says) for says in one.says],
                )
                for one in found
            ]
        )
