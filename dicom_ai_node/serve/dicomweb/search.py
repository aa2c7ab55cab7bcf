"""QIDO-RS: search for studies, series and instances, PS3.18 10.6.

An answer without lines is an empty array with status 200: every client reads that, and not every
one reads 204; in XML, which has nothing like it, it is 204. Whoever does not say how many lines
they want gets up to `USUAL`, and of one study up to `MOST`; what is left out is announced by a
warning.
"""

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from fastapi import APIRouter, Request
from fastapi.responses import Response

from dicom_ai_node.domain.archive import Archive, Header, Key, Level, Query
from dicom_ai_node.domain.levels import COMPUTED, INSTANCE, SERIES, STUDY, picked
from dicom_ai_node.domain.uids import SOPInstanceUID
from dicom_ai_node.serve.access import Role, needs
from dicom_ai_node.serve.dicomweb.accept import Offer, chosen
from dicom_ai_node.serve.dicomweb.held import root_of
from dicom_ai_node.serve.dicomweb.search_query import Wanted, wanted
from dicom_ai_node.serve.dicomweb.sending import Pieces
from dicom_ai_node.serve.dicomweb.xml_parts import XML_PARTS, xml_message
from dicom_ai_node.serve.uid_in_url import Uid

AT_ONCE = 1000
"""Lines that are in memory at once."""

_OFFERS = (
    Offer(media_type="application/dicom+json"),
    Offer(media_type="application/json"),
    XML_PARTS,
)
_IN_SHORT = frozenset({
    *STUDY, *SERIES, *INSTANCE, *COMPUTED, "00080005", "00081190", "00083002",
})  # fmt: skip
"""What needs no whole header."""
_STUDY, _SERIES, _INSTANCE, _RETRIEVE_URL = "0020000D", "0020000E", "00080018", "00081190"


def search_router(archive: Archive) -> APIRouter:
    """Return the routes of searching."""
    router = APIRouter(prefix="/dicom-web", dependencies=[needs(Role.VIEWER)], tags=["QIDO-RS"])
    answers: dict[str, Any] = {
        "response_class": Response,
        "responses": {
            200: {
                "description": "what was found, as JSON (an empty array for nothing) or as XML",
                "headers": {"Warning": {
                    "description": "299, if there is more than the limit",
                    "schema": {"type": "string"},
                }},
                "content": {
                    str(offer): {} if offer == XML_PARTS else {"schema": _SCHEMA}
                    for offer in _OFFERS
                },
            },
            204: {"description": "nothing was found, where XML is asked for"},
            400: {"description": "a parameter is unknown or cannot be understood"},
            406: {"description": "another media type is asked for"},
        },
        "openapi_extra": {"parameters": _PARAMETERS},
    }  # fmt: skip

    @router.get("/studies", **answers)
    def studies(request: Request) -> Response:
        """Search for studies, the latest first."""
        return _Answer(archive, request, (Level.STUDY,)).response()

    @router.get("/series", **answers)
    def series(request: Request) -> Response:
        """Search for series in all studies."""
        return _Answer(archive, request, (Level.STUDY, Level.SERIES)).response()

    @router.get("/instances", **answers)
    def instances(request: Request) -> Response:
        """Search for instances in all studies."""
        return _Answer(archive, request, tuple(Level)).response()

    @router.get("/studies/{study}/series", **answers)
    def series_of_study(request: Request, study: Uid) -> Response:
        """Search for series of a study."""
        return _Answer(archive, request, (Level.SERIES,), _keys(study)).response()

    @router.get("/studies/{study}/instances", **answers)
    def instances_of_study(request: Request, study: Uid) -> Response:
        """Search for instances of a study."""
        return _Answer(archive, request, (Level.SERIES, Level.IMAGE), _keys(study)).response()

    @router.get("/studies/{study}/series/{series}/instances", **answers)
    def instances_of_series(request: Request, study: Uid, series: Uid) -> Response:
        """Search for instances of a series."""
        return _Answer(archive, request, (Level.IMAGE,), _keys(study, series)).response()

    return router


_SCHEMA = {"type": "array", "items": {"type": "object", "additionalProperties": {"type": "object"}}}
_PARAMETERS = [
    {"name": "limit", "in": "query", "schema": {"type": "integer", "minimum": 0},
     "description": "lines at most"},
    {"name": "offset", "in": "query", "schema": {"type": "integer", "minimum": 0},
     "description": "lines that are left out"},
    {"name": "fuzzymatching", "in": "query", "schema": {"type": "boolean"},
     "description": "find names by the beginnings of their words, too"},
    {"name": "includefield", "in": "query",
     "schema": {"type": "array", "items": {"type": "string"}}, "style": "form", "explode": False,
     "description": "attributes that are told as well, or `all`"},
    {"name": "PatientID", "in": "query", "schema": {"type": "string"},
     "description": "as any other attribute, by its keyword or by 8 hexadecimal digits, in"
     " sequences with a dot"},
]  # fmt: skip
"""What the document of the interface says of the query; any attribute may be in it."""


