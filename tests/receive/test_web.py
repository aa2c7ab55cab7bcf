"""A real HTTP client stores, and hears what became of each instance."""

import json
import time
from collections.abc import Iterator
from io import BytesIO
from pathlib import Path

import httpx
import numpy as np
import pytest
from pydicom import dcmread
from pydicom.dataset import Dataset
from pydicom.encaps import generate_frames
from pydicom.uid import DeflatedExplicitVRLittleEndian, ImplicitVRLittleEndian, RLELossless

from dicom_ai_node import log
from dicom_ai_node.domain.errors import NeedsAttention, NotStorable, OutOfResources
from dicom_ai_node.domain.study import Received
from dicom_ai_node.receive.meta import MetaReader
from dicom_ai_node.receive.web import WORKERS
from tests import phantoms
from tests.receive.conftest import OWN_DEVICE_UID, Node, quick_path, start  # noqa: F401 - fixtures
from tests.receive.webdesk import (
    JSON_TYPE,
    StartWeb,
    WebNode,
    body,
    heard,
    part10,
    start_web,  # noqa: F401 - fixtures
    values,
    web,  # noqa: F401
)

STUDY = phantoms.STUDY_INSTANCE_UID
REFERENCED, FAILED, OTHERS = "00081199", "00081198", "0008119A"
INSTANCE, FAILURE, WARNING, URL = "00081155", "00081197", "00081196", "00081190"


def images(count: int = 1, **changes: object) -> list[Dataset]:
    """Return slices of a CT."""
    return list(phantoms.ct(slices=count, rows=16, columns=16, **changes))


def test_a_series_arrives_byte_for_byte(web: WebNode) -> None:  # noqa: F811
    """Every instance that the answer refers to lies in the store as it was sent."""
    slices = images(3)
    answer = web.store(*slices)
    assert (answer.status_code, answer.headers["Content-Type"]) == (200, "application/dicom+json")
    assert values(answer, REFERENCED, INSTANCE) == [image.SOPInstanceUID for image in slices]
    urls = values(answer, REFERENCED, URL)
    assert urls[0] == (
        f"{web.url}/studies/{STUDY}/series/{slices[0].SeriesInstanceUID}"
        f"/instances/{slices[0].SOPInstanceUID}"
    )
    assert answer.json()[URL]["Value"] == [f"{web.url}/studies/{STUDY}"]
    for image, arrival in zip(slices, web.diary.arrivals, strict=True):
        path = web.blobs.path(arrival.instance.sha256)
        assert dcmread(path) == image
        assert dcmread(path).file_meta.SourceApplicationEntityTitle == "STOW-RS"
        sent, stored = (
            MetaReader().feed(memoryview(data)) for data in (part10(image), path.read_bytes())
        )
        assert sent == stored
        assert sent is not None
        assert (arrival.address, arrival.calling_ae_title) == ("127.0.0.1", "STOW-RS")
    assert web.diary.released == [(slices[0].SeriesInstanceUID,)]
    assert not web.files("spool")


def test_by_either_way_it_is_the_same_instance(web: WebNode, start: object) -> None:  # noqa: F811
    """What comes by STOW-RS has the digest that it has by C-STORE: of the data set alone."""
    node: Node = start()  # type: ignore[operator]
    image = images()[0]
    association = node.associate(image)
    assert node.send(association, image) == 0x0000
    association.release()
    assert web.store(image).status_code == 200
    (by_dimse,), (by_web,) = node.diary.arrivals, web.diary.arrivals
    assert by_dimse.instance.data_set_sha256 == by_web.instance.data_set_sha256
    assert by_dimse.instance.attributes == by_web.instance.attributes
    assert by_dimse.instance.sha256 != by_web.instance.sha256  # the file names who sent it


def test_a_file_may_be_the_whole_body(web: WebNode) -> None:  # noqa: F811
    """Without a multipart around it, and in pieces of which nobody knows how many come."""

    def trickle() -> Iterator[bytes]:
        data = part10(images()[0])
        yield from (data[at : at + 100] for at in range(0, len(data), 100))

    answer = web.post(trickle(), Content_Type="application/dicom")
    assert answer.status_code == 200
    assert len(web.diary.arrivals) == 1


