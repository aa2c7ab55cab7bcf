"""What somebody hears who may not: a browser is led to the login, a program gets a challenge."""

from urllib.parse import urlencode

from fastapi import Request
from fastapi.responses import JSONResponse, RedirectResponse, Response
from starlette.exceptions import HTTPException

from dicom_ai_node.serve.login import must_change_password

_PROGRAMS = ("/dicom-web/", "/api/")
"""Whoever asks here is no person who could fill in a form."""


async def unknown(request: Request, refusal: Exception) -> Response:
    """Answer 401, or lead a person to the login and from there to where they wanted to go."""
    if _is_page(request):
        asked = request.url.path + (f"?{request.url.query}" if request.url.query else "")
        return RedirectResponse("/login?" + urlencode({"next": asked}), 303)
    answer = _plain(refusal)
    is_browser = "Sec-Fetch-Mode" in request.headers
    if "HX-Request" in request.headers:
        answer.headers["HX-Redirect"] = "/login"
    if not is_browser and "invalid_token" not in answer.headers.get("WWW-Authenticate", ""):
        # Not for browsers: they would open a window of their own for name and password.
        answer.headers["WWW-Authenticate"] = 'Bearer, Basic realm="dicom_ai_node", charset="UTF-8"'
    return answer


async def forbidden(request: Request, refusal: Exception) -> Response:
    """Answer 403, or lead somebody whose first password waits to be replaced to where that is."""
    if must_change_password(request) and _is_page(request):
        return RedirectResponse("/account", 303)
    return _plain(refusal)


def _is_page(request: Request) -> bool:
    if "Authorization" in request.headers or request.url.path.startswith(_PROGRAMS):
        return False
    is_read = request.method in {"GET", "HEAD"}
    return is_read and "text/html" in request.headers.get("Accept", "")


def _plain(refusal: Exception) -> JSONResponse:
    status, detail, headers = 500, "", None
    if isinstance(refusal, HTTPException):
        status, detail, headers = refusal.status_code, refusal.detail, refusal.headers
    return JSONResponse({"detail": detail}, status, dict(headers or {}))
