"""The release comes from the registry that npm would ask, and is what it was, to the bit."""

import threading
from collections.abc import Iterator, Mapping, Sequence
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from dicom_ai_node.domain.errors import ConfigError, NeedsAttention, PeerUnavailable
from dicom_ai_node.serve.viewer import release


class Registry(BaseHTTPRequestHandler):
    """Knows one package."""

    def do_GET(self) -> None:
        known = self.path == f"/npm/@ohif%2fapp/-/app-{release.VERSION}.tgz"
        self.send_response(200 if known else 404)
        self.end_headers()
        self.wfile.write(b"a package" if known else b"unknown")

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - its name there
        """Say nothing."""


@pytest.fixture
def address() -> Iterator[str]:
    """Serve a registry on loopback."""
    with ThreadingHTTPServer(("127.0.0.1", 0), Registry) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_address[1]}"
        server.shutdown()


@pytest.mark.parametrize(
    ("environment", "npmrc", "expected"),
    [
        pytest.param({}, [], release.PUBLIC_REGISTRY, id="the public one by default"),
        pytest.param(
            {}, ["# registry=https://no.example/", " registry = https://npm.example.org/a/"],
            "https://npm.example.org/a/", id="the one of the file",
        ),
        pytest.param(
            {"npm_config_registry": "https://here.example.org"}, ["registry=https://npm.example.org"],
            "https://here.example.org", id="the variable before the file",
        ),
        pytest.param(
            {"npm_config_registry": ""}, ["//npm.example.org/:_authToken=x"],
            release.PUBLIC_REGISTRY, id="a token is no registry",
        ),
    ],
)  # fmt: skip
def test_the_registry_is_the_one_that_npm_would_ask(
    environment: Mapping[str, str], npmrc: Sequence[str], expected: str
) -> None:
    """So that a mirror of the hospital is asked where there is one."""
    assert release.registry(environment, npmrc) == expected


def test_the_release_is_fetched_from_a_registry_below_any_path(
    address: str, tmp_path: Path
) -> None:
    """As mirrors have them."""
    release.fetch(tmp_path / "release.tgz", f"{address}/npm/")
    assert (tmp_path / "release.tgz").read_bytes() == b"a package"


@pytest.mark.parametrize(
    ("registry", "error", "says"),
    [
        pytest.param("{address}/elsewhere", PeerUnavailable, "answers 404", id="not there"),
        pytest.param("http://127.0.0.1:9/", PeerUnavailable, "--from", id="no answer"),
        pytest.param("npm.example.org", ConfigError, "no address", id="no address"),
        pytest.param("ftp://npm.example.org", ConfigError, "no address", id="another protocol"),
    ],
)
def test_why_it_cannot_be_fetched_is_told(
    registry: str, error: type[Exception], says: str, address: str, tmp_path: Path
) -> None:
    """And how to bring it otherwise."""
    with pytest.raises(error, match=says):
        release.fetch(tmp_path / "release.tgz", registry.format(address=address))


def test_a_registry_that_never_stops_is_not_believed(address: str, tmp_path: Path) -> None:
    """What it sends does not fill the disk."""
    with pytest.raises(PeerUnavailable, match="more than 8 bytes"):
        release.fetch(tmp_path / "release.tgz", f"{address}/npm", most_bytes=8)


def test_another_file_is_not_the_release(tmp_path: Path) -> None:
    """Whoever gives it: only the bytes count."""
    (tmp_path / "other.tgz").write_bytes(b"a package")
    with pytest.raises(NeedsAttention, match="as it was released"):
        release.check(tmp_path / "other.tgz")
    with pytest.raises(NeedsAttention, match="No such file"):
        release.check(tmp_path / "none.tgz")
