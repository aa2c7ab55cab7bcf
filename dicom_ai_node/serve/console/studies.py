"""The list of studies: as they arrive, or as somebody looks for one."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Annotated

from fastapi import APIRouter, Depends, Query, Request
from fastapi.responses import HTMLResponse

from dicom_ai_node.domain import archive as asked
from dicom_ai_node.domain.archive import Header, Key, Level
from dicom_ai_node.domain.uids import StudyInstanceUID
from dicom_ai_node.serve.console.asked import Moment
from dicom_ai_node.serve.console.desk import Desk
from dicom_ai_node.serve.console.page import Pages
from dicom_ai_node.serve.console.patients import STUDY, patients_of, uid_in

AT_ONCE = 30
MOST_PAGES = 300
_WHOM = ("00100010", "00100020", "00080050")  # name, ID, accession number


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """What was typed into the search."""

    text: str = ""
    since: str = ""
    until: str = ""
    modality: str = ""

    @property
    def is_anything(self) -> bool:
        """Whether anything was typed."""
        return bool(self.text or self.since or self.until or self.modality)

    def keys(self) -> list[Key]:
        """Return what every study has to match but for whose it is."""
        found = []
        since, until = (date.replace("-", "") for date in (self.since, self.until))
        if since or until:
            found.append(Key(path=("00080020",), value=f"{since}-{until}"))
        if self.modality:
            found.append(Key(path=("00080061",), value=self.modality.upper()))
        return found


_Date = Annotated[str, Query(pattern=r"^(\d{4}-\d{2}-\d{2})?$")]


def wanted_in(
    q: Annotated[str, Query(max_length=64)] = "",
    since: _Date = "",
    until: _Date = "",
    modality: Annotated[str, Query(pattern=r"^[A-Za-z]{0,16}$")] = "",
) -> Wanted:
    """Return what was typed into the search."""
    return Wanted(text=q.strip(), since=since, until=until, modality=modality)


def add_studies(router: APIRouter, desk: Desk, pages: Pages) -> None:
    """Add the list of studies."""

    @router.get("/studies")
    def studies(
        request: Request,
        wanted: Annotated[Wanted, Depends(wanted_in)],
        before: Moment | None = None,
        number: Annotated[int, Query(ge=1, le=MOST_PAGES)] = 1,
    ) -> HTMLResponse:
        """List studies."""
        facts = _found(desk, wanted, number) if wanted.is_anything else _newest(desk, before)
        return pages.show(request, "studies", {"wanted": wanted, "number": number, **facts})


def _newest(desk: Desk, before: datetime | None) -> Mapping[str, object]:
    seen = desk.overview.studies(AT_ONCE, before)
    uids = [one.study_instance_uid for one in seen]
    return {
        "uids": uids,
        "seen": {one.study_instance_uid: one for one in seen},
        "patients": patients_of(desk.archive, uids),
        "is_live": before is None,
        "next_before": seen[-1].first_received.isoformat() if len(seen) == AT_ONCE else "",
        "has_more": False,
    }


def _found(desk: Desk, wanted: Wanted, number: int) -> Mapping[str, object]:
    headers, has_more = search(desk.archive, wanted, AT_ONCE * (number - 1))
    uids = [StudyInstanceUID(uid) for uid in headers]
    seen = desk.overview.studies_called(uids)
    return {
        "uids": uids,
        "seen": seen,
        "patients": headers,
        "is_live": False,
        "next_before": "",
        "has_more": has_more and number < MOST_PAGES,
    }


def search(
    archive: asked.Archive, wanted: Wanted, offset: int
) -> tuple[Mapping[str, Header], bool]:
    """Return the studies of a page by their UIDs, and whether there are more.

    A text may be a name, an ID or an accession number: each is asked for, a study told once.
    """
    found: dict[str, Header] = {}
    has_more = False
    for keys in _ways(wanted):
        query = asked.Query(
            level=Level.STUDY, keys=keys, is_fuzzy=True, limit=AT_ONCE + 1, offset=offset
        )
        some = archive.search(query)
        has_more = has_more or len(some) > AT_ONCE
        found.update({uid_in(one, STUDY): one for one in some[:AT_ONCE]})
    return found, has_more


def _ways(wanted: Wanted) -> Sequence[tuple[Key, ...]]:
    others = wanted.keys()
    if not wanted.text:
        return [tuple(others)]
    # What would be several values to DICOM is one text to a person.
    text = wanted.text.replace("\\", " ")
    return [(Key(path=(tag,), value=f"*{text}*"), *others) for tag in _WHOM]
