"""WADO-RS rendered resources and thumbnails: pictures for people, PS3.18 10.4.1.1.3 and 10.4.1.1.4.

Pixel data is decoded in a darkroom, never here.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated

from fastapi import APIRouter, Depends, HTTPException, Query, Request
from fastapi.responses import Response

from dicom_ai_node.domain.archive import Held
from dicom_ai_node.domain.showing import Darkroom, Order, Picture, Report, Viewport, Window
from dicom_ai_node.serve.access import Role, needs
from dicom_ai_node.serve.dicomweb.accept import Offer, chosen
from dicom_ai_node.serve.dicomweb.answers import in_one_piece, known
from dicom_ai_node.serve.dicomweb.bulk_data import PDF, PDF_STORAGE, value_of
from dicom_ai_node.serve.dicomweb.frame_routes import Numbers
from dicom_ai_node.serve.dicomweb.held import Shelf, tag_of
from dicom_ai_node.serve.dicomweb.objects import open_file
from dicom_ai_node.serve.dicomweb.sending import FilePart
from dicom_ai_node.serve.uid_in_url import Uid

READ = ["GET", "HEAD"]
JPEG, PNG, GIF, HTML = "image/jpeg", "image/png", "image/gif", "text/html"
_STILL = (Offer(media_type=JPEG), Offer(media_type=PNG))
_MOVING = (*_STILL, Offer(media_type=GIF, is_for_anybody=False))
_PAGE = (Offer(media_type=HTML),)
_DOCUMENT = (Offer(media_type=PDF),)
THUMBNAIL = Viewport(128, 128)
LARGEST_SIDE = 8192
_FUNCTIONS = {"linear": "LINEAR", "linear-exact": "LINEAR_EXACT", "sigmoid": "SIGMOID"}
_REPORTS = "1.2.840.10008.5.1.4.1.1.88."
_PAGE_HEADERS = {"Content-Security-Policy": "default-src 'none'; style-src 'unsafe-inline'"}


@dataclass(frozen=True, slots=True)
class Look:
    """How a picture is wanted: the query parameters of PS3.18 8.3.5.1."""

    window: Window | None
    viewport: Viewport | None
    quality: int


def look(
    request: Request,
    window: str | None = None,
    viewport: str | None = None,
    quality: Annotated[int, Query(ge=1, le=100)] = 90,
) -> Look:
    """Return how a picture is wanted; raise 400 for what makes no sense."""
    is_small = request.url.path.endswith("/thumbnail")
    return Look(
        None if window is None else _window(window),
        _viewport(viewport) if viewport is not None else THUMBNAIL if is_small else None,
        quality,
    )


Wanted = Annotated[Look, Depends(look)]


def rendered_router(shelf: Shelf, darkroom: Darkroom) -> APIRouter:
    """Return the routes of pictures and of small pictures."""
    router = APIRouter(prefix="/dicom-web", dependencies=[needs(Role.VIEWER)])
    studio = Studio(shelf, darkroom)
    in_series = "/studies/{study}/series/{series}"
    in_instance = f"{in_series}/instances/{{instance}}"

    @router.api_route("/studies/{study}/rendered", methods=READ)
    @router.api_route("/studies/{study}/thumbnail", methods=READ)
    def study(request: Request, study: Uid, wanted: Wanted) -> Response:
        """Return a picture of the middle of a study's first series with pictures."""
        return studio.representative(request, shelf.all(study), wanted)

    @router.api_route(f"{in_series}/rendered", methods=READ)
    @router.api_route(f"{in_series}/thumbnail", methods=READ)
    def series(request: Request, study: Uid, series: Uid, wanted: Wanted) -> Response:
        """Return a picture of the middle of a series."""
        return studio.representative(request, shelf.all(study, series), wanted)

    @router.api_route(f"{in_instance}/rendered", methods=READ)
    @router.api_route(f"{in_instance}/thumbnail", methods=READ)
    def instance(
        request: Request, study: Uid, series: Uid, instance: Uid, wanted: Wanted
    ) -> Response:
        """Return the first frame, a cine of all of them, or a report as a page."""
        return studio.picture(request, shelf.one(study, series, instance), (), wanted)

    @router.api_route(f"{in_instance}/frames/{{numbers}}/rendered", methods=READ)
    @router.api_route(f"{in_instance}/frames/{{numbers}}/thumbnail", methods=READ)
    def frames(
        request: Request, study: Uid, series: Uid, instance: Uid, numbers: Numbers, wanted: Wanted
    ) -> Response:
        """Return one frame, or a cine of some."""
        some = tuple(int(number) for number in numbers.split(","))
        return studio.picture(request, shelf.one(study, series, instance), some, wanted)

    return router


