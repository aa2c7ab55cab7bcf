"""What answers HTTP listens on this machine, says who may ask, and ends when it is told to."""

import time
from collections.abc import Iterator
from pathlib import Path
from textwrap import dedent

import httpx
import pytest

from dicom_ai_node import compose
from dicom_ai_node.config import NodeConfig
from dicom_ai_node.domain.errors import ConfigError
from dicom_ai_node.web import WebServer
from tests.peers.tools import free_port


def _config(folder: Path, *, similar: str = "similar: {model: image_encoder}") -> NodeConfig:
    (folder / "token").write_text("secret\n")
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
    assert time.monotonic() - began < 3


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
