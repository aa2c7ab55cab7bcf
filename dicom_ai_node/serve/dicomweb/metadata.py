"""WADO-RS metadata: headers as DICOM JSON or as XML, one after the other, PS3.18 10.4.1.1.2."""

import json
import zlib
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from fastapi import APIRouter, Request
from fastapi.responses import Response

from dicom_ai_node.domain.archive import Held
from dicom_ai_node.serve.access import Role, needs
from dicom_ai_node.serve.dicomweb.accept import Offer, chosen
from dicom_ai_node.serve.dicomweb.answers import headers_for, known
from dicom_ai_node.serve.dicomweb.held import Shelf, root_of, tag_of
from dicom_ai_node.serve.dicomweb.sending import CHUNK_BYTES, Pieces
from dicom_ai_node.serve.dicomweb.xml_parts import XML_PARTS, xml_message
from dicom_ai_node.serve.uid_in_url import Uid

READ = ["GET", "HEAD"]
_OFFERS = (
    Offer(media_type="application/dicom+json"),
    Offer(media_type="application/json"),
    XML_PARTS,
)
_ANSWERS: dict[int | str, dict[str, Any]] = {
    200: {
        "description": "the headers, with a BulkDataURI for each long value",
        "content": {str(offer): {} for offer in _OFFERS},
    }
}
_OURS = b'"BulkDataURI":"/studies/'
"""No value can look like this: a quotation mark in it would be escaped."""


def metadata_router(shelf: Shelf) -> APIRouter:
    """Return the routes of metadata."""
    router = APIRouter(prefix="/dicom-web", dependencies=[needs(Role.VIEWER)])

    def answer(request: Request, held: Sequence[Held]) -> Response:
        offer, root = chosen(request, _OFFERS), root_of(request)
        is_packed = "gzip" in request.headers.get("accept-encoding", "")
        tag = tag_of(held, root, is_packed, offer)
        had = known(request, tag)
        if had is not None:
            return had
        headers = headers_for(tag)
        content_type, text = _written(shelf.archive.headers(held), root, offer, tag)
        if is_packed:
            headers["Content-Encoding"] = "gzip"
            text = _packed(text)
        return Pieces(text, content_type, None, headers)

    @router.api_route("/studies/{study}/metadata", methods=READ, responses=_ANSWERS)
    def study(request: Request, study: Uid) -> Response:
        """Return the headers of a study."""
        return answer(request, shelf.all(study))

    @router.api_route("/studies/{study}/series/{series}/metadata", methods=READ, responses=_ANSWERS)
    def series(request: Request, study: Uid, series: Uid) -> Response:
        """Return the headers of a series."""
        return answer(request, shelf.all(study, series))

    @router.api_route(
        "/studies/{study}/series/{series}/instances/{instance}/metadata",
        methods=READ,
        responses=_ANSWERS,
    )
    def instance(request: Request, study: Uid, series: Uid, instance: Uid) -> Response:
        """Return the header of an instance."""
        return answer(request, [shelf.one(study, series, instance)])

    return router


def _written(
    headers: Iterable[bytes], root: str, offer: Offer, tag: str
) -> tuple[str, Iterable[bytes]]:
    """Return the Content-Type of an answer, and the answer."""
    there = b'"BulkDataURI":"' + json.dumps(root)[1:-1].encode() + b"/studies/"
    whole = (header.replace(_OURS, there) for header in headers)
    if offer != XML_PARTS:
        return offer.media_type, _array(whole)
    content_type, pieces = xml_message(map(json.loads, whole), tag)
    return content_type, (piece for piece in pieces if isinstance(piece, bytes))


def _array(headers: Iterable[bytes]) -> Iterator[bytes]:
    before = b"["
    for header in headers:
        yield before
        yield header
        before = b","
    yield b"[]" if before == b"[" else b"]"


def _packed(text: Iterable[bytes]) -> Iterator[bytes]:
    """Pack with gzip; headers of one series differ little, so that even the fastest way is good."""
    press = zlib.compressobj(1, zlib.DEFLATED, 31)
    waiting: list[bytes] = []
    size = 0
    for some in text:
        waiting.append(some)
        size += len(some)
        if size >= CHUNK_BYTES:
            yield press.compress(b"".join(waiting))
            waiting, size = [], 0
    yield press.compress(b"".join(waiting)) + press.flush()
