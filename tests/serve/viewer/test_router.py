"""What is answered below `/viewer/`, to whom, and for how long a browser may keep it."""

import asyncio
import gzip
from collections.abc import Mapping
from pathlib import Path

import httpx
import pytest
from fastapi import FastAPI

from dicom_ai_node.serve.application import application
from dicom_ai_node.serve.doors import OpenDoor
from dicom_ai_node.serve.viewer.changes import BASE
from dicom_ai_node.serve.viewer.installed import Viewer
from dicom_ai_node.serve.viewer.router import viewer_router
from tests.serve.token_door import TokenDoor
from tests.serve.viewer.releases import FILES, FIRST, tarball


def ask(app: FastAPI, path: str, headers: Mapping[str, str] | None = None) -> httpx.Response:
    """Ask once, without a socket."""

    async def once() -> httpx.Response:
        way = httpx.ASGITransport(app)
        async with httpx.AsyncClient(transport=way, base_url="http://node") as client:
            return await client.get(path, headers=headers)

    return asyncio.run(once())


@pytest.fixture
def viewer(tmp_path: Path) -> Viewer:
    """Return an installed viewer."""
    viewer = Viewer(tmp_path / "viewer")
    viewer.install(tarball(tmp_path / "release.tgz"))
    return viewer


@pytest.fixture
def app(viewer: Viewer) -> FastAPI:
    """Return the one wing, open to everybody."""
    return application(OpenDoor(), [viewer_router(viewer)])


@pytest.mark.parametrize("path", ["/viewer", "/viewer/", "/viewer/viewer?StudyInstanceUIDs=1.2"])
def test_every_page_is_the_viewer_which_reads_from_its_address_what_to_show(
    path: str, app: FastAPI
) -> None:
    """It loads nothing but files of ours, and is asked for again each time."""
    answer = ask(app, path)
    assert (answer.status_code, answer.headers["Cache-Control"]) == (200, "no-cache")
    assert f'src="/viewer/{BASE}/{FIRST}"' in answer.text
    assert "://" not in answer.text
    assert answer.headers["Content-Security-Policy"].startswith("default-src 'none'")


def test_the_files_of_the_release_are_kept_by_browsers(app: FastAPI) -> None:
    """Compressed for who takes that, and plain for others, of the right type."""
    for name, kind in (
        (FIRST, "text/javascript; charset=utf-8"),
        ("app.bundle.css", "text/css; charset=utf-8"),
        ("4567.wasm", "application/wasm"),
        ("0123.woff2", "font/woff2"),
    ):
        small = ask(app, f"/viewer/{BASE}/{name}", {"Accept-Encoding": "gzip, br"})
        plain = ask(app, f"/viewer/{BASE}/{name}", {"Accept-Encoding": "identity"})
        assert small.headers["Content-Encoding"] == "gzip"
        assert "Content-Encoding" not in plain.headers
        assert small.content == plain.content
        assert small.headers["Content-Type"] == plain.headers["Content-Type"] == kind
        assert "immutable" in small.headers["Cache-Control"]
        assert small.headers["Vary"] == plain.headers["Vary"] == "Accept-Encoding"


@pytest.mark.parametrize(
    "path",
    [
        f"/viewer/{BASE}/sw.js",
        f"/viewer/{BASE}/installed.json",
        f"/viewer/{BASE}/..%2f..%2frelease.tgz",
        f"/viewer/{BASE}/%2e%2e/installed.json",
        "/viewer/ohif-3.0.0-1/app.bundle.css",
        "/viewer/sw.js",
    ],
)
def test_nothing_else_is_a_file(path: str, app: FastAPI) -> None:
    """Neither what was left out, nor what lies beside it, nor what was there once."""
    assert ask(app, path).status_code == 404


def test_the_only_source_of_images_is_the_node(app: FastAPI) -> None:
    """The configuration of the release, whose images lie elsewhere, is not served."""
    answer = ask(app, "/viewer/app-config.js")
    assert answer.headers["Content-Type"] == "text/javascript; charset=utf-8"
    assert answer.text.count("sourceName:") == 1
    assert answer.text.count("`${window.location.origin}/dicom-web`") == 3
    assert "://" not in answer.text
    for hole in ("dicomjson", "dicomwebproxy", "dicomlocal", "dangerously", "customizationUrl"):
        assert hole not in answer.text
    assert FILES["app-config.js"] not in answer.content


def test_where_it_is_not_installed_it_is_said_how(tmp_path: Path) -> None:
    """And it is there as soon as it is installed, without a restart."""
    viewer = Viewer(tmp_path / "viewer")
    app = application(OpenDoor(), [viewer_router(viewer)])
    answer = ask(app, "/viewer/")
    assert answer.status_code == 404
    assert "dicom-ai-node viewer install" in answer.text
    assert "npm pack @ohif/app@3." in answer.text
    viewer.install(tarball(tmp_path / "release.tgz"))
    assert ask(app, "/viewer/").status_code == 200


@pytest.mark.parametrize("path", ["/viewer/", "/viewer/app-config.js", f"/viewer/{BASE}/{FIRST}"])
def test_nobody_sees_it_who_has_not_logged_in(path: str, viewer: Viewer) -> None:
    """Neither the page nor a file."""
    app = application(TokenDoor("secret"), [viewer_router(viewer)])
    assert ask(app, path).status_code == 401
    assert ask(app, path, {"Authorization": "Bearer secret"}).status_code == 200


def test_what_is_sent_compressed_is_what_lies_on_the_disk(app: FastAPI, viewer: Viewer) -> None:
    """No work is done for it when it is asked for."""
    path = viewer.file(FIRST)
    assert path is not None
    answer = ask(app, f"/viewer/{BASE}/{FIRST}", {"Accept-Encoding": "gzip"})
    assert int(answer.headers["Content-Length"]) == path.stat().st_size
    assert gzip.decompress(path.read_bytes()) == answer.content
