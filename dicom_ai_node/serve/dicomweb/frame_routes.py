"""WADO-RS frames, PS3.18 10.4.1.1.6: as they are stored if the asker takes that, else decoded."""

from collections.abc import Iterable, Iterator, Sequence
from typing import Annotated

from fastapi import APIRouter, HTTPException, Path, Request
from fastapi.responses import Response

from dicom_ai_node.domain.archive import Held
from dicom_ai_node.domain.showing import DECODABLE, Darkroom, NativeFrame
from dicom_ai_node.serve.access import Role, needs
from dicom_ai_node.serve.dicomweb.accept import EXPLICIT_LITTLE, Offer, chosen
from dicom_ai_node.serve.dicomweb.answers import in_one_piece, known, streamed
from dicom_ai_node.serve.dicomweb.elements import Unreadable
from dicom_ai_node.serve.dicomweb.frames import FrameIndex, Frames, frame_in_bits, parts_of
from dicom_ai_node.serve.dicomweb.held import Shelf, place_of, root_of, tag_of
from dicom_ai_node.serve.dicomweb.multipart import Message, Part
from dicom_ai_node.serve.dicomweb.objects import open_file
from dicom_ai_node.serve.dicomweb.sending import FilePart, Piece
from dicom_ai_node.serve.uid_in_url import Uid

OCTETS = "application/octet-stream"
_CODESTREAMS = {
    "5": "image/dicom-rle",
    "4.50": "image/jpeg", "4.51": "image/jpeg", "4.57": "image/jpeg", "4.70": "image/jpeg",
    "4.80": "image/jls", "4.81": "image/jls",
    "4.90": "image/jp2", "4.91": "image/jp2", "4.92": "image/jpx", "4.93": "image/jpx",
    "4.110": "image/jxl", "4.111": "image/jxl", "4.112": "image/jxl",
    "4.201": "image/jphc", "4.202": "image/jphc", "4.203": "image/jphc",
    "4.100": "video/mpeg", "4.100.1": "video/mpeg", "4.101": "video/mpeg", "4.101.1": "video/mpeg",
    **{f"4.{number}{tail}": "video/mp4" for number in range(102, 107) for tail in ("", ".1")},
    "4.107": "video/H265", "4.108": "video/H265",
}  # fmt: skip
CODESTREAMS = {f"1.2.840.10008.1.2.{tail}": name for tail, name in _CODESTREAMS.items()}
"""Media type of the codestream by transfer syntax, PS3.18 8.7.3.3."""

Numbers = Annotated[str, Path(pattern=r"^[0-9]{1,9}(,[0-9]{1,9})*$")]


class FrameSource:
    """Gives the bytes of frames."""

    def __init__(self, shelf: Shelf, index: FrameIndex, darkroom: Darkroom) -> None:
        self._shelf = shelf
        self._index = index
        self._darkroom = darkroom

    def frames(self, held: Held) -> Frames:
        """Return where the frames of an object lie; raise 404 if it has none."""
        try:
            return self._index.frames(held.sha256, self._shelf.path(held.sha256))
        except FileNotFoundError as gone:
            raise HTTPException(404, "this is here no more") from gone
        except Unreadable as fault:
            raise HTTPException(404, f"there are no frames: {fault}") from fault

    def lying(self, held: Held, frames: Frames, number: int) -> Sequence[Piece]:
        """Return a frame as it lies in the file."""
        path = self._shelf.path(held.sha256)
        try:
            if frames.is_encapsulated or frames.bits % 8 == 0:
                return parts_of(frames, number, path)
            return [frame_in_bits(frames, number, path)]
        except FileNotFoundError as gone:
            raise HTTPException(404, "this is here no more") from gone

    def pieces(self, held: Held, frames: Frames, number: int, offer: Offer) -> Iterator[Piece]:
        """Yield a frame as it is offered."""
        if frames.is_plain or offer.transfer_syntax_uid == frames.transfer_syntax_uid:
            yield from self.lying(held, frames, number)
            return
        with open_file(self._shelf.path(held.sha256)) as file:
            made = self._darkroom.make(NativeFrame(number), file)
        yield FilePart(made.file, 0, made.size_bytes)


def frame_offers(frames: Frames, *, is_one: bool) -> list[Offer]:
    """Return as what frames can be given: as parts, and a single one also alone."""
    found: list[Offer] = []
    for is_multipart in (True, False) if is_one else (True,):
        found += _offers(frames, is_multipart=is_multipart)
    return found


def _offers(frames: Frames, *, is_multipart: bool) -> Iterator[Offer]:
    stored = frames.transfer_syntax_uid
    is_decoded = stored in DECODABLE
    if frames.is_encapsulated:
        if stored in CODESTREAMS:
            yield Offer(
                media_type=CODESTREAMS[stored],
                transfer_syntax_uid=stored,
                is_multipart=is_multipart,
                is_for_anybody=not is_decoded,
            )
        yield Offer(
            media_type=OCTETS,
            transfer_syntax_uid=stored,
            is_multipart=is_multipart,
            is_default=False,
            is_for_anybody=False,
        )
    if is_decoded:
        yield Offer(
            media_type=OCTETS, transfer_syntax_uid=EXPLICIT_LITTLE, is_multipart=is_multipart
        )


def frames_router(shelf: Shelf, index: FrameIndex, darkroom: Darkroom) -> APIRouter:
    """Return the routes of frames."""
    router = APIRouter(prefix="/dicom-web", dependencies=[needs(Role.VIEWER)])
    source = FrameSource(shelf, index, darkroom)

    @router.api_route(
        "/studies/{study}/series/{series}/instances/{instance}/frames/{numbers}",
        methods=["GET", "HEAD"],
    )
    def frames(
        request: Request, study: Uid, series: Uid, instance: Uid, numbers: Numbers
    ) -> Response:
        """Return some frames in the order asked for."""
        held = shelf.one(study, series, instance)
        found = source.frames(held)
        wanted = [int(number) for number in numbers.split(",")]
        if not 1 <= min(wanted) <= max(wanted) <= found.last:
            raise HTTPException(404, f"there are {found.last} frames, from 1")
        offer = chosen(request, frame_offers(found, is_one=len(wanted) == 1))
        tag = tag_of([held], offer, wanted, root_of(request))
        had = known(request, tag)
        if had is not None:
            return had
        is_lying = found.is_plain or offer.transfer_syntax_uid == found.transfer_syntax_uid
        if not offer.is_multipart and is_lying:
            pieces = source.lying(held, found, wanted[0])
            return in_one_piece(request, pieces, offer.content_type, tag)
        made: Iterable[Piece] = source.pieces(held, found, wanted[0], offer)
        if not offer.is_multipart:
            return streamed(made, offer.content_type, tag)
        message = Message(offer.media_type, tag)
        place = f"{root_of(request)}{place_of(held)}/frames"
        parts = (
            Part(
                offer.content_type,
                source.pieces(held, found, number, offer),
                f"{place}/{number}",
            )
            for number in wanted
        )
        return streamed(message.pieces(parts), message.content_type, tag)

    return router