def test_many_instances_of_one_request_are_recorded_in_order(web: WebNode) -> None:  # noqa: F811
    """More than are in the node's hands at the same time."""
    (image,) = images()
    files = []
    for number in range(600):
        image.SOPInstanceUID = image.file_meta.MediaStorageSOPInstanceUID = f"1.2.{number}"
        files.append(part10(image))
    answer = web.post(body(*files))
    assert answer.status_code == 200
    assert values(answer, REFERENCED, INSTANCE) == [f"1.2.{number}" for number in range(600)]
    assert [a.instance.sop_instance_uid for a in web.diary.arrivals] == [
        f"1.2.{number}" for number in range(600)
    ]
    assert len(web.diary.released) == 1


@pytest.mark.parametrize(
    ("answer", "status", "reason"),
    [
        pytest.param(Received.NEW, 200, None, id="new"),
        pytest.param(Received.DUPLICATE, 200, None, id="the same again is fine"),
        pytest.param(Received.OURS, 200, None, id="our own result coming home"),
        pytest.param(Received.CONFLICT, 202, 0xB000, id="same UID and other bytes is a warning"),
        pytest.param(OutOfResources("the ledger is full"), 503, 0xA700, id="the ledger is full"),
        pytest.param(NotStorable("it does not fit"), 409, 0xA900, id="it does not fit"),
        pytest.param(NeedsAttention("ask someone"), 409, 0x0110, id="a person must look"),
        pytest.param(RuntimeError("ZZCANARY^PHI"), 409, 0x0110, id="a mistake of ours"),
    ],
)
def test_the_client_hears_what_became_of_its_instance(
    web: WebNode,  # noqa: F811
    answer: Received | Exception,
    status: int,
    reason: int | None,
    capfd: pytest.CaptureFixture[str],
) -> None:
    """Success is answered only when the arrival has been recorded; each error has its status."""
    log.configure(debug=True)  # onto what is captured here
    web.diary.answer = answer
    said = web.store(*images())
    assert said.status_code == status
    sequence, tag = (REFERENCED, WARNING) if status < 300 else (FAILED, FAILURE)
    assert values(said, sequence, tag) == [reason]
    assert ("Retry-After" in said.headers) is (status == 503)
    logged = "".join(capfd.readouterr())
    assert ("instance_not_taken" in logged) is (status > 300)
    assert "ZZCANARY" not in logged + said.text + str(said.headers)
    web.diary.answer = Received.NEW
    assert web.store(*images()).status_code == 200


def test_our_own_work_is_recognised(web: WebNode) -> None:  # noqa: F811
    """As by C-STORE: it may come from another node of ours."""
    image = images()[0]
    equipment = Dataset()
    equipment.DeviceUID = OWN_DEVICE_UID
    image.ContributingEquipmentSequence = [equipment]
    assert web.store(image).status_code == 200
    assert [arrival.is_ours for arrival in web.diary.arrivals] == [True]


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        pytest.param({"StudyInstanceUID": "1.2.03"}, 0xA900, id="a study UID with a leading zero"),
        pytest.param({"SeriesInstanceUID": "../../etc/x"}, 0xA900, id="a path for a series UID"),
        pytest.param({"SeriesInstanceUID": ""}, 0xC000, id="no series UID"),
        pytest.param({"StudyInstanceUID": ""}, 0xC000, id="no study UID"),
    ],
)
@pytest.mark.filterwarnings("ignore:Invalid value for VR UI")
def test_one_bad_instance_condemns_no_other(
    web: WebNode,  # noqa: F811
    changes: dict[str, str],
    reason: int,
) -> None:
    """Only what cannot be understood is kept for a person."""
    good, bad = images(2)
    for keyword, value in changes.items():
        setattr(bad, keyword, value)
    answer = web.store(bad, good)
    assert answer.status_code == 202
    assert values(answer, REFERENCED, INSTANCE) == [good.SOPInstanceUID]
    assert values(answer, FAILED, INSTANCE) == [bad.SOPInstanceUID]
    assert values(answer, FAILED, FAILURE) == [reason]
    (sentence,) = answer.headers.get_list("Warning")
    assert next(iter(changes)) in sentence
    assert "etc" not in sentence
    assert len(web.diary.refused) == (reason == 0xC000)
    assert (len(web.files("blobs")), web.files("spool")) == (1, [])


