"""What the DICOMweb service can do, PS3.18 8.9: as WADL, or the same as JSON."""

from collections.abc import Iterator, Mapping
from typing import Any
from xml.etree.ElementTree import Element, SubElement, tostring

from fastapi import APIRouter, Request
from fastapi.responses import JSONResponse, Response

from dicom_ai_node.serve.access import Role, needs
from dicom_ai_node.serve.dicomweb.accept import Offer, chosen
from dicom_ai_node.serve.dicomweb.held import root_of
from dicom_ai_node.serve.openapi import document, operations

_WADL = "http://wadl.dev.java.net/2009/02"
_OFFERS = (
    Offer(media_type="application/vnd.sun.wadl+xml"),
    Offer(media_type="application/json"),
    Offer(media_type="application/dicom+json"),
)
_SERVICE = "/dicom-web"
_STYLES = {"path": "template", "query": "query", "header": "header"}
_TYPES = {"integer": "xs:integer", "boolean": "xs:boolean"}


def capabilities_router() -> APIRouter:
    """Return the routes that say what there is."""
    router = APIRouter(prefix=_SERVICE, dependencies=[needs(Role.VIEWER)], tags=["capabilities"])
    answers: dict[int | str, dict[str, Any]] = {
        200: {"content": {offer.media_type: {} for offer in _OFFERS}}
    }

    @router.options("/", response_class=Response, responses=answers)
    @router.get("/", response_class=Response, responses=answers)
    def capabilities(request: Request) -> Response:
        """Describe the resources of DICOMweb with their methods, parameters and media types."""
        media_type = chosen(request, _OFFERS).media_type
        resources = list(_resources(document(request.app)))
        if media_type == _OFFERS[0].media_type:
            return Response(_wadl(resources, root_of(request)), media_type=media_type)
        told = {"application": {"resources": {"base": root_of(request), "resource": resources}}}
        return JSONResponse(told, media_type=media_type)

    return router


def _resources(made: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    """Yield each resource of the service with its methods, in the words of WADL."""
    methods: dict[str, list[dict[str, Any]]] = {}
    for path, method, operation in operations(made):
        if path.startswith(f"{_SERVICE}/"):
            known = methods.setdefault(path.removeprefix(f"{_SERVICE}/"), [])
            known.append(_method(method, operation))
    for place, known in methods.items():
        yield {"path": place, "method": known}


def _method(method: str, operation: Mapping[str, Any]) -> dict[str, Any]:
    body = operation.get("requestBody", {}).get("content", {})
    return {
        "name": method.upper(),
        "id": operation["operationId"],
        "doc": operation.get("description", ""),
        "request": {
            "param": [_param(one) for one in operation.get("parameters", ())],
            "representation": [{"mediaType": one} for one in body],
        },
        "response": [
            {"status": status, "representation": [{"mediaType": one} for one in said["content"]]}
            for status, said in operation["responses"].items()
            if status.startswith("2") and "content" in said
        ],
    }


def _param(one: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "name": one["name"],
        "style": _STYLES.get(one["in"], one["in"]),
        "type": _TYPES.get(one.get("schema", {}).get("type", ""), "xs:string"),
        "required": "true" if one.get("required") else "false",
    }


def _wadl(resources: list[dict[str, Any]], base: str) -> bytes:
    application = Element("application", {
        "xmlns": _WADL, "xmlns:xs": "http://www.w3.org/2001/XMLSchema",
    })  # fmt: skip
    listed = SubElement(application, "resources", {"base": base})
    for resource in resources:
        _add(listed, "resource", resource)
    text: bytes = tostring(application, encoding="utf-8", xml_declaration=True)
    return text


def _add(parent: Element, name: str, told: Mapping[str, Any]) -> None:
    """Add an element: what is told of it in texts are attributes, the rest are elements in it."""
    plain = {key: value for key, value in told.items() if isinstance(value, str) and key != "doc"}
    element = SubElement(parent, name, plain)
    if told.get("doc"):
        SubElement(element, "doc").text = told["doc"]
    for key, value in told.items():
        for one in value if isinstance(value, list) else [value]:
            if isinstance(one, Mapping) and one:
                _add(element, key, one)
