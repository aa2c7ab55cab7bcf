"""What is stored is retrieved: whole, in headers, in frames and in values."""

import io
import json
from zipfile import ZipFile

import numpy as np
import pytest
from pydicom import dcmread

from dicom_ai_node.domain.native_model_read import header_of
from dicom_ai_node.domain.uids import derive_uid
from dicom_ai_node.serve.application import application
from dicom_ai_node.serve.dicomweb.retrieve import retrieve_routers
from tests.serve.token_door import TokenDoor
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


@pytest.mark.parametrize(
    ("span", "status", "first", "last"),
    [
        pytest.param("bytes=0-9", 206, 0, 10, id="the beginning"),
        pytest.param("bytes=100-", 206, 100, None, id="to the end"),
        pytest.param("bytes=-7", 206, -7, None, id="the end"),
        pytest.param("bytes=5-99999999", 206, 5, None, id="more than there is"),
        pytest.param("bytes=99999999-", 416, 0, 0, id="behind the end"),
        pytest.param("bytes=0-1,5-6", 200, 0, None, id="several"),
        pytest.param("bytes=9-2", 200, 0, None, id="backwards"),
        pytest.param("lines=1-2", 200, 0, None, id="something else"),
        pytest.param("bytes=-", 200, 0, None, id="nothing"),
    ],
)
def test_a_part_of_a_file_may_be_asked_for(
    window: Window, span: str, status: int, first: int, last: int | None
) -> None:
    """RFC 9110 14; what is no range that we know is answered in full."""
    dataset = window.put("CT_small.dcm")
    answer = window.ask(place(dataset), "application/dicom", Range=span)
    assert answer.status_code == status
    if status == 416:
        assert answer.headers["content-range"] == f"bytes */{len(window.stored(dataset))}"
        return
    assert answer.content == window.stored(dataset)[first:last]
    assert int(answer.headers["content-length"]) == len(answer.content)
    values = window.ask(f"{place(dataset)}/bulkdata/7FE00010", OCTETS.split('"')[1], Range=span)
    assert values.content == dataset.PixelData[first:last]


def test_a_part_of_what_has_changed_is_the_whole(window: Window) -> None:
    """Whoever goes on with another file would mix them."""
    dataset = window.put("CT_small.dcm")
    whole = window.ask(place(dataset), "application/dicom")
    for tag, status in ((whole.headers["etag"], 206), ('"another"', 200)):
        answer = window.ask(place(dataset), "application/dicom", Range="bytes=0-9", If_Range=tag)
        assert answer.status_code == status


@pytest.mark.parametrize(
    ("tail", "accept"),
    [
        ("", DICOM), ("", "application/dicom"), ("", "application/zip"), ("/metadata", "*/*"),
        ("/frames/1", OCTETS), ("/bulkdata/7FE00010", OCTETS), ("/rendered", "image/png"),
    ],
)  # fmt: skip
def test_what_is_known_already_is_not_sent_again(window: Window, tail: str, accept: str) -> None:
    """An ETag follows from the bytes stored; HEAD says it without them."""
    dataset = window.put("CT_small.dcm")
    answer = window.ask(f"{place(dataset)}{tail}", accept)
    tag = answer.headers["etag"]
    again = window.ask(f"{place(dataset)}{tail}", accept, If_None_Match=f'"x", {tag}')
    assert (again.status_code, again.content) == (304, b"")
    head = window.ask(f"{place(dataset)}{tail}", accept, method="HEAD")
    assert (head.status_code, head.content, head.headers["etag"]) == (200, b"", tag)
    assert head.headers["content-type"] == answer.headers["content-type"]
    assert answer.content == window.ask(f"{place(dataset)}{tail}", accept).content


def test_values_within_sequences_are_retrieved(window: Window) -> None:
    """By the addresses that the header names, here the curves of an ECG."""
    dataset = window.put("waveform_ecg.dcm")
    (header,) = window.ask(f"{place(dataset)}/metadata").json()
    for item, expected in zip(header["54000100"]["Value"], dataset.WaveformSequence, strict=True):
        uri = item["54001010"]["BulkDataURI"]
        assert "/bulkdata/54000100/" in uri
        assert window.ask(uri).content == expected.WaveformData
    for path in ("54000100", "54000100/9/54001010", "54000100/1/00990099", "54000100/0/54001010"):
        assert window.ask(f"{place(dataset)}/bulkdata/{path}").status_code == 404
    for path in ("x", "54000100/1", "54000100/a/54001010", "..%2F..%2Fetc%2Fpasswd"):
        assert window.ask(f"{place(dataset)}/bulkdata/{path}").status_code in (404, 422)