@pytest.mark.filterwarnings("ignore:Invalid value for VR UI")
@pytest.mark.parametrize("uid", ["../../etc/passwd", "", "1.2/3", "1.02"])
def test_a_uid_that_is_a_path_is_nobodys(web: WebNode, uid: str) -> None:  # noqa: F811
    """It is neither written to nor said again."""
    image = images()[0]
    image.SOPInstanceUID = uid
    data = part10(image)
    data = data.replace(image.file_meta.MediaStorageSOPInstanceUID.encode(), b"../../x".ljust(
        len(image.file_meta.MediaStorageSOPInstanceUID), b"\0"))  # fmt: skip
    answer = web.post(body(data))
    assert answer.status_code == 409
    assert values(answer, OTHERS, FAILURE) == [0x0117]
    assert ".." not in answer.text
    assert not web.files("blobs")


def test_another_study_than_that_of_the_address_is_refused(web: WebNode) -> None:  # noqa: F811
    """Nothing of it is kept."""
    image = images()[0]
    assert web.store(image, study=STUDY).status_code == 200
    answer = web.store(image, study="1.2.3")
    assert answer.status_code == 409
    assert values(answer, FAILED, FAILURE) == [0xA900]
    assert "StudyInstanceUID is not that of the address" in answer.headers["Warning"]
    assert len(web.diary.arrivals) == len(web.files("blobs")) == 1
    assert web.store(image, study="1.2.03").status_code == 400
    assert web.store(image, study="..%2F..%2Fetc").status_code in (400, 404)


@pytest.mark.parametrize(
    ("syntax", "sop_class", "reason"),
    [
        pytest.param(DeflatedExplicitVRLittleEndian, "", 0xC122, id="a deflated data set"),
        pytest.param("1.2.3", "", 0xC122, id="a transfer syntax that nobody knows"),
        pytest.param("", "1.2.840.10008.1.3.10", 0x0122, id="a directory of a CD"),
        pytest.param("", "1.2.840.10008.1.1", 0x0122, id="a verification"),
    ],
)
def test_what_is_not_stored_by_dimse_is_not_stored_by_web(
    web: WebNode,  # noqa: F811
    syntax: str,
    sop_class: str,
    reason: int,
) -> None:
    """The same classes and the same transfer syntaxes."""
    data = part10(images()[0])
    data = data.replace(
        b"1.2.840.10008.1.2.1\0", (syntax or "1.2.840.10008.1.2.1").encode().ljust(20, b"\0")
    )
    if sop_class:
        data = data.replace(b"1.2.840.10008.5.1.4.1.1.2\0", sop_class.encode().ljust(26, b"\0"))
    answer = web.post(body(data))
    assert (answer.status_code, values(answer, FAILED, FAILURE)) == (409, [reason])


def test_an_instance_larger_than_allowed_is_too_large(start_web: StartWeb) -> None:  # noqa: F811
    """It is read to its end, for what comes after it is not."""
    web = start_web(instance_bytes=100_000)  # noqa: F811
    large, small = images()[0], images()[0]
    large.PixelData, large.Rows, large.Columns = bytes(600_000), 300, 1000
    answer = web.store(large)
    assert (answer.status_code, values(answer, FAILED, FAILURE)) == (413, [0xA700])
    answer = web.store(large, small)
    assert (answer.status_code, values(answer, FAILED, FAILURE)) == (202, [0xA700])
    assert (len(web.diary.arrivals), web.files("spool")) == (1, [])


