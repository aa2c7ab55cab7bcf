"""Studies: as they arrive, or as somebody looks for one; and one with all that became of it."""

from datetime import datetime
from typing import Annotated

from fastapi import APIRouter, Depends, HTTPException, Query, Request

from dicom_ai_node.domain import json_model
from dicom_ai_node.domain.archive import Header
from dicom_ai_node.domain.job import Event, Stage
from dicom_ai_node.domain.overview import SeriesSeen, StudySeen
from dicom_ai_node.domain.uids import StudyInstanceUID
from dicom_ai_node.serve.api.jobs import EventTold, JobTold, event_told, job_told
from dicom_ai_node.serve.api.shape import AUid, Shape, next_page, refusals
from dicom_ai_node.serve.console.asked import Moment
from dicom_ai_node.serve.console.desk import Desk, RouteSays
from dicom_ai_node.serve.console.patients import patients_of
from dicom_ai_node.serve.console.story import told_by_routes
from dicom_ai_node.serve.console.studies import AT_ONCE, MOST_PAGES, Wanted, search, wanted_in

_NO_STUDY = "there is no such study here"


class StudyTold(Shape):
    """A study: whose it is, how much of it has arrived, and how far its jobs are."""

    study_instance_uid: str
    """Study Instance UID (0020,000D)."""
    patient_name: str
    """Patient's Name (0010,0010) as DICOM writes it, groups parted by =; empty if not known."""
    patient_id: str
    """Patient ID (0010,0020)."""
    accession_number: str
    """Accession Number (0008,0050)."""
    study_date: str
    """Study Date (0008,0020), YYYYMMDD."""
    study_description: str
    """Study Description (0008,1030)."""
    modalities: list[str]
    """Of what was received; without what this node has made."""
    senders: list[str]
    """The AE titles that it came from."""
    series: int
    """How many series were received."""
    instances: int
    """How many instances were received."""
    first_received: datetime | None
    """When the newest series began to arrive; null if only results of this node are here."""
    is_open: bool
    """Whether a series of it is still arriving."""
    jobs: dict[Stage, int]
    """How many of its jobs are in which stage."""


class StudiesTold(Shape):
    """Studies: those with the newest series first, or in the order of the search."""

    studies: list[StudyTold]
    """A page of them."""
    next: str | None
    """Where the next page is; null on the last."""


class RouteTold(Shape):
    """What a route said to a series."""

    route: str
    """The route."""
    answer: str
    """Takes it, takes it and waits, or does not take it."""
    reasons: list[str]
    """Why, one sentence each."""


class SeriesTold(Shape):
    """A series as it was received, what happened to it, and what the routes said to it."""

    series_instance_uid: str
    """Series Instance UID (0020,000E)."""
    modality: str
    """Modality (0008,0060)."""
    description: str
    """Series Description (0008,103E)."""
    sender: str
    """The AE title that it came from."""
    instances: int
    """How many have arrived."""
    first_received: datetime
    """When its first instance came."""
    last_received: datetime
    """When its last instance came."""
    is_open: bool
    """Whether it is still arriving."""
    is_ours: bool
    """Whether this node has made it."""
    waits_because: str
    """Why it does not count as complete yet."""
    complete_because: str
    """Why it counts as complete."""
    routes: list[RouteTold]
    """What every route said when it was last complete."""
    time_line: list[EventTold]
    """What happened to it, in order."""


class StudyFull(StudyTold):
    """A study with its series and its jobs."""

    all_series: list[SeriesTold]
    """What was received, in the order in which it came."""
    all_jobs: list[JobTold]
    """Its jobs in the order in which they were made."""


