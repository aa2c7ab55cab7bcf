"""A page elsewhere cannot make a browser that is logged in here change something (CSRF).

A browser sends the cookie of a session with whatever any page makes it send. So what changes
something has to bring a second token along, which only our own pages know: the field
`csrf_token` of a form, or the header `X-CSRF-Token`. It follows from the secret of the session and
is kept nowhere.
"""

import hmac
from dataclasses import dataclass, field

from fastapi import HTTPException, Request

from dicom_ai_node.domain.accounts import LoginSession
from dicom_ai_node.serve.forms import form, is_form

CSRF_FIELD = "csrf_token"
CSRF_HEADER = "X-CSRF-Token"
_SAFE = frozenset({"GET", "HEAD", "OPTIONS"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Cookie:
    """A session that a request has shown a cookie of."""

    secret: str = field(repr=False)
    session: LoginSession


def cookie_of(request: Request) -> Cookie | None:
    """Return the session that made known who asks; `None` if it was something else."""
    found: Cookie | None = getattr(request.state, "cookie", None)
    return found


def csrf_token(request: Request) -> str:
    """Return what a form or a script of ours has to bring along; empty without a session."""
    cookie = cookie_of(request)
    if cookie is None:
        return ""
    return hmac.digest(cookie.secret.encode(), b"csrf", "sha256").hex()


async def check(request: Request) -> None:
    """Refuse what would change something and does not come from a page of ours.

    Raises
    ------
    HTTPException
        403, if the session is known by its cookie and the token is not there or another one.
    """
    if request.method in _SAFE or cookie_of(request) is None:
        return
    given = request.headers.get(CSRF_HEADER)
    if given is None and is_form(request):
        given = (await form(request)).get(CSRF_FIELD)
    right = csrf_token(request).encode()
    if not hmac.compare_digest((given or "").encode("utf-8", "replace"), right):
        raise HTTPException(403, "this does not come from a page of this node; load it again")
