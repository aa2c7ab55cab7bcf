"""What a reader chooses: language and theme; the help page; and the files that all pages load."""

from pathlib import Path as Folder
from typing import Annotated
from urllib.parse import urlsplit

from fastapi import APIRouter, Depends, HTTPException, Path, Query, Request
from fastapi.responses import FileResponse, HTMLResponse, RedirectResponse

from dicom_ai_node.serve.access import Role, needs
from dicom_ai_node.serve.console.page import THEMES, Pages, from_here
from dicom_ai_node.serve.console.words import LANGUAGES

STATIC = Folder(__file__).with_name("static")
_KINDS = {
    ".css": "text/css; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".svg": "image/svg+xml",
}
A_YEAR_SECONDS = 365 * 24 * 3600
_NOT_THERE, _SEE_OTHER = 404, 303
_CHOICES = {"language": frozenset(LANGUAGES), "theme": frozenset(THEMES)}


def add_help(router: APIRouter, pages: Pages) -> None:
    """Add the page that says which keys do what."""

    @router.get("/help")
    def keys(request: Request) -> HTMLResponse:
        """Show the keys, and what the stages of a job mean."""
        return pages.show(request, "help", {})


def static_router() -> APIRouter:
    """Return the routes that need no login: style, script, and the choice of language and theme."""
    router = APIRouter(dependencies=[needs(Role.PUBLIC)], include_in_schema=False)
    files = {path.name: path for path in STATIC.iterdir() if path.suffix in _KINDS}

    @router.get("/static/{name}")
    def static(name: Annotated[str, Path(max_length=64)]) -> FileResponse:
        """Return one of our own files; `?v=` in its address changes with every version."""
        if name not in files:
            raise HTTPException(_NOT_THERE, "no such file is here")
        path = files[name]
        headers = {
            "Cache-Control": "public, max-age=3600",
            "X-Content-Type-Options": "nosniff",
        }
        return FileResponse(path, headers=headers, media_type=_KINDS[path.suffix])

    @router.post("/preferences", dependencies=[needs(Role.PUBLIC), Depends(from_here)])
    def preferences(
        request: Request,
        language: Annotated[str, Query(max_length=8)] = "",
        theme: Annotated[str, Query(max_length=8)] = "",
    ) -> RedirectResponse:
        """Remember a choice in this browser, and go back to where it was made."""
        answer = RedirectResponse(_back(request), _SEE_OTHER)
        for name, value in (("language", language), ("theme", theme)):
            if value in _CHOICES[name]:
                answer.set_cookie(name, value, A_YEAR_SECONDS, httponly=True, samesite="lax")
        return answer

    return router


def _back(request: Request) -> str:
    """Return the path of the page that a form was on; never an address elsewhere."""
    parts = urlsplit(request.headers.get("Referer", ""))
    path = parts.path if parts.path.startswith("/") and not parts.path.startswith("//") else "/"
    return f"{path}?{parts.query}" if parts.query else path
