"""STOW-RS to services that answer in every way that PS3.18, proxies and people have thought of."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from pathlib import Path

import pytest
from pydicom import dcmread
from pydicom.uid import CTImageStorage

from dicom_ai_node.deliver.web import KNOWN_FOR_SECONDS, WebSender, gathered
from dicom_ai_node.domain.destination import WebPeer
from dicom_ai_node.domain.errors import (
    ConfigError,
    NodeError,
    OutOfResources,
    PeerRejected,
    PeerUnavailable,
)
from tests.certificates import Authority
from tests.peers.proxy import Proxy
from tests.peers.stow import Answer, Request, response, stow
from tests.peers.tls_proxy import TlsProxy
from tests.phantoms import ct, write

BEARER = "a-word-of-the-test"


@pytest.fixture
def files(tmp_path: Path) -> list[Path]:
    """Return four CT slices."""
    return write(ct(slices=4), tmp_path)


@pytest.fixture
def uids(files: list[Path]) -> list[str]:
    """Return their SOP Instance UIDs."""
    return [str(dcmread(file).SOPInstanceUID) for file in files]


def takes_all(request: Request) -> Answer:
    """Store everything."""
    return Answer(200, response(stored=request.uids))


def test_files_travel_as_they_are_in_one_request(files: list[Path]) -> None:
    """multipart/related of Part 10 files, with a length, a token and no proxy in between."""
    with stow(takes_all) as service:
        assert WebSender(WebPeer(url=service.url, token=BEARER)).send(files) == [""] * 4
    [request] = service.requests
    assert request.path == "/dicom-web/studies"
    assert request.parts == [file.read_bytes() for file in files]
    assert request.headers["Content-Type"].startswith('multipart/related; type="application/dicom"')
    assert request.headers["Accept"] == "application/dicom+json"
    assert request.headers["Authorization"] == f"Bearer {BEARER}"


def test_a_token_is_sent_only_where_there_is_one(files: list[Path]) -> None:
    """No token, no header."""
    with stow(takes_all) as service:
        WebSender(WebPeer(url=service.url + "/")).send(files)
    assert service.requests[0].headers["Authorization"] is None
    assert service.requests[0].path == "/dicom-web/studies"


def test_https_trusts_whom_the_system_trusts_and_learns_of_new_authorities(
    files: list[Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Who is trusted is read once in ten minutes, not for every request."""
    clock = [0.0]
    own, foreign = Authority(tmp_path / "own"), Authority(tmp_path / "foreign")
    monkeypatch.setenv("SSL_CERT_DIR", str(tmp_path / "none"))
    monkeypatch.setenv("SSL_CERT_FILE", str(foreign.certificate))
    with stow(takes_all) as service:
        port = int(service.url.split(":")[2].split("/")[0])
        with TlsProxy(own.issue("archive", "localhost"), port) as proxy:
            peer = WebPeer(url=f"https://127.0.0.1:{proxy.port}/dicom-web")
            sender = WebSender(peer, clock=lambda: clock[0])
            answers = sender.send(files)
            assert all(isinstance(one, PeerUnavailable) for one in answers)
            monkeypatch.setenv("SSL_CERT_FILE", str(own.certificate))
            clock[0] += KNOWN_FOR_SECONDS / 2
            assert sender.send(files) != [""] * 4
            assert not service.requests
            clock[0] += KNOWN_FOR_SECONDS
            assert sender.send(files) == [""] * 4


def test_pieces_are_joined_up_to_a_size_and_none_is_lost() -> None:
    """What is large travels as it is; what is small shares a piece."""
    pieces = [bytes([number % 251]) * size for number, size in enumerate([3, 200_000, 99, 300_000])]
    pieces += [b"x"] * 1000
    joined = list(gathered(pieces))
    assert b"".join(joined) == b"".join(pieces)
    assert [len(one) for one in joined] == [200_102, 300_000, 1000]