def add_studies(router: APIRouter, desk: Desk) -> None:
    """Add the studies."""

    @router.get("/studies")
    def studies(
        request: Request,
        wanted: Annotated[Wanted, Depends(wanted_in)],
        before: Annotated[
            Moment | None,
            Query(description="without a search: only what came before; see `next`"),
        ] = None,
        number: Annotated[
            int, Query(ge=1, le=MOST_PAGES, description="with a search: which page of it")
        ] = 1,
    ) -> StudiesTold:
        """List studies as they arrive, or look for some.

        `q` is a part of a patient's name, of an ID or of an accession number; `since` and `until`
        are study dates, YYYY-MM-DD.
        """
        if wanted.is_anything:
            return _found(request, desk, wanted, number)
        return _newest(request, desk, before)

    @router.get("/studies/{study_instance_uid}", responses=refusals(s404=_NO_STUDY))
    def study(study_instance_uid: AUid) -> StudyFull:
        """Return one study with its series, its jobs, and what happened to each."""
        uid = StudyInstanceUID(study_instance_uid)
        header = patients_of(desk.archive, [uid]).get(uid)
        seen = desk.overview.studies_called([uid]).get(uid)
        if header is None and seen is None:
            raise HTTPException(404, _NO_STUDY)
        lines: dict[str, list[Event]] = {}
        for one in desk.overview.study_events(uid):
            if one.series_instance_uid is not None:
                lines.setdefault(one.series_instance_uid, []).append(one.event)
        return StudyFull(
            **dict(_told(uid, header or {}, seen)),
            all_series=[
                _series(one, lines.get(one.series_instance_uid, []))
                for one in (() if seen is None else seen.series)
            ],
            all_jobs=[job_told(one) for one in desk.overview.study_jobs(uid)],
        )


def route_told(says: RouteSays) -> RouteTold:
    """Return what one route says."""
    return RouteTold(route=says.route, answer=says.answer, reasons=list(says.reasons))


def _newest(request: Request, desk: Desk, before: datetime | None) -> StudiesTold:
    seen = desk.overview.studies(AT_ONCE, before)
    patients = patients_of(desk.archive, [one.study_instance_uid for one in seen])
    more = len(seen) == AT_ONCE
    return StudiesTold(
        studies=[
            _told(one.study_instance_uid, patients.get(one.study_instance_uid, {}), one)
            for one in seen
        ],
        next=next_page(request, {"before": seen[-1].first_received.isoformat()}) if more else None,
    )


def _found(request: Request, desk: Desk, wanted: Wanted, number: int) -> StudiesTold:
    headers, has_more = search(desk.archive, wanted, AT_ONCE * (number - 1))
    seen = desk.overview.studies_called([StudyInstanceUID(uid) for uid in headers])
    more = has_more and number < MOST_PAGES
    return StudiesTold(
        studies=[
            _told(uid, header, seen.get(StudyInstanceUID(uid))) for uid, header in headers.items()
        ],
        next=next_page(request, {"number": number + 1}) if more else None,
    )


def _told(uid: str, header: Header, seen: StudySeen | None) -> StudyTold:
    return StudyTold(
        study_instance_uid=uid,
        patient_name=_name(header),
        patient_id=json_model.text(header, "PatientID"),
        accession_number=json_model.text(header, "AccessionNumber"),
        study_date=json_model.text(header, "StudyDate"),
        study_description=json_model.text(header, "StudyDescription"),
        modalities=[] if seen is None else list(seen.modalities),
        senders=[] if seen is None else list(seen.senders),
        series=0 if seen is None else len(seen.series),
        instances=0 if seen is None else seen.instances,
        first_received=None if seen is None else seen.first_received,
        is_open=seen is not None and seen.is_open,
        jobs={} if seen is None else dict(seen.stages),
    )


def _name(header: Header) -> str:
    """Return a patient's name as PS3.5 6.2 writes PN."""
    said = json_model.values(header, "PatientName")
    groups = (
        str(said[0].get(key) or "") if said else ""
        for key in ("Alphabetic", "Ideographic", "Phonetic")
    )
    return "=".join(groups).rstrip("=")


def _series(seen: SeriesSeen, line: list[Event]) -> SeriesTold:
    return SeriesTold(
        series_instance_uid=seen.series_instance_uid,
        modality=seen.modality,
        description=seen.description,
        sender=seen.calling_ae_title,
        instances=seen.instances,
        first_received=seen.first_received,
        last_received=seen.last_received,
        is_open=seen.is_open,
        is_ours=seen.is_ours,
        waits_because=seen.waits_because,
        complete_because=seen.complete_because,
        routes=[route_told(one) for one in told_by_routes(line)],
        time_line=[event_told(one) for one in line if one.what != "routing"],
    )
