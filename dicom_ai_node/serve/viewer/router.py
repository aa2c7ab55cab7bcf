"""OHIF below `/viewer/`: the page, our configuration, and the files of the release.

`/viewer/viewer?StudyInstanceUIDs=...` opens a study.
"""

import gzip
from pathlib import Path
from string import Template

from fastapi import APIRouter, HTTPException, Request
from fastapi.responses import FileResponse, HTMLResponse, Response

from dicom_ai_node.domain.accounts import Role
from dicom_ai_node.serve.access import needs
from dicom_ai_node.serve.language import language
from dicom_ai_node.serve.viewer.changes import BASE, PATH
from dicom_ai_node.serve.viewer.installed import Viewer
from dicom_ai_node.serve.viewer.release import NAME, VERSION

POLICY = (
    "default-src 'none'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    "; style-src 'self' 'unsafe-inline'; img-src 'self' data: blob:; font-src 'self'"
    "; connect-src 'self' data: blob:; worker-src 'self' blob:"
    # It compiles the loops that unpack a segmentation, and its decoders, when they are needed.
    "; script-src 'self' 'wasm-unsafe-eval' 'unsafe-eval'"
)
"""What OHIF may do: much on its own origin, nothing beyond it."""

_TYPES = {
    ".js": "text/javascript; charset=utf-8",
    ".css": "text/css; charset=utf-8",
    ".wasm": "application/wasm",
    ".woff2": "font/woff2",
    ".png": "image/png",
    ".ico": "image/vnd.microsoft.icon",
}
_GUARDED = {"Content-Security-Policy": POLICY}
_ASK_AGAIN = {**_GUARDED, "Cache-Control": "no-cache"}
_FOR_EVER = {**_GUARDED, "Cache-Control": "private, max-age=31536000, immutable"}
_HERE = Path(__file__).parent
_CONFIG = _HERE / "app-config.js"
_PAGE = Template((_HERE / "page.html").read_text("utf-8"))
_MISSING = Template((_HERE / "missing.html").read_text("utf-8"))


def viewer_router(viewer: Viewer) -> APIRouter:
    """Return the routes of the viewer, which may be installed while the node runs."""
    router = APIRouter(
        prefix=PATH.rstrip("/"), dependencies=[needs(Role.VIEWER)], include_in_schema=False
    )

    @router.get("/app-config.js")
    def configuration() -> Response:
        """Return what OHIF is told here."""
        return FileResponse(_CONFIG, media_type=_TYPES[".js"], headers=_ASK_AGAIN)

    @router.get(f"/{BASE}/{{name:path}}")
    def part(name: str, request: Request) -> Response:
        """Return a file of the release."""
        path = viewer.file(name)
        if path is None:
            raise HTTPException(404, "the viewer has no such file")
        kind = _TYPES[Path(name).suffix]
        if "gzip" in request.headers.get("Accept-Encoding", ""):
            headers = {**_FOR_EVER, "Content-Encoding": "gzip", "Vary": "Accept-Encoding"}
            return FileResponse(path, media_type=kind, headers=headers)
        content = gzip.decompress(path.read_bytes())
        return Response(content, media_type=kind, headers={**_FOR_EVER, "Vary": "Accept-Encoding"})

    @router.get("")
    @router.get("/{page:path}")
    def page(request: Request, page: str = "") -> Response:
        """Return the page: OHIF itself reads from the address what to show."""
        if "." in page:
            raise HTTPException(404, "the viewer has no such file")
        script = viewer.script()
        if script is None:
            return HTMLResponse(_MISSING.substitute(package=f"{NAME}@{VERSION}"), 404, _ASK_AGAIN)
        base = f"{PATH}{BASE}/"
        told = {"base": base, "path": PATH, "script": script, "language": language(request)}
        return HTMLResponse(_PAGE.substitute(told), headers=_ASK_AGAIN)

    return router
