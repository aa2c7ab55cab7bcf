"""What the console shows, as JSON: the same desk, the same questions, for programs.

Every answer is described field by field in `/api/openapi.json`.
"""

from fastapi import APIRouter

from dicom_ai_node.serve.access import Role, needs
from dicom_ai_node.serve.api.aside import add_quarantine
from dicom_ai_node.serve.api.audit import add_audit
from dicom_ai_node.serve.api.jobs import add_jobs
from dicom_ai_node.serve.api.models import add_models
from dicom_ai_node.serve.api.node import add_node
from dicom_ai_node.serve.api.routing import add_routes
from dicom_ai_node.serve.api.sending import add_destinations
from dicom_ai_node.serve.api.shape import ApiRoute
from dicom_ai_node.serve.api.studies import add_studies
from dicom_ai_node.serve.console.desk import Desk


def api_router(desk: Desk) -> APIRouter:
    """Return the routes of the console's data."""
    router = APIRouter(
        prefix="/api",
        dependencies=[needs(Role.VIEWER)],
        route_class=ApiRoute,
        tags=["console"],
    )
    for add in (
        add_node, add_studies, add_jobs, add_routes, add_destinations, add_models, add_quarantine,
        add_audit,
    ):  # fmt: skip
        add(router, desk)
    return router