def _keys(study: str, series: str | None = None) -> tuple[Key, ...]:
    key = Key(path=(_STUDY,), value=study)
    return (key,) if series is None else (key, Key(path=(_SERIES,), value=series))


@dataclass(frozen=True, slots=True)
class _Answer:
    """One answer: `told` are the levels whose usual attributes it tells, the last is its own."""

    archive: Archive
    request: Request
    told: Sequence[Level]
    above: tuple[Key, ...] = ()

    def response(self) -> Response:
        """Return the answer, whose first lines have been found."""
        offer = chosen(self.request, _OFFERS)
        asked = wanted(self.request.query_params.multi_items(), self.told, self.above)
        headers = {"Cache-Control": "no-store", "X-Content-Type-Options": "nosniff"}
        first = self._found(asked, asked.offset, min(asked.limit, AT_ONCE) + 1)
        has_more = len(first) > asked.limit or (
            asked.limit > AT_ONCE
            and len(first) > AT_ONCE
            and bool(self._found(asked, asked.offset + asked.limit, 1))
        )
        if has_more:
            headers["Warning"] = (
                f'299 dicom-ai-node "more was found than {asked.limit}; for the next say'
                f' offset={asked.offset + asked.limit}"'
            )
        lines = self._lines(asked, first)
        if offer != XML_PARTS:
            return Pieces(_array(lines), offer.media_type, None, headers)
        if not first or not asked.limit:
            return Response(status_code=204, headers=headers)
        content_type, pieces = xml_message(lines)
        return Pieces(pieces, content_type, None, headers)

    def _found(self, asked: Wanted, offset: int, limit: int) -> Sequence[Header]:
        return self.archive.search(
            Query(
                level=self.told[-1],
                keys=asked.keys,
                is_fuzzy=asked.is_fuzzy,
                limit=limit,
                offset=offset,
            )
        )

    def _lines(self, asked: Wanted, first: Sequence[Header]) -> Iterator[Header]:
        """Yield what is told of each line, as many as are asked for."""
        left, offset, some = asked.limit, asked.offset, first
        while some and left > 0:
            some = some[: min(left, AT_ONCE)]
            yield from self._told(some, asked.tags)
            left, offset = left - len(some), offset + len(some)
            # Fewer than a page was all that there is.
            some = () if len(some) < AT_ONCE else self._found(asked, offset, min(left, AT_ONCE))

    def _told(self, headers: Sequence[Header], tags: frozenset[str] | None) -> Iterator[Header]:
        root = root_of(self.request)
        whole: dict[str, Header] = {}
        if self.told[-1] is Level.IMAGE and (tags is None or not tags <= _IN_SHORT):
            whole = self._whole([SOPInstanceUID(_value(one, _INSTANCE)) for one in headers])
        for header in headers:
            url = {"vr": "UR", "Value": [self._place(header, root)]}
            more = whole.get(_value(header, _INSTANCE), {}) if whole else {}
            line = {**more, **header, _RETRIEVE_URL: url}
            yield picked(line, line if tags is None else tags)

    def _whole(self, uids: Sequence[SOPInstanceUID]) -> dict[str, Header]:
        """Return all that the headers of instances say but what lies elsewhere."""
        held = self.archive.instances(uids)
        found: dict[str, Header] = {}
        for one, text in zip(held, self.archive.headers(held), strict=True):
            header = json.loads(text)
            found[one.sop_instance_uid] = {
                tag: element for tag, element in header.items() if "BulkDataURI" not in element
            }
        return found

    def _place(self, header: Header, root: str) -> str:
        """Return where a line is retrieved from."""
        place = f"{root}/studies/{_value(header, _STUDY)}"
        if self.told[-1] is Level.STUDY:
            return place
        place += f"/series/{_value(header, _SERIES)}"
        if self.told[-1] is Level.SERIES:
            return place
        return f"{place}/instances/{_value(header, _INSTANCE)}"


def _value(header: Header, tag: str) -> str:
    values = header.get(tag, {}).get("Value") or [""]
    return str(values[0])


def _array(headers: Iterator[Header]) -> Iterator[bytes]:
    before = "["
    for header in headers:
        text = json.dumps(header, ensure_ascii=False, separators=(",", ":"))
        yield f"{before}{text}".encode("utf-8", "replace")
        before = ","
    yield b"[]" if before == "[" else b"]"
