"""From a path below `/dicom-web` to what is held: the same short look-up for every resource."""

import hashlib
import time
from collections import OrderedDict
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from threading import Lock

from fastapi import HTTPException, Request

from dicom_ai_node.domain.archive import Archive, Held
from dicom_ai_node.domain.uids import SeriesInstanceUID, Sha256, SOPInstanceUID, StudyInstanceUID

REMEMBERED_SECONDS = 2.0
"""Who asks for an instance soon asks for its neighbours; so long its series is not looked up again.

What is found stays the same as long as it is there, and what is not found is always looked up.
"""
MOST_REMEMBERED = 64


@dataclass(frozen=True, slots=True)
class _Known:
    instances: dict[str, Held]
    until: float


class Shelf:
    """Finds what is held and the file that it lies in; any number of threads may ask."""

    def __init__(self, archive: Archive, path: Callable[[Sha256], Path]) -> None:
        self.archive = archive
        self.path = path
        self._lock = Lock()
        self._series: OrderedDict[tuple[str, str], _Known] = OrderedDict()

    def all(self, study: str, series: str | None = None) -> Sequence[Held]:
        """Return a study or one of its series; raise 404 if it is not here."""
        found = self.archive.held(
            StudyInstanceUID(study), None if series is None else SeriesInstanceUID(series)
        )
        if not found:
            raise HTTPException(404, "there is no such study or series here")
        return found

    def one(self, study: str, series: str, instance: str) -> Held:
        """Return one instance; raise 404 if it is not here."""
        with self._lock:
            known = self._series.get((study, series))
        if known is not None and known.until > time.monotonic():
            found = known.instances.get(instance)
            if found is not None:
                return found
            return self._looked_up(study, series, instance)
        held = self.archive.held(StudyInstanceUID(study), SeriesInstanceUID(series))
        self._remember(study, series, held)
        return _only([one for one in held if one.sop_instance_uid == instance])

    def _looked_up(self, study: str, series: str, instance: str) -> Held:
        return _only(
            self.archive.held(
                StudyInstanceUID(study), SeriesInstanceUID(series), SOPInstanceUID(instance)
            )
        )

    def _remember(self, study: str, series: str, held: Sequence[Held]) -> None:
        known = _Known(
            {one.sop_instance_uid: one for one in held}, time.monotonic() + REMEMBERED_SECONDS
        )
        with self._lock:
            self._series[study, series] = known
            self._series.move_to_end((study, series))
            if len(self._series) > MOST_REMEMBERED:
                self._series.popitem(last=False)


def _only(found: Sequence[Held]) -> Held:
    if not found:
        raise HTTPException(404, "there is no such instance here")
    return found[0]


def tag_of(held: Sequence[Held], *about: object) -> str:
    """Return the ETag of what is made of these objects: it follows from their bytes."""
    digest = hashlib.sha256(repr(about).encode())
    for one in held:
        digest.update(one.sha256.encode())
    return f'"{digest.hexdigest()[:40]}"'


def is_known(request: Request, tag: str) -> bool:
    """Return whether the asker has this already, RFC 9110 13.1.2."""
    said = request.headers.get("if-none-match")
    if said is None:
        return False
    return said.strip() == "*" or tag in [one.strip().removeprefix("W/") for one in said.split(",")]


def place_of(held: Held) -> str:
    """Return the path of an instance below `/dicom-web`."""
    return (
        f"/studies/{held.study_instance_uid}/series/{held.series_instance_uid}"
        f"/instances/{held.sop_instance_uid}"
    )


def root_of(request: Request) -> str:
    """Return the address of the DICOMweb service as the asker knows it."""
    return f"{str(request.base_url).rstrip('/')}/dicom-web"
