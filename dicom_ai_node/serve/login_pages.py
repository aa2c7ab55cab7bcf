"""The pages where people log in and out, change their password, and see where they are logged in.

Plain HTML without a script.
"""

import re
from collections.abc import Mapping
from pathlib import Path

import structlog
from fastapi import APIRouter, HTTPException, Request
from fastapi.concurrency import run_in_threadpool
from fastapi.responses import HTMLResponse, RedirectResponse, Response
from jinja2 import Environment, FileSystemLoader

from dicom_ai_node.domain.errors import NeedsAttention
from dicom_ai_node.serve.access import Role, needs
from dicom_ai_node.serve.basic import address_of
from dicom_ai_node.serve.csrf import Cookie, cookie_of, csrf_token
from dicom_ai_node.serve.forms import form
from dicom_ai_node.serve.language import language
from dicom_ai_node.serve.login import AccountsDoor, must_change_password
from dicom_ai_node.serve.login_words import WORDS
from dicom_ai_node.serve.passwords import LONGEST, SHORTEST, objection

log = structlog.get_logger()

HOME = "/"
_TEMPLATES = Path(__file__).parent / "login_templates"
_OWN_PATH = re.compile(r"/(?![/\\])[!-\[\]-~]*")
"""A path of this node: `//elsewhere` and `/\\elsewhere` would lead out of it."""


class LoginPages:
    """What the routes answer."""

    def __init__(self, door: AccountsDoor) -> None:
        self._door = door
        self._templates = Environment(loader=FileSystemLoader(_TEMPLATES), autoescape=True)
        self._style = (_TEMPLATES / "login.css").read_text(encoding="utf-8")

    async def ask(self, request: Request) -> Response:
        """Show the form, or go on where somebody is logged in already."""
        onward = safe_next(request.query_params.get("next", ""))
        if request.state.person.may(Role.KNOWN):
            return RedirectResponse(onward, 303)
        return await self._form(request, onward)

    async def log_in(self, request: Request) -> Response:
        """Let somebody in whose password is right."""
        said = await form(request)
        onward = safe_next(said.get("next", ""))
        name = said.get("name", "").strip().lower()
        try:
            account = await self._door.check.account(
                name, said.get("password", ""), address_of(request)
            )
            answer = RedirectResponse("/account" if account.must_change_password else onward, 303)
            await self._door.let_in(request, account, answer)
        except HTTPException as no:
            return await self._form(request, onward, no)
        except NeedsAttention:  # removed in this moment
            return await self._form(request, onward, HTTPException(401))
        log.info("logged_in", peer=account.name, address=address_of(request))
        return answer

    async def log_out(self, request: Request) -> Response:
        """Let somebody out."""
        answer = RedirectResponse("/login", 303)
        await self._door.let_out(request, answer)
        log.info("logged_out", peer=request.state.person.name, address=address_of(request))
        return answer

    async def account(self, request: Request) -> Response:
        """Show who somebody is and where they are logged in."""
        return await self._account(request, _present(request))

    async def change_password(self, request: Request) -> Response:
        """Give an account another password."""
        here, said = _present(request), await form(request)
        account = here.session.account
        mistake = _mistake(account.name, said)
        if not mistake:
            try:
                await self._door.check.account(
                    account.name, said.get("old", ""), address_of(request)
                )
            except HTTPException as no:
                mistake = "paused" if no.status_code == 429 else "wrong_old"  # noqa: PLR2004
                wait = (no.headers or {}).get("Retry-After", "")
                return await self._account(request, here, mistake, wait, no.status_code)
        if mistake:
            return await self._account(request, here, mistake, status=400)
        await self._change(request, here, said["new"])
        answer = RedirectResponse(f"/account?done=1&lang={language(request)}", 303)
        await self._door.let_in(request, account, answer)
        return answer

    async def end_session(self, request: Request, number: int) -> Response:
        """End a session of one's own somewhere else."""
        here = _present(request)
        name = here.session.account.name
        await run_in_threadpool(self._door.accounts.end_session, name, number)
        return RedirectResponse(f"/account?lang={language(request)}", 303)

    def style(self) -> Response:
        """Return the style sheet."""
        kept = {"Cache-Control": "public, max-age=3600"}
        return Response(self._style, media_type="text/css", headers=kept)

    async def _change(self, request: Request, here: Cookie, password: str) -> None:
        name = here.session.account.name
        password_hash = await self._door.check.hashed(password)

        def change() -> None:
            self._door.accounts.set_password(name, password_hash, must_change=False)

        await run_in_threadpool(change)
        log.info("password_changed", peer=name, address=address_of(request))

    async def _form(
        self, request: Request, onward: str, no: HTTPException | None = None
    ) -> Response:
        words = WORDS[language(request)]
        mistake, headers = "", dict(no.headers or {}) if no else {}
        if no is not None and "Retry-After" in headers:
            mistake = words["paused"].format(seconds=headers["Retry-After"])
        elif no is not None:
            mistake = words["wrong"]
        nobody = not await run_in_threadpool(self._door.accounts.accounts)
        told = {"next": onward, "mistake": mistake, "nobody": nobody}
        page = self._page(request, "login.html", told)
        return HTMLResponse(page, no.status_code if no else 200, headers)

    async def _account(
        self, request: Request, here: Cookie, mistake: str = "", wait: str = "", status: int = 200
    ) -> Response:
        words, account = WORDS[language(request)], here.session.account
        sessions = await run_in_threadpool(
            self._door.accounts.sessions, account.name, self._door.now()
        )
        known = words.get(mistake, "").format(shortest=SHORTEST, seconds=wait)
        told = {
            "account": account,
            "sessions": sessions,
            "here": here.session.number,
            "must_change": must_change_password(request),
            "mistake": known,
            "said": words["changed"] if "done" in request.query_params else "",
            "shortest": SHORTEST,
            "longest": LONGEST,
        }
        return HTMLResponse(self._page(request, "account.html", told), status)

    def _page(self, request: Request, name: str, told: Mapping[str, object]) -> str:
        lang = language(request)
        words = {
            key: text.format(shortest=SHORTEST, seconds="") for key, text in WORDS[lang].items()
        }
        always = {"lang": lang, "words": words, "csrf_token": csrf_token(request)}
        return self._templates.get_template(name).render(always | dict(told))


