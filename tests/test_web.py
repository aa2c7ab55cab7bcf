"""What answers HTTP listens on this machine, says who may ask, and ends when it is told to."""

import json
import socket
import ssl
import threading
import time
import warnings
from collections.abc import Iterator
from pathlib import Path
from textwrap import dedent

import httpx
import pytest
from cryptography import x509
from joserfc import jwt
from joserfc.jwk import ECKey
from pydicom import dcmread
from pydicom.dataset import Dataset
from pynetdicom import AE

from dicom_ai_node import compose
from dicom_ai_node.config import NodeConfig
from dicom_ai_node.config.serving import Oidc, Tls
from dicom_ai_node.domain.accounts import Account, Role
from dicom_ai_node.domain.errors import ConfigError
from dicom_ai_node.receive.server import Entrance, listening_socket
from dicom_ai_node.serve.passwords import Passwords
from dicom_ai_node.tls.files import Pair
from dicom_ai_node.web import WebServer, names, served
from tests.certificates import certificate
from tests.confided import confided
from tests.journey.node import until
from tests.peers.tls_proxy import TlsProxy
from tests.peers.tools import free_port
from tests.phantoms import ct
from tests.receive.webdesk import TYPE, body, part10
from tests.serve.house import Browser

JANE = {"PatientName": "Doe^Jane", "PatientID": "J", "AccessionNumber": "J1"}
"""Not who the phantoms are: the archive is an index of names, and nothing else may know theirs."""


def _config(folder: Path, *, similar: str = "similar: {model: image_encoder}") -> NodeConfig:
    confided(folder / "token", "secret\n")
    path = folder / "ae_config.yaml"
    path.write_text(
        dedent(f"""\
        receive: {{ae_title: AI_NODE, accept_from: [CT1]}}
        store: {{folder: ./node}}
        routes:
          - {{name: tissue, when: {{}}, run: segment, model: ct_tissue, write: segmentation, to: []}}
        {similar}
        serve: {{port: {free_port()}, token: {{file: token}}}}
        """)
    )
    settings = compose.settings(path)
    compose.prepare(settings)
    return settings


@pytest.fixture
def settings(tmp_path: Path) -> NodeConfig:
    """Return a node with a window."""
    return _config(tmp_path)


@pytest.fixture
def address(settings: NodeConfig) -> Iterator[str]:
    """Open the window and return where it is."""
    server = WebServer(settings)
    server.start()
    assert settings.serve is not None
    yield f"http://127.0.0.1:{settings.serve.port}"
    server.close()
    assert not server.is_alive()


def test_it_answers_who_knows_the_token(address: str) -> None:
    """Over a real socket; nobody else hears anything."""
    ask = f"{address}/api/studies/1.2/similar"
    assert httpx.get(ask).status_code == 401
    answer = httpx.get(ask, headers={"Authorization": "Bearer secret"})
    assert (answer.status_code, "server" in answer.headers) == (404, False)


def test_a_port_that_is_taken_is_told(settings: NodeConfig, address: str) -> None:
    """With the place in the configuration."""
    with pytest.raises(ConfigError, match=r"serve: cannot listen on 127.0.0.1:\d+: Address"):
        WebServer(settings)


def test_it_ends_at_once_when_nobody_asks(settings: NodeConfig) -> None:
    """A stop of the node does not wait for it."""
    server = WebServer(settings)
    server.start()
    time.sleep(0.3)
    began = time.monotonic()
    server.close()
    assert not server.is_alive()
    assert time.monotonic() - began < 10


