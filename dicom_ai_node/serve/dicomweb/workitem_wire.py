"""Workitems as they come in: DICOM JSON or XML, and refusals in the words of PS3.18."""

import json
import re
from collections.abc import Callable, Coroutine, Mapping, Sequence
from typing import Any, NoReturn

from fastapi import HTTPException, Request, Response
from fastapi.responses import JSONResponse
from fastapi.routing import APIRoute

from dicom_ai_node.domain.archive import Header, Key
from dicom_ai_node.domain.errors import NotUnderstood, Refused
from dicom_ai_node.domain.levels import path_of
from dicom_ai_node.domain.native_model import XML
from dicom_ai_node.domain.native_model_read import header_of
from dicom_ai_node.domain.uids import is_uid
from dicom_ai_node.domain.workitem import StepRefused, Why
from dicom_ai_node.serve.dicomweb.held import root_of

PREFIX = "/dicom-web"
MOST_BYTES = 1024**2
"""A longer request is refused: references to some five thousand instances fit."""
DEEPEST = 16
"""A data set nested further is refused."""
JSON = "application/dicom+json"

TAKES: dict[str, Any] = {
    "requestBody": {"content": {JSON: {"schema": {"type": "object"}}, XML: {}}}
}
"""What a route is sent, for the description of the service."""

_JSON_TYPES = frozenset({JSON, "application/json"})
_TAG = re.compile(r"[0-9A-F]{8}")
_VR = re.compile(r"[A-Z]{2}")
_AE_TITLE = re.compile(r"[ -\[\]-~]{1,16}")
_RETRIEVE_URL = "00081190"


class StepRoute(APIRoute):
    """A route whose refusals say in a Warning header what PS3.18 11 has them say."""

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        """Return the handler."""
        handle = super().get_route_handler()

        async def handled(request: Request) -> Response:
            try:
                return await handle(request)
            except StepRefused as no:
                headers = {"Warning": warning(request, no.why.words)}
                return JSONResponse({"detail": str(no)}, no.why.http_status, headers)
            except Refused as no:
                return JSONResponse({"detail": str(no)}, no.http_status)

        return handled


def warning(request: Request, words: str) -> str:
    """Return the value of a Warning header."""
    return f"299 {root_of(request)}: {words}"


async def data_set_in(request: Request) -> Header:
    """Return the data set that a request brings, alone or as the one item of an array.

    Raises
    ------
    HTTPException
        413 or 415.
    StepRefused
        If it is no data set.
    """
    found = await data_set_or_nothing(request)
    return found or _refuse("a data set in the body is missing")


async def data_set_or_nothing(request: Request) -> Header:
    """Return the data set that a request brings; an empty one if it brings nothing."""
    body = bytearray()
    async for chunk in request.stream():
        body += chunk
        if len(body) > MOST_BYTES:
            raise HTTPException(413, f"a request may have {MOST_BYTES} bytes")
    if not body.strip():
        return {}
    said = request.headers.get("Content-Type", JSON).split(";")[0].strip().lower()
    if said == XML:
        return _checked(_parsed_xml(bytes(body)), 0)
    if said not in _JSON_TYPES:
        raise HTTPException(415, f"send {JSON} or {XML}")
    return _checked(_parsed_json(bytes(body)), 0)


def _parsed_json(body: bytes) -> object:
    try:
        parsed = json.loads(body)
    except (ValueError, RecursionError):
        _refuse("the body is no JSON")
    if isinstance(parsed, list) and len(parsed) == 1:
        (parsed,) = parsed
    return parsed


def _parsed_xml(body: bytes) -> Header:
    try:
        return header_of(body)
    except NotUnderstood as no:
        return _refuse(str(no))


def _checked(said: object, depth: int) -> dict[str, Any]:
    """Return a data set in the DICOM JSON model; raise `StepRefused` if it is something else."""
    if not isinstance(said, dict) or depth > DEEPEST:
        _refuse("the body is no data set in the DICOM JSON model, PS3.18 Annex F")
    return {tag: _element(tag, said[tag], depth) for tag in sorted(said)}