def safe_next(said: str) -> str:
    """Return where to go after the login, if it is a path of this node; else its first page."""
    return said if _OWN_PATH.fullmatch(said) else HOME


def login_router(door: AccountsDoor) -> APIRouter:
    """Return the routes of the login."""
    pages, router = LoginPages(door), APIRouter()
    for_all, for_known = [needs(Role.PUBLIC)], [needs(Role.KNOWN)]
    for path, answer, method, dependencies in (
        ("/login", pages.ask, "GET", for_all),
        ("/login", pages.log_in, "POST", for_all),
        ("/login/login.css", pages.style, "GET", for_all),
        ("/logout", pages.log_out, "POST", for_known),
        ("/account", pages.account, "GET", for_known),
        ("/account", pages.change_password, "POST", for_known),
        ("/account/sessions/{number}", pages.end_session, "POST", for_known),
    ):
        router.add_api_route(
            path, answer, methods=[method], dependencies=dependencies, response_model=None
        )
    return router


def _present(request: Request) -> Cookie:
    """Return the session; who has said in another way who they are has no account page."""
    here = cookie_of(request)
    if here is None:
        raise HTTPException(403, "log in with a browser")
    return here


def _mistake(name: str, said: Mapping[str, str]) -> str:
    new = said.get("new", "")
    if new != said.get("again", ""):
        return "differ"
    if new == said.get("old", ""):
        return "same"
    return objection(new, name)
