"""Workitems as they go out: as JSON, or as XML for whoever asks for that, PS3.18 11.4 and 11.9."""

from collections.abc import Iterable, Iterator, Mapping
from itertools import chain
from typing import Any

from fastapi import Request, Response
from fastapi.responses import StreamingResponse

from dicom_ai_node.domain.archive import Header
from dicom_ai_node.domain.native_model import XML, xml_of
from dicom_ai_node.serve.dicomweb.accept import Offer, chosen
from dicom_ai_node.serve.dicomweb.workitem_wire import JSON, encoded
from dicom_ai_node.serve.dicomweb.xml_parts import XML_PARTS, xml_message

SEVERAL = (Offer(media_type=JSON), Offer(media_type="application/json"), XML_PARTS)
ONE = (*SEVERAL[:2], Offer(media_type=XML), XML_PARTS)


def gives(offers: Iterable[Offer]) -> dict[int | str, dict[str, Any]]:
    """Return what a route answers, for the description of the service."""
    return {200: {"content": {str(offer): {} for offer in offers}}}


def one(request: Request, workitem: Header, headers: Mapping[str, str]) -> Response:
    """Return one workitem as whoever asks takes it; JSON has an array around it."""
    return _alone(chosen(request, ONE), workitem, b"[" + encoded(workitem) + b"]", headers)


def data_set(offer: Offer, said: Header) -> Response:
    """Return one data set that is no workitem; JSON has nothing around it."""
    return _alone(offer, said, encoded(said), {})


def _alone(offer: Offer, said: Header, json: bytes, headers: Mapping[str, str]) -> Response:
    if offer == XML_PARTS:
        return _parts([said], headers)
    body = xml_of(said) if offer.media_type == XML else json
    return Response(body, media_type=offer.media_type, headers=dict(headers))


def several(offer: Offer, workitems: Iterator[Header], headers: Mapping[str, str]) -> Response:
    """Return workitems as they are found; 204 if there are none."""
    first = next(workitems, None)
    if first is None:
        return Response(status_code=204, headers=dict(headers))
    every = chain([first], workitems)
    if offer == XML_PARTS:
        return _parts(every, headers)
    return StreamingResponse(_array(every), media_type=offer.media_type, headers=dict(headers))


def _parts(workitems: Iterable[Header], headers: Mapping[str, str]) -> Response:
    content_type, pieces = xml_message(workitems)
    body = (piece for piece in pieces if isinstance(piece, bytes))
    return StreamingResponse(body, media_type=content_type, headers=dict(headers))


def _array(workitems: Iterable[Header]) -> Iterator[bytes]:
    before = b"["
    for one_more in workitems:
        yield before + encoded(one_more)
        before = b","
    yield b"]"
