"""Destinations: how each does, what waits for it, and sending again what it has refused."""

from datetime import datetime

from fastapi import APIRouter, HTTPException

from dicom_ai_node.domain.job import DeliveryState
from dicom_ai_node.serve.api.shape import ACTING, AName, Shape, refusals
from dicom_ai_node.serve.console.desk import Desk
from dicom_ai_node.serve.console.sending import Health, address, health, seen_at, send_again

_NO_DESTINATION = "there is no destination of that name"


class DestinationTold(Shape):
    """A destination and how it does."""

    name: str
    """What it is called."""
    kind: str
    """DIMSE, DICOMweb or folder."""
    where: str
    """Its address."""
    health: Health
    """It refuses objects, does not answer and is tried again, takes objects and does not show that
    it keeps them (unproven), does well, or was never sent to (silent)."""
    objects: dict[DeliveryState, int]
    """How many objects are how far on their way."""
    last_done: datetime | None
    """When it last confirmed an object."""
    last_trouble: str
    """What it last said against one that is not there yet."""
    next_try: datetime | None
    """When it is tried next."""
    unproven: int
    """About how many objects it was asked in vain whether it keeps them; their studies stay."""
    unproven_since: datetime | None
    """When it took the first of these."""
    unproven_because: str
    """What it said when it was asked, and what to do."""


class DestinationsTold(Shape):
    """The destinations, as configured."""

    destinations: list[DestinationTold]
    """All of them."""


class SentAgain(Shape):
    """What was put back on its way."""

    jobs: int
    """Of how many jobs objects are sent again."""
    asked: int
    """About how many objects it is asked again whether it keeps them; they are not sent again."""


def add_destinations(router: APIRouter, desk: Desk) -> None:
    """Add the destinations."""

    @router.get("/destinations")
    def destinations() -> DestinationsTold:
        """List the destinations."""
        return DestinationsTold(destinations=[_told(desk, name) for name in desk.destinations])

    @router.post(
        "/destinations/{name}/retry",
        dependencies=ACTING,
        responses=refusals(s404=_NO_DESTINATION),
    )
    def retry(name: AName) -> SentAgain:
        """Send again what this destination has refused, and ask about what it does not show."""
        if name not in desk.destinations:
            raise HTTPException(404, _NO_DESTINATION)
        return SentAgain(jobs=send_again(desk, name), asked=desk.ask_again(name))


def _told(desk: Desk, name: str) -> DestinationTold:
    seen = seen_at(desk, name)
    kind, where = address(desk.destinations[name])
    return DestinationTold(
        name=name,
        kind=kind,
        where=where,
        health=health(seen),
        objects={DeliveryState(state): count for state, count in seen.states.items()},
        last_done=seen.last_done,
        last_trouble=seen.last_trouble,
        next_try=seen.next_try,
        unproven=seen.unproven,
        unproven_since=seen.unproven_since,
        unproven_because=seen.unproven_because,
    )
