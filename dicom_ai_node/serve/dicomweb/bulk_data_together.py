"""WADO-RS bulk data of a study, a series or an instance in one message, PS3.18 10.4.1.1.5.

Its parts are what the `BulkDataURI`s of the metadata name, in their order; of compressed pixels
each frame, decoded if the asker takes that and it can be.
"""

import json
from collections.abc import Iterator, Mapping, Sequence
from itertools import chain
from typing import Any

from fastapi import APIRouter, HTTPException, Request
from fastapi.responses import Response

from dicom_ai_node.domain.archive import Held
from dicom_ai_node.domain.showing import Darkroom
from dicom_ai_node.serve.access import Role, needs
from dicom_ai_node.serve.dicomweb.accept import Offer, asked, best, chosen
from dicom_ai_node.serve.dicomweb.answers import known, streamed
from dicom_ai_node.serve.dicomweb.bulk_data import PIXELS, value_of
from dicom_ai_node.serve.dicomweb.frame_routes import OCTETS, FrameSource, frame_offers
from dicom_ai_node.serve.dicomweb.frames import FrameIndex
from dicom_ai_node.serve.dicomweb.held import Shelf, place_of, root_of, tag_of
from dicom_ai_node.serve.dicomweb.multipart import Message, Part
from dicom_ai_node.serve.uid_in_url import Uid

_OFFER = Offer(media_type=OCTETS, is_multipart=True)
_ROUTE: dict[str, Any] = {
    "methods": ["GET", "HEAD"],
    "response_class": Response,
    "responses": {200: {"content": {str(_OFFER): {}}}},
}


def bulk_data_together_router(shelf: Shelf, index: FrameIndex, darkroom: Darkroom) -> APIRouter:
    """Return the routes of all bulk data of something."""
    router = APIRouter(prefix="/dicom-web", dependencies=[needs(Role.VIEWER)])
    together = _Together(shelf, FrameSource(shelf, index, darkroom), darkroom)

    @router.api_route("/studies/{study}/bulkdata", **_ROUTE)
    def of_study(request: Request, study: Uid) -> Response:
        """Return all bulk data of a study."""
        return together.answer(request, shelf.all(study))

    @router.api_route("/studies/{study}/series/{series}/bulkdata", **_ROUTE)
    def of_series(request: Request, study: Uid, series: Uid) -> Response:
        """Return all bulk data of a series."""
        return together.answer(request, shelf.all(study, series))

    @router.api_route("/studies/{study}/series/{series}/instances/{instance}/bulkdata", **_ROUTE)
    def of_instance(request: Request, study: Uid, series: Uid, instance: Uid) -> Response:
        """Return all bulk data of an instance."""
        return together.answer(request, [shelf.one(study, series, instance)])

    return router


class _Together:
    """Gives the bulk data of any number of objects, one after the other."""

    def __init__(self, shelf: Shelf, source: FrameSource, darkroom: Darkroom) -> None:
        self._shelf = shelf
        self._source = source
        self._darkroom = darkroom

    def answer(self, request: Request, held: Sequence[Held]) -> Response:
        """Return the message; raise 404 if there are no bulk data."""
        chosen(request, [_OFFER])
        tag = tag_of(held, root_of(request), asked(request), "bulkdata")
        had = known(request, tag)
        if had is not None:
            return had
        parts = self._parts(request, held)
        first = next(parts, None)
        if first is None:
            raise HTTPException(404, "there are no bulk data")
        message = Message(OCTETS, tag)
        return streamed(message.pieces(chain([first], parts)), message.content_type, tag)

    def _parts(self, request: Request, held: Sequence[Held]) -> Iterator[Part]:
        root = root_of(request)
        for one, text in zip(held, self._shelf.archive.headers(held), strict=True):
            for uri in _uris(json.loads(text)):
                path = uri.rpartition("/bulkdata/")[2]
                if path == PIXELS and self._source.frames(one).is_encapsulated:
                    yield from self._frames(request, one, root)
                else:
                    pieces = value_of(self._shelf, self._darkroom, one, path.split("/"))
                    yield Part(OCTETS, pieces, f"{root}{uri}")

    def _frames(self, request: Request, held: Held, root: str) -> Iterator[Part]:
        """Yield compressed frames; those that nobody here can decode as they are stored."""
        frames = self._source.frames(held)
        offers = frame_offers(frames, is_one=False)
        offer = best(asked(request), offers) or offers[0]
        for number in range(1, frames.last + 1):
            pieces = self._source.pieces(held, frames, number, offer)
            yield Part(offer.content_type, pieces, f"{root}{place_of(held)}/frames/{number}")


def _uris(header: Mapping[str, Any]) -> Iterator[str]:
    """Yield where the bulk data of a data set are, those in its sequences among them."""
    for _, element in sorted(header.items()):
        if "BulkDataURI" in element:
            yield element["BulkDataURI"]
        elif element["vr"] == "SQ":
            for item in element.get("Value", ()):
                yield from _uris(item)
