"""The first page: what arrives, what waits, what needs a person, how fast, how full."""

from collections.abc import Mapping
from typing import Any

from fastapi import APIRouter, Request
from fastapi.responses import HTMLResponse

from dicom_ai_node.domain.job import Stage
from dicom_ai_node.domain.overview import JobFilter
from dicom_ai_node.serve.console.charts import day_of, hours, legs
from dicom_ai_node.serve.console.desk import Desk, Remembered
from dicom_ai_node.serve.console.page import Pages
from dicom_ai_node.serve.console.patients import patients_of
from dicom_ai_node.serve.console.sending import seen_at
from dicom_ai_node.serve.console.use import first_minute, hour_of

LEGS = ("arriving", "waiting", "inferring", "encoding", "delivering")
NEWEST = 8
TIMED_JOBS = 200
CHART_SECONDS = 10.0
"""How old the charts may be: they are of a day."""
FOR_A_PERSON = (Stage.PARKED, Stage.QUARANTINED)


def add_home(router: APIRouter, desk: Desk, pages: Pages) -> None:
    """Add the overview."""
    overview = desk.overview

    def measured() -> Mapping[str, Any]:
        now = desk.now()
        return {
            "hours": hours(overview.hourly(day_of(now)), now),
            "legs": legs(overview.leg_seconds(TIMED_JOBS), LEGS),
            "use": hour_of(overview.device_use(first_minute(now)), now),
            "destinations": {
                name: seen_at(desk, name, is_brief=True) for name in desk.destinations
            },
        }

    charts = Remembered(measured, CHART_SECONDS)

    @router.get("/")
    def home(request: Request) -> HTMLResponse:
        """Show how the node is doing."""
        studies = overview.studies(NEWEST)
        facts = {
            "studies": studies,
            "patients": patients_of(desk.archive, [one.study_instance_uid for one in studies]),
            "failures": overview.jobs_listed(JobFilter(stages=FOR_A_PERSON, limit=NEWEST)),
            "at_work": overview.at_work(),
            "now": desk.now(),
        }
        return pages.show(request, "overview", {**charts(), **facts})