def test_where_nobody_can_log_in_yet_it_opens_and_says_how(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """In the log and on the login page; everything else stays shut."""
    settings = _config(tmp_path)
    assert settings.serve is not None
    none = settings.model_copy(update={"serve": settings.serve.model_copy(update={"token": None})})
    server = WebServer(none)
    server.start()
    address = f"http://127.0.0.1:{settings.serve.port}"
    said = httpx.get(f"{address}/login").text
    refused = httpx.get(f"{address}/metrics").status_code
    server.close()
    assert "dicom-ai-node users add NAME --role admin" in said
    assert refused == 401
    assert "dicom-ai-node users add" in capsys.readouterr().err


def test_it_says_whether_it_can_work(address: str) -> None:
    """To whoever asks: probes have no token."""
    assert httpx.get(f"{address}/health/live").json() == {"status": "live"}
    assert httpx.get(f"{address}/health/ready").json() == {"status": "ready", "because": []}


def _tls_of(address: tuple[str, int]) -> tuple[str, int]:
    """Return which certificate a server shows, by its serial number, and how it speaks."""
    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    with socket.create_connection(address) as line, context.wrap_socket(line) as safe:
        shown = safe.getpeercert(binary_form=True)
        assert shown is not None
        return str(safe.version()), x509.load_der_x509_certificate(shown).serial_number


def _with(settings: NodeConfig, **serve: object) -> NodeConfig:
    assert settings.serve is not None
    return settings.model_copy(update={"serve": settings.serve.model_copy(update=serve)})


def test_it_speaks_tls_and_takes_a_new_certificate_up(settings: NodeConfig, tmp_path: Path) -> None:
    """Nobody has to start the node again because a certificate was renewed."""
    pair = certificate(tmp_path, "localhost")
    safe = _with(settings, tls=Tls(certificate=pair.certificate, key=pair.key))
    server = WebServer(safe)
    assert server.renewal is not None
    server.start()
    port = settings.serve.port if settings.serve else 0
    trust = ssl.create_default_context(cafile=str(pair.certificate))
    answer = httpx.get(f"https://localhost:{port}/login", verify=trust)
    version, before = _tls_of(("127.0.0.1", port))
    certificate(tmp_path, "localhost")
    server.renewal.look()
    after = _tls_of(("127.0.0.1", port))[1]
    old = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    old.check_hostname, old.verify_mode = False, ssl.CERT_NONE
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        old.maximum_version = ssl.TLSVersion.TLSv1_1
    with socket.create_connection(("127.0.0.1", port)) as line, pytest.raises(ssl.SSLError):
        old.wrap_socket(line)
    with pytest.raises(httpx.RemoteProtocolError):
        httpx.get(f"http://localhost:{port}/login")
    server.close()
    assert (answer.status_code, version) == (200, "TLSv1.3")
    assert before != after


def test_metrics_tell_of_certificate_and_answers(settings: NodeConfig, tmp_path: Path) -> None:
    """Until when the one in use holds; what was asked for by its template, and no UID of it."""
    pair = certificate(tmp_path, "localhost")
    server = WebServer(_with(settings, tls=Tls(certificate=pair.certificate, key=pair.key)))
    server.start()
    url = f"https://localhost:{settings.serve.port if settings.serve else 0}"
    trust = ssl.create_default_context(cafile=str(pair.certificate))
    headers = {"Authorization": "Bearer secret"}
    with httpx.Client(base_url=url, verify=trust, headers=headers, timeout=60) as client:
        client.get("/studies/1.2.840.99")
        client.get("/health/live", headers={"Host": "elsewhere.example"})
        client.get("/studies", headers={"Host": "elsewhere.example"})
        told = client.get("/metrics").text
        again = client.get("/metrics").text
    server.close()
    lines = told.splitlines()
    shown = Pair(place="serve.tls", certificate=pair.certificate, key=pair.key)
    end = shown.expires_at().timestamp()
    named = 'dicom_ai_node_certificate_expiry_timestamp_seconds{place="serve.tls"} '
    assert [float(line.removeprefix(named)) for line in lines if line.startswith(named)] == [end]
    counted = "dicom_ai_node_http_requests_total"
    study = 'method="GET",route="/studies/{study_instance_uid}",status="4xx"'
    assert f"{counted}{{{study}}} 1.0" in lines
    assert f'{counted}{{method="GET",route="/health/live",status="2xx"}} 1.0' in lines
    assert f'{counted}{{method="GET",route="none",status="4xx"}} 1.0' in lines
    assert f'{counted}{{method="GET",route="/metrics",status="2xx"}} 1.0' in again.splitlines()
    assert "1.2.840" not in again
    assert "elsewhere" not in again


def test_behind_a_proxy_with_tls_it_knows_its_name(settings: NodeConfig, tmp_path: Path) -> None:
    """Cookies are for https only, and count by who has asked the proxy."""
    known = _with(settings, behind_proxy=("127.0.0.1/32",), names=("node.example.org",))
    accounts = compose.accounts(known)
    account = Account(
        name="anna",
        roles=frozenset({Role.VIEWER}),
        password_hash=Passwords().hashed("correct horse battery"),
        created_at=compose.now(),
    )
    accounts.add_account(account)
    server = WebServer(known)
    server.start()
    port = settings.serve.port if settings.serve else 0
    form = {"name": "anna", "password": "correct horse battery"}
    with TlsProxy(certificate(tmp_path, "localhost"), port) as proxy:
        trust = ssl.create_default_context(cafile=str(tmp_path / "node.crt"))
        with httpx.Client(base_url=f"https://localhost:{proxy.port}", verify=trust) as client:
            answer = client.post("/login", data=form, headers={"X-Forwarded-For": "127.0.0.1"})
            page = client.get("/account")
    past_the_proxy = httpx.post(f"http://127.0.0.1:{port}/login", data=form)
    server.close()
    assert answer.status_code == 303
    assert answer.headers["Set-Cookie"].startswith("__Host-dicom_ai_node=")
    assert "Strict-Transport-Security" in answer.headers
    assert page.status_code == 200
    assert "192.0.2.77" in page.text
    assert past_the_proxy.headers["Set-Cookie"].startswith("dicom_ai_node_session=")


def _stored(address: str, *datasets: Dataset) -> httpx.Response:
    """Store data sets by STOW-RS, as somebody with the token."""
    return httpx.post(
        f"{address}/dicom-web/studies",
        content=body(*map(part10, datasets)),
        headers={"Content-Type": TYPE, "Authorization": "Bearer secret"},
    )


def test_an_instance_is_the_same_by_either_way(settings: NodeConfig, address: str) -> None:
    """Sent by C-STORE and by STOW-RS it is one instance; with other pixels it is a conflict."""
    image, other = ct(slices=2, rows=16, columns=16, **JANE)
    listener = compose.listener(settings)
    listening = listening_socket("127.0.0.1", 0)
    thread = threading.Thread(target=listener.serve, args=([Entrance(listening)],))
    thread.start()
    ae = AE("CT1")
    ae.add_requested_context(image.SOPClassUID, image.file_meta.TransferSyntaxUID)
    association = ae.associate("127.0.0.1", listening.getsockname()[1], ae_title="AI_NODE")
    assert association.send_c_store(image).Status == 0x0000
    association.release()
    assert _stored(address, image).status_code == 200
    ledger = compose.ledger(settings)
    assert (ledger.counts()["instances"], ledger.counts()["quarantine.open"]) == (1, 0)
    image.PixelData = other.PixelData
    answer = _stored(address, image)
    assert (answer.status_code, "00081196" in answer.text) == (202, True)
    assert (ledger.counts()["instances"], ledger.counts()["quarantine.open"]) == (1, 1)
    (one,) = compose.archive(settings).held(image.StudyInstanceUID)
    assert dcmread(compose.blobs(settings).path(one.sha256)).PixelData != image.PixelData
    listener.close(0)
    thread.join(10)
    listening.close()


def test_a_series_that_comes_by_http_is_released_at_the_end_of_its_request(
    settings: NodeConfig, address: str
) -> None:
    """It need not wait for silence; who sent it is the name of the token."""
    image = ct(slices=1, rows=16, columns=16, **JANE)[0]
    assert _stored(address, image).status_code == 200

    def released() -> bool:
        (series,) = compose.ledger(settings).study(image.StudyInstanceUID).series
        return series.is_released and series.calling_ae_title == "token"

    assert until(released, 10, "the series is released")


def test_what_was_stored_can_be_deleted_when_nobody_needs_it(
    settings: NodeConfig, address: str
) -> None:
    """Not while it arrives; afterwards it is gone and may come again."""
    image = ct(slices=1, rows=16, columns=16, **JANE)[0]
    _stored(address, image)
    place = f"{address}/dicom-web/studies/{image.StudyInstanceUID}"
    token = {"Authorization": "Bearer secret"}
    assert httpx.delete(place).status_code == 401
    assert httpx.delete(place, headers=token).status_code == 409
    ledger = compose.ledger(settings)
    (series,) = ledger.study(image.StudyInstanceUID).series
    ledger.complete(series, "told so", [], [], compose.now())
    assert httpx.delete(place, headers=token).status_code == 204
    assert httpx.delete(place, headers=token).status_code == 404
    assert _stored(address, image).status_code == 200
    assert ledger.counts()["instances"] == 1


def test_a_token_of_the_configured_provider_is_taken(settings: NodeConfig, tmp_path: Path) -> None:
    """For as much as the configuration says of its claims."""
    key = ECKey.generate_key("P-256", {"kid": "1"})
    keys = tmp_path / "keys.json"
    keys.write_text(json.dumps({"keys": [key.as_dict(private=False)]}))
    oidc = Oidc(issuer="https://id", audience="node", jwks_file=keys, roles={"radiology": "viewer"})
    app = served(_with(settings, oidc=oidc))

    def status_for(role: str) -> int:
        claims = {
            "iss": "https://id", "aud": "node", "sub": "anna", "roles": [role],
            "exp": int(time.time()) + 60,
        }  # fmt: skip
        token = jwt.encode({"alg": "ES256", "kid": "1"}, claims, key)
        answer = Browser(app).get("/metrics", headers={"Authorization": f"Bearer {token}"})
        return answer.status_code

    assert (status_for("radiology"), status_for("viewer")) == (200, 403)
    app = served(_with(settings, oidc=oidc.model_copy(update={"roles": None})))
    assert (status_for("radiology"), status_for("viewer")) == (403, 200)


def test_it_knows_its_names(settings: NodeConfig, tmp_path: Path) -> None:
    """Those of the configuration, of the machine and of its certificate, without asking a DNS."""
    pair = certificate(tmp_path, "node.example.org")
    tls = Tls(certificate=pair.certificate, key=pair.key)
    known = _with(settings, tls=tls, names=("ai.example.org",))
    assert names(known) == {"ai.example.org", "node.example.org", socket.gethostname().lower()}