def test_requests_are_cut_to_size(files: list[Path]) -> None:
    """No request is larger than asked for; one object that is larger travels alone."""
    size = files[0].stat().st_size
    with stow(takes_all) as service:
        assert WebSender(WebPeer(url=service.url), most_bytes=2 * size).send(files) == [""] * 4
        assert WebSender(WebPeer(url=service.url), most_bytes=1).send(files) == [""] * 4
    assert [len(request.parts) for request in service.requests] == [2, 2, 1, 1, 1, 1]


@pytest.mark.parametrize("status", [200, 202, 400, 409])
def test_each_instance_is_judged_whatever_the_code_says(
    files: list[Path], uids: list[str], status: int
) -> None:
    """Orthanc answers 400 to a request of which it stored a part, and lists which.

    What the list leaves out is sent again alone, so that HTTP speaks about it alone.
    """
    body = response(stored=uids[:1], failed=[(uids[1], 0xA700), (uids[2], 0xA900)])
    with stow(lambda _: Answer(status, body)) as service:
        stored, full, refused, unnamed = WebSender(WebPeer(url=service.url)).send(files)
    assert [request.uids for request in service.requests] == [uids, uids[3:]]
    assert stored == ""
    assert isinstance(full, OutOfResources)
    assert isinstance(refused, PeerRejected)
    assert isinstance(unnamed, PeerUnavailable if status < 300 else PeerRejected)


def test_too_large_a_request_is_halved(files: list[Path]) -> None:
    """413: smaller requests, in order, until they pass."""

    def at_most_one(request: Request) -> Answer:
        return takes_all(request) if len(request.parts) == 1 else Answer(413)

    with stow(at_most_one) as service:
        assert WebSender(WebPeer(url=service.url)).send(files) == [""] * 4
    assert [len(request.parts) for request in service.requests] == [4, 2, 1, 1, 2, 1, 1]


def test_one_bad_object_does_not_condemn_the_others(files: list[Path], uids: list[str]) -> None:
    """A service that says only "bad request" is asked about the halves."""

    def chokes_on_third(request: Request) -> Answer:
        return Answer(400, b"Bad Request") if uids[2] in request.uids else takes_all(request)

    with stow(chokes_on_third) as service:
        first, second, third, fourth = WebSender(WebPeer(url=service.url)).send(files)
    assert (first, second, fourth) == ("", "", "")
    assert isinstance(third, PeerRejected)


@pytest.mark.parametrize(
    ("answer", "error"),
    [
        pytest.param(Answer(200, b"<html>Log in</html>"), PeerUnavailable, id="a page of a proxy"),
        pytest.param(Answer(200), PeerUnavailable, id="success without a word"),
        pytest.param(Answer(200, b"{}"), PeerUnavailable, id="success that names nothing"),
        pytest.param(Answer(502, b"<html>Bad gateway</html>"), PeerUnavailable, id="an error page"),
        pytest.param(Answer(413), PeerRejected, id="too large even alone"),
        pytest.param(Answer(401), PeerRejected, id="no valid token"),
        pytest.param(Answer(403), PeerRejected, id="not allowed"),
        pytest.param(Answer(404, b"<html>"), PeerRejected, id="wrong address"),
        pytest.param(Answer(507), OutOfResources, id="full"),
    ],
)
def test_an_answer_without_instances_says_who_acts(
    files: list[Path], answer: Answer, error: type[NodeError]
) -> None:
    """Nothing counts as delivered that the service has not named."""
    with stow(lambda _: answer) as service:
        entries = WebSender(WebPeer(url=service.url, token=BEARER)).send(files)
    assert [type(entry) for entry in entries] == [error] * 4
    assert not any(BEARER in str(entry) or "ZZCANARY" in str(entry) for entry in entries)


@pytest.mark.parametrize("status", [301, 302, 307, 308])
def test_a_redirect_is_not_followed(files: list[Path], status: int) -> None:
    """Nobody but the operator says where patients' images go."""
    with stow(takes_all) as elsewhere:
        pointing = Answer(status, b"", {"Location": f"{elsewhere.url}/studies"})
        with stow(lambda _: pointing) as service:
            entries = WebSender(WebPeer(url=service.url)).send(files)
    assert all(isinstance(entry, PeerRejected) for entry in entries)
    assert elsewhere.requests == []


