"""Whole objects on their way out: as they are stored, or in Explicit VR Little Endian."""

from collections.abc import Iterator, Sequence
from functools import lru_cache
from pathlib import Path
from typing import BinaryIO

from fastapi import HTTPException, Request

from dicom_ai_node.domain.archive import Held
from dicom_ai_node.domain.showing import DECODABLE, Darkroom, Uncompressed
from dicom_ai_node.serve.dicomweb.accept import (
    EXPLICIT_LITTLE,
    MediaRange,
    Offer,
    asked,
    best,
    not_acceptable,
)
from dicom_ai_node.serve.dicomweb.held import Shelf, place_of
from dicom_ai_node.serve.dicomweb.multipart import Part
from dicom_ai_node.serve.dicomweb.sending import FilePart, Piece

DICOM, ZIP = "application/dicom", "application/zip"


@lru_cache
def offers(syntax: str, *, is_one: bool) -> tuple[Offer, ...]:
    """Return what can be made of an object that is stored in `syntax`."""
    found = []
    for media_type, is_multipart in ((DICOM, True), (ZIP, False), *([(DICOM, False)] * is_one)):
        if syntax != EXPLICIT_LITTLE:
            is_last = syntax not in DECODABLE
            found.append(
                Offer(
                    media_type=media_type,
                    transfer_syntax_uid=syntax,
                    is_multipart=is_multipart,
                    is_default=False,
                    is_for_anybody=is_last,
                )
            )
        if syntax in DECODABLE:
            found.append(
                Offer(
                    media_type=media_type,
                    transfer_syntax_uid=EXPLICIT_LITTLE,
                    is_multipart=is_multipart,
                )
            )
    return tuple(found)


class Choice:
    """In which form objects go out, and each in which transfer syntax.

    Raises
    ------
    HTTPException
        406, if one of them cannot be given as it is asked for.
    """

    def __init__(self, request: Request, held: Sequence[Held], *, is_one: bool) -> None:
        wanted = asked(request)
        syntaxes = dict.fromkeys(one.transfer_syntax_uid for one in held)
        first = self._best(wanted, offers(next(iter(syntaxes)), is_one=is_one))
        self.media_type, self.is_multipart = first.media_type, first.is_multipart
        self._syntaxes = {
            syntax: self._best(
                wanted, self._alike(offers(syntax, is_one=is_one))
            ).transfer_syntax_uid
            for syntax in syntaxes
        }

    @staticmethod
    def _best(wanted: Sequence[Sequence[MediaRange]], there: Sequence[Offer]) -> Offer:
        found = best(wanted, there)
        if found is None:
            raise not_acceptable(there)
        return found

    def _alike(self, there: Sequence[Offer]) -> list[Offer]:
        return [
            one
            for one in there
            if (one.media_type, one.is_multipart) == (self.media_type, self.is_multipart)
        ]

    def syntax(self, one: Held) -> str:
        """Return the transfer syntax in which an object goes out."""
        return self._syntaxes[one.transfer_syntax_uid]

    def is_stored(self, one: Held) -> bool:
        """Return whether it goes out byte for byte as it came."""
        return self.syntax(one) == one.transfer_syntax_uid

    def content_type(self, one: Held) -> str:
        """Return the Content-Type of one object."""
        return f"{DICOM}; transfer-syntax={self.syntax(one)}"

    def __repr__(self) -> str:
        """Return what the bytes that go out depend on."""
        return f"{self.media_type} {self.is_multipart} {sorted(self._syntaxes.items())}"


class Objects:
    """Gives the bytes of objects, converted where that is needed, one at a time."""

    def __init__(self, shelf: Shelf, darkroom: Darkroom) -> None:
        self._shelf = shelf
        self._darkroom = darkroom

    def part(self, one: Held, choice: Choice, root: str) -> Part:
        """Return an object as a part of a message."""
        return Part(choice.content_type(one), self.pieces(one, choice), f"{root}{place_of(one)}")

    def pieces(self, one: Held, choice: Choice) -> Iterator[Piece]:
        """Yield the bytes of an object."""
        path = self._shelf.path(one.sha256)
        if choice.is_stored(one):
            yield FilePart(path, 0, one.size_bytes)
            return
        with open_file(path) as file:
            made = self._darkroom.make(Uncompressed(), file)
        yield FilePart(made.file, 0, made.size_bytes)


def open_file(path: Path) -> BinaryIO:
    """Open what is stored; raise 404 if it was removed in this moment."""
    try:
        return path.open("rb")
    except FileNotFoundError as gone:
        raise HTTPException(404, "this is here no more") from gone