@pytest.mark.parametrize(
    ("headers", "status", "why"),
    [
        pytest.param({"Content_Type": "text/plain"}, 415, "must be", id="some other type"),
        pytest.param({"Content_Type": ""}, 415, "must be", id="no type"),
        pytest.param(
            {"Content_Type": 'multipart/related; type="application/dicom"'}, 400, "boundary",
            id="no boundary",
        ),
        pytest.param(
            {"Content_Type": f"multipart/related; boundary={'x' * 201}"}, 400, "boundary",
            id="a boundary that is too long",
        ),
        pytest.param(
            {"Content_Type": 'multipart/related; type="text/plain"; boundary=frontier'},
            415, "parts must be", id="text",
        ),
        pytest.param({"Content_Encoding": "gzip"}, 415, "Content-Encoding", id="a gzip bomb"),
        pytest.param({"Accept": "text/html"}, 406, "Accept", id="no answer that we have"),
        pytest.param({"Accept": "application/dicom+json; q=0"}, 406, "Accept", id="declined"),
    ],
)  # fmt: skip
def test_a_request_that_cannot_be_read_is_refused_in_words(
    web: WebNode,  # noqa: F811
    headers: dict[str, str],
    status: int,
    why: str,
) -> None:
    """Before anything of it is stored, and the next request is answered."""
    data = body(part10(images()[0]))
    answer = web.post(data, **headers)
    assert (answer.status_code, why in answer.json()["detail"]) == (status, True)
    assert not web.diary.arrivals
    assert web.post(data).status_code == 200


@pytest.mark.parametrize("accept", ["*/*", "application/json", "text/html, application/*;q=0.1"])
def test_the_answer_is_what_is_accepted(web: WebNode, accept: str) -> None:  # noqa: F811
    """Where that is JSON of some kind."""
    answer = web.post(body(part10(images()[0])), Accept=accept)
    assert answer.status_code == 200
    assert answer.headers["Content-Type"].startswith("application/")
    assert answer.json()[REFERENCED]


@pytest.mark.parametrize(
    ("content", "why"),
    [
        pytest.param(b"", "is not in the body", id="nothing"),
        pytest.param(b"hello", "is not in the body", id="something else"),
        pytest.param(b"--frontier--", "no instance", id="no part"),
        pytest.param(b"--frontier\r\nA\r\n\r\n\r\n--frontier--", "no header", id="a bad header"),
        pytest.param(body(b"x" * 400, end=b""), "ends before", id="half a body"),
    ],
)
def test_a_malformed_body_is_refused_in_words(web: WebNode, content: bytes, why: str) -> None:  # noqa: F811
    """With 400 and a sentence."""
    answer = web.post(content)
    assert (answer.status_code, why in answer.json()["detail"]) == (400, True)
    assert not web.files("spool")


@pytest.mark.parametrize(
    ("part", "kind", "status", "reason"),
    [
        pytest.param(b"", "application/dicom", 409, 0xC000, id="nothing"),
        pytest.param(b"x" * 1000, "application/dicom", 409, 0xC000, id="no DICOM"),
        pytest.param(bytes(128) + b"DICM", "application/dicom", 409, 0xC000, id="a preamble"),
        pytest.param(
            bytes(128) + b"DICM" + b"\2\0\0\0OB\0\0\xff\xff\xff\x7f", "application/dicom", 409,
            0xC000, id="file meta information of two gigabytes",
        ),
        pytest.param(part10(images()[0]), "image/png", 415, 0xC000, id="of a wrong type"),
    ],
)  # fmt: skip
def test_a_part_that_is_no_instance_is_told_as_such(
    web: WebNode,  # noqa: F811
    part: bytes,
    kind: str,
    status: int,
    reason: int,
) -> None:
    """Among the other failures, because nobody knows its UID."""
    answer = web.post(body(part, kind=kind))
    assert answer.status_code == status
    assert values(answer, OTHERS, FAILURE) == [reason]
    assert not web.files("spool")


