"""What is stored is retrieved: whole, in headers, in frames and in values."""

import io
import json
from zipfile import ZipFile

import numpy as np
import pytest
from pydicom import dcmread

from tests.serve.window import Window, parts, place, sample

DICOM = 'multipart/related; type="application/dicom"'
OCTETS = 'multipart/related; type="application/octet-stream"'
STORED = "transfer-syntax=*"


def test_an_instance_comes_as_it_was_stored(window: Window) -> None:
    """Byte for byte, in a message or alone."""
    dataset = window.put("CT_small.dcm")
    together = window.ask(place(dataset), DICOM)
    assert together.status_code == 200
    ((kind, body),) = parts(together)
    assert kind == "application/dicom; transfer-syntax=1.2.840.10008.1.2.1"
    assert body == window.stored(dataset)
    assert int(together.headers["content-length"]) == len(together.content)
    assert window.ask(place(dataset), "application/dicom").content == body


def test_a_study_comes_in_parts(window: Window) -> None:
    """One for each instance, each with its own transfer syntax, and where it may be had alone."""
    first, second = sample("MR_small.dcm"), sample("MR_small_RLE.dcm")
    second.StudyInstanceUID = first.StudyInstanceUID
    for one in (first, second):
        window.put(one)
    study = f"/dicom-web/studies/{first.StudyInstanceUID}"
    found = parts(window.ask(study, f"{DICOM}; {STORED}"))
    assert {body for _, body in found} == {window.stored(first), window.stored(second)}
    assert {kind.rsplit("=")[-1] for kind, _ in found} == {
        "1.2.840.10008.1.2.1", "1.2.840.10008.1.2.5",
    }  # fmt: skip
    native = [dcmread(io.BytesIO(body)) for _, body in parts(window.ask(study, DICOM))]
    assert len(native) == 2
    for one in native:
        assert one.file_meta.TransferSyntaxUID == "1.2.840.10008.1.2.1"
        assert np.array_equal(one.pixel_array, first.pixel_array)
    packed = ZipFile(io.BytesIO(window.ask(study, f"application/zip; {STORED}").content))
    assert packed.testzip() is None
    assert {packed.read(name) for name in packed.namelist()} == {body for _, body in found}


def test_metadata_name_their_bulk_data_and_it_can_be_retrieved(window: Window) -> None:
    """By the address under which the asker knows the node."""
    dataset = window.put("CT_small.dcm")
    answer = window.ask(f"{place(dataset)}/metadata", "application/dicom+json")
    (header,) = answer.json()
    assert answer.headers["content-type"] == "application/dicom+json"
    assert header["00280010"] == {"vr": "US", "Value": [128]}
    uri = header["7FE00010"]["BulkDataURI"]
    assert uri == f"http://node:8042{place(dataset)}/bulkdata/7FE00010"
    assert window.ask(uri, "application/octet-stream").content == dataset.PixelData
    ((kind, body),) = parts(window.ask(uri, OCTETS))
    assert (kind, body) == ("application/octet-stream", dataset.PixelData)
    packed = window.ask(f"{place(dataset)}/metadata", Accept_Encoding="gzip")
    assert packed.headers["content-encoding"] == "gzip"
    assert packed.json() == answer.json()


def test_frames_come_in_the_order_asked_for(window: Window) -> None:
    """Native ones straight from the file."""
    dataset = window.put("rtdose.dcm")
    frames = dataset.pixel_array
    found = parts(window.ask(f"{place(dataset)}/frames/3,1,15", f"{OCTETS}; {STORED}"))
    assert [body for _, body in found] == [frames[n].tobytes() for n in (2, 0, 14)]
    assert window.ask(f"{place(dataset)}/frames/16", OCTETS).status_code == 404
    assert window.ask(f"{place(dataset)}/frames/0", OCTETS).status_code == 404
    alone = window.ask(f"{place(dataset)}/frames/2", "application/octet-stream")
    assert alone.content == frames[1].tobytes()


@pytest.mark.parametrize("name", ["SC_rgb_rle_16bit_2frame.dcm", "rtdose_rle.dcm"])
def test_compressed_frames_come_as_stored_or_decoded(window: Window, name: str) -> None:
    """As the asker likes it."""
    dataset = window.put(name)
    asked = f"{place(dataset)}/frames/2,1"
    stored = parts(window.ask(asked, f"{OCTETS}; {STORED}"))
    assert all(kind.endswith(dataset.file_meta.TransferSyntaxUID) for kind, _ in stored)
    assert all(body in dataset.PixelData for _, body in stored)
    native = [body for _, body in parts(window.ask(asked, OCTETS))]
    assert native == [dataset.pixel_array[n].tobytes() for n in (1, 0)]


def test_what_is_not_here_is_not_found(window: Window) -> None:
    """Nor is anything by another study's name."""
    dataset = window.put("CT_small.dcm")
    assert window.ask(place(dataset).replace("/studies/2", "/studies/1")).status_code == 404
    assert window.ask(f"{place(dataset)}9").status_code == 404
    assert window.ask(f"{place(dataset)}/bulkdata/00990099").status_code == 404
    assert json.loads(window.ask("/dicom-web/studies/1.2").content)["detail"]
