"""The operator's console: pages made on the node, in the reader's language, without the internet.

Every page works without a script; with one it follows what happens. What a page shows it reads
through the ports of the domain; the few things that it sets going say so and ask before.
"""

from collections.abc import Iterator

from fastapi import APIRouter

from dicom_ai_node.serve.access import Role, needs
from dicom_ai_node.serve.console.aside import add_letting_in, add_quarantine
from dicom_ai_node.serve.console.audit import add_audit
from dicom_ai_node.serve.console.desk import Desk
from dicom_ai_node.serve.console.home import add_home
from dicom_ai_node.serve.console.jobs import add_jobs
from dicom_ai_node.serve.console.live import Live, add_live
from dicom_ai_node.serve.console.models import add_models
from dicom_ai_node.serve.console.near import add_similar
from dicom_ai_node.serve.console.page import Pages, page_route
from dicom_ai_node.serve.console.preferences import add_help, static_router
from dicom_ai_node.serve.console.routing import add_routes
from dicom_ai_node.serve.console.sending import add_destinations
from dicom_ai_node.serve.console.storage import add_storage
from dicom_ai_node.serve.console.studies import add_studies
from dicom_ai_node.serve.console.study import add_study
from dicom_ai_node.serve.console.trail import add_trail
from dicom_ai_node.serve.console.workers import add_workers


def console_routers(desk: Desk) -> Iterator[APIRouter]:
    """Yield the routes of the console: the pages, and what they load."""
    pages = Pages(desk)
    router = APIRouter(
        dependencies=[needs(Role.VIEWER)], route_class=page_route(pages), include_in_schema=False
    )
    for add in (
        add_home, add_studies, add_study, add_jobs, add_routes, add_destinations, add_models,
        add_workers, add_quarantine, add_letting_in, add_similar, add_audit, add_trail, add_storage,
    ):  # fmt: skip
        add(router, desk, pages)
    add_help(router, pages)
    add_live(router, Live(desk.overview.pulse))
    yield router
    yield static_router()
