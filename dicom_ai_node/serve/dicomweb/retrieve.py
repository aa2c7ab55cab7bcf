"""WADO-RS: studies, series and instances as they are stored, PS3.18 10.4.1.1."""

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from fastapi import APIRouter, Request
from fastapi.responses import Response

from dicom_ai_node.domain.archive import Archive, Held
from dicom_ai_node.domain.showing import Darkroom
from dicom_ai_node.domain.uids import Sha256
from dicom_ai_node.serve.access import Role, needs
from dicom_ai_node.serve.dicomweb.answers import in_one_piece, known, streamed
from dicom_ai_node.serve.dicomweb.bulk_data import bulk_data_router
from dicom_ai_node.serve.dicomweb.bulk_data_together import bulk_data_together_router
from dicom_ai_node.serve.dicomweb.frame_routes import frames_router
from dicom_ai_node.serve.dicomweb.frames import FrameIndex
from dicom_ai_node.serve.dicomweb.held import Shelf, root_of, tag_of
from dicom_ai_node.serve.dicomweb.metadata import metadata_router
from dicom_ai_node.serve.dicomweb.multipart import Message
from dicom_ai_node.serve.dicomweb.objects import DICOM, ZIP, Choice, Objects
from dicom_ai_node.serve.dicomweb.rendered import rendered_router
from dicom_ai_node.serve.dicomweb.sending import FilePart
from dicom_ai_node.serve.dicomweb.zipped import zipped
from dicom_ai_node.serve.uid_in_url import Uid

READ = ["GET", "HEAD"]


def retrieve_routers(
    archive: Archive, path: Callable[[Sha256], Path], darkroom: Darkroom
) -> Iterator[APIRouter]:
    """Yield the routes by which everything that is held is retrieved.

    Parameters
    ----------
    path
        Where a blob lies.
    """
    shelf, index = Shelf(archive, path), FrameIndex()
    yield metadata_router(shelf)
    yield bulk_data_router(shelf, index, darkroom)
    yield bulk_data_together_router(shelf, index, darkroom)
    yield frames_router(shelf, index, darkroom)
    yield rendered_router(shelf, darkroom)
    yield objects_router(shelf, Objects(shelf, darkroom))


def objects_router(shelf: Shelf, objects: Objects) -> APIRouter:
    """Return the routes of whole objects."""
    router = APIRouter(prefix="/dicom-web", dependencies=[needs(Role.VIEWER)])

    def several(request: Request, held: Sequence[Held], choice: Choice) -> Response:
        root = root_of(request)
        tag = tag_of(held, choice, root)
        if choice.media_type == ZIP:
            return known(request, tag) or streamed(zipped(held, choice, objects), ZIP, tag)
        return known(request, tag) or _together(objects, held, choice, root, tag)

    @router.api_route("/studies/{study}", methods=READ)
    def study(request: Request, study: Uid) -> Response:
        """Return all objects of a study."""
        held = shelf.all(study)
        return several(request, held, Choice(request, held, is_one=False))

    @router.api_route("/studies/{study}/series/{series}", methods=READ)
    def series(request: Request, study: Uid, series: Uid) -> Response:
        """Return all objects of a series."""
        held = shelf.all(study, series)
        return several(request, held, Choice(request, held, is_one=False))

    @router.api_route("/studies/{study}/series/{series}/instances/{instance}", methods=READ)
    def instance(request: Request, study: Uid, series: Uid, instance: Uid) -> Response:
        """Return one object, alone or as the only part of a message."""
        held = shelf.one(study, series, instance)
        choice = Choice(request, [held], is_one=True)
        if choice.media_type == ZIP or choice.is_multipart:
            return several(request, [held], choice)
        tag = tag_of([held], choice)
        if not choice.is_stored(held):
            content_type = choice.content_type(held)
            return known(request, tag) or streamed(objects.pieces(held, choice), content_type, tag)
        file = FilePart(shelf.path(held.sha256), 0, held.size_bytes)
        return known(request, tag) or in_one_piece(request, [file], choice.content_type(held), tag)

    return router


def _together(
    objects: Objects, held: Sequence[Held], choice: Choice, root: str, tag: str
) -> Response:
    message = Message(DICOM, tag)
    size = None
    if all(map(choice.is_stored, held)):
        parts = [objects.part(one, choice, root) for one in held]
        size = message.size_bytes(parts, [one.size_bytes for one in held])
    parts_to_come = (objects.part(one, choice, root) for one in held)
    return streamed(message.pieces(parts_to_come), message.content_type, tag, size)


__all__ = ["retrieve_routers"]
