"""Instances as XML and bulk data, PS3.18 10.5.1.2: a part for each header, and the answer in XML."""

import json

import pytest
from pydicom import Dataset, dcmread

from dicom_ai_node.domain.native_model import xml_of
from dicom_ai_node.domain.native_model_read import header_of
from tests.receive.conftest import quick_path  # noqa: F401 - a fixture
from tests.receive.test_web import INSTANCE, REFERENCED, as_json, images
from tests.receive.webdesk import WebNode, start_web, web  # noqa: F401 - fixtures

XML = "application/dicom+xml"
TYPE = f'multipart/related; type="{XML}"; boundary=frontier'


def as_xml(image: Dataset, uri: str) -> bytes:
    """Return an image as metadata, its pixels left out."""
    (item,) = json.loads(as_json(image, uri))
    return xml_of(item)


def body(*parts: tuple[str, str, bytes]) -> bytes:
    """Return a body of parts by type and location."""
    content = b""
    for kind, location, data in parts:
        where = f"Content-Location: {location}\r\n" if location else ""
        content += f"--frontier\r\nContent-Type: {kind}\r\n{where}\r\n".encode() + data + b"\r\n"
    return content + b"--frontier--"


def test_headers_as_xml_and_bulk_data_become_files(web: WebNode) -> None:  # noqa: F811
    """One part for each instance, then their pixels; the answer is XML for who asks for that."""
    made = images(2, StudyDescription="Hüfte")
    headers = [(XML, "", as_xml(image, f"p{place}")) for place, image in enumerate(made)]
    pixels = [
        ("application/octet-stream", f"p{place}", image.PixelData)
        for place, image in enumerate(made)
    ]
    answer = web.post(body(*headers, *pixels), Content_Type=TYPE, Accept=XML)
    assert (answer.status_code, answer.headers["Content-Type"]) == (200, XML)
    told = header_of(answer.content)
    stored = [item[INSTANCE]["Value"][0] for item in told[REFERENCED]["Value"]]
    assert stored == [image.SOPInstanceUID for image in made]
    for arrival, image in zip(web.diary.arrivals, made, strict=True):
        kept = dcmread(web.blobs.path(arrival.instance.sha256))
        image.SpecificCharacterSet = "ISO_IR 192"
        image["PixelData"].VR = "OW"
        assert kept == image
    assert not web.files("spool")


@pytest.mark.parametrize(
    ("metadata", "status"),
    [
        pytest.param(b"<x", 400, id="no XML"),
        pytest.param(b"<!DOCTYPE x [<!ENTITY a 'b'>]><NativeDicomModel/>", 400, id="a DOCTYPE"),
        pytest.param(b"<NativeDicomModel/>", 409, id="an empty instance"),
    ],
)
def test_xml_that_makes_no_instance_is_refused(
    web: WebNode,  # noqa: F811
    metadata: bytes,
    status: int,
) -> None:
    """Nothing of it stays."""
    assert web.post(body((XML, "", metadata)), Content_Type=TYPE).status_code == status
    assert web.post(body(("text/plain", "", metadata)), Content_Type=TYPE).status_code == 415
    assert not web.diary.arrivals
    assert not web.files("spool")
