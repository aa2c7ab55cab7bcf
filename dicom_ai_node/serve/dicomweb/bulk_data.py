"""WADO-RS bulk data: the bytes behind a `BulkDataURI` of the metadata, PS3.18 10.4.1.1.5."""

from collections.abc import Sequence
from typing import Annotated

from fastapi import APIRouter, HTTPException, Path, Request
from fastapi.responses import Response

from dicom_ai_node.domain.archive import Held
from dicom_ai_node.domain.showing import Darkroom, Value
from dicom_ai_node.serve.access import Role, needs
from dicom_ai_node.serve.dicomweb.accept import Offer, chosen
from dicom_ai_node.serve.dicomweb.answers import in_one_piece, known, streamed
from dicom_ai_node.serve.dicomweb.elements import (
    EXPLICIT_BIG,
    UNDEFINED,
    Unreadable,
    found_at,
    opened,
)
from dicom_ai_node.serve.dicomweb.frame_routes import OCTETS, FrameSource, frame_offers
from dicom_ai_node.serve.dicomweb.frames import FrameIndex
from dicom_ai_node.serve.dicomweb.held import Shelf, tag_of
from dicom_ai_node.serve.dicomweb.multipart import Message, Part
from dicom_ai_node.serve.dicomweb.objects import open_file
from dicom_ai_node.serve.dicomweb.sending import FilePart, Piece, size_of
from dicom_ai_node.serve.uid_in_url import Uid

_OFFERS = (
    Offer(media_type=OCTETS),
    Offer(media_type=OCTETS, is_multipart=True),
)
PDF = "application/pdf"
PDF_STORAGE, _DOCUMENT = "1.2.840.10008.5.1.4.1.1.104.1", "00420011"
_ELEMENT = "[0-9A-Fa-f]{8}"
ElementPath = Annotated[str, Path(pattern=rf"^{_ELEMENT}(/[0-9]{{1,9}}/{_ELEMENT}){{0,32}}$")]
PIXELS = "7FE00010"


def bulk_data_router(shelf: Shelf, index: FrameIndex, darkroom: Darkroom) -> APIRouter:
    """Return the routes of bulk data."""
    router = APIRouter(prefix="/dicom-web", dependencies=[needs(Role.VIEWER)])
    source = FrameSource(shelf, index, darkroom)

    @router.api_route(
        "/studies/{study}/series/{series}/instances/{instance}/bulkdata/{path:path}",
        methods=["GET", "HEAD"],
    )
    def bulk_data(
        request: Request, study: Uid, series: Uid, instance: Uid, path: ElementPath
    ) -> Response:
        """Return the value of one element; a part of it if that is asked for."""
        held = shelf.one(study, series, instance)
        if path.upper() == PIXELS and source.frames(held).is_encapsulated:
            return _encapsulated(request, source, held)
        offer = chosen(request, _offers(held, path))
        tag = tag_of([held], path.upper(), offer)
        had = known(request, tag)
        if had is not None:
            return had
        pieces = value_of(shelf, darkroom, held, path.split("/"))
        if not offer.is_multipart:
            return in_one_piece(request, pieces, offer.media_type, tag)
        message, part = Message(OCTETS, tag), Part(OCTETS, pieces)
        size = message.size_bytes([part], [size_of(pieces)])
        return streamed(message.pieces([part]), message.content_type, tag, size)

    return router


def _offers(held: Held, path: str) -> Sequence[Offer]:
    """Return as what a value can be given; a document also as what it is."""
    if held.sop_class_uid == PDF_STORAGE and path == _DOCUMENT:
        return (*_OFFERS, Offer(media_type=PDF))
    return _OFFERS


def _encapsulated(request: Request, source: FrameSource, held: Held) -> Response:
    """Return compressed pixel data: a part for each frame, one frame also alone."""
    frames = source.frames(held)
    offer = chosen(request, frame_offers(frames, is_one=frames.last == 1))
    tag = tag_of([held], PIXELS, offer)
    had = known(request, tag)
    if had is not None:
        return had
    is_lying = offer.transfer_syntax_uid == frames.transfer_syntax_uid
    if not offer.is_multipart and is_lying:  # a film, of which players ask for parts
        return in_one_piece(request, source.lying(held, frames, 1), offer.content_type, tag)
    if not offer.is_multipart:
        return streamed(source.pieces(held, frames, 1, offer), offer.content_type, tag)
    message = Message(offer.media_type, tag)
    parts = (
        Part(offer.content_type, source.pieces(held, frames, number, offer))
        for number in range(1, frames.last + 1)
    )
    return streamed(message.pieces(parts), message.content_type, tag)


def value_of(shelf: Shelf, darkroom: Darkroom, held: Held, path: Sequence[str]) -> list[Piece]:
    """Return the bytes of an element; raise 404 if there is none."""
    file = shelf.path(held.sha256)
    if held.transfer_syntax_uid == EXPLICIT_BIG:
        with open_file(file) as opened_file:
            made = darkroom.make(Value(tuple(path)), opened_file)
        return [FilePart(made.file, 0, made.size_bytes)]
    try:
        with opened(file) as part10:
            found = found_at(part10, path)
    except FileNotFoundError as gone:
        raise HTTPException(404, "this is here no more") from gone
    except Unreadable as fault:
        raise HTTPException(404, f"there is no such element: {fault}") from fault
    if found is None or found[0].vr == b"SQ" or found[0].length == UNDEFINED:
        raise HTTPException(404, "there is no such element")
    return [FilePart(file, found[0].at, found[0].length)]