def test_what_came_whole_before_a_body_breaks_off_stays(web: WebNode) -> None:  # noqa: F811
    """A sender that repeats the request sends a duplicate; of half an instance nothing is left."""
    whole, half = (part10(image) for image in images(2))
    answer = web.post(body(whole, half, end=b"")[:-500])
    assert answer.status_code == 400
    assert values(answer, REFERENCED, INSTANCE) == [images()[0].SOPInstanceUID]
    assert "ends before" in answer.headers["Warning"]
    assert (len(web.diary.arrivals), web.diary.released, web.files("spool")) == (1, [], [])


def test_a_client_that_goes_leaves_what_was_whole(web: WebNode) -> None:  # noqa: F811
    """As an association that is aborted; it is no evidence that a series is complete."""
    whole, half = (part10(image) for image in images(2))
    content = body(whole, half)
    with web.raw(length=len(content)) as connection:
        connection.sendall(content[:-500])
        time.sleep(0.3)
        assert not web.diary.released
    assert web.sees(lambda: len(web.diary.arrivals) == 1 and not web.files("spool"))
    assert not web.diary.released


def test_a_client_that_stops_is_not_waited_for(start_web: StartWeb) -> None:  # noqa: F811
    """It announces 10 GB and sends next to nothing: it hears so, and its place is free again."""
    web = start_web(pdu_seconds=0.5, associations=1)  # noqa: F811
    with web.raw(length=10_000_000_000) as connection:
        connection.sendall(body(part10(images()[0]), end=b"")[:-500])
        status, answer = heard(connection)
    assert status == 408
    assert b"connection: close" in answer.lower()
    assert web.sees(lambda: not web.files("spool"))
    assert web.store(*images()).status_code == 200


def test_a_byte_now_and_then_prolongs_nothing(start_web: StartWeb) -> None:  # noqa: F811
    """The deadline is that of a block, whatever trickles in."""
    web = start_web(pdu_seconds=1)  # noqa: F811
    began = time.monotonic()
    with web.raw() as connection:
        connection.settimeout(0.1)
        answer = b""
        while not answer and time.monotonic() < began + 60:
            connection.sendall(b"1\r\n-\r\n")
            try:
                answer = connection.recv(1000)
            except TimeoutError:
                continue
    assert b" 408 " in answer
    assert time.monotonic() - began < 30


def test_more_requests_than_allowed_are_asked_to_come_again(start_web: StartWeb) -> None:  # noqa: F811
    """503 with a time to wait; those that are under way go on."""
    web = start_web(associations=2)  # noqa: F811
    content = body(part10(images()[0]))
    under_way = [web.raw(length=len(content)) for _ in range(2)]
    for connection in under_way:
        connection.sendall(content[:200])
    answer = httpx.Response(200)
    for _ in range(50):
        answer = web.post(content)
        if answer.status_code == 503:
            break
    assert (answer.status_code, "Retry-After" in answer.headers) == (503, True)
    for connection in under_way:
        connection.sendall(content[200:])
        assert heard(connection)[0] == 200
        connection.close()
    assert web.post(content).status_code == 200


def test_more_requests_than_threads_are_all_answered(web: WebNode) -> None:  # noqa: F811
    """Slow ones hold no thread while they wait for their clients."""
    content = body(part10(images()[0]))
    slow = [web.raw(length=len(content)) for _ in range(3 * WORKERS)]
    for connection in slow:
        connection.sendall(content[:700])
    assert web.post(content).status_code == 200
    for connection in slow:
        connection.sendall(content[700:])
    assert [heard(connection)[0] for connection in slow] == [200] * len(slow)
    for connection in slow:
        connection.close()


def test_without_room_nothing_is_read(web: WebNode) -> None:  # noqa: F811
    """The sender hears so at once and may come again."""
    web.diary.full = OutOfResources("little room")
    answer = web.store(*images())
    assert (answer.status_code, answer.json()["detail"]) == (503, "little room")
    assert "Retry-After" in answer.headers
    with web.raw(length=10**15) as connection:
        assert heard(connection)[0] == 413
    web.diary.full = None
    with web.raw(length=200_000_000_000) as connection:
        assert heard(connection)[0] in (503, 408)
    assert web.store(*images()).status_code == 200


