"""What the node says that it can do is what it can do."""

import re
from xml.etree.ElementTree import fromstring

import pytest
from fastapi import FastAPI

from dicom_ai_node.serve.application import application
from dicom_ai_node.serve.dicomweb.capabilities import capabilities_router
from dicom_ai_node.serve.doors import OpenDoor
from dicom_ai_node.serve.openapi import document, openapi_router, operations
from tests.serve.window import Window

WADL = "{http://wadl.dev.java.net/2009/02}"


def test_capabilities_are_told_as_wadl(window: Window) -> None:
    """Resources with methods, parameters and media types, PS3.18 8.9; by OPTIONS as well."""
    for method in ("GET", "OPTIONS"):
        answer = window.ask("/dicom-web/", method=method)
        assert answer.status_code == 200
        assert answer.headers["content-type"].startswith("application/vnd.sun.wadl+xml")
        resources = fromstring(answer.content).find(f"{WADL}resources")
        assert resources is not None
        assert resources.get("base") == "http://node:8042/dicom-web"
        known = {one.get("path"): one for one in resources}
        assert {"studies", "series", "studies/{study}", "studies/{study}/metadata"} <= set(known)
        params = {one.get("name") for one in known["studies"].iter(f"{WADL}param")}
        assert {"limit", "offset", "includefield", "fuzzymatching"} <= params
        types = {one.get("mediaType") for one in known["studies"].iter(f"{WADL}representation")}
        assert "application/dicom+json" in types


def test_capabilities_are_told_as_json(window: Window) -> None:
    """The same, for whoever reads no XML; nothing else."""
    answer = window.ask("/dicom-web/", "application/json")
    assert answer.headers["content-type"] == "application/json"
    told = answer.json()["application"]["resources"]
    xml = fromstring(window.ask("/dicom-web/").content)
    paths = [one.get("path") for one in xml.iter(f"{WADL}resource")]
    assert [one["path"] for one in told["resource"]] == paths
    assert window.ask("/dicom-web/", "text/html").status_code == 406


def test_the_document_names_every_route(window: Window) -> None:
    """Each once, with its answers and refusals."""
    made = window.ask("/api/openapi.json").json()
    assert made["openapi"].startswith("3.1")
    names = [operation["operationId"] for _, _, operation in operations(made)]
    assert len(names) == len(set(names)) > 20
    for path, method, operation in operations(made):
        answers = operation["responses"]
        assert any(status.startswith("2") for status in answers), (path, method)
        assert {"401", "403", "503"} <= set(answers)
        asked = {one["name"] for one in operation.get("parameters", ()) if one["in"] == "path"}
        assert asked == set(re.findall(r"{(\w+)}", path))
    search = made["paths"]["/dicom-web/studies"]["get"]["responses"]["200"]["content"]
    xml = 'multipart/related; type="application/dicom+xml"'
    assert set(search) == {"application/dicom+json", "application/json", xml}


@pytest.fixture
def bare() -> FastAPI:
    """Return an application that can say what it is and nothing else."""
    return application(OpenDoor(), [openapi_router(), capabilities_router()])


def test_the_document_is_made_once(bare: FastAPI) -> None:
    """Whoever asks often costs nothing."""
    assert document(bare) is document(bare)