class Studio:
    """Takes pictures of what is held."""

    def __init__(self, shelf: Shelf, darkroom: Darkroom) -> None:
        self._shelf = shelf
        self._darkroom = darkroom

    def representative(self, request: Request, held: Sequence[Held], wanted: Look) -> Response:
        """Return a picture of one object that stands for many."""
        images = [one for one in held if not one.sop_class_uid.startswith(_REPORTS)] or held
        first = [one for one in images if one.series_instance_uid == images[0].series_instance_uid]
        return self.picture(request, first[len(first) // 2], (), wanted)

    def picture(
        self, request: Request, held: Held, frames: tuple[int, ...], wanted: Look
    ) -> Response:
        """Return a picture of some frames; () means the first, or in a cine all."""
        if 0 in frames:
            raise HTTPException(404, "frames are counted from 1")
        if held.sop_class_uid.startswith(_REPORTS) and not frames:
            return self._printed(request, held, chosen(request, _PAGE).media_type, Report())
        if held.sop_class_uid == PDF_STORAGE and not frames:
            return self._document(request, held)
        offer = chosen(request, _STILL if len(frames) == 1 else _MOVING)
        if offer.media_type != GIF:
            if len(frames) > 1:
                raise HTTPException(406, f"one picture shows one frame; offered is: {GIF}")
            frames = frames or (1,)
        order = Picture(
            media_type=offer.media_type,
            frames=frames,
            window=wanted.window,
            viewport=wanted.viewport,
            quality=wanted.quality,
        )
        return self._printed(request, held, offer.media_type, order)

    def _document(self, request: Request, held: Held) -> Response:
        chosen(request, _DOCUMENT)
        tag = tag_of([held], PDF)
        pieces = value_of(self._shelf, self._darkroom, held, ["00420011"])
        return known(request, tag) or in_one_piece(request, pieces, PDF, tag)

    def _printed(self, request: Request, held: Held, media_type: str, order: Order) -> Response:
        tag = tag_of([held], order)
        had = known(request, tag)
        if had is not None:
            return had
        with open_file(self._shelf.path(held.sha256)) as file:
            made = self._darkroom.make(order, file)
        answer = in_one_piece(request, [FilePart(made.file, 0, made.size_bytes)], media_type, tag)
        if media_type == HTML:
            answer.headers.update(_PAGE_HEADERS)
        return answer


def _window(text: str) -> Window:
    parts = text.split(",")
    numbers = _numbers(parts[:2], "window=center,width,function")
    function = _FUNCTIONS.get(parts[2].lower().replace("_", "-") if len(parts) > 2 else "linear")  # noqa: PLR2004
    least = 1 if function == "LINEAR" else 0
    if function is None or len(numbers) < 2 or len(parts) > 3 or numbers[1] <= least:  # noqa: PLR2004
        raise HTTPException(
            400, "window=center,width,function; function is linear, linear-exact or sigmoid"
        )
    return Window(numbers[0], numbers[1], function)


def _viewport(text: str) -> Viewport:
    says = "viewport=width,height or viewport=width,height,x,y,width,height"
    parts = text.split(",")
    size = _numbers(parts[:2], says)
    if len(size) < 2 or not all(1 <= side <= LARGEST_SIDE for side in size):  # noqa: PLR2004
        raise HTTPException(400, f"{says}; sides are from 1 to {LARGEST_SIDE}")
    width, height = round(size[0]), round(size[1])
    if len(parts) == 2:  # noqa: PLR2004
        return Viewport(width, height)
    source = _numbers([part or "0" for part in parts[2:]], says)
    if len(source) != 4 or min(source[:2]) < 0:  # noqa: PLR2004
        raise HTTPException(400, says)
    return Viewport(width, height, (source[0], source[1], source[2], source[3]))


def _numbers(parts: Sequence[str], says: str) -> list[float]:
    try:
        numbers = [float(part) for part in parts]
    except ValueError as fault:
        raise HTTPException(400, says) from fault
    if not all(abs(number) < 1e9 for number in numbers):  # noqa: PLR2004 - and no NaN
        raise HTTPException(400, says)
    return numbers