def test_all_bulk_data_come_in_one_message(window: Window) -> None:
    """Of a study, a series and an instance: what the metadata name, each with its address."""
    dataset = window.put("waveform_ecg.dcm")
    (header,) = window.ask(f"{place(dataset)}/metadata").json()
    uris = [item["54001010"]["BulkDataURI"] for item in header["54000100"]["Value"]]
    curves = [item.WaveformData for item in dataset.WaveformSequence]
    series, study = place(dataset).rpartition("/instances/")[0], place(dataset).split("/series/")[0]
    for where in (place(dataset), series, study):
        answer = window.ask(f"{where}/bulkdata", OCTETS)
        found = [(kind, body) for kind, body in parts(answer)]
        assert [body for _, body in found if body in curves] == curves
        assert {kind for kind, _ in found} == {"application/octet-stream"}
        at = [answer.content.index(f"Content-Location: {uri}\r\n".encode()) for uri in uris]
        assert at == sorted(at)
        tag = answer.headers["etag"]
        assert window.ask(f"{where}/bulkdata", OCTETS, If_None_Match=tag).status_code == 304
        assert window.ask(f"{where}/bulkdata", "image/jpeg").status_code == 406
    assert window.ask("/dicom-web/studies/1.2.3/bulkdata").status_code == 404


def test_compressed_pixels_among_all_bulk_data_come_frame_by_frame(window: Window) -> None:
    """Decoded for who takes octets only, as they are stored for who takes that."""
    dataset = sample("MR_small_RLE.dcm")
    dataset.StudyInstanceUID = dataset.SeriesInstanceUID = derive_uid("compressed")
    dataset.SOPInstanceUID = dataset.file_meta.MediaStorageSOPInstanceUID = derive_uid("RLE")
    window.put(dataset)
    answer = window.ask(f"{place(dataset)}/bulkdata", OCTETS)
    assert answer.status_code == 200, answer.text
    (decoded,) = parts(answer)
    assert decoded == (
        "application/octet-stream; transfer-syntax=1.2.840.10008.1.2.1",
        sample("MR_small.dcm").PixelData,
    )
    both = f'{OCTETS}; q=0.5, multipart/related; type="image/dicom-rle"'
    ((kind, body),) = parts(window.ask(f"{place(dataset)}/bulkdata", both))
    assert kind.startswith("image/dicom-rle")
    assert body in window.stored(dataset)


def test_what_has_no_bulk_data_says_so(window: Window) -> None:
    """404, and no empty message."""
    dataset = sample("CT_small.dcm")
    del dataset.PixelData
    dataset.remove_private_tags()
    dataset.StudyInstanceUID = dataset.SOPInstanceUID = derive_uid("no bulk data")
    dataset.file_meta.MediaStorageSOPInstanceUID = dataset.SOPInstanceUID
    window.put(dataset)
    for tag, element in window.ask(f"{place(dataset)}/metadata").json()[0].items():
        assert "BulkDataURI" not in element, tag
    assert window.ask(f"{place(dataset)}/bulkdata", OCTETS).status_code == 404


def test_metadata_come_as_xml(window: Window) -> None:
    """A part for each instance, which says what the JSON says."""
    dataset = window.put("CT_small.dcm")
    series = place(dataset).rpartition("/instances/")[0]
    asked = 'multipart/related; type="application/dicom+xml"'
    answer = window.ask(f"{series}/metadata", asked)
    assert answer.headers["content-type"].startswith(f"{asked}; boundary=")
    ((kind, body),) = parts(answer)
    assert kind == "application/dicom+xml"
    assert header_of(body) == window.ask(f"{series}/metadata").json()[0]
    packed = window.ask(f"{series}/metadata", asked, Accept_Encoding="gzip")
    assert parts(packed) == [(kind, body)]


def test_values_of_big_endian_files_are_turned(window: Window) -> None:
    """Bulk data is little endian, PS3.18 8.7.3.5.2."""
    little, big = sample("MR_small.dcm"), window.put("MR_small_bigendian.dcm")
    found = window.ask(f"{place(big)}/bulkdata/7FE00010", "application/octet-stream")
    assert found.content == little.PixelData


def test_nobody_sees_without_leave(window: Window) -> None:
    """Every way to an object asks who one is."""
    dataset = window.put("CT_small.dcm")
    routers = retrieve_routers(window.archive, window.blobs.path, window.darkroom)
    shut = application(TokenDoor("secret"), list(routers))
    for tail in ("", "/metadata", "/frames/1", "/bulkdata/7FE00010", "/rendered", "/thumbnail"):
        assert window.ask(f"{place(dataset)}{tail}", app=shut).status_code == 401


def test_what_was_removed_is_not_here_any_more(window: Window) -> None:
    """Even if it was found a moment ago."""
    dataset = window.put("JPEGLSNearLossless_08.dcm")
    assert window.ask(f"{place(dataset)}/frames/1").status_code == 200
    (held,) = window.archive.instances([dataset.SOPInstanceUID])
    window.blobs.path(held.sha256).unlink()
    for tail in ("/frames/1", "/rendered", "/bulkdata/00080018", ""):
        assert window.ask(f"{place(dataset)}{tail}", "*/*").status_code == 404