def test_a_client_that_asks_first_need_not_send_in_vain(web: WebNode) -> None:  # noqa: F811
    """`Expect: 100-continue`: the body comes when it is wanted."""
    content = body(part10(images()[0]))
    with web.raw(length=len(content), headers="Expect: 100-continue\r\n") as connection:
        assert b" 100 " in connection.recv(100)
        connection.sendall(content)
        assert heard(connection)[0] == 200


# metadata and bulk data


def as_json(image: Dataset, uri: str = "pixels", **changes: object) -> bytes:
    """Return an image as metadata, its pixels left out."""
    item = {
        tag: element
        for tag, element in image.to_json_dict().items()
        if tag != "7FE00010" and tag[:4] != "0002"
    }
    item["7FE00010"] = {"vr": "OW", "BulkDataURI": uri}
    return json.dumps([{**item, **changes}]).encode()


def with_bulk(*bulk: tuple[str, str, bytes], metadata: bytes) -> bytes:
    """Return a body of metadata and of parts by location and type."""
    content = b"--frontier\r\nContent-Type: application/dicom+json\r\n\r\n" + metadata
    for location, kind, data in bulk:
        content += f"\r\n--frontier\r\nContent-Type: {kind}\r\nContent-Location: {location}\r\n\r\n".encode()
        content += data
    return content + b"\r\n--frontier--"


OCTETS = "application/octet-stream"


def test_metadata_and_bulk_data_become_a_file(web: WebNode) -> None:  # noqa: F811
    """The same data set, value by value; text beyond ASCII included."""
    image = images(StudyDescription="Hüfte")[0]
    content = with_bulk(("pixels", OCTETS, image.PixelData), metadata=as_json(image))
    answer = web.post(content, Content_Type=JSON_TYPE)
    assert (answer.status_code, values(answer, REFERENCED, INSTANCE)) == (
        200,
        [image.SOPInstanceUID],
    )
    (arrival,) = web.diary.arrivals
    stored = dcmread(web.blobs.path(arrival.instance.sha256))
    assert stored.SpecificCharacterSet == "ISO_IR 192"
    image.SpecificCharacterSet = "ISO_IR 192"
    image["PixelData"].VR = "OW"
    assert stored == image
    assert (stored.pixel_array == image.pixel_array).all()
    assert web.diary.released
    assert not web.files("spool")


def test_compressed_bulk_data_keep_their_transfer_syntax(web: WebNode) -> None:  # noqa: F811
    """One fragment, as it came."""
    image = images()[0]
    before = image.pixel_array.copy()
    image.compress(RLELossless, generate_instance_uid=False)
    (codestream,) = generate_frames(image.PixelData, number_of_frames=1)
    content = with_bulk(
        ("pixels", f"image/dicom-rle; transfer-syntax={RLELossless}", codestream),
        metadata=as_json(image),
    )
    assert web.post(content, Content_Type=JSON_TYPE).status_code == 200
    (arrival,) = web.diary.arrivals
    assert arrival.instance.transfer_syntax_uid == RLELossless
    stored = dcmread(web.blobs.path(arrival.instance.sha256))
    assert np.array_equal(stored.pixel_array, before)


def test_other_values_may_be_bulk_data_too(web: WebNode) -> None:  # noqa: F811
    """Numbers and text, also within sequences."""
    image = images()[0]
    changes = {
        "00204000": {"vr": "LT", "BulkDataURI": "comment"},
        "00660016": {"vr": "OF", "BulkDataURI": "points"},
        "00081115": {"vr": "SQ", "Value": [{"00189180": {"vr": "FD", "BulkDataURI": "numbers"}}]},
    }
    content = with_bulk(
        ("comment", OCTETS, "schön".encode()),
        ("points", OCTETS, np.array([1, 2, 3], np.float32).tobytes()),
        ("numbers", OCTETS, np.array([0.5, 2]).tobytes()),
        ("pixels", OCTETS, image.PixelData),
        metadata=as_json(image, **changes),
    )
    answer = web.post(content, Content_Type=JSON_TYPE)
    assert answer.status_code == 200
    stored = dcmread(web.blobs.path(web.diary.arrivals[0].instance.sha256))
    assert stored.ImageComments == "schön"
    assert np.frombuffer(stored[0x00660016].value, np.float32).tolist() == [1, 2, 3]
    assert stored.ReferencedSeriesSequence[0][0x00189180].value == [0.5, 2]