def _element(tag: str, entry: object, depth: int) -> dict[str, Any]:
    if not _TAG.fullmatch(tag) or not isinstance(entry, dict):
        _refuse("an element must be eight capital hexadecimal digits and an object")
    vr, found = entry.get("vr"), entry.get("Value", [])
    if not isinstance(vr, str) or not _VR.fullmatch(vr):
        _refuse(f"the vr of {tag} is missing")
    if not isinstance(found, list):
        _refuse(f"the Value of {tag} must be an array")
    if vr == "SQ":
        found = [_checked(one, depth + 1) for one in found]
    elif not all(_is_plain(vr, one) for one in found):
        _refuse(f"the Value of {tag} does not fit its vr")
    others = {name: entry[name] for name in ("BulkDataURI", "InlineBinary") if name in entry}
    return {"vr": vr, **({"Value": found} if found else {}), **others}


def _is_plain(vr: str, one: object) -> bool:
    if vr == "PN":
        return one is None or (
            isinstance(one, dict) and all(isinstance(part, str) for part in one.values())
        )
    return one is None or isinstance(one, str | int | float)


def _refuse(sentence: str) -> NoReturn:
    raise StepRefused(Why.BAD_VALUE, sentence)


def uid_in_query(request: Request, *names: str) -> str:
    """Return the UID in a query: by name, or the query itself as PS3.18 has it; or "".

    Raises
    ------
    StepRefused
        If what stands there is no UID.
    """
    for name, value in request.query_params.multi_items():
        if name in names:
            return uid_of(value)
        if not value and is_uid(name):
            return name
    return ""


def uid_of(text: str) -> str:
    """Return `text`; raise `StepRefused` if it is no UID."""
    return text if is_uid(text) else _refuse("that is no UID")


def ae_title_of(text: str) -> str:
    """Return an AE title without padding; raise `StepRefused` if it is none, PS3.5 6.2."""
    title = text.strip()
    return title if _AE_TITLE.fullmatch(title) else _refuse("that is no AE title")


def key_of(name: str, value: str) -> Key:
    """Return a matching key; raise `Refused` if its name is no attribute."""
    return Key(path=path_of(name), value=value)


def number_of(request: Request, name: str, default: int, most: int) -> int:
    """Return a number in a query, at most `most`; raise `StepRefused` if it is none."""
    said = request.query_params.get(name)
    if said is None:
        return default
    if not said.isascii() or not said.isdigit():
        _refuse(f"{name} must be a number")
    return min(int(said[:9]), most)


def flag_of(request: Request, name: str) -> bool:
    """Return a flag in a query, false if it is absent; raise `StepRefused` if it is no flag."""
    said = request.query_params.get(name, "false").lower()
    if said not in {"true", "false"}:
        _refuse(f"{name} must be true or false")
    return said == "true"


def with_urls(said: object, base: str) -> Any:  # noqa: ANN401 - a part of a data set
    """Return a part of a data set in which our own Retrieve URLs are whole."""
    if isinstance(said, Mapping):
        return {
            name: _whole(entry, base) if name == _RETRIEVE_URL else with_urls(entry, base)
            for name, entry in said.items()
        }
    if isinstance(said, Sequence) and not isinstance(said, str):
        return [with_urls(one, base) for one in said]
    return said


def _whole(entry: Mapping[str, Any], base: str) -> dict[str, Any]:
    found = entry.get("Value", [])
    urls = [
        base + one if isinstance(one, str) and one.startswith("/studies/") else one for one in found
    ]
    return {**entry, "Value": urls} if urls else dict(entry)


def encoded(said: Header) -> bytes:
    """Return a data set as JSON."""
    return json.dumps(said, ensure_ascii=False, separators=(",", ":")).encode()
