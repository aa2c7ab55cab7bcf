"""Pictures for our own pages, where no viewer runs: an image with segments on it, and their names.

What the standard has pictures for stands in `dicomweb/rendered.py`.
"""

import json
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Annotated, Any

from fastapi import APIRouter, Depends, HTTPException, Query, Request
from fastapi import Path as InPath
from fastapi.responses import Response

from dicom_ai_node.domain.archive import Archive, Held
from dicom_ai_node.domain.colour import rgb_of
from dicom_ai_node.domain.showing import Darkroom, Overlaid
from dicom_ai_node.domain.uids import Sha256, SOPInstanceUID
from dicom_ai_node.serve.access import Role, needs
from dicom_ai_node.serve.dicomweb.answers import in_one_piece, known
from dicom_ai_node.serve.dicomweb.held import Shelf, tag_of
from dicom_ai_node.serve.dicomweb.objects import open_file
from dicom_ai_node.serve.dicomweb.rendered import PNG, Wanted
from dicom_ai_node.serve.dicomweb.sending import FilePart
from dicom_ai_node.serve.uid_in_url import UID, Uid

MOST_OVERLAYS = 8
OneUid = Annotated[str, Query(pattern=UID)]
Frame = Annotated[int, InPath(ge=1)]
Overlays = Annotated[
    list[OneUid], Query(alias="with", max_length=MOST_OVERLAYS, default_factory=list)
]
_INSTANCE = "/studies/{study}/series/{series}/instances/{instance}"


def _place(study: Uid, series: Uid, instance: Uid) -> tuple[str, str, str]:
    return study, series, instance


Instance = Annotated[tuple[str, str, str], Depends(_place)]


def pictures_router(
    archive: Archive, path: Callable[[Sha256], Path], darkroom: Darkroom
) -> APIRouter:
    """Return the routes of pictures; `path` says where a blob lies."""
    router = APIRouter(prefix="/api", dependencies=[needs(Role.VIEWER)])
    shelf = Shelf(archive, path)

    @router.get(
        f"{_INSTANCE}/frames/{{frame}}/picture",
        response_class=Response,
        responses={200: {"content": {PNG: {}}}},
    )
    def picture(
        request: Request, place: Instance, frame: Frame, overlays: Overlays, wanted: Wanted
    ) -> Response:
        """Return a frame as PNG, with the segments of some segmentations in their colours."""
        held = [shelf.one(*place), *_of_study(archive, place[0], overlays)]
        order = Overlaid(frame, wanted.window, wanted.viewport)
        tag = tag_of(held, order)
        had = known(request, tag)
        if had is not None:
            return had
        with ExitStack() as opened:
            files = [opened.enter_context(open_file(path(one.sha256))) for one in held]
            made = darkroom.make(order, *files)
        return in_one_piece(request, [FilePart(made.file, 0, made.size_bytes)], PNG, tag)

    @router.get(f"{_INSTANCE}/segments")
    def segments(place: Instance) -> Mapping[str, Any]:
        """Return the segments of a segmentation, and the frames that they were found on."""
        held = shelf.one(*place)
        header = json.loads(next(iter(archive.headers([held]))))
        found = [_segment(item) for item in _items(header, "00620002")]
        if not found:
            raise HTTPException(404, "this has no segments")
        return {"segments": found, "on": _sources(header)}

    return router


def _of_study(archive: Archive, study: str, overlays: Sequence[str]) -> list[Held]:
    """Return what lies over an image, in the order asked for; raise 404 for what is not here."""
    found = {
        one.sop_instance_uid: one
        for one in archive.instances([SOPInstanceUID(uid) for uid in overlays])
        if one.study_instance_uid == study
    }
    if set(found) != set(overlays):
        raise HTTPException(404, "there is no such segmentation in this study")
    return [found[SOPInstanceUID(uid)] for uid in dict.fromkeys(overlays)]


def _segment(item: Mapping[str, Any]) -> Mapping[str, Any]:
    number = int(_first(item, "00620004", 1))
    red, green, blue = rgb_of(item.get("0062000D", {}).get("Value"), number)
    return {
        "number": number,
        "label": _first(item, "00620005", ""),
        "colour": f"#{red:02x}{green:02x}{blue:02x}",
    }


def _sources(header: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    """Return each frame of an image that a frame of the segmentation names, once."""
    found: dict[tuple[str, int], None] = {}
    groups = [*_items(header, "52009230"), *_items(header, "52009229")]
    for group in groups:
        for derivation in _items(group, "00089124"):
            for source in _items(derivation, "00082112"):
                frames = source.get("00081160", {}).get("Value") or [1]
                uid = str(_first(source, "00081155", ""))
                found.update(dict.fromkeys((uid, int(frame)) for frame in frames))
    return [{"sop_instance_uid": uid, "frame": frame} for uid, frame in found]


def _items(header: Mapping[str, Any], tag: str) -> Sequence[Mapping[str, Any]]:
    return header.get(tag, {}).get("Value") or ()


def _first(item: Mapping[str, Any], tag: str, otherwise: str | int) -> Any:  # noqa: ANN401
    return (item.get(tag, {}).get("Value") or [otherwise])[0]