@pytest.mark.parametrize(
    ("metadata", "bulk", "status", "why"),
    [
        pytest.param(b"{", (), 400, "not JSON", id="no JSON"),
        pytest.param(b"[" * 100_000, (), 400, "not JSON", id="JSON without end"),
        pytest.param(b"[1]", (), 400, "no data sets", id="no data set"),
        pytest.param(b"[]", (), 400, "no instance", id="no instance"),
        pytest.param(b"[{}]", (), 409, "no UID", id="an empty instance"),
        pytest.param(as_json(images()[0]), (), 409, "not in the request", id="no pixels"),
        pytest.param(
            as_json(images()[0]), (("pixels", "text/plain", b"x"),), 409, "pixel data come as",
            id="pixels of a wrong type",
        ),
        pytest.param(
            as_json(images()[0]), (("", OCTETS, b"x"),), 400, "Content-Location", id="no location"
        ),
        pytest.param(
            as_json(images()[0]), (("a", OCTETS, b"x"), ("a", OCTETS, b"x")), 400,
            "Content-Location", id="a location twice",
        ),
        pytest.param(
            as_json(images()[0], **{"00280010": {"vr": "US", "Value": ["many"]}}),
            (("pixels", OCTETS, b"xx"),), 409, "metadata", id="text where a number must be",
        ),
        pytest.param(
            as_json(images()[0], **{"00280010": {"vr": "ZZ", "Value": [1]}}),
            (("pixels", OCTETS, b"xx"),), 409, "metadata", id="no such VR",
        ),
        pytest.param(
            as_json(images()[0], **{"0020000D": {"vr": "UI", "Value": ["../../x"]}}),
            (("pixels", OCTETS, b"xx"),), 409, "", id="a path for a study",
        ),
        pytest.param(
            as_json(images()[0], **{"00280008": {"vr": "IS", "Value": [2]}}),
            (("pixels", "image/jp2", b"xx"),), 409, "one instance each", id="compressed frames",
        ),
    ],
)  # fmt: skip
def test_metadata_that_make_no_instance_are_refused_in_words(
    web: WebNode,  # noqa: F811
    metadata: bytes,
    bulk: tuple[tuple[str, str, bytes], ...],
    status: int,
    why: str,
) -> None:
    """Nothing of them stays."""
    answer = web.post(with_bulk(*bulk, metadata=metadata), Content_Type=JSON_TYPE)
    assert answer.status_code == status
    assert why in answer.text + str(answer.headers.get_list("Warning"))
    assert not web.diary.arrivals
    assert not web.files("spool")


def test_bulk_data_of_a_broken_body_leave_nothing(web: WebNode) -> None:  # noqa: F811
    """An instance whose parts are not all here is none."""
    image = images()[0]
    content = with_bulk(("pixels", OCTETS, image.PixelData), metadata=as_json(image))
    assert web.post(content[:-100], Content_Type=JSON_TYPE).status_code == 400
    assert not web.diary.arrivals
    assert not web.files("spool")


def test_what_was_sent_in_implicit_stays_so(web: WebNode, tmp_path: Path) -> None:  # noqa: F811
    """Nothing is decoded on the way to the disk."""
    image = images()[0]
    data = BytesIO()
    image.file_meta.TransferSyntaxUID = ImplicitVRLittleEndian
    image.save_as(data, implicit_vr=True, little_endian=True)
    assert web.post(body(data.getvalue())).status_code == 200
    (arrival,) = web.diary.arrivals
    assert arrival.instance.transfer_syntax_uid == ImplicitVRLittleEndian