@pytest.mark.parametrize(
    ("header", "least", "most"),
    [
        pytest.param(lambda: "120", 120, 120, id="in seconds"),
        pytest.param(
            lambda: format_datetime(datetime.now(UTC) + timedelta(hours=1)),
            3000,
            3600,
            id="as a date",
        ),
    ],
)
def test_a_busy_service_names_its_time(
    files: list[Path], header: Callable[[], str], least: float, most: float
) -> None:
    """503 with Retry-After; the rest of the requests is not even tried."""
    with stow(lambda _: Answer(503, b"busy", {"Retry-After": header()})) as service:
        entries = WebSender(WebPeer(url=service.url), most_bytes=1).send(files)
    assert len(service.requests) == 1
    for entry in entries:
        assert isinstance(entry, PeerUnavailable)
        assert entry.after_seconds is not None
        assert least <= entry.after_seconds <= most


@pytest.mark.parametrize("header", ["", "soon", "-5", "99999999999999999999"])
def test_nonsense_in_retry_after_does_no_harm(files: list[Path], header: str) -> None:
    """The node then waits as long as it would have."""
    with stow(lambda _: Answer(503, b"", {"Retry-After": header})) as service:
        entries = WebSender(WebPeer(url=service.url)).send(files)
    assert all(isinstance(entry, PeerUnavailable) for entry in entries)


def test_a_line_that_is_cut_means_later(files: list[Path]) -> None:
    """In the middle of the upload, and before the answer."""
    with stow(takes_all) as service:
        port = int(service.url.split(":")[2].split("/")[0])
        for failure in ({"cut_after": 5000}, {"cut_answers_after": 0}):
            with Proxy(port, **failure) as proxy:
                sender = WebSender(WebPeer(url=f"http://127.0.0.1:{proxy.port}/dicom-web"))
                entries = sender.send(files)
            assert [type(entry) for entry in entries] == [PeerUnavailable] * 4


def test_a_service_that_stalls_holds_nobody_up(files: list[Path]) -> None:
    """It takes everything and never answers."""
    with stow(takes_all) as service:
        port = int(service.url.split(":")[2].split("/")[0])
        with Proxy(port, swallow_after=0) as proxy:
            peer = WebPeer(url=f"http://127.0.0.1:{proxy.port}/dicom-web")
            entries = WebSender(peer, answer_seconds=0.5).send(files)
    assert [type(entry) for entry in entries] == [PeerUnavailable] * 4


@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
def test_an_answer_without_end_is_not_read(files: list[Path]) -> None:
    """Whoever sends more than any list of instances needs is not a DICOMweb service."""
    with stow(lambda _: Answer(200, b" " * 20_000_000)) as service:
        entries = WebSender(WebPeer(url=service.url)).send(files)
    assert [type(entry) for entry in entries] == [PeerUnavailable] * 4


@pytest.mark.parametrize(
    ("status", "welcome"),
    [(200, True), (404, True), (405, True), (401, False), (403, False), (302, False), (503, False)],
)
def test_a_service_that_answers_takes_any_class(status: int, welcome: bool) -> None:
    """STOW-RS negotiates nothing: it takes a class, or names the instance as failed."""
    with stow(lambda _: Answer(status)) as service:
        assert WebSender(WebPeer(url=service.url)).accepts(CTImageStorage) is welcome


def test_that_it_was_there_is_believed_for_ten_minutes() -> None:
    """Not every job asks again; after that it is asked again."""
    now = [0.0]
    with stow(lambda _: Answer(200)) as service:
        sender = WebSender(WebPeer(url=service.url), connect_seconds=1, clock=lambda: now[0])
        assert sender.accepts(CTImageStorage)
    now[0] = 599.0
    assert sender.accepts(CTImageStorage)
    now[0] = 601.0
    assert not sender.accepts(CTImageStorage)


@pytest.mark.parametrize(
    "url", ["ftp://pacs/dicom-web", "pacs.example.org", "http://", "file:///etc"]
)
def test_an_address_that_is_none_is_found_before_the_first_patient(url: str) -> None:
    """The operator reads it when the node starts."""
    with pytest.raises(ConfigError):
        WebSender(WebPeer(url=url))
